"""The cron guard: ``tabard agent --cron`` every minute on every host must cost next to nothing.

Read before click is imported. It answers one question, whether the role of that command line runs already,
and leaves everything it does not understand to the command itself, which asks again in its own time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tabard.home import Home, default_home
from tabard.locks import held

ROLES: Final = frozenset({"agent", "broker", "recorder", "herald"})


def running(arguments: Sequence[str], env: Mapping[str, str]) -> int | None:
    """The process id (0 if unknown) that already does what ``arguments`` ask for, None if none does.

    Only command lines with ``--cron`` are looked at. Raises HomeError when the lock cannot be read.
    """
    if "--cron" not in arguments:
        return None
    role = next((word for word in arguments if word in ROLES), None)
    if role is None:
        return None
    home = Home(_option(arguments, "--home") or default_home(env))
    return held(home.lock(lock_name(role, _option(arguments, "--name"))))


def lock_name(role: str, name: str | None) -> str:
    """The lock of a role; roles of which a home may have several add their own name."""
    return f"{role}.{name}" if name else role


def _option(arguments: Sequence[str], option: str) -> str | None:
    """The last value of an option, written ``--option VALUE`` or ``--option=VALUE``."""
    value = None
    for word, following in zip(arguments, (*arguments[1:], None), strict=True):
        if word == option:
            value = following
        elif word.startswith(f"{option}="):
            value = word.removeprefix(f"{option}=")
    return value
