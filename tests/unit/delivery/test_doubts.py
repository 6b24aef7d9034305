"""What a sink says when a node comes back with less, or with something else, than is stored."""

from __future__ import annotations

from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store.layout import RECORDS
from tests.unit.delivery.rig import EPOCH, NODE, Ends, MemoryJournal, opening, records

LATER = b"b" * 16


def said(ends: Ends) -> list[tuple[bytes | None, str, str, int, int | None]]:
    """Epoch, kind, reason, first and last of every loss."""
    found = ends.store.connection(RECORDS).execute(
        "SELECT epoch.uid, gap.kind, gap.reason, gap.first, gap.last FROM gap LEFT JOIN epoch ON epoch.id = gap.epoch_id"
    )
    return [tuple(row) for row in found]


def stored(batches: int = 5) -> Ends:
    """A node all of whose records are stored: 2 to 11, two in each batch."""
    journal = MemoryJournal()
    for _ in range(batches):
        journal.add(2)
    ends = Ends(journal)
    ends.settle()
    assert ends.ranges() == [(1, 1 + 2 * batches)]
    return ends


def go_back(ends: Ends, batches: int) -> MemoryJournal:
    """Put the node's files back to when it had so many batches, with a new process on them."""
    journal = ends.journals[0]
    del journal.batches[EPOCH][1 + batches :]
    ends.restart_node()
    return journal


def test_another_history_of_an_epoch_is_told() -> None:
    """The node wrote other records under the numbers of stored ones: from where on that may be so is said."""
    ends = stored()
    journal = go_back(ends, 2)
    for _ in range(6):
        journal.add(3, records(3, 700))
    ends.settle()
    assert (EPOCH, "doubt", "rolled back", 1, None) in said(ends)


def test_an_epoch_that_ended_before_what_is_stored_is_told() -> None:
    """The node keeps nothing of it and names an earlier end; what is stored beyond that is of another time."""
    ends = stored()
    journal = go_back(ends, 2)
    last = journal.batches[EPOCH][-1]
    journal.begin(LATER)
    del journal.batches[EPOCH]
    ends.settle()
    assert said(ends) == [(EPOCH, "doubt", "rolled back", last.header.last + 1, None)]


def test_an_end_of_another_history_puts_all_of_the_epoch_in_doubt() -> None:
    """The end that is named is within what is stored, and its digest is not the one stored there."""
    ends = stored()
    journal = ends.journals[0]
    journal.batches[LATER] = []
    journal._add(LATER, 1, 1, opening(EPOCH, 5, b"?" * 32))
    del journal.batches[EPOCH]
    ends.restart_node()
    ends.settle()
    assert said(ends) == [(EPOCH, "doubt", "rolled back", 1, None)]


def test_an_epoch_that_its_node_does_not_know_any_more_has_an_unknown_end() -> None:
    """The node began anew, and names no predecessor: what it held beyond what is stored is not known."""
    ends = stored()
    journal = ends.journals[0]
    journal.batches.clear()
    journal.begin(LATER)
    journal.add(2)
    ends.restart_node()
    ends.settle()
    assert said(ends) == [(EPOCH, "doubt", "unknown end", 12, None)]
    assert ends.ranges(LATER) == [(1, 3)]


def test_the_chain_names_where_the_epoch_before_ended() -> None:
    """For readers, who order by it."""
    ends = stored()
    ends.journals[0].begin(LATER)
    ends.restart_node()
    ends.settle()
    cursor = ends.store.load(NODE, LOGS, [LATER])[LATER]
    assert (cursor.previous, cursor.previous_last) == (EPOCH, 11)
    assert said(ends) == []


def test_a_gap_that_its_node_counts_at_least_stays_inexact() -> None:
    """What a damaged segment held is the least that can be lost."""
    journal = MemoryJournal()
    for _ in range(4):
        journal.add(2)
    journal.gap(EPOCH, 2, 2, at_least=True)
    ends = Ends(journal)
    ends.settle()
    found = ends.store.connection(RECORDS).execute("SELECT first, last, count, at_least FROM gap").fetchall()
    assert [tuple(row) for row in found] == [(4, 7, 4, 1)]


def test_an_epoch_that_was_only_heard_of_is_missed() -> None:
    """The one before it is stored to its end, and the node went back behind both: what stood in the later one is not known."""
    ends = stored()
    journal = ends.journals[0]
    journal.begin(LATER)
    journal.add(2)
    ends.node.speak(ends.now)
    for message in ends.node.outgoing(ends.now, ends.wall):
        if b"/beacon/" in message.topic:  # what stands in it gets lost
            ends.sink.receive(ends.now, ends.wall, message)
    ends.sink.flush(ends.now, ends.wall)
    ends.restart_sink()
    del journal.batches[LATER]
    journal.begin(b"c" * 16)
    ends.restart_node()
    ends.settle(20)
    assert said(ends) == [(LATER, "doubt", "unknown end", 1, None)]
    assert ends.node.delivered()
