"""Tabard: one operations plane for hosts that can only be reached over ssh.

What an application uses is handed on from here and imported when it is first asked for, so that ``import tabard``
costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from tabard._version import VERSION as __version__

if TYPE_CHECKING:
    from tabard.applog import LogHandler, setup_logging
    from tabard.config import Config

__all__ = ["Config", "LogHandler", "__version__", "setup_logging"]

_HANDED_ON: Final = {
    "Config": "tabard.config",
    "LogHandler": "tabard.applog",
    "setup_logging": "tabard.applog",
}
"""Names and the modules that have them."""


def __getattr__(name: str) -> Any:
    """One of the names that are handed on."""
    if name not in _HANDED_ON:
        raise AttributeError(f"module 'tabard' has no attribute {name!r}")
    value = globals()[name] = vars(import_module(_HANDED_ON[name]))[name]
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HANDED_ON})
