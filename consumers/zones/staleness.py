"""Which nodes go by older rosters than those that are known here: by what their beacons say. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from tabard.names import zone_within

PATIENCE: Final = 60_000_000_000
"""Nanoseconds that a node, or a neighbour, has to take a newer roster before it counts as a fault that it has not."""

Known = Mapping[str, tuple[int, int]]
"""By zone the number of the newest roster, and when that was made, in ns since 1970."""


def newest(held: Iterable[Iterable[Mapping[str, Any]]]) -> dict[str, tuple[int, int]]:
    """What is known here, of what each role of a home says that it has."""
    found: dict[str, tuple[int, int]] = {}
    for rows in held:
        for each in rows:
            if each["made"] is not None:
                found[each["zone"]] = max(found.get(each["zone"], (0, 0)), (each["version"], each["made"]))
    return found


def lacking(zone: str, facts: Mapping[str, Any], known: Known) -> list[dict[str, Any]] | None:
    """The rosters that a node of a zone needs and does not have by its last beacon; None when nobody can tell.

    ``known``: as `newest`. Of each the ``zone``, the ``version`` that the node has, the ``newest`` that is known here, and when
    that was ``made``, in ns: for so long at least the node has gone by an older one.
    """
    said = facts.get("rosters")
    if not isinstance(said, Sequence) or isinstance(said, str) or not known or not said:
        return None
    has = dict(_version(each) for each in said if isinstance(each, str))
    return [
        {"zone": path, "version": has.get(path, 0), "newest": number, "made": made}
        for path, (number, made) in sorted(known.items())
        if zone_within(zone, path) and has.get(path, 0) < number
    ]


def _version(said: str) -> tuple[str, int]:
    zone, _, number = said.partition("@")
    return zone, int(number) if number.isascii() and number.isdigit() and len(number) < 20 else 0
