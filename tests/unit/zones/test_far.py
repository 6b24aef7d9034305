"""Brokers and links of other homes on the map: fresh, stale, wrong, and never more than one fault for one link."""

from __future__ import annotations

from typing import Any

import pytest

from tabard.brokers.wire.codec import pack, unpack
from tabard.consumers.store.attestation import Withholding
from tabard.consumers.store.results import NodeRow, Sampled
from tabard.consumers.zones.facts import Far
from tabard.consumers.zones.far import far_of
from tabard.consumers.zones.tree import CUT_OFF, ZoneMap, zone_map
from tests.unit.zones.scene import NOW, SECOND, above, facts, hop, hub, node, unheard

DAY = 86_400 * SECOND


def row(name: str, zone: str, *, clock: int = 0, state: str = "up") -> NodeRow:
    """A node, by the store; `clock` is by how much its own one is ahead."""
    return NodeRow(name, zone, state, NOW - 5 * SECOND, 10.0, clock, "0.1", {}, 0, {})


def broker(name: str, zone: str, *hops: dict[str, Any], clock: int = 0, **more: Any) -> dict[str, Any]:
    """What an agent says of a broker of its home, by its own clock."""
    said = {
        "name": name,
        "zone": zone,
        "state": "running",
        "since": NOW - 3600 * SECOND + clock,
        "parents": [],
        "dialled_by": None,
        "children": [],
        "above": [],
        "hops": [{**each, "heard": each["heard"] + clock, "since": each["since"] + clock} for each in hops],
        "nodes": None,
        "risen": {},
    }
    return {**said, **more}


def sample(
    node: str, zone: str, *brokers: dict[str, Any], age: int = 3, clock: int = 0, **more: Any
) -> Sampled:
    """As it is in the store."""
    data = {"every": 15.0, "brokers": list(brokers), "tunnels": [], "recorders": [], **more}
    return Sampled(node, zone, NOW - age * SECOND + clock, NOW, unpack(pack(data)))


PLANT = "hq/dmz/plant"


def seen(*samples: Sampled, clock: int = 0, **states: str) -> ZoneMap:
    """The map at `hq`, whose broker dials that of the dmz; hosts of the dmz and the plant say what they say."""
    at = {"gate": "hq/dmz", "web1": "hq/dmz", "press1": PLANT}
    rows = [row(name, zone, clock=clock, state=states.get(name, "up")) for name, zone in at.items()]
    nodes = [node(name, zone, states.get(name, "up")) for name, zone in at.items()]
    link = (
        unheard("dmz", "hq/dmz", "below") if states.get("link") == "dead" else hop("dmz", "hq/dmz", "below")
    )
    here = hub(link)._replace(state=states.get("broker", "running"))
    return zone_map(facts(here), nodes, NOW, far_of(rows, samples))


def test_links_of_far_zones_are_on_the_map_with_their_age() -> None:
    """The sink at the top shows the link from the plant to the dmz, of which its own home knows nothing."""
    found = seen(sample("gate", "hq/dmz", broker("dmz", "hq/dmz", hop("plant", PLANT, "below"))))
    link = next(link for link in found.links if link.child == "plant")
    assert (link.state, link.parent, link.as_of) == ("up", "dmz", NOW - 3 * SECOND)
    assert link.up is not None and link.up.sent == 100
    own = next(link for link in found.links if link.child == "dmz")
    assert own.as_of is None
    brokers = {each.name: each for zone in found.zones for each in zone.brokers}
    assert (brokers["dmz"].state, brokers["dmz"].as_of) == ("running", NOW - 3 * SECOND)
    assert found.faults == ()


@pytest.mark.parametrize("clock", [2 * DAY, -2 * DAY])
def test_a_clock_that_is_days_off_makes_nothing_stale_and_nothing_fresh(clock: int) -> None:
    """The times are put right by what the last beacon showed."""
    said = broker("dmz", "hq/dmz", hop("plant", PLANT, "below"), clock=clock)
    found = seen(sample("gate", "hq/dmz", said, clock=clock), clock=clock)
    link = next(link for link in found.links if link.child == "plant")
    assert (link.state, link.heard, link.as_of) == ("up", NOW - SECOND, NOW - 3 * SECOND)


def test_stale_is_not_down() -> None:
    """What was said long ago is no fault now, in whatever state it was."""
    said = broker(
        "dmz", "hq/dmz", unheard("plant", PLANT, "below"), risen={"up lost on the link from plant": 4}
    )
    found = seen(sample("gate", "hq/dmz", said, age=300))
    link = next(link for link in found.links if link.child == "plant")
    assert (link.state, link.as_of) == ("unknown", NOW - 300 * SECOND)
    brokers = {each.name: each.state for zone in found.zones for each in zone.brokers}
    assert brokers["dmz"] == "stale"
    assert found.faults == ()
    assert any("dmz" in what for what in found.unknown)


