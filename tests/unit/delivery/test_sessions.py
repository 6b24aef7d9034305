"""Which session of a sink a node uses, when more than one recorder works for it."""

from __future__ import annotations

from tabard.brokers.delivery.seal import OpenSeal
from tabard.brokers.delivery.sink import Sink
from tests.unit.delivery.rig import EPOCH, Ends, MemoryJournal


def test_a_recorder_that_was_overheard_gets_its_turn_when_it_is_alone() -> None:
    """Its session was refused for good before it saw the node use it; it begins another one."""
    journal = MemoryJournal()
    journal.add(2)
    ends = Ends(journal)
    ends.settle()
    first = ends.sink
    second = ends.sink = Sink("main", ends.store, OpenSeal(), ends.rng.randbytes, budget=60)
    ends.now += 20.0
    ends.up()
    ends.down()
    assert ends.node.counters["stale session"] == 0
    ends.sink = first
    ends.now += 20.0
    ends.up()
    ends.down()
    ends.sink = second
    journal.add(2)
    ends.settle(120.0)
    assert ends.node.delivered()
    assert ends.ranges(EPOCH) == [(1, 5)]


def test_a_new_session_hears_soon_of_epochs_that_were_settled_before_it() -> None:
    """The beacon that begins it leaves them out; nobody waits a whole interval to know that nothing of them is missing."""
    ends = Ends()
    ends.journals[0].add(5)
    ends.journals[0].begin(b"b" * 16)
    ends.journals[0].add(5)
    ends.settle(30.0)
    stands = ends.node.sinks(ends.now)["main"]
    assert (stands["state"], stands["streams"]["logs"]["lag"]) == ("live", 0)
    ends.restart_sink()
    ends.node.speak(ends.now)
    ends.settle(2.0)
    stands = ends.node.sinks(ends.now)["main"]
    assert (stands["state"], stands["streams"]["logs"]["lag"]) == ("live", 0)
    assert not ends.up(), "and the beacons after that are as rare as ever"
