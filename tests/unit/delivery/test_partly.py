"""A gap whose range the sink has stored a part of: exact where both have the same history, and only there."""

from __future__ import annotations

from typing import Any

import pytest

from tabard.brokers.delivery.book import EpochBook, StreamBook
from tabard.brokers.delivery.credit import Account
from tabard.brokers.delivery.epochs import Epochs
from tabard.brokers.delivery.partly import is_of_the_node
from tabard.brokers.delivery.ports import EpochCursor
from tabard.brokers.delivery.ranges import UNKNOWN, Range, Ranges
from tabard.brokers.wire.batch import GAP, NO_DIGEST, Header
from tabard.brokers.wire.body import GapInfo
from tabard.brokers.wire.codec import pack
from tabard.brokers.wire.points import Point, mark_of
from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store.layout import RECORDS
from tabard.consumers.store.sqlite import SqliteStore
from tabard.digests import digest
from tests.unit.delivery.rig import EPOCH, NODE, NOON, Ends, MemoryJournal


def losses(ends: Ends) -> list[tuple[Any, ...]]:
    """First, last, count and whether it is inexact, of each that is stored."""
    found = ends.store.connection(RECORDS).execute(
        "SELECT first, last, count, at_least FROM gap WHERE kind = 'gap' ORDER BY first"
    )
    return [tuple(row) for row in found]


def stored() -> Ends:
    """A sink that has up to 13, in batches of three; then it hears nothing more, and ten more are written."""
    journal = MemoryJournal()
    for _ in range(4):
        journal.add(3)
    ends = Ends(journal)
    ends.settle()
    assert ends.ranges() == [(1, 13)]
    for _ in range(10):
        journal.add(3)
    return ends


def test_what_the_sink_has_not_of_the_range_is_exactly_lost() -> None:
    """The gap reaches from 5 to 28, and the sink knows its own end among those of the gap."""
    ends = stored()
    ends.journals[0].gap(EPOCH, 2, 8, points=True)
    ends.settle()
    assert losses(ends) == [(14, 28, 15, 0)]
    assert ends.ranges() == [(1, 43)]


def test_without_points_nobody_knows() -> None:
    """A node of an earlier edition, or an old journal: the loss reaches over all of it."""
    ends = stored()
    ends.journals[0].gap(EPOCH, 2, 8)
    ends.settle()
    assert losses(ends) == [(5, 28, 15, 1)]
    assert ends.ranges() == [(1, 43)]


def test_a_gap_that_has_grown_says_what_it_said_not_yet() -> None:
    """The sink has the smaller one, and its end is a point of the larger one."""
    ends = stored()
    journal = ends.journals[0]
    whole = list(journal.batches[EPOCH])
    journal.gap(EPOCH, 2, 6, points=True)
    later = journal.batches[EPOCH][3:]
    del journal.batches[EPOCH][3:]
    ends.settle()
    assert losses(ends) == [(14, 22, 9, 0)]
    assert ends.ranges() == [(1, 22)]
    journal.batches[EPOCH] = whole
    assert later[0] in whole
    journal.gap(EPOCH, 2, 8, points=True)
    ends.settle()
    assert losses(ends) == [(14, 22, 9, 0), (23, 28, 6, 0)]


def test_records_of_another_history_are_never_taken_for_those_dropped() -> None:
    """The node was put back behind 7, and wrote on otherwise: the sink's 8 to 13 are no end that the gap names."""
    ends = stored()
    journal = ends.journals[0]
    del journal.batches[EPOCH][3:]
    for number in range(12):
        journal.add(3, body=pack([("test", number, "other", [[NOON, "n", {"other": number}]] * 3)]))
    journal.gap(EPOCH, 2, 8, points=True)
    ends.restart_node()
    ends.settle()
    assert losses(ends) == [(5, 28, 15, 1)]


def end(seq: int) -> bytes:
    """The digest of the batch that ends there."""
    return digest(b"%d" % seq)


def told(*seqs: int, last: bytes = b"") -> GapInfo:
    """What a gap from 11 to 40 says that names these ends."""
    points = tuple(Point(seq, mark_of(end(seq))) for seq in seqs)
    return GapInfo("quota", 30, at_least=False, last_digest=last or end(40), open=b"", points=points)


def believed(info: GapInfo, *runs: tuple[int, int], after: bytes | None = None, past: bool = False) -> bool:
    """Whether a sink that has stored these runs takes them for what the node had."""
    epochs = Epochs(SqliteStore.memory())
    ranges = Ranges(
        Range(lo, hi, UNKNOWN, end(hi) if after is None or (lo, hi) != runs[-1] else after) for lo, hi in runs
    )
    book = EpochBook.of(EPOCH, EpochCursor(EPOCH, 1, ranges))
    if past:
        book.past = (EpochBook.of(EPOCH, EpochCursor(EPOCH, 1, Ranges())),)
    header = Header(LOGS, GAP, EPOCH, b"", 11, 30, b"b" * 32, NO_DIGEST)
    return is_of_the_node(epochs, NODE, StreamBook(LOGS, Account()), book, header, info)


@pytest.mark.parametrize(
    ("info", "runs"),
    [
        (told(15), [(1, 15)]),
        (told(12, 15, 20), [(12, 15)]),
        (told(15, 25), [(1, 15), (21, 25)]),
        (told(), [(31, 40)]),
        (told(15), [(1, 15), (31, 40)]),
        (told(15), [(1, 15), (41, 60)]),
    ],
)
def test_each_run_in_the_range_ends_where_a_batch_of_the_node_ended(
    info: GapInfo, runs: list[tuple[int, int]]
) -> None:
    """Also at the gap's own end, and whatever stands behind it."""
    assert believed(info, *runs)


@pytest.mark.parametrize(
    ("info", "runs"),
    [
        (told(), [(1, 15)]),
        (told(12, 18), [(1, 15)]),
        (told(25), [(1, 15), (21, 25)]),
        (told(15), [(1, 15), (21, 25)]),
        (told(15, last=NO_DIGEST), [(1, 15), (31, 40)]),
        (told(15, last=end(41)), [(1, 15), (31, 40)]),
        (told(15), [(1, 15), (31, 50)]),
    ],
)
def test_a_run_that_ends_elsewhere_is_in_doubt(info: GapInfo, runs: list[tuple[int, int]]) -> None:
    """A point beside it says nothing; and of a run beyond the gap only a stored end can tell."""
    assert not believed(info, *runs)


def test_number_and_digest_must_both_fit() -> None:
    """Another batch ended there; or nobody knows which one did."""
    assert not believed(told(15), (1, 15), after=end(16))
    assert not believed(told(15), (1, 15), after=UNKNOWN)


def test_of_an_epoch_with_several_histories_it_is_never_said() -> None:
    """What an earlier one holds may be in the place of what is lost."""
    assert not believed(told(15), (1, 15), past=True)
