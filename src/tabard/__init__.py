"""Tabard: one operations plane for hosts that can only be reached over ssh."""

from tabard._version import VERSION as __version__

__all__ = ["__version__"]
