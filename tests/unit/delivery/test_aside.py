"""A commit that is begun, while more comes in, and settled later."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tabard.brokers.delivery.aside import StoreAside
from tabard.brokers.delivery.ports import CursorConflict, EpochWork, StoreUnavailable
from tabard.brokers.delivery.seal import OpenSeal
from tabard.brokers.delivery.sink import Sink
from tabard.brokers.wire.messages import decode_cursor
from tabard.brokers.wire.streams import LOGS
from tests.unit.delivery.rig import EPOCH, NODE, Ends, MemoryJournal


class Worker:
    """Does a job when somebody waits for it."""

    def __init__(self) -> None:
        self.job: Callable[[], None] | None = None

    def begin(self, job: Callable[[], None]) -> None:
        """Keep it."""
        assert self.job is None
        self.job = job

    def wait(self) -> None:
        """Do it."""
        job, self.job = self.job, None
        if job is not None:
            job()


def stored(sink: Sink, now: float) -> list[list[tuple[int, int]]]:
    """What the next cursor messages say is stored of the epoch."""
    return [
        [(item.lo, item.hi) for item in ranges]
        for message in sink.outgoing(now)
        if message.topic.startswith(b"d/")
        for stream in decode_cursor(message.head).streams
        for epoch, ranges in stream.cursors
        if epoch == EPOCH
    ]


@pytest.fixture
def ends() -> Ends:
    """A node whose opening is stored, and that may send."""
    ends = Ends(MemoryJournal())
    ends.settle(5.0)
    assert ends.ranges() == [(1, 1)]
    return ends


def test_what_is_being_committed_is_not_said_to_be_stored(ends: Ends) -> None:
    """Only what was durable before; what comes in meanwhile waits for the next commit."""
    ends.journals[0].add(2)
    ends.up()
    works = ends.sink.begin()
    assert [len(work.entries) for work in works] == [1]
    ends.journals[0].add(3)
    ends.up()
    assert ends.sink.pending_records == 3
    ends.now += 2.0
    assert all(ranges == [(1, 1)] for ranges in stored(ends.sink, ends.now))
    ends.store.commit(works, ends.wall)
    assert ends.sink.finish(ends.now)
    ends.now += 2.0
    assert stored(ends.sink, ends.now) == [[(1, 3)]]
    assert [len(work.entries) for work in ends.sink.begin()] == [1]


@pytest.mark.parametrize("error", [CursorConflict("another"), StoreUnavailable("away")])
def test_what_came_in_behind_a_failed_commit_goes_with_it(
    ends: Ends, error: CursorConflict | StoreUnavailable
) -> None:
    """It follows what is not stored. Everything is asked for again, and stored once."""
    ends.journals[0].add(2)
    ends.up()
    assert ends.sink.begin()
    ends.journals[0].add(3)
    ends.up()
    assert not ends.sink.finish(ends.now, error)
    assert (ends.sink.pending_records, ends.sink.begin()) == (0, [])
    ends.settle()
    assert ends.ranges() == [(1, 6)]


def test_a_commit_of_a_session_that_is_over_settles_nothing_in_the_next(ends: Ends) -> None:
    """The node was restarted while it was on its way: its cursors were read anew."""
    ends.journals[0].add(2)
    ends.up()
    works = ends.sink.begin()
    ends.restart_node()
    ends.up()
    ends.store.commit(works, ends.wall)
    assert ends.sink.finish(ends.now)
    ends.settle()
    assert ends.ranges() == [(1, 3)]
    assert ends.node.delivered()


def test_one_commit_at_a_time(ends: Ends) -> None:
    """A second one would be based on cursors that the first is changing."""
    ends.journals[0].add(2)
    ends.up()
    assert ends.sink.begin()
    with pytest.raises(AssertionError):
        ends.sink.begin()


def test_cursors_are_read_behind_the_commit_that_is_on_its_way(ends: Ends) -> None:
    """Read during it they would be those of before, and the next commit a conflict."""
    worker = Worker()
    aside = StoreAside(ends.store, worker)
    sink = ends.sink = Sink("main", aside, OpenSeal(), ends.rng.randbytes)
    ends.settle(30.0)
    ends.journals[0].add(2)
    ends.up()
    aside.begin(sink.begin(), ends.wall)
    assert (aside.busy, aside.done, ends.ranges()) == (True, False, [(1, 1)])
    (cursor,) = aside.unfinished(NODE, LOGS)
    assert [(item.lo, item.hi) for item in cursor.ranges] == [(1, 3)]
    assert (aside.busy, aside.done) == (True, True)
    assert aside.outcome() is None
    assert not aside.busy
    assert sink.finish(ends.now)


class Refusing:
    """A store that fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def commit(self, _work: Sequence[EpochWork], _arrived: int) -> None:
        """Fail."""
        raise self.error


def test_what_became_of_it_is_told_once() -> None:
    """A failure that stores have is an answer, any other is raised where it is asked for."""
    for error in (CursorConflict("another"), StoreUnavailable("away"), ZeroDivisionError("a fault")):
        aside = StoreAside(Refusing(error), Worker())  # type: ignore[arg-type]  # only commits
        aside.begin([], 0)
        if isinstance(error, ZeroDivisionError):
            with pytest.raises(ZeroDivisionError):
                aside.outcome()
        else:
            assert aside.outcome() is error
        assert aside.outcome() is None
