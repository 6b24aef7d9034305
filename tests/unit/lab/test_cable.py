"""One direction of a slow cable: when a packet may leave."""

from __future__ import annotations

from tabard.ops.lab.cable import QUEUE, Lane


def test_each_packet_waits() -> None:
    """In order, and none before its time."""
    lane = Lane(0.5, 0)
    assert lane.due() is None
    assert lane.take(b"a", 10.0) and lane.take(b"b", 10.2)
    assert lane.due() == 10.5
    assert lane.leaving(10.4) == []
    assert lane.leaving(10.5) == [b"a"]
    assert lane.leaving(11.0) == [b"b"]
    assert lane.due() is None


def test_bytes_pass_at_their_rate() -> None:
    """A packet leaves when those before it and itself have passed; time without packets is not saved up."""
    lane = Lane(0.0, 100)
    lane.take(b"x" * 50, 0.0)
    lane.take(b"y" * 100, 0.0)
    assert lane.leaving(0.4) == []
    assert len(lane.leaving(0.5)) == 1
    assert lane.leaving(1.4) == []
    assert len(lane.leaving(1.5)) == 1
    lane.take(b"z" * 100, 9.0)
    assert lane.leaving(9.9) == []
    assert len(lane.leaving(10.0)) == 1


def test_what_does_not_fit_is_dropped() -> None:
    """The queue is bounded, and has room again for as much as has left."""
    lane = Lane(1.0, 0)
    assert lane.take(bytes(QUEUE), 0.0)
    assert not lane.take(b"x", 0.0)
    lane.leaving(1.0)
    assert lane.take(b"x", 1.0)
