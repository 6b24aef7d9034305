"""What a node sends of one stream: live and asked in turn, as far as credit and lease go, and nothing unasked."""

from __future__ import annotations

import pytest

from tabard.brokers.delivery.ranges import Range, Ranges
from tabard.brokers.delivery.sender import Sender
from tabard.brokers.wire.batch import Batch
from tabard.brokers.wire.messages import CursorStream, Want
from tabard.brokers.wire.streams import LOGS
from tests.unit.delivery.rig import EPOCH, MemoryJournal

SESSION = b"session1"
PLENTY = 1 << 30


def heard(**said: object) -> CursorStream:
    """A cursor message's part about the stream."""
    whole: dict[str, object] = {
        "stream": LOGS,
        "cursors": (),
        "credit": 100,
        "credit_bytes": PLENTY,
        "lease": 10.0,
        "live": None,
        "wants": (),
    }
    return CursorStream(**{**whole, **said})  # type: ignore[arg-type]


def drain(sender: Sender, now: float = 0.0) -> list[int]:
    """First sequence numbers of what is sent now."""
    firsts = []
    while (found := sender.next(now)) is not None:
        firsts.append(found[0].header.first)
    return firsts


@pytest.fixture
def journal() -> MemoryJournal:
    """1 | 2..3 | 4..5 | 6..7 | 8..9."""
    made = MemoryJournal()
    for _ in range(4):
        made.add(2)
    return made


@pytest.fixture
def sender(journal: MemoryJournal) -> Sender:
    """In a session."""
    made = Sender(journal)
    made.begin(SESSION)
    return made


def test_nothing_is_sent_before_the_sink_was_heard(sender: Sender) -> None:
    """Neither live nor otherwise: what nobody subscribed to yet would be lost."""
    assert drain(sender) == [] and not sender.has_work()


def test_live_sending_begins_where_the_sink_says(sender: Sender, journal: MemoryJournal) -> None:
    """A position inside a batch sends all of it; later records follow; saying it again changes nothing."""
    sender.hear(0.0, 1, heard(live=(EPOCH, 5)))
    assert drain(sender) == [4, 6, 8]
    journal.add(3)
    sender.hear(0.0, 2, heard(live=(EPOCH, 5)))
    assert drain(sender) == [10]
    assert sender.live == 13


def test_another_live_position_of_the_same_epoch_is_taken(sender: Sender) -> None:
    """The sink forked the epoch: it wants everything again."""
    sender.hear(0.0, 1, heard(live=(EPOCH, 8)))
    assert drain(sender) == [8]
    sender.hear(0.0, 2, heard(live=(EPOCH, 2)))
    assert drain(sender) == [2, 4, 6, 8]


def test_asked_and_live_take_turns(sender: Sender) -> None:
    """So that a backfill does not hold up what is new, nor the other way round."""
    sender.hear(0.0, 1, heard(live=(EPOCH, 6), wants=(Want(EPOCH, 1, 5),)))
    assert drain(sender) == [1, 6, 2, 8, 4]
    assert sender.envelope.wants == 0


def test_what_was_asked_twice_is_sent_once(sender: Sender) -> None:
    """Cursor messages are state: hearing one again is no new request."""
    for number in (1, 2):
        sender.hear(0.0, number, heard(wants=(Want(EPOCH, 2, 5),)))
    assert drain(sender) == [2, 4]


def test_credit_counts_what_was_sent_in_the_session(sender: Sender) -> None:
    """It is a limit, not an increment; a lower one stops."""
    sender.hear(0.0, 1, heard(live=(EPOCH, 1), credit=2))
    assert drain(sender) == [1, 2]
    assert sender.has_work() and not sender.may_send(0.0)
    sender.hear(0.0, 2, heard(live=(EPOCH, 1), credit=3))
    assert drain(sender) == [4]
    sender.hear(0.0, 3, heard(live=(EPOCH, 1), credit=1))
    assert drain(sender) == []


def test_bytes_are_credit_too(sender: Sender, journal: MemoryJournal) -> None:
    """What is under way when they run out is the last."""
    size = journal.batches[EPOCH][0].size
    sender.hear(0.0, 1, heard(live=(EPOCH, 1), credit_bytes=size + 1))
    assert drain(sender) == [1, 2]


def test_a_lease_ends(sender: Sender) -> None:
    """A sink that fell silent is sent nothing more."""
    sender.hear(5.0, 1, heard(live=(EPOCH, 1), lease=10.0))
    assert sender.next(14.9) is not None
    assert sender.next(15.0) is None


def test_a_session_ends_everything_of_the_one_before(sender: Sender) -> None:
    """Credit, position, wants, and what the sink said it had."""
    stored = Ranges([Range(1, 9, b"", b"")])
    sender.hear(0.0, 1, heard(live=(EPOCH, 1), wants=(Want(EPOCH, 1, 9),), cursors=((EPOCH, stored),)))
    drain(sender)
    assert sender.sent and sender.cursors
    sender.begin(b"session2")
    assert (sender.sent, sender.sent_bytes, sender.live, sender.cursors) == (0, 0, 0, {})
    assert not sender.may_send(0.0) and not sender.has_work()


