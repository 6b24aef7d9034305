"""The hop between a broker and the nodes right below it, by number."""

from __future__ import annotations

from collections import Counter

import pytest

from tabard.brokers import nodehops
from tabard.brokers.nodehops import DOWN_LOST, UP_DOUBLED, UP_LOST, NodeHops
from tabard.brokers.rising import is_trouble
from tabard.brokers.wire import topics
from tabard.brokers.wire.hop import Ascent, encode_ascent

ZONE, SINK = "hq/dmz", "main"


class Node:
    """Counts what it sends, and says so by its beacons."""

    def __init__(self, hops: NodeHops, name: str = "web1", boot: bytes = b"bootboot") -> None:
        self.hops, self.name, self.boot = hops, name, boot
        self.number = 0
        self.session = 0
        self.down = (0, 0)

    def batch(self, now: float, *, lost: bool = False) -> None:
        """Send one; it may get lost on the hop."""
        self._send(now, "logs", b"", lost=lost)

    def beacon(self, now: float, *, lost: bool = False) -> None:
        """The same of a beacon."""
        self._send(now, topics.BEACON, None, lost=lost)

    def _send(self, now: float, what: str, envelope: bytes | None, *, lost: bool) -> None:
        self.number += 1
        if envelope is None:
            envelope = encode_ascent(Ascent(self.boot, self.session, self.number, *self.down))
        if not lost:
            self.hops.came(now, [topics.up_topic(SINK, ZONE, self.name, what), envelope, b"", b"", b"", b""])


class Broker:
    """What a broker has of it."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.asked = True
        self.hops = NodeHops(self.counters, lambda _sink, _shard: self.asked)

    def lane(self, lane: str) -> tuple[int, int]:
        """Sent and received."""
        said = self.hops.status()[lane]
        return (said["sent"], said["received"]) if said else (0, 0)


@pytest.fixture
def broker() -> Broker:
    """One to which nothing was sent yet."""
    return Broker()


def talk(node: Node, begin: float, beacons: int, *, lost: int = 0) -> float:
    """Beacons with five batches between each two; of those of the first pause some get lost."""
    now = begin
    for _ in range(beacons):
        for number in range(5):
            node.batch(now, lost=number < lost)
        lost = 0
        now += 10.0
        node.beacon(now)
    return now


def test_what_a_node_sent_is_compared_with_what_came(broker: Broker) -> None:
    """Nothing is missing."""
    talk(Node(broker.hops), 0.0, 6)
    sent, received = broker.lane("up")
    assert sent == received > 10
    assert broker.hops.status()["worst"] == [] and not broker.counters


def test_what_was_lost_is_counted_for_its_node(broker: Broker) -> None:
    """And named in the status."""
    node, other = Node(broker.hops), Node(broker.hops, "web2")
    now = talk(node, 0.0, 4)
    talk(other, 0.0, 4)
    now = talk(node, now, 3, lost=3)
    assert broker.counters == {UP_LOST: 3}
    assert broker.hops.status()["worst"] == [{"node": "web1", "zone": ZONE, "up_lost": 3, "down_lost": 0}]
    sent, received = broker.lane("up")
    assert sent - received == 3
    assert broker.hops.status()["nodes"] == 2


def test_a_beacon_that_is_lost_is_a_message_like_any_other(broker: Broker) -> None:
    """The next one counts it."""
    node = Node(broker.hops)
    now = talk(node, 0.0, 4)
    node.beacon(now + 10.0, lost=True)
    talk(node, now + 10.0, 3)
    assert broker.counters == {UP_LOST: 1}


@pytest.mark.parametrize("how", ["connection", "restart"])
def test_a_connection_or_a_start_that_is_new_is_no_loss(broker: Broker, how: str) -> None:
    """What was on its way is in no session."""
    node = Node(broker.hops)
    now = talk(node, 0.0, 4)
    for _ in range(7):
        node.batch(now, lost=True)
    if how == "connection":
        node.session += 1
    else:
        node = Node(broker.hops, boot=b"bootnext")
    talk(node, now, 5)
    assert not broker.counters
    sent, received = broker.lane("up")
    assert sent == received


def test_what_nobody_asks_for_is_not_sent_and_not_missed(broker: Broker) -> None:
    """A recorder that is away: its nodes count what ZeroMQ lets nobody have."""
    node = Node(broker.hops)
    now = talk(node, 0.0, 4)
    broker.asked = False
    broker.hops.left(topics.up_subscription(SINK, topics.shard_of(node.name)))
    node.beacon(now)  # on its way just then
    for _ in range(9):
        node.beacon(now, lost=True)
    broker.asked = True
    talk(node, now, 5)
    assert not broker.counters


def test_what_comes_twice_is_told(broker: Broker) -> None:
    """As of a node that is connected twice."""
    node = Node(broker.hops)
    now = talk(node, 0.0, 4)
    broker.hops.came(now, [topics.up_topic(SINK, ZONE, node.name, "logs"), *[b""] * 5])
    talk(node, now, 3)
    assert broker.counters == {UP_DOUBLED: 1}


def test_what_the_node_lost_of_what_came_down_is_known_by_its_beacons(broker: Broker) -> None:
    """Of this start of the node and of those before, since the broker was started."""
    node = Node(broker.hops)
    node.down = (100, 90)  # before this broker heard of it
    node.beacon(0.0)
    node.down = (120, 105)
    node.beacon(10.0)
    node.beacon(10.1)
    assert broker.lane("down") == (20, 15) and broker.counters == {DOWN_LOST: 5}
    again = Node(broker.hops, boot=b"bootnext")
    again.down = (10, 10)
    again.beacon(20.0)
    assert broker.lane("down") == (30, 25) and broker.counters == {DOWN_LOST: 5}


def test_a_node_of_an_earlier_edition_says_nothing(broker: Broker) -> None:
    """It is known, and not compared."""
    for what in ("logs", topics.BEACON):
        broker.hops.came(0.0, [topics.up_topic(SINK, ZONE, "old", what), *[b""] * 5])
    assert broker.hops.status() == {"nodes": 1, "up": None, "down": None, "worst": []}


def test_a_malformed_envelope_is_counted(broker: Broker) -> None:
    """And changes nothing else."""
    topic = topics.up_topic(SINK, ZONE, "bad", topics.BEACON)
    broker.hops.came(0.0, [topic, b"\xc1", b"", b"", b"", b""])
    broker.hops.came(0.0, [b"nothing", b"", b"", b"", b"", b""])
    assert sum(broker.counters.values()) == 1


def test_the_number_of_nodes_is_bounded(monkeypatch: pytest.MonkeyPatch, broker: Broker) -> None:
    """Those not heard for longest make room."""
    monkeypatch.setattr(nodehops, "MOST", 5)
    for number in range(20):
        talk(Node(broker.hops, f"n{number}"), float(number), 3)
    assert broker.hops.status()["nodes"] == 5


def test_losses_are_faults_while_they_rise() -> None:
    """By the names of their counters."""
    assert all(map(is_trouble, (UP_LOST, UP_DOUBLED, DOWN_LOST)))