def test_a_link_that_is_heard_here_is_heard_whatever_its_far_end_said_long_ago() -> None:
    """It stood as up, and as not heard since the far host's agent fell silent."""
    for age in (3, 300):
        row = above("hq", "hq", "tcp://hq:1", heard=NOW - (age + 1) * SECOND)
        dmz = broker("dmz", "hq/dmz", parents=[["hq", "tcp://hq:1", False]], above=[row])
        found = seen(sample("gate", "hq/dmz", dmz, age=age))
        own = next(link for link in found.links if link.child == "dmz")
        assert (own.state, own.heard, own.as_of) == ("up", NOW - SECOND, None)


def test_a_link_that_only_its_far_end_knows_has_the_age_of_that() -> None:
    """The broker of this home is frozen: it stood as up, as of now."""
    dmz = broker(
        "dmz", "hq/dmz", parents=[["hq", "tcp://hq:1", False]], above=[above("hq", "hq", "tcp://hq:1")]
    )
    found = seen(sample("gate", "hq/dmz", dmz, age=5), broker="silent")
    own = next(link for link in found.links if link.child == "dmz")
    assert (own.state, own.as_of) == ("up", NOW - 5 * SECOND)


def test_of_two_far_ends_the_one_that_told_last_says_when_a_link_was_heard() -> None:
    """The other one's word is as old as its sample."""
    dmz = broker("dmz", "hq/dmz", hop("plant", PLANT, "below"))
    plant = broker(
        "plant", PLANT, parents=[["dmz", "tcp://dmz:1", False]],
        above=[above("dmz", "hq/dmz", "tcp://dmz:1", heard=NOW - 40 * SECOND)],
    )  # fmt: skip
    found = seen(sample("gate", "hq/dmz", dmz), sample("press1", PLANT, plant, age=40))
    link = next(link for link in found.links if link.child == "plant")
    assert (link.state, link.heard) == ("up", NOW - SECOND)


def test_a_dead_link_far_away_is_one_fault() -> None:
    """Both its ends tell of it, and the nodes behind it are cut off and no faults of their own."""
    dmz = broker("dmz", "hq/dmz", unheard("plant", PLANT, "below"))
    plant = broker("plant", PLANT, parents=[["dmz", "tcp://127.0.0.1:7101", False]], above=[])
    found = seen(sample("gate", "hq/dmz", dmz), sample("press1", PLANT, plant, age=200), press1="silent")
    assert [fault.where for fault in found.faults] == ["link plant - dmz"]
    assert {each.name: each.state for zone in found.zones for each in zone.nodes}["press1"] == CUT_OFF


def test_a_dead_link_here_makes_what_is_behind_it_stale_and_no_more_faults() -> None:
    """One fault, whatever was known of the zones behind it."""
    dmz = broker("dmz", "hq/dmz", unheard("plant", PLANT, "below"))
    found = seen(
        sample("gate", "hq/dmz", dmz, age=120),
        link="dead",
        gate="silent",
        web1="silent",
        press1="silent",
    )
    assert [fault.where for fault in found.faults] == ["link dmz - hq"]


def test_a_broker_that_its_own_host_says_is_stopped_is_a_fault() -> None:
    """It is said by somebody who knows."""
    found = seen(sample("gate", "hq/dmz", broker("dmz2", "hq/dmz", state="stopped")))
    assert [fault.where for fault in found.faults] == ["broker dmz2"]


def test_what_a_far_link_loses_now_is_a_fault() -> None:
    """With how much."""
    said = broker("dmz", "hq/dmz", hop("plant", PLANT, "below"), risen={"up lost on the link from plant": 4})
    found = seen(sample("gate", "hq/dmz", said))
    assert [(fault.where, fault.what[:1]) for fault in found.faults] == [("link plant - dmz", "4")]


def test_the_home_itself_knows_better_of_its_own_brokers() -> None:
    """Its own agent says the same, a moment later."""
    said = broker("hq", "hq", unheard("dmz", "hq/dmz", "below"), state="stopped")
    rows = [row("hub", "hq")]
    far = far_of(rows, [sample("hub", "hq", said)])
    found = zone_map(facts(hub(hop("dmz", "hq/dmz", "below"))), [node("hub", "hq")], NOW, far)
    assert found.faults == () and [link.state for link in found.links] == ["up"]


def test_a_node_speaks_for_brokers_of_its_own_zone_and_below_only() -> None:
    """Its key says no more."""
    lies = [broker("hq", "hq", state="stopped"), broker("office", "hq/office", state="stopped")]
    assert far_of([row("gate", "hq/dmz")], [sample("gate", "hq/dmz", *lies)]) == Far([], [], [])
    assert seen(sample("gate", "hq/dmz", *lies)).faults == ()


