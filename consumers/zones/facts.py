"""What a home knows of its brokers: what its settings say, and what they say of themselves. Plain values, handed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from tabard.consumers.store.results import NodeRow
from tabard.consumers.zones.staleness import PATIENCE, Known, lacking

RUNNING: Final = "running"
SILENT: Final = "silent"
"""It runs, and says nothing any more."""
STOPPED: Final = "stopped"
ELSEWHERE: Final = "elsewhere"
"""A broker that does not belong to this home: what it does is not known here."""
STALE: Final = "stale"
"""A broker of another home of which nothing was heard lately: what it did then is known, what it does now is not."""


class Dialled(NamedTuple):
    """A broker above that is dialled."""

    name: str | None
    """As the settings call it; None when they say only where it is."""
    end: str
    standby: bool


class Joined(NamedTuple):
    """A broker below that the settings name."""

    name: str
    dials: str
    """``this`` or ``peer``."""


class Here(NamedTuple):
    """A broker of this home."""

    name: str
    zone: str
    state: str
    """``running``, ``silent`` or ``stopped``."""
    since: int | None
    """When it started."""
    parents: Sequence[Dialled] = ()
    dialled_by: str | None = None
    """The broker of this home that dials it as its child."""
    children: Sequence[Joined] = ()
    above: Sequence[Mapping[str, Any]] = ()
    """What it says of the brokers that it dials above itself."""
    hops: Sequence[Mapping[str, Any]] = ()
    """What it says of its links."""
    risen: Mapping[str, int] = {}
    """Which counters of trouble rose within the last minute."""
    nodes: Mapping[str, Any] | None = None
    """What it numbered with the nodes right below it."""
    as_of: int | None = None
    """When it was so, by this host's clock; None: now."""
    lagging: Sequence[Mapping[str, Any]] = ()
    """What it says of neighbours that lack a roster which it has."""


class Tunnel(NamedTuple):
    """A tunnel, as the host on which it runs says."""

    node: str
    """Where it runs."""
    zone: str
    name: str
    state: str
    since: int | None
    why: str | None
    as_of: int
    """When it was so."""


class Reading(NamedTuple):
    """A recorder, and what it numbered with the brokers right below it."""

    sink: str
    zone: str
    hops: Sequence[Mapping[str, Any]]
    as_of: int | None = None
    """When it was so; None: now."""


class Far(NamedTuple):
    """What other homes said of their brokers, tunnels and recorders."""

    brokers: Sequence[Here] = ()
    tunnels: Sequence[Tunnel] = ()
    recorders: Sequence[Reading] = ()
    withheld: Mapping[str, Sequence[str]] = {}
    """The zones of which samples were withheld lately, each with the policies that did it, as ``ID@NUMBER of ZONE``."""


class Passing(NamedTuple):
    """A policy that holds, as the rosters of this home say: what may pass up one link of a zone."""

    zone: str
    below: str | None
    """The zone itself for what leaves it, or one right below it for what comes from there; None when it cannot be read."""
    policy: str | None
    """``ID@NUMBER``."""
    says: str
    """In a few words."""


class Facts(NamedTuple):
    """All of it."""

    zone: str
    """Of this node."""
    brokers: Sequence[Here]
    recorder: Reading | None = None
    rosters: Mapping[str, tuple[int, int]] = {}
    """The newest that are known here."""
    policies: Sequence[Passing] = ()


class Node(NamedTuple):
    """A node, by the store."""

    name: str
    zone: str
    state: str
    heard: int | None
    behind: int | None
    """Records that it has and the store has not; None when that is not known."""
    stale: tuple[str, ...] = ()
    """The zones of which it goes by an older roster than the one that is known here, for longer than a minute."""


def nodes_of(rows: Sequence[NodeRow], known: Known, now: int) -> list[Node]:
    """The nodes as the map wants them at wall clock ``now``; ``known``: the rosters that are known here."""
    return [
        Node(
            row.name,
            row.zone,
            row.state,
            row.last_beacon,
            sum(row.lag.values()) if row.lag else None,
            tuple(
                each["zone"]
                for each in lacking(row.zone, row.facts, known) or ()
                if now - each["made"] > PATIENCE
            ),
        )
        for row in rows
    ]
