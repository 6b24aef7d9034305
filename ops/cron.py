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

    Only command lines with ``--cron`` are looked at. A role of which a home may have several is named after
    it (``tabard broker dmz --cron``), and its lock is ``broker.dmz``. Raises HomeError when the lock cannot
    be read.
    """
    if "--cron" not in arguments:
        return None
    position = next((number for number, word in enumerate(arguments) if word in ROLES), None)
    if position is None:
        return None
    role, *following = arguments[position:]
    if following and not following[0].startswith("-"):
        role = f"{role}.{following[0]}"
    return held(Home(_home(arguments) or default_home(env)).lock(role))


def _home(arguments: Sequence[str]) -> str | None:
    """The last ``--home DIR`` or ``--home=DIR``."""
    home = None
    for word, following in zip(arguments, (*arguments[1:], None), strict=True):
        if word == "--home":
            home = following
        elif word.startswith("--home="):
            home = word.removeprefix("--home=")
    return home
