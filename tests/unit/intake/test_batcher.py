"""Batches are cut, journaled in order, acknowledged after that, and never lost to a failing journal."""

from __future__ import annotations

import msgpack
import pytest

from tabard.agents.intake.batcher import Batcher, BatchLimits, array_head
from tabard.errors import JournalError
from tests.unit.intake.fakes import FakeLoop, ListJournal


def records(*messages):
    return msgpack.packb(messages)


@pytest.fixture
def loop():
    return FakeLoop()


@pytest.fixture
def journal():
    return ListJournal()


@pytest.fixture
def batcher(journal, loop):
    return Batcher(journal, loop, linger=0.01, limits=BatchLimits(records=4, size=1_000))


def test_a_batch_waits_for_the_linger_and_no_longer(batcher, journal, loop):
    """Two groups that come within the linger are one batch, journaled when it is over."""
    done = []
    batcher.add("a", 1, "uid 1", records("x"), 1, lambda: done.append("a"))
    loop.advance(0.005)
    batcher.add("b", 2, "uid 2", records("y"), 1, lambda: done.append("b"))
    assert journal.batches == []
    assert done == []
    assert batcher.waiting == 2
    loop.advance(0.005)
    assert journal.groups() == [["a", 1, "uid 1", ["x"]], ["b", 2, "uid 2", ["y"]]]
    assert done == ["a", "b"]
    assert batcher.waiting == 0
    assert batcher.accepted == 2


def test_a_full_batch_does_not_wait(batcher, journal):
    """At the most records a batch is cut at once."""
    batcher.add("a", 1, "", records(*"wxyz"), 4)
    assert [count for _, count, _ in journal.batches] == [4]


def test_a_large_batch_does_not_wait(batcher, journal):
    """At the most bytes a batch is cut at once, though it holds one record."""
    batcher.add("a", 1, "", records("x" * 1_000), 1)
    assert [count for _, count, _ in journal.batches] == [1]


def test_a_group_that_does_not_fit_starts_the_next_batch(batcher, journal, loop):
    """Groups are never split, and their order is kept."""
    batcher.add("a", 1, "", records(*"abc"), 3)
    batcher.add("a", 2, "", records(*"de"), 2)
    assert [count for _, count, _ in journal.batches] == [3]
    loop.advance(0.02)
    assert [group[3] for group in journal.groups()] == [["a", "b", "c"], ["d", "e"]]


def test_a_batch_that_follows_a_full_one_gets_its_whole_linger(batcher, journal, loop):
    """The timer of the first batch does not cut the second one short."""
    batcher.add("a", 1, "", records("x"), 1)
    loop.advance(0.008)
    batcher.add("a", 2, "", records(*"abcd"), 4)
    batcher.add("a", 3, "", records("y"), 1)
    assert len(journal.batches) == 2
    loop.advance(0.004)
    assert len(journal.batches) == 2
    loop.advance(0.007)
    assert len(journal.batches) == 3


def test_the_last_mark_of_each_source_goes_with_the_batch(batcher, journal, loop):
    """Marks are journaled with the records they belong to; a source without an id has none."""
    batcher.add("a", 1, "", records("x"), 1)
    batcher.add("", None, "", records("y"), 1)
    batcher.add("a", 2, "", records("z"), 1)
    loop.advance(0.02)
    assert journal.batches[0][2] == {"a": 2}


def test_a_kept_mark_waits_for_records(batcher, journal, loop):
    """A quiet source renews its mark with what others bring; no batch is cut for it."""
    batcher.keep("quiet", 7)
    loop.advance(1)
    assert journal.batches == []
    batcher.add("a", 1, "", records("x"), 1)
    loop.advance(1)
    assert journal.batches[0][2] == {"quiet": 7, "a": 1}
    batcher.add("a", 2, "", records("y"), 1)
    loop.advance(1)
    assert journal.batches[1][2] == {"a": 2}


@pytest.mark.parametrize("error", [JournalError("the disk is full"), OSError(5, "input/output error")])
def test_a_failing_journal_loses_nothing(batcher, journal, loop, error):
    """Nothing is acknowledged while the journal fails; sources are told once; all is kept in order."""
    told, done = [], []
    batcher.on_blocked.append(lambda: told.append("blocked"))
    batcher.on_ready.append(lambda: told.append("ready"))
    journal.error = error
    batcher.add("a", 1, "", records(*"abcd"), 4, lambda: done.append(1))
    batcher.add("a", 2, "", records("e"), 1, lambda: done.append(2))
    loop.advance(60)
    assert batcher.blocked is error
    assert told == ["blocked"]
    assert done == []
    assert batcher.waiting == 5
    journal.error = None
    loop.advance(10)
    assert batcher.blocked is None
    assert told == ["blocked", "ready"]
    assert done == [1, 2]
    assert [group[3] for group in journal.groups()] == [["a", "b", "c", "d"], ["e"]]


def test_a_blocked_journal_is_tried_ever_less_often(batcher, journal, loop):
    """The pause between two tries doubles up to five seconds."""
    journal.error = JournalError("the disk is full")
    batcher.add("a", 1, "", records(*"abcd"), 4)
    loop.advance(100)
    assert 20 <= journal.tries <= 30


def test_flushing_journals_what_waits(batcher, journal, loop):
    """At the end of an agent nothing lingers, and a blocked journal is tried once more."""
    batcher.add("a", 1, "", records("x"), 1)
    batcher.flush()
    assert len(journal.batches) == 1
    journal.error = JournalError("the disk is full")
    batcher.add("a", 2, "", records(*"abcd"), 4)
    journal.error = None
    batcher.flush()
    assert len(journal.batches) == 2
    loop.advance(10)
    assert len(journal.batches) == 2


@pytest.mark.parametrize("length", [0, 1, 15, 16, 255, 256, 65_535])
def test_array_heads_are_those_of_msgpack(length):
    """Bodies put together by hand are what msgpack itself would write."""
    assert array_head(length) + b"\xc0" * length == msgpack.packb([None] * length)
