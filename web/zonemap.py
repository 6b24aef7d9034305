"""The zone map: zones within one another, their brokers and nodes, and the links between them with lag and faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from flask import Blueprint

from tabard.brokers.wire.streams import SAMPLES
from tabard.consumers.zones.facts import Facts, Node, nodes_of
from tabard.consumers.zones.far import LATELY, far_of
from tabard.consumers.zones.joining import Link
from tabard.consumers.zones.tree import Zone, ZoneMap, passing_over, policy_words, zone_map
from tabard.errors import TabardError
from tabard.web.nodes import STATES
from tabard.web.recorder import silence
from tabard.web.silence import as_known, known_at
from tabard.web.site import page, page_args, site

blueprint = Blueprint("zonemap", __name__)

NODE_STATES: Final = {
    "cut off": "nothing is heard of it, since every known link to its zone is dead; nobody knows whether it is well",
    **STATES,
}
"""Problems first."""
LINK_STATES: Final = {
    "dead": "nothing is heard over it",
    "half": "it carries one way only, or the broker above hears nothing from above",
    "bypassed": "nothing is heard over it, and the nodes behind it are heard: by another link, or a broker of an earlier edition",
    "unknown": "nobody here can tell",
    "standby": "it is there, and another one is used",
    "up": "heard in time, both ways",
}
BROKER_STATES: Final = {
    "running": "it runs in this home",
    "silent": "it runs in this home and says nothing any more",
    "stopped": "it is described here and does not run",
    "elsewhere": "it belongs to another home: what it does is known there",
    "stale": "it belongs to another home, of which nothing was heard lately: it may be well",
}
SHOWN: Final = 60
"""Nodes of a zone that stand on the map by name."""


class Branch(NamedTuple):
    """A zone with what is in it and below it."""

    zone: Zone
    links: Sequence[Link]
    """Those that lead out of it, to the zone above."""
    nodes: Sequence[Node]
    """Those that are shown, problems first."""
    more: int
    """Nodes that are not."""
    counts: Counter[str]
    """Nodes by their state."""
    below: Sequence[Branch]


@blueprint.get("/zones")
def index() -> tuple[str, int]:
    """The map, faults first."""
    args, zone = page_args()
    now = site().clock.wall()
    hush = silence()
    rows = [as_known(row, hush) for row in site().reader.nodes(known_at(hush, now))]
    facts = _facts()
    reader = site().reader
    far = far_of(rows, reader.newest_links(now), reader.withholding(SAMPLES, now - LATELY))
    found = zone_map(facts, nodes_of(rows, facts.rosters, now), now, far)
    placed = {each.path for each in found.zones}
    return page(
        "zones.html",
        zone,
        args.problems,
        tree=branches(found),
        loose=[link for link in found.links if link.child_zone not in placed],
        faults=found.faults,
        policy_words=policy_words,
        unknown=found.unknown,
        hops=found.hops,
        tunnels=found.tunnels,
        policies=found.policies,
        passing={link: passing_over(link, found.policies) for link in found.links},
        counts=Counter(node.state for each in found.zones for node in each.nodes),
        links=Counter(link.state for link in found.links),
        node_states=NODE_STATES,
        link_states=LINK_STATES,
        broker_states=BROKER_STATES,
        silence=hush,
    )


def branches(found: ZoneMap, above: str = "") -> list[Branch]:
    """The zones right below one, each with those below it."""
    return [
        _branch(found, zone)
        for zone in found.zones
        if zone.path.rpartition("/")[0] == above and zone.path != above
    ]


def _branch(found: ZoneMap, zone: Zone) -> Branch:
    rank = {state: number for number, state in enumerate(NODE_STATES)}
    ordered = sorted(zone.nodes, key=lambda node: (rank.get(node.state, 0), node.name))
    return Branch(
        zone,
        [link for link in found.links if link.child_zone == zone.path],
        ordered[:SHOWN],
        max(len(ordered) - SHOWN, 0),
        Counter(node.state for node in ordered),
        branches(found, zone.path),
    )


def _facts() -> Facts:
    """What the home of this herald knows of its brokers; nothing where there is none to look into."""
    look = site().look
    if look is None:
        return Facts("", ())
    try:
        return look().zones or Facts("", ())
    except TabardError:
        return Facts("", ())
