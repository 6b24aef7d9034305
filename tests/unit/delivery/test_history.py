"""What a node makes of a cursor: its own, another history's, or nothing that can be said."""

from __future__ import annotations

import pytest

from tabard.brokers.delivery.history import Verdict, judge
from tabard.brokers.delivery.ranges import UNKNOWN, Range
from tests.unit.delivery.rig import EPOCH, MemoryJournal


@pytest.fixture
def journal() -> MemoryJournal:
    """1 | 2..4 | 5..7 | 8..10."""
    made = MemoryJournal()
    for _ in range(3):
        made.add(3)
    return made


def verdict(journal: MemoryJournal, hi: int, after: bytes) -> Verdict:
    """Of a range that ends there."""
    return judge(journal, journal.spans()[0], Range(1, hi, b"", after))


def test_a_range_that_ends_in_our_own_batch_is_ours(journal: MemoryJournal) -> None:
    """And so is everything before it, since digests form a chain."""
    for batch in journal.batches[EPOCH]:
        assert verdict(journal, batch.header.last, batch.digest) is Verdict.OURS


@pytest.mark.threat("cursor-ahead")
def test_a_range_beyond_our_end_is_another_historys(journal: MemoryJournal) -> None:
    """A sink never holds what its node can lose: so one of both went back in time."""
    assert verdict(journal, 11, b"?" * 32) is Verdict.FOREIGN
    assert verdict(journal, 11, UNKNOWN) is Verdict.FOREIGN


@pytest.mark.parametrize("hi", [7, 6])
def test_another_digest_or_another_cut_is_another_historys(journal: MemoryJournal, hi: int) -> None:
    """The same number of records is no proof."""
    assert verdict(journal, hi, b"?" * 32) is Verdict.FOREIGN


def test_what_cannot_be_lost_needs_no_proof(journal: MemoryJournal) -> None:
    """Below what is kept, or where the sink itself knows no digest."""
    journal.drop(EPOCH, 2)
    assert verdict(journal, 4, b"?" * 32) is Verdict.OURS
    assert verdict(journal, 9, UNKNOWN) is Verdict.OURS


def test_a_gap_is_compared_by_the_digest_it_hands_on(journal: MemoryJournal) -> None:
    """A gap that runs on beyond the range says nothing about it."""
    last = journal.batches[EPOCH][2].digest
    journal.gap(EPOCH, 1, 2)
    assert verdict(journal, 7, last) is Verdict.OURS
    assert verdict(journal, 7, b"?" * 32) is Verdict.FOREIGN
    assert verdict(journal, 5, b"?" * 32) is Verdict.UNKNOWN


def test_what_cannot_be_read_now_is_not_known(journal: MemoryJournal) -> None:
    """It is neither let go of nor taken for another history."""
    span = journal.spans()[0]
    del journal.batches[EPOCH][2]
    assert judge(journal, span, Range(1, 6, b"", b"?" * 32)) is Verdict.UNKNOWN


def test_a_gap_that_names_the_end_of_the_range_tells(journal: MemoryJournal) -> None:
    """It runs across: a point of it is ours, and of anything else nothing is known."""
    second, third = journal.batches[EPOCH][1:3]
    journal.gap(EPOCH, 1, 3, points=True)
    assert verdict(journal, second.header.last, second.digest) is Verdict.OURS
    assert verdict(journal, third.header.last, third.digest) is Verdict.OURS
    assert verdict(journal, third.header.last, second.digest) is Verdict.UNKNOWN
    assert verdict(journal, 6, third.digest) is Verdict.UNKNOWN
