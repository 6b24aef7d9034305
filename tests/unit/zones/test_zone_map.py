"""The zone map: what is up, what is dead and counted once, and what is not known from here."""

from __future__ import annotations

import pytest

from tabard.consumers.zones.facts import Facts, Here, Node
from tabard.consumers.zones.tree import ZoneMap, zone_map
from tests.unit.zones.scene import LONG_AGO, NOW, SECOND, above, facts, hop, hub, node, outer, unheard

FLEET = [node("web1", "hq"), node("edge1", "hq/dmz", behind=7), node("plc1", "hq/dmz/cell", behind=5)]


def seen(home: Facts, nodes: list[Node] | None = None) -> ZoneMap:
    """The map at a fixed time."""
    return zone_map(home, nodes, NOW)


def states(found: ZoneMap) -> dict[str, str]:
    """Of the links, by their ends."""
    return {f"{link.child}-{link.parent}": link.state for link in found.links}


def test_a_link_that_is_well() -> None:
    """Who dials, its numbers, how much is behind it; no fault, and the zones as a tree."""
    found = seen(facts(hub(hop("dmz", "hq/dmz", "below"))), FLEET)
    (link,) = found.links
    assert (link.child, link.parent, link.dials, link.state, link.behind) == ("dmz", "hq", "parent", "up", 12)
    assert link.up is not None
    assert (link.up.sent, link.up.lost) == (100, 0)
    assert [(zone.path, zone.depth) for zone in found.zones] == [("hq", 0), ("hq/dmz", 1), ("hq/dmz/cell", 2)]
    assert [broker.state for zone in found.zones for broker in zone.brokers] == ["running", "elsewhere"]
    assert found.faults == ()


def test_a_dead_link_is_one_fault_however_many_nodes_are_behind_it() -> None:
    """They are cut off: nobody says that they are down. A silent node elsewhere is a fault of its zone."""
    silent = [node(f"edge{number}", "hq/dmz", "silent") for number in range(50)]
    found = seen(facts(hub(unheard("dmz", "hq/dmz", "below"))), [*silent, node("web1", "hq", "silent")])
    assert states(found) == {"dmz-hq": "dead"}
    assert {each.state for zone in found.zones if zone.path == "hq/dmz" for each in zone.nodes} == {"cut off"}
    assert [(fault.where, fault.what) for fault in found.faults] == [
        ("link dmz - hq", "nothing is heard over it; 50 nodes behind it are cut off"),
        ("zone hq", "nothing is heard of its node: web1"),
    ]


def test_one_of_two_links_to_a_zone_that_is_dead_is_a_fault_and_cuts_nothing_off() -> None:
    """The nodes of the zone are heard through its other broker."""
    pair = hub(unheard("dmz", "hq/dmz", "below"), hop("dmz2", "hq/dmz", "below"))
    found = seen(facts(pair), FLEET)
    assert states(found) == {"dmz-hq": "dead", "dmz2-hq": "up"}
    assert [fault.what for fault in found.faults] == [
        "nothing is heard over it; it goes on through another link"
    ]
    assert {each.state for zone in found.zones for each in zone.nodes} == {"up"}


@pytest.mark.parametrize(
    ("nodes", "state"),
    [(FLEET, "bypassed"), ([node("edge1", "hq/dmz", "silent")], "dead"), ([], "unknown"), (None, "unknown")],
)
def test_a_broker_with_two_ways_that_is_not_heard_may_use_the_other_one(
    nodes: list[Node] | None, state: str
) -> None:
    """Its nodes tell; where nobody knows of them, nobody knows."""
    found = seen(facts(hub(unheard("dmz", "hq/dmz", "below", ways=2))), nodes)
    assert states(found) == {"dmz-hq": state}
    assert bool(found.faults) == (state == "dead")


def test_a_broker_of_an_earlier_edition_is_never_heard_and_its_nodes_are() -> None:
    """Nothing is wrong with its link."""
    assert states(seen(facts(hub()), FLEET)) == {"dmz-hq": "bypassed"}


def test_a_child_that_was_never_heard_is_away_once_it_had_the_time() -> None:
    """A broker that began just now cannot tell."""
    assert states(seen(facts(hub()))) == {"dmz-hq": "dead"}
    assert states(seen(facts(hub()._replace(since=NOW - SECOND)))) == {"dmz-hq": "unknown"}


def test_a_broker_that_does_not_run_is_the_fault_and_not_its_links() -> None:
    """Of which nobody here knows anything then."""
    found = seen(facts(hub()._replace(state="stopped", since=None)))
    assert states(found) == {"dmz-hq": "unknown"}
    assert [(fault.where, fault.what) for fault in found.faults] == [("broker hq", "does not run")]


def test_a_frozen_broker_is_one_fault_although_its_neighbours_miss_it() -> None:
    """Both of its links are dead because of it."""
    frozen = outer(above("hq", "hq", "tcp://hq:1"))._replace(state="silent")
    found = seen(facts(hub(unheard("dmz", "hq/dmz", "below")), frozen))
    assert states(found) == {"dmz-hq": "dead"}
    assert [fault.where for fault in found.faults] == ["broker dmz"]


@pytest.mark.parametrize(
    ("state", "does"),
    [("silent", "says nothing any more: is it frozen?"), ("stopped", "does not run")],
)
def test_a_broker_that_rests_is_one_fault_however_many_nodes_are_behind_it(state: str, does: str) -> None:
    """The only one of its zone: all that the store hears comes through it."""
    silent = [each._replace(state="silent") for each in FLEET]
    found = seen(facts(hub()._replace(state=state)), silent)
    assert {each.state for zone in found.zones for each in zone.nodes} == {"cut off"}
    assert [(fault.where, fault.what) for fault in found.faults] == [
        ("broker hq", f"{does}; 3 nodes behind it are cut off")
    ]


