"""Homes as their settings and brokers describe them, for the zone map."""

from __future__ import annotations

from typing import Any

from tabard.consumers.zones.facts import Dialled, Facts, Here, Joined, Node

SECOND = 1_000_000_000
NOW = 1_800_000_000 * SECOND
LONG_AGO = NOW - 3600 * SECOND


def hop(peer: str, zone: str, side: str, **more: Any) -> dict[str, Any]:
    """What a broker says of a link, which is well."""
    said = {
        "peer": peer,
        "zone": zone,
        "side": side,
        "heard": NOW - SECOND,
        "since": LONG_AGO,
        "is_heard": True,
        "well": True,
        "ways": 1,
        "up": {"sent": 100, "received": 100},
        "down": {"sent": 50, "received": 50},
    }
    return {**said, **more}


def unheard(peer: str, zone: str, side: str, ways: int = 1) -> dict[str, Any]:
    """The same of a link that is dead."""
    return hop(peer, zone, side, heard=NOW - 90 * SECOND, is_heard=False, well=False, ways=ways)


def above(broker: str | None, zone: str | None, end: str, **more: Any) -> dict[str, Any]:
    """What a broker says of one that it dials above itself, which is well."""
    said = {"end": end, "broker": broker, "zone": zone, "used": True, "well": True, "heard": NOW - SECOND}
    return {**said, **more}


def hub(*hops: dict[str, Any], **more: Any) -> Here:
    """The broker of `hq`, which dials the one in the outer zone."""
    given: dict[str, Any] = {"children": (Joined("dmz", "this"),), "hops": hops, **more}
    return Here("hq", "hq", "running", LONG_AGO, **given)


def outer(*rows: dict[str, Any], ends: tuple[str, ...] = ("tcp://hq:1",), **more: Any) -> Here:
    """The broker of `hq/dmz`, which dials those above."""
    parents = tuple(Dialled("hq" if not place else None, end, place > 0) for place, end in enumerate(ends))
    return Here("dmz", "hq/dmz", "running", LONG_AGO, parents=parents, above=rows, **more)


def facts(*brokers: Here, zone: str = "hq") -> Facts:
    """A home with these."""
    return Facts(zone, brokers)


def node(name: str, zone: str, state: str = "up", behind: int | None = 0) -> Node:
    """A node, by the store."""
    return Node(name, zone, state, NOW - 5 * SECOND, behind)
