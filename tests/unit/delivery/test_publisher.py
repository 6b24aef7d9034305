"""What a node makes of the messages of its sinks, and when it speaks up."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from tabard.brokers.delivery.publisher import FIRST_PAUSE, STUCK_AFTER, STUCK_EVERY, Publisher
from tabard.brokers.delivery.ranges import Range, Ranges
from tabard.brokers.delivery.seal import OpenSeal
from tabard.brokers.wire import topics
from tabard.brokers.wire.codec import pack
from tabard.brokers.wire.hop import Cap, Descent, encode_descent
from tabard.brokers.wire.messages import (
    ALL_SHARDS,
    MAX_EPOCHS,
    NONCE_BYTES,
    Beacon,
    Cursor,
    CursorStream,
    Hello,
    Message,
    decode_beacon,
    encode_cursor,
    encode_hello,
)
from tabard.brokers.wire.streams import CONTROL, LOGS
from tabard.brokers.wire.topics import shard_of
from tests.unit.delivery.rig import EPOCH, NODE, NOON, Ends, MemoryJournal

FIRST, SECOND = b"session1", b"session2"


def told(head: bytes, signature: bytes = b"") -> Message:
    """A message of the down lane."""
    return Message(topics.down_topic(NODE.zone, NODE.node), b"", head, signature, b"", b"")


class Node:
    """A publisher with one journal, and a sink's words put into its ears."""

    def __init__(self, *sinks: str) -> None:
        self.journal = MemoryJournal()
        self.publisher = Publisher(
            NODE, sinks or ["main"], {LOGS: self.journal}, OpenSeal(), Ends().rng.randbytes, interval=10.0
        )

    def beacon(self, now: float = 0.0) -> Beacon:
        """The first beacon said now."""
        return next(
            decode_beacon(message.head)
            for message in self.publisher.outgoing(now, NOON)
            if message.topic.endswith(b"/beacon/")
        )

    def cursor(
        self, nonce: bytes, *, session: bytes = FIRST, number: int = 1, sink: str = "main", **said: Any
    ) -> Message:
        """A cursor message."""
        whole = {
            "stream": LOGS,
            "cursors": (),
            "credit": 10,
            "credit_bytes": 1 << 20,
            "lease": 10.0,
            "live": (EPOCH, 1),
            "wants": (),
        }
        part = CursorStream(**{**whole, **said})
        return told(encode_cursor(Cursor(sink, session, number, nonce, NODE.node, 0.0, (part,))))

    def attach(self, **said: Any) -> bytes:
        """Begin a session; returns its nonce."""
        nonce = self.beacon().nonce
        self.publisher.receive(0.0, self.cursor(nonce, **said))
        return nonce

    @property
    def counters(self) -> dict[str, int]:
        """What was counted."""
        return dict(self.publisher.counters)

    def sent(self) -> int:
        """Batches sent in this session."""
        sinks = self.publisher.sinks(0.0)
        return int(sinks["main"]["streams"]["logs"]["sent"])


@pytest.fixture
def node() -> Node:
    """With some records."""
    made = Node()
    for _ in range(4):
        made.journal.add(2)
    return made


# --- beacons ---------------------------------------------------------------------------------


def test_a_beacon_says_what_is_kept(node: Node) -> None:
    """Who, since when, and up to where; a new nonce each time."""
    beacon = node.beacon()
    span = node.journal.spans()[0]
    assert (beacon.node, beacon.zone, beacon.interval) == (NODE.node, NODE.zone, 10.0)
    assert beacon.streams[0].spans == ((EPOCH, 1, 9, span.digest),)
    assert beacon.streams[0].more == 0
    assert node.beacon(20.0).nonce != beacon.nonce


def test_a_node_that_nobody_answers_speaks_less_and_less() -> None:
    """Quickly at first, for a sink that is there; at its interval once nobody seems to be."""
    node = Node()
    times: list[float] = []
    now = 0.0
    while len(times) < 10:
        if node.publisher.outgoing(now, NOON):
            times.append(now)
        now = max(now + 0.01, node.publisher.deadline())
    pauses = [b - a for a, b in pairwise(times)]
    assert pauses[0] == pytest.approx(2 * FIRST_PAUSE, abs=0.02)
    assert pauses == sorted(pauses) or max(pauses) <= 10.0
    assert pauses[-1] > 8.0


