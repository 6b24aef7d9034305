"""The command line of a role, read without click: cron asks it every minute on every host, and an agent keeps what it imports.

Only what is plainly right is read here. Everything else, from a wrong option to ``--help``, is left to the command
itself (``tabard.ops.cli``), which says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from tabard.errors import TabardError
from tabard.home import Home, default_home
from tabard.ops.early import ROLES
from tabard.ops.plain import split_option

_WITH_VALUE: Final = frozenset({"--home", "--idle", "--stage", "--set"})
_FLAGS: Final = frozenset({"--cron", "--once"})
_NAMED: Final = frozenset({"broker", "tunnel"})
"""Roles of which a home may have several, each with a name."""


class RoleLine(NamedTuple):
    """What such a line asks for."""

    role: str
    name: str | None
    home: Home
    cron: bool = False
    once: bool = False
    idle: float | None = None
    stage: str | None = None
    overrides: tuple[tuple[str, str], ...] = ()

    @property
    def lock(self) -> str:
        """The name of its lock in the home, where its own line gives it: ``agent``, ``broker.dmz``."""
        return f"{self.role}.{self.name}" if self.name else self.role


def read(arguments: Sequence[str], env: Mapping[str, str]) -> RoleLine | None:
    """The line of a role, None when it is another line, or not wholly right."""
    words: list[str] = []
    flags: set[str] = set()
    values: dict[str, str] = {}
    overrides: list[str] = []
    following = iter(arguments)
    for argument in following:
        option, value = split_option(argument, following, _WITH_VALUE)
        if argument in _FLAGS and words:
            flags.add(argument)
        elif option in _WITH_VALUE and value is not None and (words or option == "--home"):
            if option == "--set":
                overrides.append(value)
            elif option == "--home" and not value:
                return None
            values[option] = value
        elif argument.startswith("-"):
            return None
        else:
            words.append(argument)
    if not words or words[0] not in ROLES or len(words) > (2 if words[0] in _NAMED else 1):
        return None
    try:
        idle = _seconds(values["--idle"]) if "--idle" in values else None
    except TabardError:
        return None
    pairs = tuple((name, text) for name, _, text in (given.partition("=") for given in overrides))
    if not all(name and text for name, text in pairs):
        return None
    if len(dict(pairs)) < len(pairs):
        return None
    return RoleLine(
        words[0],
        words[1] if len(words) > 1 else None,
        Home(values.get("--home") or default_home(env)),
        "--cron" in flags,
        "--once" in flags,
        idle,
        values.get("--stage"),
        pairs,
    )


def _seconds(text: str) -> float:
    from tabard.units import parse_duration  # the guard of an ordinary line does not need it

    return parse_duration(text)
