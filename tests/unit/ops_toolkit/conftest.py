"""Runs the command line as a user does, in an empty home."""

from tests.unit.ops.conftest import tabard

__all__ = ["tabard"]