def test_more_epochs_than_fit_are_counted() -> None:
    """The oldest and the newest are named."""
    node = Node()
    for number in range(20):
        node.journal.begin(bytes([number]) * 16)
    part = node.beacon().streams[0]
    assert (len(part.spans), part.more) == (MAX_EPOCHS, 21 - MAX_EPOCHS)
    assert part.spans[0][0] == EPOCH and part.spans[-1][0] == bytes([19]) * 16


def test_a_node_without_credit_speaks_up(node: Node) -> None:
    """Soon, and then from time to time; not while it may send."""
    node.attach(credit=1)
    node.publisher.outgoing(0.0, NOON)
    assert node.sent() == 1
    node.publisher.outgoing(0.01, NOON)
    assert node.publisher.deadline() <= 1.0
    assert node.beacon(max(1.0, STUCK_AFTER)).streams[0].envelope.sent == 1


def test_a_hello_is_answered_by_a_beacon_soon_and_once(node: Node) -> None:
    """Spread over half a second, so that not all nodes speak at once."""
    node.attach(credit=99)
    node.beacon(0.5)
    quiet = node.publisher.deadline()
    hello = told(encode_hello(Hello("main", b"hello..1")))
    node.publisher.receive(1.0, hello)
    soon = node.publisher.deadline()
    assert 1.0 <= soon <= 1.5 < quiet
    node.beacon(1.5)
    node.publisher.receive(1.6, hello)
    assert node.publisher.deadline() > 5.0


def test_a_hello_to_other_shards_is_not_answered(node: Node) -> None:
    """Each recorder of a sink calls its own nodes, time after time: nobody else has to speak up."""
    node.attach(credit=99)
    node.beacon(0.5)
    own = 1 << shard_of(node.publisher.key.node)
    node.publisher.receive(1.0, told(encode_hello(Hello("main", b"hello..1", ALL_SHARDS ^ own))))
    assert node.publisher.deadline() > 5.0
    node.publisher.receive(1.0, told(encode_hello(Hello("main", b"hello..1", own))))
    assert node.publisher.deadline() <= 1.5


# --- what is ignored -------------------------------------------------------------------------


def test_old_and_doubled_cursors_are_ignored(node: Node) -> None:
    """Within a session numbers rise."""
    nonce = node.attach(number=5)
    for number in (5, 4):
        node.publisher.receive(0.0, node.cursor(nonce, number=number, credit=99))
    assert node.counters["old cursor"] == 2
    node.publisher.outgoing(0.0, NOON)
    assert node.sent() == 5


@pytest.mark.threat("foreign-cursor")
def test_a_new_session_needs_a_nonce_just_said(node: Node) -> None:
    """Else it may be an old message come again."""
    node.publisher.receive(0.0, node.cursor(b"\0" * NONCE_BYTES))
    assert node.counters == {"stale session": 1}
    first = node.beacon()
    for _ in range(4):
        node.beacon(1000.0 * (_ + 1))
    node.publisher.receive(0.0, node.cursor(first.nonce))
    assert node.counters == {"stale session": 2}


def test_an_ended_session_does_not_come_back(node: Node) -> None:
    """Whatever was still on its way of it."""
    nonce = node.attach(session=FIRST)
    node.publisher.receive(0.0, node.cursor(nonce, session=SECOND))
    node.publisher.receive(0.0, node.cursor(nonce, session=FIRST, number=9))
    assert node.counters == {"stale session": 1}
    assert node.beacon(20.0).streams[0].envelope.session == SECOND


@pytest.mark.parametrize("signed", ["cursor", "hello"])
def test_what_is_not_signed_by_the_sink_is_counted(node: Node, signed: str) -> None:
    """And changes nothing."""
    nonce = node.beacon().nonce
    head = node.cursor(nonce).head if signed == "cursor" else encode_hello(Hello("main", FIRST))
    node.publisher.receive(0.0, told(head, b"forged"))
    assert sum(node.counters.values()) == 1
    assert not node.publisher.sinks(0.0)["main"]["attached"]


