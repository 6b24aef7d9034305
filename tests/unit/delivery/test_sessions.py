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
