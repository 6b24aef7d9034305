"""How many files may be open: each followed file costs a descriptor, and clients and journals need some too."""

from __future__ import annotations

import resource
from typing import Final

from tabard.brokers import descriptors

ENOUGH: Final = 4_096
"""What the limit is raised to: all followed files, as many that were rotated, and the most clients there may be."""
_SPARED: Final = 400
"""Descriptors left to everything that is no followed file."""
_LEAST: Final = 16
_MOST: Final = 1_024


def raise_limit() -> None:
    """Let this process open `ENOUGH` files, or as many as its hard limit allows. Never lowers the limit."""
    descriptors.raise_limit(ENOUGH)


def most_open() -> int:
    """How many tailed files may be open at a time under the limit there is."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else max(min(_MOST, soft - _SPARED), _LEAST)
