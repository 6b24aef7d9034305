"""Which broker is to be found at an endpoint that is dialled, and by which keys it is known. Pure.

Settings name brokers; keys come from the rosters. A broker of this home is known by name and zone. Of another one the
settings give the name, and may leave it out where a zone has only one. Looked for is in the own zone and in those above
it, the nearest first; a child that is dialled is in the own zone or below it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from tabard.brokers.trust.certificates import BROKER, ZONE, Certificate
from tabard.brokers.trust.directory import Directory
from tabard.errors import TabardError


class Expected(NamedTuple):
    """A broker as the settings tell of it."""

    name: str = ""
    """Empty: the only one of the nearest zone that has any."""
    zone: str = ""
    """Its zone where that is known: it is a broker of this home."""
    below: bool = False
    """Whether it is a child, in the own zone or in one below it; otherwise it is in the own zone or above."""
    above_only: bool = False
    """Whether a broker of the own zone cannot be meant when no name is given: the one who dials is one itself."""
    key: str = ""
    """The setting that names it, for errors."""


Expectations = Mapping[str, Expected]
"""By endpoint."""
NOBODY: Final = Expected()


def found(expected: Expected, zone: str, directory: Directory, now: int) -> list[Certificate]:
    """The certificates that hold now of the broker meant by who dials from ``zone``, of each key one, the newest first.

    Raises:
        TabardError: the rosters know no such broker, or several, and the settings do not say which.
    """
    for place in _places(expected, zone, directory, now):
        brokers = directory.members(place, now, BROKER)
        named = [each for each in brokers if not expected.name or each.name == expected.name]
        names = sorted({each.name for each in named})
        if len(names) > 1:
            raise TabardError(
                f"which broker of {place} is dialled is not said",
                expected=f"{expected.key or 'a setting'} with one of " + ", ".join(names),
                found="no name",
                hint="Name the broker that is at this endpoint",
            )
        if named:
            newest = {each.key: each for each in sorted(named, key=lambda each: each.serial)}
            return sorted(newest.values(), key=lambda each: -each.serial)
    what = f"the broker {expected.name}" if expected.name else "a broker"
    where = expected.zone or (f"{zone} or below it" if expected.below else f"{zone} or above it")
    raise TabardError(
        "the broker that is dialled is not known",
        expected=f"{what} of {where} in a roster of this home",
        found="none that holds now",
        hint="See who is: tabard keys list. Take in a newer bundle of this host: tabard join FILE",
    )


def _places(expected: Expected, zone: str, directory: Directory, now: int) -> Iterator[str]:
    if expected.zone:
        yield expected.zone
    elif expected.below:
        yield from _below(zone, directory, now)
    else:
        parts = zone.split("/")
        if expected.above_only and not expected.name:
            parts.pop()
        while parts:
            yield "/".join(parts)
            parts.pop()


def _below(zone: str, directory: Directory, now: int) -> Iterator[str]:
    yield zone
    children = {each.zone for each in directory.members(zone, now, ZONE)}
    for child in sorted(children - {zone}):
        yield from _below(child, directory, now)