def test_what_is_for_others_or_no_message_is_counted(node: Node) -> None:
    """Other nodes, sinks nobody configured, unknown versions and kinds, and noise."""
    nonce = node.beacon().nonce
    other = Cursor("main", FIRST, 1, nonce, "web2", 0.0, ())
    heads = [
        encode_cursor(other),
        node.cursor(nonce, sink="elsewhere").head,
        encode_hello(Hello("elsewhere", FIRST)),
        pack([9, 2]),
        pack([1, 77]),
        b"\xc1",
        b"",
    ]
    for head in heads:
        node.publisher.receive(0.0, told(head))
    assert node.counters == {
        "cursor not for this node": 2,
        "refused hello": 1,
        "malformed message": 3,
        "unknown message": 1,
    }
    assert not node.publisher.sinks(0.0)["main"]["attached"]


def test_a_stream_that_the_node_has_not_is_passed_over(node: Node) -> None:
    """The rest of the message counts."""
    nonce = node.beacon().nonce
    node.publisher.receive(0.0, node.cursor(nonce, stream=CONTROL))
    assert node.publisher.sinks(0.0)["main"]["attached"]


# --- letting go ------------------------------------------------------------------------------


def test_the_journal_lets_go_of_what_every_sink_has() -> None:
    """And of nothing that one of them lacks."""
    node = Node("main", "other")
    last = [node.journal.add(2) for _ in range(4)]
    beacons = [decode_beacon(message.head) for message in node.publisher.outgoing(0.0, NOON)]

    def stored(batch: int) -> tuple[tuple[bytes, Ranges], ...]:
        return ((EPOCH, Ranges([Range(1, last[batch].header.last, b"", last[batch].digest)])),)

    node.publisher.receive(0.0, node.cursor(beacons[0].nonce, cursors=stored(3)))
    assert not any(each[EPOCH] for each in node.journal.released)
    node.publisher.receive(0.0, node.cursor(beacons[1].nonce, sink="other", cursors=stored(1)))
    assert node.journal.released[-1][EPOCH].solid == 5
    assert not node.publisher.delivered()
    assert node.publisher.left() == {"other": {"logs": 4}}
    node.publisher.receive(0.0, node.cursor(beacons[1].nonce, sink="other", number=2, cursors=stored(3)))
    assert node.journal.released[-1][EPOCH].solid == 9
    assert node.publisher.delivered()
    assert node.publisher.left() == {}


def test_what_a_wiped_sink_had_is_taken_back(node: Node) -> None:
    """A journal hears of every epoch it keeps, also that nothing of it is stored any more."""
    last = [node.journal.add(2) for _ in range(2)][-1]
    before = last.header.epoch
    node.attach(cursors=((before, Ranges([Range(1, last.header.last, b"", last.digest)])),))
    assert node.journal.released[-1][before].solid == last.header.last
    node.journal.begin(b"b" * 16)
    nonce = node.beacon(60.0).nonce
    node.publisher.receive(60.0, node.cursor(nonce, session=SECOND))
    assert node.journal.released[-1] == {before: Ranges(), b"b" * 16: Ranges()}


@pytest.mark.threat("cursor-ahead")
def test_a_cursor_of_another_history_opens_a_new_epoch_and_releases_nothing(node: Node) -> None:
    """With a doubt; when the disk refuses, the next cursor message tries again."""
    foreign = ((EPOCH, Ranges([Range(1, 50, b"", b"?" * 32)])),)
    node.journal.refusing = True
    nonce = node.attach(cursors=foreign)
    assert node.journal.doubts == []
    node.journal.refusing = False
    node.publisher.receive(0.0, node.cursor(nonce, number=2, cursors=foreign))
    assert len(node.journal.doubts) == 1
    node.publisher.receive(0.0, node.cursor(nonce, number=3, cursors=foreign))
    assert len(node.journal.doubts) == 1
    assert all(not ranges for each in node.journal.released for ranges in each.values())
    assert node.counters["epoch renewed"] == 1


def test_control_goes_before_logs() -> None:
    """A backlog of logs does not hold up an answer."""
    ends = Ends(MemoryJournal(CONTROL), MemoryJournal(LOGS))
    for journal in ends.journals:
        for _ in range(3):
            journal.add(1)
    ends.up()
    ends.down()
    streams = [message.topic.split(b"/")[-2] for message in ends.up()]
    assert streams.index(b"control") < streams.index(b"logs")


