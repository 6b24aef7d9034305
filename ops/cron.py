"""The cron guard: ``tabard agent --cron`` every minute on every host must cost next to nothing.

Read before click is imported. It answers one question, whether the role of that command line runs already,
and leaves everything it does not understand to the command itself, which asks again in its own time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tabard.home import Home, default_home
from tabard.locks import held

_WITH_VALUE: Final = frozenset({"--home", "--idle", "--stage", "--set"})
_FLAGS: Final = frozenset({"--cron", "--once"})
ROLES: Final = frozenset({"agent", "broker", "recorder", "herald"})


def running(arguments: Sequence[str], env: Mapping[str, str]) -> int | None:
    """The process id (0 if unknown) that already does what ``arguments`` ask for, None if none does.

    Only command lines with ``--cron``, and without a word that such a line does not have, are looked at: a wrong one is
    for the command to refuse. A role of which a home may have several is named after it (``tabard broker dmz --cron``),
    and its lock is ``broker.dmz``. Raises HomeError when the lock cannot be read.
    """
    words: list[str] = []
    home = None
    following = iter(arguments)
    for argument in following:
        option, equals, value = argument.partition("=")
        if argument in _FLAGS:
            continue
        if option in _WITH_VALUE:
            given = value if equals else next(following, None)
            if given is None:
                return None
            if option == "--home":
                home = given
        elif argument.startswith("-"):
            return None
        else:
            words.append(argument)
    if "--cron" not in arguments or home == "" or not words or words[0] not in ROLES:
        return None
    if len(words) > (2 if words[0] == "broker" else 1):
        return None
    return held(Home(home or default_home(env)).lock(".".join(words)))
