"""Running a command: its output bounded and recorded, its whole process group ended at the time-out.

``shell(["rsync", "-a", source, target], timeout=600)`` gives a ``Result`` whatever happens; it raises only for a
call that makes no sense, and for a failing command when ``check=True`` asks for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tabard.shell.call import TIMEOUT, shell
    from tabard.shell.result import CommandError, Result

__all__ = ["TIMEOUT", "CommandError", "Result", "shell"]

_HANDED_ON: Final = {
    "TIMEOUT": "tabard.shell.call",
    "CommandError": "tabard.shell.result",
    "Result": "tabard.shell.result",
    "shell": "tabard.shell.call",
}
"""Names and the modules that have them: a run of ``tabard cron exec``, every minute on every host, needs none of these."""


def __getattr__(name: str) -> Any:
    """One of the names that are handed on."""
    if name not in _HANDED_ON:
        raise AttributeError(f"module 'tabard.shell' has no attribute {name!r}")
    value = globals()[name] = vars(import_module(_HANDED_ON[name]))[name]
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HANDED_ON})
