"""Who goes by older rosters than those that are known here: a node by its beacon, a neighbour by its word."""

from __future__ import annotations

from typing import Any

import pytest

from tabard.consumers.zones.facts import Facts, Node
from tabard.consumers.zones.staleness import lacking, newest
from tabard.consumers.zones.tree import zone_map
from tests.unit.zones.scene import NOW, SECOND, hop, hub, node

MINUTE = 60 * SECOND
KNOWN = {"hq": (7, NOW - 90 * MINUTE), "hq/dmz": (9, NOW - 5 * SECOND), "hq/office": (3, NOW)}


@pytest.mark.parametrize(
    ("said", "zones"),
    [
        (("hq@7", "hq/dmz@9"), []),
        (("hq@8", "hq/dmz@9"), []),
        (("hq@6", "hq/dmz@9"), ["hq"]),
        (("hq@6",), ["hq", "hq/dmz"]),
        (("hq@", "hq/dmz@x", 7, "hq/dmz@" + "9" * 30), ["hq", "hq/dmz"]),
        ((), None),
        (None, None),
        ("hq@7", None),
        (7, None),
    ],
)
def test_what_a_node_lacks(said: Any, zones: list[str] | None) -> None:
    """Of its own zone and those above it; nobody can tell of one that says nothing, or what makes no sense."""
    found = lacking("hq/dmz", {"rosters": said}, KNOWN)
    assert (None if found is None else [each["zone"] for each in found]) == zones
    assert lacking("hq/dmz", {"rosters": said}, {}) is None


def test_what_is_known_is_the_newest_of_all_roles() -> None:
    """An agent that is behind, and a roster of an authority without a say, hide nothing."""
    held = [
        [{"zone": "hq", "version": 6, "made": 10}, {"zone": "hq/dmz", "version": 0, "made": None}],
        [{"zone": "hq", "version": 7, "made": 20}],
    ]
    assert newest(held) == {"hq": (7, 20)}


def test_the_map_names_who_is_behind() -> None:
    """A neighbour and nodes, once they had a minute; one that is not heard is not said to be behind."""
    rows = [
        {"peer": "dmz", "role": "broker", "zone": "hq", "version": 6, "since": NOW - 2 * MINUTE},
        {"peer": "new", "role": "broker", "zone": "hq", "version": 6, "since": NOW - 5 * SECOND},
    ]
    facts = Facts("hq", (hub(hop("dmz", "hq/dmz", "below"), lagging=rows),), rosters=KNOWN)
    nodes: list[Node] = [
        node("web1", "hq/dmz")._replace(stale=("hq",)),
        node("web2", "hq/dmz", "silent")._replace(stale=("hq",)),
        node("web3", "hq/dmz"),
    ]
    found = [(fault.where, fault.what) for fault in zone_map(facts, nodes, NOW).faults]
    assert ("broker dmz", "has not taken the roster of hq that hq has") in found
    assert ("zone hq/dmz", "goes by older rosters than this home: web1") in found
    assert not [where for where, _ in found if "new" in where]
