"""A sink's word that it is retired: who believes it, for how long, and what is said from then on."""

from __future__ import annotations

import pytest

from tabard.brokers.delivery.notes import BY_NODE, BY_SINK, MemoryNotes, Retirement
from tabard.brokers.delivery.publisher import FAREWELLS, Publisher
from tabard.brokers.delivery.ranges import Ranges
from tabard.brokers.delivery.seal import OpenSeal
from tabard.brokers.wire.messages import Message, Retire, decode_beacon, encode_retire
from tabard.brokers.wire.streams import LOGS
from tabard.errors import JournalError
from tests.unit.delivery.rig import EPOCH, NODE, NOON, Ends, MemoryJournal

WORD = Retirement(BY_SINK, "ada@hub", 7)


def told(
    nonce: bytes, *, sink: str = "main", node: str = NODE.node, retired: bool = True, seal: bytes = b""
) -> Message:
    """What a sink says."""
    head = encode_retire(Retire(sink, node, nonce, retired, 7, "ada@hub"))
    return Message(b"d/hq/web1/", b"", head, seal, b"", b"")


class Refusing(MemoryNotes):
    """Notes on a full disk."""

    def retire(self, sink: str, retirement: Retirement) -> None:
        """Refuse."""
        raise JournalError(f"no room to note {sink} {retirement}")


def publisher(notes: MemoryNotes | None = None, *sinks: str) -> Publisher:
    """A node with some records."""
    journal = MemoryJournal()
    journal.add(5)
    names = list(sinks or ("main", "other"))
    return Publisher(NODE, names, {LOGS: journal}, OpenSeal(), Ends().rng.randbytes, notes=notes)


def nonce_of(node: Publisher, sink: str = "main") -> bytes:
    """Of its next beacon to that sink."""
    found = [
        message for message in node.outgoing(0.0, NOON) if message.topic.startswith(f"u/{sink}/".encode())
    ]
    return decode_beacon(found[-1].head).nonce


def test_a_node_that_is_told_says_goodbye_and_nothing_more() -> None:
    """A few beacons without streams, which say since when and by whom; then silence, but for a new hello."""
    node = publisher()
    node.receive(0.0, told(nonce_of(node)))
    said = [
        decode_beacon(message.head)
        for now in range(120)
        for message in node.outgoing(float(now), NOON)
        if message.topic.startswith(b"u/main/")
    ]
    assert len(said) == FAREWELLS
    assert {beacon.streams for beacon in said} == {()}
    assert {(beacon.facts["retired"], beacon.facts["retired_by"]) for beacon in said} == {(7, BY_SINK)}
    assert node.sinks(120.0)["main"]["state"] == "retired"
    assert node.sinks(120.0)["other"]["state"] == "starting"


@pytest.mark.parametrize(
    ("message", "counter"),
    [
        (told(b"12345678"), "stale retirement"),
        (told(b"12345678", node="web2"), "retirement not for this node"),
        (told(b"12345678", sink="third"), "retirement not for this node"),
        (told(b"12345678", seal=b"signed"), "refused retirement: signed, and there are no keys here"),
        (told(b"1234567"), "malformed message"),
    ],
)
def test_what_nobody_may_say_changes_nothing(message: Message, counter: str) -> None:
    """Without a nonce of the node's own beacons, for another node, of another sink, with a signature nobody knows."""
    node = publisher()
    nonce_of(node)
    node.receive(0.0, message)
    assert node.counters[counter] == 1
    assert node.sinks(0.0)["main"]["state"] == "starting"


def test_an_old_word_cannot_be_replayed() -> None:
    """Neither that it is retired, once it is required again, nor that it is required, once it is retired."""
    node = publisher()
    first = told(nonce_of(node))
    node.receive(0.0, first)
    nonce = nonce_of(node)
    back = told(nonce, retired=False)
    node.receive(0.0, back)
    assert node.sinks(0.0)["main"]["state"] == "starting"
    node.receive(1.0, first)
    assert node.sinks(1.0)["main"]["state"] == "starting"
    assert node.counters["stale retirement"] == 1


@pytest.mark.parametrize("before", [False, True])
def test_what_the_people_of_a_node_say_the_sink_cannot_take_back(before: bool) -> None:
    """Also when it had said so before them; it is told by whose word that is now."""
    node = publisher()
    if before:
        node.receive(0.0, told(nonce_of(node)))
    node.retire(0.0, "main", Retirement(BY_NODE, "root", 3))
    node.receive(0.0, told(nonce_of(node), retired=False))
    assert node.sinks(0.0)["main"]["state"] == "retired"
    node.speak(1.0)
    facts = [
        decode_beacon(message.head).facts
        for message in node.outgoing(1.0, NOON)
        if message.topic.startswith(b"u/main/")
    ]
    assert [(each["retired"], each["retired_by"]) for each in facts] == [(3, BY_NODE)]


def test_a_sink_that_says_it_too_changes_nothing_that_the_people_of_a_node_said() -> None:
    """Theirs is the word that stands."""
    notes = MemoryNotes()
    node = publisher(notes)
    node.retire(0.0, "main", Retirement(BY_NODE, "root", 3))
    node.receive(0.0, told(nonce_of(node)))
    assert notes.retired()["main"] == Retirement(BY_NODE, "root", 3)


def test_a_word_that_cannot_be_noted_does_not_count() -> None:
    """It would be forgotten with the next start, and the journal let go of meanwhile."""
    node = publisher(Refusing())
    node.receive(0.0, told(nonce_of(node)))
    assert node.counters["retirement put off"] == 1
    assert node.sinks(0.0)["main"]["state"] == "starting"


def test_without_any_sink_the_journal_keeps_what_it_has() -> None:
    """Nobody has it."""
    notes = MemoryNotes()
    notes.retire("main", WORD)
    node = publisher(notes, "main")
    journal = node._journals[LOGS]
    assert isinstance(journal, MemoryJournal)
    node.retire(0.0, "main", WORD)
    node._release()
    assert journal.released == [{EPOCH: Ranges()}]
    assert node.deadline() == 0.0
    node.outgoing(0.0, NOON)
    assert node.deadline() == float("inf")


def test_a_retired_sink_answers_beacons_and_takes_nothing() -> None:
    """One of its nodes hears of it; what that sends in the meantime is dropped, and no credit is given."""
    ends = Ends()
    ends.journals[0].add(3)
    ends.settle(5.0)
    before = ends.ranges()
    ends.sink.retire(WORD)
    ends.journals[0].add(3)
    ends.settle(40.0)
    assert ends.ranges() == before
    assert ends.node.sinks(ends.now)["main"]["state"] == "retired"
    assert ends.sink.credit()["out"] == 0
