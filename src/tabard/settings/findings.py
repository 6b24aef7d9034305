"""What reading and judging settings finds."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from tabard.errors import SettingsError, WrongSetting

_LINE: Final = frozenset({"command line", "--stage"})
"""Places of values that were given on the command line."""


def error_at(file: str | None, what: str, **facts: Any) -> SettingsError:
    """The error about a value from that place."""
    kind = WrongSetting if file in _LINE else SettingsError
    return kind(what, file=file, **facts)


class Finding(NamedTuple):
    """One thing that is wrong, or looks wrong."""

    error: SettingsError
    warning: bool = False
