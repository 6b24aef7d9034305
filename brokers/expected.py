"""Which broker is to be found at an endpoint that is dialled, and by which keys it is known. Pure.

Settings name brokers; keys come from the rosters. A broker of this home is known by name and zone. Of another one the
settings give the name, or leave it out: then it is any broker of the own zone and of those above it, and whoever dials tries them in
turn. Those may all serve who dials; and were only one meant, a broker that is added to a zone would cut off every host that names
none, and no roster could reach them any more. Looked for is the nearest zone first; a child that is dialled is in the own zone or below it.
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
    """Empty: any of those that may serve who dials."""
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
    """The certificates that hold now of the broker meant by who dials from ``zone``, of each key one.

    The newest first; where no name is given, those of the nearest zone before others. Raises TabardError when the rosters know no such
    broker.
    """
    meant: list[Certificate] = []
    for place in _places(expected, zone, directory, now):
        newest = {each.key: each for each in sorted(_there(expected, place, directory, now), key=_serial)}
        meant += sorted(newest.values(), key=_serial, reverse=True)
        if meant and expected.name:
            break
    if meant:
        return meant
    what = f"the broker {expected.name}" if expected.name else "a broker"
    where = expected.zone or (f"{zone} or below it" if expected.below else f"{zone} or above it")
    raise TabardError(
        "the broker that is dialled is not known",
        expected=f"{what} of {where} in a roster of this home",
        found="none that holds now",
        hint="See who is: tabard keys list. Take in a newer bundle of this host: tabard join FILE",
    )


def unsaid(expected: Expected, zone: str, directory: Directory, now: int) -> tuple[str, list[str]]:
    """The nearest zone that has brokers, and their names, where the settings do not say which of them is meant; no names where they do."""
    for place in _places(expected, zone, directory, now):
        names = sorted({each.name for each in _there(expected, place, directory, now)})
        if names:
            return place, names if len(names) > 1 else []
    return zone, []


def _there(expected: Expected, place: str, directory: Directory, now: int) -> list[Certificate]:
    brokers = directory.members(place, now, BROKER)
    return [each for each in brokers if not expected.name or each.name == expected.name]


def _serial(certificate: Certificate) -> int:
    return certificate.serial


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
