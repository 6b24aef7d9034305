"""Accounts and what belongs to them, as plain values. Times are nanoseconds since 1970 UTC."""

from __future__ import annotations

from typing import Final, NamedTuple

from tabard.consumers.people.rights import Rights

SECOND: Final = 1_000_000_000
DAY: Final = 86_400 * SECOND


class Person(NamedTuple):
    """An account."""

    id: int
    name: str
    role: str
    zone: str
    """"" for all."""
    password: str | None
    """What is kept of it; None until its one-time link is used."""
    made: int
    made_by: str
    changed: int
    """When its rights or password were changed last."""

    @property
    def rights(self) -> Rights:
        """What it may do."""
        return Rights(self.role, self.zone)


class Session(NamedTuple):
    """A login in a browser."""

    id: int
    person_id: int
    made: int
    seen: int
    ends: int
    """Whatever is done with it until then."""
    address: str
    agent: str
    """What the browser calls itself."""


class Token(NamedTuple):
    """A secret for programs, with rights of its own: they never exceed those that its person has at the moment."""

    id: int
    person_id: int
    name: str
    role: str
    zone: str
    made: int
    ends: int

    @property
    def rights(self) -> Rights:
        """What it was given."""
        return Rights(self.role, self.zone)
