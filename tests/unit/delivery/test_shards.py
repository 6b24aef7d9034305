"""A sink that has some of the shards: whom it serves, what it lends, what becomes of shards that it loses."""

from __future__ import annotations

from random import Random

import pytest

from tabard.brokers.delivery.ports import LeaseLost, NodeKey
from tabard.brokers.delivery.publisher import Publisher
from tabard.brokers.delivery.seal import OpenSeal
from tabard.brokers.delivery.sink import Sink
from tabard.brokers.wire.messages import ALL_SHARDS, Message, decode_hello
from tabard.brokers.wire.streams import LOGS
from tabard.brokers.wire.topics import SHARDS, shard_of
from tabard.consumers.store.sqlite import SqliteStore
from tests.unit.delivery.rig import NOON, MemoryJournal

WEB, DB = NodeKey("web1", "hq"), NodeKey("db1", "hq")


class Pair:
    """Two nodes of different shards, and a sink without leases in its store."""

    def __init__(self, budget: int = 64) -> None:
        self.now = 100.0
        self.store = SqliteStore.memory()
        rng = Random(1)
        self.sink = Sink("main", self.store, OpenSeal(), rng.randbytes, budget=budget, claims={})
        self.journals = {key: MemoryJournal(LOGS, key.node.encode().ljust(16)) for key in (WEB, DB)}
        self.nodes = {
            key: Publisher(key, ["main"], {LOGS: journal}, OpenSeal(), rng.randbytes)
            for key, journal in self.journals.items()
        }

    def settle(self, seconds: float = 15.0) -> None:
        """Let all talk for a while."""
        end = self.now + seconds
        while self.now < end:
            for node in self.nodes.values():
                for message in node.outgoing(self.now, NOON):
                    self.sink.receive(self.now, NOON, message)
            self.sink.flush(self.now, NOON)
            self.tell(self.sink.outgoing(self.now))
            self.now += 0.25

    def tell(self, messages: list[Message]) -> None:
        """Both hear everything."""
        for message in messages:
            for node in self.nodes.values():
                node.receive(self.now, message)

    def stored(self, key: NodeKey) -> int:
        """How far a node's log is stored."""
        epoch = key.node.encode().ljust(16)
        cursor = self.store.load(key, LOGS, [epoch]).get(epoch)
        return cursor.ranges.high if cursor else 0


@pytest.fixture
def pair() -> Pair:
    """New ones."""
    assert shard_of("web1") != shard_of("db1")
    return Pair()


def test_only_nodes_of_its_shards_are_served(pair: Pair) -> None:
    """What others say is counted; once their shard is gained they are called, and stored."""
    for journal in pair.journals.values():
        journal.add(5)
    pair.sink.gain({shard_of("web1"): None})
    pair.settle()
    assert (pair.stored(WEB), pair.stored(DB)) == (6, 0)
    assert pair.sink.counters["of a shard that is not held"] > 0
    pair.sink.gain({shard_of("db1"): None})
    pair.tell(pair.sink.hellos())
    pair.settle()
    assert (pair.stored(WEB), pair.stored(DB)) == (6, 6)


def test_after_the_end_of_the_lease_nothing_is_taken_in(pair: Pair) -> None:
    """By the own clock, whatever the store would say."""
    pair.sink.gain(dict.fromkeys(range(SHARDS)))
    pair.sink.territory.until = pair.now
    pair.settle(2.0)
    assert pair.sink.counters["sessions"] == 0
    assert pair.sink.counters["of a shard that is not held"] > 0


def test_credit_goes_by_the_part_of_the_shards(pair: Pair) -> None:
    """So that all recorders together lend no more than one alone would."""
    pair.sink.gain(dict.fromkeys(range(16)))
    assert pair.sink.credit()["budget"] == 16
    pair.sink.gain(dict.fromkeys(range(SHARDS)))
    assert pair.sink.credit()["budget"] == 64
    pair.sink.lose(range(48))
    assert pair.sink.credit()["budget"] == 16


def test_shards_are_shed_once_their_part_of_the_credit_is_back(pair: Pair) -> None:
    """What is out to others counts as the new owner's until then."""
    pair.sink.gain(dict.fromkeys(range(SHARDS)))
    for journal in pair.journals.values():
        journal.add(5)
    pair.settle(1.0)
    kept = {shard_of("web1")}
    node = next(node for key, node in pair.sink._nodes.items() if key == WEB)
    node.streams[LOGS].account.granted = node.streams[LOGS].account.used + 40
    gone = set(range(SHARDS)) - kept
    assert not pair.sink.shed(pair.now, gone)
    pair.settle(30.0)
    assert pair.sink.shed(pair.now, gone)


def test_what_is_lost_is_dropped_with_its_credit(pair: Pair) -> None:
    """And a node that comes back begins a new session, called by a session it has not heard."""
    pair.sink.gain(dict.fromkeys(range(SHARDS)))
    before = {decode_hello(hello.head).session for hello in pair.sink.hellos()}
    pair.settle(2.0)
    pair.sink.lose(range(SHARDS))
    assert pair.sink.credit()["out"] == 0
    assert pair.sink.hellos() == []
    pair.sink.gain({shard_of("web1"): None})
    (hello,) = [decode_hello(hello.head) for hello in pair.sink.hellos()]
    assert hello.session not in before
    assert hello.shards == 1 << shard_of("web1")
    pair.sink.gain(dict.fromkeys(set(range(SHARDS)) - {shard_of("web1")}))
    masks = [decode_hello(hello.head).shards for hello in pair.sink.hellos()]
    assert len(masks) == 2
    assert masks[0] | masks[1] == ALL_SHARDS
    assert not masks[0] & masks[1]


def test_a_shard_that_is_lost_in_a_commit_takes_nothing_along(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is of other shards is stored, and their nodes hear of it in the session they have."""
    pair.sink.gain(dict.fromkeys(range(SHARDS)))
    pair.settle(2.0)
    sessions = pair.sink.counters["sessions"]
    for journal in pair.journals.values():
        journal.add(5)
    commit = pair.store.commit

    def refusing(work: object, arrived: int) -> None:
        items = [item for item in work if item.key != DB]  # type: ignore[attr-defined]  # EpochWork
        commit(items, arrived)
        if len(items) < len(work):  # type: ignore[arg-type]  # a list
            raise LeaseLost({shard_of("db1")})

    monkeypatch.setattr(pair.store, "commit", refusing)
    pair.settle(5.0)
    assert (pair.stored(WEB), pair.stored(DB)) == (6, 1)
    assert pair.sink.refused == {shard_of("db1")}
    assert pair.sink.counters["sessions"] == sessions
    assert not pair.nodes[WEB].left()
    assert pair.sink.fault is None