def test_of_two_who_speak_of_one_broker_the_last_word_holds() -> None:
    """As when it was moved to another host."""
    older = sample("gate", "hq/dmz", broker("dmz", "hq/dmz", state="stopped"), age=40)
    newer = sample("web1", "hq/dmz", broker("dmz", "hq/dmz"))
    assert seen(older, newer).faults == () and seen(newer, older).faults == ()


def test_equal_names_in_different_branches_are_different_brokers() -> None:
    """Names are unique along a chain, not over the tree."""
    found = seen(
        sample("gate", "hq/dmz", broker("b2", "hq/dmz", hop("b1", "hq/dmz/a", "below"))),
        sample("press1", PLANT, broker("b2", PLANT, unheard("b1", f"{PLANT}/b", "below"))),
    )
    states = {link.child_zone: link.state for link in found.links if link.child == "b1"}
    assert states["hq/dmz/a"] == "up" and f"{PLANT}/b" in states


def test_first_and_last_hops_and_tunnels_of_other_hosts_are_told() -> None:
    """A tunnel that is refused is a fault, since somebody has to do something; one that is merely down shows by its link."""
    nodes = {
        "nodes": 7,
        "up": {"sent": 10, "received": 8},
        "down": None,
        "worst": [{"node": "web1", "zone": "hq/dmz", "up_lost": 2, "down_lost": 0}],
    }
    tunnels = [
        {"name": "hq", "state": "refused", "since": NOW, "why": "another host key"},
        {"name": "lab", "state": "silent", "since": NOW, "why": None},
    ]
    recorders = [{"sink": "dmz", "hops": [hop("dmz", "hq/dmz", "below")]}]
    found = seen(
        sample("gate", "hq/dmz", broker("dmz", "hq/dmz", nodes=nodes), tunnels=tunnels, recorders=recorders)
    )
    below, above = found.hops
    assert (below.nodes, below.worst) == (7, ("web1",)) and below.up is not None and below.up.lost == 2
    assert (above.broker, above.sink) == ("dmz", "dmz")
    assert [tunnel.state for tunnel in found.tunnels] == ["refused", "silent"]
    assert [fault.where for fault in found.faults] == ["tunnel hq of gate"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"brokers": 7},
        {"brokers": [7, {"name": 1}, {"name": "../x", "zone": "hq/dmz", "state": "running"}]},
        {"brokers": [{"name": "dmz", "zone": "hq/dmz", "state": "on fire"}]},
        {"brokers": [{"name": "dmz", "zone": "hq/dmz", "state": "running", "hops": [{"peer": "x"}], "above": [{}], "risen": [], "nodes": {"nodes": "many"}, "parents": [[1, 2, 3], []], "children": 5}]},
        {"tunnels": [{"name": 5}, 5], "recorders": [{"sink": 5}, 5], "every": "often"},
        {"every": -1, "tunnels": {}},
    ],
)  # fmt: skip
def test_what_has_not_the_form_is_left_out(wrong: dict[str, Any]) -> None:
    """It is what a node said: nothing of it can break the map."""
    found = seen(sample("gate", "hq/dmz", **wrong))
    assert found.zones and found.faults == ()


def test_a_zone_whose_samples_are_withheld_says_so() -> None:
    """By which policies; of one that is told of that is not said."""
    rows = [row("gate", "hq/dmz"), row("press1", PLANT)]
    nodes = [node("gate", "hq/dmz", "up"), node("press1", PLANT, "up")]
    hidden = [
        Withholding(PLANT, "edge@2", "hq"),
        Withholding(PLANT, "all@1", "hq"),
        Withholding("hq/dmz", "edge@2", "hq"),
    ]
    told = [sample("gate", "hq/dmz", broker("dmz", "hq/dmz"))]

    def untold(samples: list[Sampled]) -> tuple[dict[str, tuple[str, ...]], str]:
        far = far_of(rows, samples, hidden)
        found = zone_map(facts(hub(hop("dmz", "hq/dmz", "below"))), nodes, NOW, far)
        return {zone.path: zone.untold for zone in found.zones if zone.untold}, " | ".join(found.unknown)

    zones, unknown = untold(told)
    assert zones == {PLANT: ("all@1 of hq", "edge@2 of hq")}
    assert f"the brokers of {PLANT}" in unknown
    assert "withheld by policies all@1 of hq, edge@2 of hq" in unknown
    assert "which brokers serve" not in unknown
    zones, unknown = untold([])
    assert set(zones) == {PLANT, "hq/dmz"}
    assert "brokers of other homes" not in unknown
