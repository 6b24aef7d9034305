"""What peers may subscribe to, how it is counted, and that those who ask for too much cost nothing for long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from tabard.brokers import sockets, subscriptions
from tabard.brokers.loop import Loop
from tabard.brokers.outlet import Outlet
from tabard.brokers.sockets import Sockets
from tabard.brokers.subscriptions import Step, Subscriptions, is_down, is_up
from tabard.brokers.wire import topics

SHARD = topics.up_subscription("main", 7)


@pytest.mark.parametrize("shard", [0, 63])
def test_what_recorders_ask_for_is_taken(shard: int) -> None:
    """A shard of a sink, and what lies below it."""
    asked = topics.up_subscription("main", shard)
    assert is_up(asked)
    assert is_up(asked + b"hq/dmz/web1/logs/")
    assert is_up(b"u/main/")
    assert not is_down(asked)


def test_what_nodes_and_brokers_ask_for_is_taken() -> None:
    """A node, a zone, one sink's hellos, all of them, heartbeats."""
    deep = "/".join("abcdefgh")
    asked = [
        topics.down_topic(deep, "web1"),
        topics.zone_subscription("hq"),
        topics.all_topic("main"),
        b"a/",
    ]
    assert all(is_down(topic) and not is_up(topic) for topic in asked)
    assert is_down(b"l/")
    assert is_up(b"l/")  # brokers above ask for heartbeats, too


@pytest.mark.parametrize(
    "topic",
    [b"", b"u/", b"u/main/0", b"u/main/00", b"u/MAIN/00/", b"u//00/", b"x/", b"d/", b"d/hq", b"l", b"l/b1/", b"a/b/c/",
     b"u/main/00/" + b"a/" * 10, b"d/" + b"a/" * 10, b"u/main/00/hq//", b"d/\xff/", b"a/main/\n", b"d/" + b"a" * 1100 + b"/"],
)  # fmt: skip
def test_nothing_else_is(topic: bytes) -> None:
    """Neither everything, nor what is no topic's beginning up to a slash."""
    assert not is_up(topic)
    assert not is_down(topic)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([SHARD, topics.up_subscription("x", 1), b"no"]))))
def test_the_first_and_the_last_are_told(said: list[tuple[bool, bytes]]) -> None:
    """Against a plain count of who asks: one that takes back what it never had changes nothing."""
    asked = Subscriptions(up=True)
    model: Counter[bytes] = Counter()
    for more, topic in said:
        step = asked.hear((b"\1" if more else b"\0") + topic)
        if topic == b"no":
            assert step is (Step.REFUSE if more else Step.IGNORE)
        elif more:
            model[topic] += 1
            assert step is (Step.FIRST if model[topic] == 1 else Step.MORE)
        elif not model[topic]:
            assert step is Step.IGNORE
        else:
            model[topic] -= 1
            assert step is (Step.LESS if model[topic] else Step.LAST)
    assert asked.refused == sum(more and topic == b"no" for more, topic in said)
    assert set(asked.topics) == {topic for topic, count in model.items() if count}


class Peers:
    """An outlet in its loop, and subscribers that connect to it."""

    def __init__(self, directory: Path) -> None:
        self.loop = Loop()
        self.made = Sockets()
        self.counters: Counter[str] = Counter()
        self.told: list[bytes] = []
        self.end = f"ipc://{directory}/end"
        self.outlet = Outlet(self.made, self.loop, "up_out", self.end, (), self.counters, self.told.append)

    def subscriber(self, *asked: bytes) -> zmq.Socket[bytes]:
        """A peer that asks for these."""
        peer = self.made.subscriber()
        for topic in asked:
            peer.subscribe(topic)
        self.made.connect(peer, self.end)
        return peer

    def heard(self, peer: zmq.Socket[bytes], topic: bytes) -> list[bytes] | None:
        """What a peer hears of a message that is said until it does, or until the counters stand still."""
        for _ in range(400):
            self.outlet.send([topic, b"body"])
            self.loop.turn(0.02)
            if peer.poll(0):
                return sockets.receive(peer)
        return None


@pytest.fixture
def peers(tmp_path: Path) -> Iterator[Peers]:
    """In a directory of this user alone."""
    tmp_path.chmod(0o700)
    made = Peers(tmp_path)
    yield made
    made.made.close()
    made.loop.close()


def test_who_asked_hears(peers: Peers) -> None:
    """And below it is told once, however many ask."""
    one, two = peers.subscriber(SHARD), peers.subscriber(SHARD)
    assert peers.heard(one, SHARD + b"x/") == [SHARD + b"x/", b"body"]
    assert peers.heard(two, SHARD + b"x/")
    assert peers.told == [b"\1" + SHARD]


def test_who_asked_for_everything_hears_nothing(peers: Peers) -> None:
    """It is counted; another peer on the same socket is not troubled."""
    greedy, modest = peers.subscriber(b""), peers.subscriber(SHARD)
    assert peers.heard(modest, SHARD)
    assert peers.counters["up_out dropped: subscription to no topic there is"] == 1
    assert sockets.receive(greedy) is None


def test_peers_are_cut_off_when_one_asks_too_much_and_come_back(
    peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was told below is taken back; who means it is there again a moment later."""
    monkeypatch.setattr(subscriptions, "MOST", 50)
    modest = peers.subscriber(SHARD)
    assert peers.heard(modest, SHARD)
    before = peers.outlet.socket
    greedy = peers.subscriber(*(topics.up_subscription(f"s{number}", 1) for number in range(60)))
    while not peers.counters["up_out dropped: all peers, too many subscriptions"]:
        peers.loop.turn(1.0)
    greedy.close()
    assert before.closed
    assert b"\0" + SHARD in peers.told
    while sockets.receive(modest):
        pass
    assert peers.heard(modest, SHARD)
    assert peers.told[-1] == b"\1" + SHARD


def test_what_is_another_s_is_barred_and_takes_nothing_from_whom_it_is() -> None:
    """Asked for and taken back by who may not, by name or by libzmq in nobody's name: the owner's stays."""
    asked = Subscriptions(up=True)
    assert asked.hear(b"\1" + SHARD) is Step.FIRST
    assert asked.hear(b"\0" + SHARD, may=False) is Step.IGNORE  # it never had asked
    assert asked.hear(b"\1" + SHARD, may=False) is Step.BAR
    assert asked.hear(b"\0" + SHARD, may=False) is Step.IGNORE
    assert asked.hear(b"\1" + SHARD, may=False) is Step.BAR
    assert asked.hear(b"\0" + SHARD, may=None) is Step.IGNORE  # it left
    assert asked.topics == {SHARD: 1}
    assert asked.hear(b"\0" + SHARD, may=None) is Step.LAST
    assert asked.refused == 2


def test_an_owner_that_leaves_first_is_taken_back_when_the_other_has_left() -> None:
    """Nobody knows whose it is that libzmq takes back: so it is kept a while too long rather than lost."""
    asked = Subscriptions(up=True)
    asked.hear(b"\1" + SHARD)
    asked.hear(b"\1" + SHARD, may=False)
    assert asked.hear(b"\0" + SHARD, may=None) is Step.IGNORE
    assert asked.hear(b"\0" + SHARD, may=None) is Step.LAST
    assert not asked.topics


def test_who_asks_for_what_is_another_s_too_often_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was barred is remembered by libzmq as well."""
    monkeypatch.setattr(subscriptions, "MOST_REFUSED", 3)
    asked = Subscriptions(up=True)
    for _ in range(4):
        assert not asked.too_many
        asked.hear(b"\1" + SHARD, may=False)
    assert asked.too_many
