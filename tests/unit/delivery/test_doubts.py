"""What a sink says when a node comes back with less, or with something else, than is stored."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tabard.brokers.delivery.book import EpochBook, StreamBook
from tabard.brokers.delivery.credit import Budget
from tabard.brokers.delivery.epochs import Epochs
from tabard.brokers.delivery.lately import Lately, own_of
from tabard.brokers.delivery.seams import follow
from tabard.brokers.wire.batch import GAP, NO_DIGEST, Header
from tabard.brokers.wire.messages import decode_beacon
from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store.layout import RECORDS
from tabard.consumers.store.sqlite import SqliteStore
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


# --- both ends went back -------------------------------------------------------------------------


def both_back(
    *, stored_later: int, written: int, kept: int, lost: bool = False
) -> tuple[Ends, MemoryJournal]:
    """A store put back to when it had 1 to 11 and `stored_later` batches, and a node to 1 to 5, which wrote others then.

    The store of the time between took all that, so the node let go of all but its last `kept` batches. With `lost` what the
    store had later is one gap, and a batch behind it.
    """
    ends = stored()
    journal = ends.journals[0]
    for _ in range(stored_later):
        journal.add(2)
    if lost:
        journal.add(2)
        journal.gap(EPOCH, 6, stored_later)
    ends.settle()
    image = ends.store.image()
    del journal.batches[EPOCH][3:]
    for number in range(written):
        journal.add(3, records(3, 700 + number))
    journal.drop(EPOCH, len(journal.batches[EPOCH]) - kept)
    ends.store = SqliteStore.memory(image)
    ends.restart_sink()
    ends.restart_node()
    return ends, journal


def test_a_hole_between_what_is_stored_and_what_is_kept_puts_what_stands_before_it_in_doubt() -> None:
    """6 to 11 are stored, and the node wrote others under these numbers, which it let go of: nothing shows that they are others."""
    ends, journal = both_back(stored_later=0, written=6, kept=2)
    assert journal.spans()[0].oldest == 18
    ends.settle()
    assert said(ends) == [
        (EPOCH, "gap", "not kept by the node any more", 12, 17),
        (EPOCH, "doubt", "not proven", 1, 11),
    ]
    assert ends.ranges() == [(1, 23)]
    assert ends.node.delivered()


def test_a_hole_before_an_end_that_is_known_does_so_too() -> None:
    """The node keeps nothing of the epoch any more, and its next one names where it ended."""
    ends, journal = both_back(stored_later=0, written=6, kept=2)
    journal.begin(LATER)
    del journal.batches[EPOCH]
    ends.settle()
    assert (EPOCH, "doubt", "not proven", 1, 11) in said(ends)


def test_a_store_that_lacks_the_beginning_has_nothing_to_doubt() -> None:
    """What is missing there has been said to be missing; behind it all is what the node has."""
    ends = stored()
    ends.journals[0].drop(EPOCH, 3)
    ends.store = SqliteStore.memory()
    ends.restart_sink()
    ends.restart_node()
    ends.settle()
    assert said(ends) == [
        (EPOCH, "gap", "not kept by the node any more", 1, 5),
        (EPOCH, "doubt", "chain broken", 1, 1),
    ]


def test_an_opening_alone_is_of_every_history_of_its_epoch() -> None:
    """The name of an epoch is drawn anew with each opening, so there is one."""
    journal = MemoryJournal()
    ends = Ends(journal)
    ends.settle()
    for _ in range(3):
        journal.add(2)
    journal.drop(EPOCH, 2)
    ends.settle()
    assert said(ends) == [(EPOCH, "gap", "not kept by the node any more", 2, 3)]


def test_a_history_whose_beginning_is_gone_is_told_from_the_first_record_on() -> None:
    """What is kept does not follow what is stored before it: what the node let go of was of the other history as well."""
    ends, journal = both_back(stored_later=3, written=5, kept=2)
    assert journal.spans()[0].oldest == 15
    ends.settle()
    assert (EPOCH, "doubt", "rolled back", 1, 14) in said(ends)


def test_a_history_that_begins_where_a_gap_is_stored_is_not_proven() -> None:
    """Within a gap there are no digests: none that follows, and none that would show another history."""
    ends, journal = both_back(stored_later=3, written=5, kept=2, lost=True)
    assert journal.spans()[0].oldest == 15
    ends.settle()
    doubts = [loss for loss in said(ends) if loss[1] == "doubt"]
    assert (EPOCH, "doubt", "not proven", 1, 14) in doubts
    assert (EPOCH, "doubt", "rolled back", 1, 14) not in doubts


def test_a_gap_that_cannot_name_what_was_before_it_proves_nothing() -> None:
    """Its edge is zeros, since the node could not read what stood there: that is no other digest."""
    ends = stored()
    seen = ends.store.load(NODE, LOGS, [EPOCH])[EPOCH]
    for named, reason in ((b"?" * 32, "rolled back"), (NO_DIGEST, "not proven")):
        book = EpochBook.of(EPOCH, seen)
        book.oldest = 12
        header = Header(LOGS, GAP, EPOCH, b"", 12, 6, b"", named)
        follow(Epochs(ends.store), NODE, StreamBook(LOGS, Budget(9).open()), book.fork(), header)
        assert [(gap.kind, gap.reason, gap.first, gap.last) for gap in book.gaps] == [
            ("doubt", reason, 1, 11)
        ]


def test_a_history_that_follows_what_is_stored_is_told_from_where_it_is_kept() -> None:
    """Only the node went back: all that it let go of is stored, and what it keeps names the digest of it."""
    ends = stored()
    journal = go_back(ends, 2)
    journal.drop(EPOCH, 2)
    for number in range(6):
        journal.add(3, records(3, 700 + number))
    ends.settle()
    assert [loss for loss in said(ends) if loss[1:3] == ("doubt", "rolled back")] == [
        (EPOCH, "doubt", "rolled back", 4, None)
    ]


def test_a_gap_that_does_not_follow_what_is_stored_is_of_another_history() -> None:
    """It stands right behind what is stored, and what it names before it is something else."""
    ends, journal = both_back(stored_later=0, written=6, kept=4)
    assert journal.spans()[0].oldest == 12
    journal.gap(EPOCH, 0, 2)
    ends.settle()
    assert (EPOCH, "doubt", "rolled back", 1, 11) in said(ends)
    assert ends.node.delivered()


# --- only the store went back -------------------------------------------------------------------


def store_back(ends: Ends, batches: int, kept: int) -> None:
    """The node goes on; the store is put back behind `batches` of its, of which its journal has let go of all but `kept`."""
    image = ends.store.image()
    journal = ends.journals[0]
    for _ in range(batches):
        journal.add(2)
    ends.settle()
    journal.drop(EPOCH, len(journal.batches[EPOCH]) - kept)
    ends.store = SqliteStore.memory(image)
    ends.restart_sink()


def test_a_node_knows_its_own_records_that_it_let_go_of() -> None:
    """It remembers what it sent: what is missing is a gap, and of the rest there is no doubt."""
    ends = stored()
    store_back(ends, 4, kept=1)
    ends.settle()
    assert said(ends) == [(EPOCH, "gap", "not kept by the node any more", 12, 17)]
    assert ends.ranges() == [(1, 19)]


def test_a_machine_that_was_put_back_does_not_know_what_it_sent_since() -> None:
    """With its memory: what it sent after that has other digests."""
    ends = stored(2)
    journal = ends.journals[0]
    senders = [sender for state in ends.node._sinks.values() for sender in state.senders.values()]
    memory = [copy.deepcopy(sender._lately) for sender in senders]
    for _ in range(3):
        journal.add(2)
    ends.settle()
    for sender, before in zip(senders, memory, strict=True):
        sender._lately = before
    store_back(ends, 4, kept=1)
    ends.settle()
    assert (EPOCH, "doubt", "not proven", 1, 11) in said(ends)


def test_a_node_forgets_what_it_sent_long_ago() -> None:
    """What it remembers is bounded; of what it forgot there is doubt, as nobody knows any more."""
    ends = stored()
    for state in ends.node._sinks.values():
        for sender in state.senders.values():
            sender._lately = Lately(most=3)
    store_back(ends, 4, kept=1)
    ends.settle()
    assert said(ends) == [
        (EPOCH, "gap", "not kept by the node any more", 12, 17),
        (EPOCH, "doubt", "not proven", 1, 11),
    ]


def test_the_last_batches_are_remembered_however_many_were_sent() -> None:
    """The oldest of them gives way."""
    sent = Lately(most=3)
    for number in range(8):
        sent.note(bytes([number]) * 32)
    assert [bytes([number]) * 32 in sent for number in range(8)] == [False] * 5 + [True] * 3


def test_nobody_reads_digests_among_the_facts_of_a_node() -> None:
    """They are for the sink, while something is to be proven; what is shown of a node is for people."""
    ends = stored()
    store_back(ends, 4, kept=1)
    said_own, shown = [], []
    for _ in range(100):
        beacons = [decode_beacon(message.head) for message in ends.up() if b"/beacon/" in message.topic]
        said_own += [beacon for beacon in beacons if "own" in beacon.facts]
        shown += ends.sink.presence()
        ends.down()
        ends.now += 0.25
    assert said_own
    assert shown
    assert not any("own" in presence.facts for presence in shown)


@pytest.mark.parametrize("said_own", [None, 7, "x", b"x", ("x", 7, None, b""), ()])
def test_a_fact_that_is_no_list_of_digests_proves_nothing(said_own: Any) -> None:
    """Whoever wrote it."""
    assert not own_of({"own": said_own})