@pytest.mark.parametrize("other", ["running", "stale"])
def test_one_of_a_pair_that_rests_cuts_nothing_off(other: str) -> None:
    """The nodes may use the other one."""
    silent = [each._replace(state="silent") for each in FLEET]
    pair = facts(hub()._replace(state="silent"), hub()._replace(name="hq2", state=other))
    found = seen(pair, silent)
    assert {each.state for zone in found.zones for each in zone.nodes} == {"silent"}


def test_a_broker_above_this_home_that_rests_cuts_nothing_off() -> None:
    """What this home's store hears does not come through it."""
    pair = facts(hub()._replace(state="silent"), outer(above("hq", "hq", "tcp://hq:1")), zone="hq/dmz")
    found = seen(pair, [node("edge1", "hq/dmz", "silent")])
    assert [each.state for zone in found.zones for each in zone.nodes] == ["silent"]


def test_one_of_a_pair_that_is_away_is_a_fault_and_cuts_nothing_off() -> None:
    """It goes on through the other one."""
    rows = (
        above("hq1", "hq", "tcp://hq:1", used=False, well=False, heard=NOW - 90 * SECOND),
        above("hq2", "hq", "tcp://hq:2"),
    )
    found = seen(facts(outer(*rows, ends=("tcp://hq:1", "tcp://hq:2"))), [node("edge1", "hq/dmz", "silent")])
    assert states(found) == {"dmz-hq1": "dead", "dmz-hq2": "up"}
    assert [fault.what for fault in found.faults] == [
        "nothing is heard over it at tcp://hq:1; it goes on through another link",
        "nothing is heard of its node: edge1",
    ]


def test_a_standby_that_is_well_is_not_used() -> None:
    """And is none of the faults."""
    rows = (above("hq1", "hq", "tcp://hq:1"), above("hq2", "hq", "tcp://hq:2", used=False))
    found = seen(facts(outer(*rows, ends=("tcp://hq:1", "tcp://hq:2"))))
    assert states(found) == {"dmz-hq1": "up", "dmz-hq2": "standby"}
    assert found.faults == ()


def test_a_standby_that_was_used_before_is_heard() -> None:
    """Nothing is numbered over it since then, and the broker above hears nothing of who hands up to another one."""
    rows = (above("hq1", "hq", "tcp://hq:1", used=False), above("hq2", "hq", "tcp://hq:2"))
    used_long_ago = hop("hq1", "hq", "above", heard=NOW - 400 * SECOND, is_heard=False, well=False)
    dmz = outer(*rows, hops=(used_long_ago,), ends=("tcp://hq:1", "tcp://hq:2"))
    hq1 = Here("hq1", "hq", "running", LONG_AGO, hops=(unheard("dmz", "hq/dmz", "below", ways=2),))
    for brokers in ((dmz,), (dmz, hq1), (hq1, dmz)):
        standby = next(link for link in seen(facts(*brokers)).links if link.parent == "hq1")
        assert (standby.state, standby.heard) == ("standby", NOW - SECOND)


def test_a_link_that_carries_one_way_is_told_from_a_dead_one() -> None:
    """The child is heard, and says that it hears nobody above."""
    found = seen(facts(hub(hop("dmz", "hq/dmz", "below", well=False))))
    assert states(found) == {"dmz-hq": "half"}
    assert [fault.where for fault in found.faults] == ["link dmz - hq"]


def test_what_is_wrong_further_up_is_told_once() -> None:
    """The broker below a dead link says that it leads nowhere; its own links are well."""
    dead = above("hq", "hq", "tcp://hq:1", well=False, heard=NOW - 90 * SECOND)
    cell = Here("cell", "hq/dmz/cell", "running", LONG_AGO, hops=(hop("dmz", "hq/dmz", "above", well=False),))
    found = seen(facts(outer(dead), cell, zone="hq/dmz"))
    assert states(found) == {"cell-dmz": "up", "dmz-hq": "dead"}
    assert [fault.where for fault in found.faults] == ["link dmz - hq"]


def test_losses_of_the_last_minute_are_faults_and_older_ones_are_numbers() -> None:
    """The receiver of a lane tells."""
    lossy = hop("dmz", "hq/dmz", "below", up={"sent": 100, "received": 93})
    assert seen(facts(hub(lossy))).faults == ()
    found = seen(facts(hub(lossy, risen={"up lost on the link from dmz": 7})))
    (link,) = found.links
    assert link.up is not None
    assert link.up.lost == 7
    assert [fault.what for fault in found.faults] == [
        "7 messages of the up lane were lost within the last minute"
    ]


def test_both_ends_of_a_link_in_one_home_are_one_link() -> None:
    """What each of them knows is brought together; dead for one is dead."""
    child = outer(above("hq", "hq", "tcp://hq:1"), hops=(hop("hq", "hq", "above"),))
    found = seen(facts(hub(hop("dmz", "hq/dmz", "below")), child))
    assert states(found) == {"dmz-hq": "up"}
    found = seen(facts(hub(unheard("dmz", "hq/dmz", "below")), child))
    assert states(found) == {"dmz-hq": "dead"}


@pytest.mark.parametrize("nodes", [None, []])
def test_what_is_not_known_from_here_is_said(nodes: list[Node] | None) -> None:
    """Brokers of other homes, zones without one that is known, and nodes where there is no store."""
    found = seen(facts(outer(above(None, None, "tcp://hq:1", heard=None)), zone="hq/dmz"), nodes)
    text = "\n".join(found.unknown)
    assert ("no store" in text) == (nodes is None)
    assert "brokers of other homes (hq)" in text
    assert "which brokers serve hq" in text