def test_what_is_not_durable_is_not_sent(
    sender: Sender, journal: MemoryJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sink must never hold what its node can lose, asked for or not."""
    durable = journal.spans()[0]._replace(last=5)
    monkeypatch.setattr(journal, "spans", lambda: [durable])
    sender.hear(0.0, 1, heard(live=(EPOCH, 2), wants=(Want(EPOCH, 4, 9),)))
    assert sorted(drain(sender)) == [2, 4, 4]


def test_what_is_not_kept_any_more_is_passed_over(sender: Sender, journal: MemoryJournal) -> None:
    """Live sending goes on at the oldest kept, and an asked range with what is left of it."""
    journal.drop(EPOCH, 3)
    sender.hear(0.0, 1, heard(live=(EPOCH, 2)))
    assert drain(sender) == [6, 8]
    sender.hear(0.0, 2, heard(wants=(Want(EPOCH, 2, 7), Want(b"?" * 16, 1, 4))))
    assert drain(sender) == [6]


def test_a_batch_that_cannot_be_read_does_not_stop_the_others(sender: Sender, journal: MemoryJournal) -> None:
    """The hole is the sink's to ask for again."""
    read, ruined = journal.read, journal.batches[EPOCH][2]

    def unreadable(epoch: bytes, seq: int) -> Batch | None:
        found = read(epoch, seq)
        return None if found is ruined else found

    journal.read = unreadable  # type: ignore[method-assign]
    sender.hear(0.0, 1, heard(live=(EPOCH, 2)))
    assert drain(sender) == [2, 6, 8]


# --- what the sink has -----------------------------------------------------------------------


def cursor(
    journal: MemoryJournal, epoch: bytes, batches: int, after: bytes | None = None
) -> tuple[bytes, Ranges]:
    """The sink has stored so many batches of an epoch."""
    last = journal.batches[epoch][batches - 1]
    return epoch, Ranges([Range(1, last.header.last, b"", last.digest if after is None else after)])


@pytest.mark.threat("cursor-ahead")
def test_only_what_the_journal_can_have_earned_is_believed(sender: Sender, journal: MemoryJournal) -> None:
    """A range of another history is no permission to let go of anything."""
    sender.hear(0.0, 1, heard(cursors=(cursor(journal, EPOCH, 3),)))
    assert sender.cursors[EPOCH].solid == 5 and not sender.foreign
    sender.hear(0.0, 2, heard(cursors=(cursor(journal, EPOCH, 4, b"?" * 32),)))
    assert sender.cursors[EPOCH].solid == 0 and sender.foreign == {EPOCH}
    sender.hear(0.0, 3, heard(cursors=((EPOCH, Ranges([Range(1, 99, b"", b"?" * 32)])),)))
    assert sender.cursors[EPOCH].solid == 0 and sender.foreign == {EPOCH}


def test_what_was_compared_once_is_not_read_again(
    sender: Sender, journal: MemoryJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cursor that did not move costs nothing."""
    sender.hear(0.0, 1, heard(cursors=(cursor(journal, EPOCH, 3),)))
    monkeypatch.setattr(journal, "read", lambda *_: pytest.fail("read again"))
    sender.hear(0.0, 2, heard(cursors=(cursor(journal, EPOCH, 3),)))
    assert sender.cursors[EPOCH].solid == 5


def test_stored_epochs_need_not_be_named_any_more(sender: Sender, journal: MemoryJournal) -> None:
    """But for the one being written; and what is known of them stays known while the session lasts."""
    journal.begin(b"b" * 16)
    journal.begin(b"c" * 16)
    sender.hear(0.0, 1, heard(cursors=(cursor(journal, EPOCH, 5), cursor(journal, b"c" * 16, 1))))
    assert [span.epoch for span in sender.unsettled()] == [b"b" * 16, b"c" * 16]
    sender.hear(0.0, 2, heard(cursors=(cursor(journal, b"b" * 16, 1),)))
    assert [span.epoch for span in sender.unsettled()] == [b"c" * 16]
    assert sender.cursors[EPOCH].solid == 9
    sender.begin(b"session2")
    assert len(sender.unsettled()) == 3


def test_an_epoch_of_two_histories_is_never_settled(sender: Sender, journal: MemoryJournal) -> None:
    """However much is stored of it: the sink must hear how it ends here."""
    journal.begin(b"b" * 16)
    stored = cursor(journal, EPOCH, 5)[1].items
    sender.hear(0.0, 1, heard(cursors=((EPOCH, Ranges([*stored, Range(20, 30, b"", b"?" * 32)])),)))
    assert EPOCH in sender.foreign
    assert [span.epoch for span in sender.unsettled()] == [EPOCH, b"b" * 16]
