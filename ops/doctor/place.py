"""Where a doctor stands: the home, what its settings and its roles say, and the time."""

from __future__ import annotations

from typing import NamedTuple

from tabard.clock import wall
from tabard.errors import SettingsError
from tabard.home import Home
from tabard.ops import seen
from tabard.ops.seen import Seen
from tabard.settings import Settings, load


class Place(NamedTuple):
    """What every check gets."""

    home: Home
    settings: Settings | None
    """None when they cannot be read: the check of the settings says why."""
    roles: tuple[Seen, ...]
    now: int
    """Nanoseconds since 1970 UTC."""

    @property
    def running(self) -> tuple[Seen, ...]:
        """The roles that have a process."""
        return tuple(role for role in self.roles if role.state != seen.STOPPED)

    @property
    def records(self) -> bool:
        """Whether a recorder ever ran here, so that there has to be a store."""
        return any(role.role == "recorder" for role in self.roles)


def place_of(home: Home, now: int | None = None) -> Place:
    """The place that a home is at wall clock `now`. Raises HomeError when nobody may look into it."""
    try:
        settings = load(home)
    except SettingsError:
        settings = None
    return Place(home, settings, tuple(seen.roles(home, settings)), wall() if now is None else now)