def test_a_sink_that_is_away_has_no_say_in_how_long_records_wait(node: Node) -> None:
    """What the busiest asks for holds while it answers beacons; the others' records do not wait for one that is gone."""
    nonce = node.beacon().nonce
    part = CursorStream(LOGS, (), 10, 1 << 20, 10.0, (EPOCH, 1), ())
    node.publisher.receive(
        0.0, told(encode_cursor(Cursor("main", b"session1", 1, nonce, NODE.node, 0.5, (part,))))
    )
    assert node.publisher.linger(1.0, 0.01) == 0.5
    assert node.publisher.linger(40.0, 0.01) == 0.01


# --- links with a limited rate -------------------------------------------------------------------


def capped(message: Message, cap: int | None, *, stream: int = LOGS) -> Message:
    """As a broker on the way hands it on."""
    return message._replace(envelope=encode_descent(Descent(b"bootboot", 1, 1, (Cap(stream, cap),))))


def batches(node: Node, now: float) -> int:
    """How many are sent now."""
    return sum(message.topic.endswith(b"/logs/") for message in node.publisher.outgoing(now, NOON))


def test_a_broker_on_the_way_lets_less_pass_than_the_sink_allows() -> None:
    """The smaller of the two holds; one batch may go beyond it, as beyond the sink's own."""
    node = Node()
    for _ in range(5):
        node.journal.add(2)
    nonce = node.beacon().nonce
    node.publisher.receive(0.0, capped(node.cursor(nonce), 1))
    assert batches(node, 0.0) == 1
    assert batches(node, 1.0) == batches(node, 1.0) == 0
    assert node.publisher.deadline() > 5.0  # it does not speak up: the broker lets more pass by itself
    node.publisher.receive(1.1, capped(node.cursor(nonce), 1 << 20))
    assert batches(node, 1.1) == 5


def test_more_than_the_sink_allows_is_not_let_pass_by_anybody() -> None:
    """A broker can only lessen what a sink has signed."""
    node = Node()
    for _ in range(5):
        node.journal.add(2)
    nonce = node.beacon().nonce
    node.publisher.receive(0.0, capped(node.cursor(nonce, credit=2), 1 << 60))
    node.publisher.receive(0.0, capped(node.cursor(nonce, credit=2), 1 << 61))
    assert batches(node, 0.0) == 2


def test_of_a_cursor_that_comes_again_only_a_larger_cap_is_news() -> None:
    """One that was on its way for long does not take back what was given since."""
    node = Node()
    for _ in range(5):
        node.journal.add(2)
    nonce = node.beacon().nonce
    for cap in (1, 1 << 20, 1):
        node.publisher.receive(0.0, capped(node.cursor(nonce), cap))
    assert batches(node, 0.0) == 6


def test_a_new_cursor_without_a_cap_lifts_it() -> None:
    """As over another broker, or when the limit is gone."""
    node = Node()
    for _ in range(5):
        node.journal.add(2)
    nonce = node.beacon().nonce
    node.publisher.receive(0.0, capped(node.cursor(nonce), 1))
    batches(node, 0.0)
    node.publisher.receive(0.1, node.cursor(nonce, number=2))
    assert batches(node, 0.1) == 5


def test_a_node_that_is_asked_what_it_has_sent_says_so() -> None:
    """By a beacon, as early as one without credit: until then nothing passes."""
    node = Node()
    node.journal.add(2)
    nonce = node.beacon().nonce
    node.publisher.receive(0.0, capped(node.cursor(nonce), None))
    assert batches(node, 0.0) == batches(node, 1.0) == batches(node, 1.0) == 0
    assert node.publisher.deadline() <= 1.0 + STUCK_EVERY


def test_a_malformed_envelope_of_a_cursor_is_counted() -> None:
    """And the cursor is as if it had been lost."""
    node = Node()
    node.journal.add(2)
    nonce = node.beacon().nonce
    node.publisher.receive(0.0, node.cursor(nonce)._replace(envelope=b"\xc1"))
    assert batches(node, 0.0) == 0 and node.counters == {"malformed message": 1}
