"""What a key may do at which end, as a table: everything that is not written here is refused."""

from __future__ import annotations

import itertools

import pytest

from tabard.brokers import rights
from tabard.brokers.trust.certificates import ROLES, Certificate
from tabard.brokers.trust.keys import PrivateKey
from tabard.brokers.wire import topics
from tabard.brokers.wire.command import Command, encode_command
from tabard.brokers.wire.messages import Hello, encode_hello
from tabard.brokers.wire.topics import UpTopic

KEY = PrivateKey.from_seed(bytes(32)).public
COMMANDED = encode_command(Command("desk", "web1", bytes(32), bytes(8), 1))
HERE = "hq/dmz"
"""The zone of the broker that is asked."""
ZONES = ("hq", "hq/dmz", "hq/dmz/cell", "hq/dmz2", "hq/office", "other")
MAY = {
    ("up_in", "node"): {"hq/dmz", "hq/dmz/cell"},
    ("up_in", "broker"): {"hq/dmz", "hq/dmz/cell"},
    ("down_out", "node"): {"hq/dmz", "hq/dmz/cell"},
    ("down_out", "broker"): {"hq/dmz", "hq/dmz/cell"},
    ("up_out", "recorder"): {"hq", "hq/dmz"},
    ("up_out", "broker"): {"hq", "hq/dmz"},
    ("down_in", "recorder"): {"hq", "hq/dmz"},
    ("down_in", "broker"): {"hq", "hq/dmz"},
    ("down_in", "dispatcher"): {"hq", "hq/dmz"},
}


def of(role: str, zone: str = HERE, name: str = "web1", sinks: tuple[str, ...] = ("main",)) -> Certificate:
    """A certificate."""
    return Certificate(role, name, zone, KEY, KEY.key_id, 1, 0, 2, () if role == "broker" else sinks)


@pytest.mark.threat("stranger-on-a-port")
@pytest.mark.parametrize(("end", "role"), list(itertools.product(rights.WHO, ROLES)))
def test_who_may_connect(end: str, role: str) -> None:
    """Every role at every end from every zone: `hq/dmz2` is not within `hq/dmz`, whatever its letters say."""
    may = {zone for zone in ZONES if rights.refusal(end, of(role, zone), HERE) is None}
    assert may == MAY.get((end, role), set())


@pytest.mark.threat("naming-another-at-a-hop")
@pytest.mark.parametrize(
    ("peer", "zone", "node", "hops", "may"),
    [
        (of("node"), HERE, "web1", (), True),
        (of("node"), HERE, "web10", (), False),
        (of("node"), HERE, "web", (), False),
        (of("node"), "hq", "web1", (), False),
        (of("node"), "hq/dmz/cell", "web1", (), False),
        (of("node"), HERE, "web1", ("web1",), False),
        (of("broker", name="b1"), HERE, "any", ("b1",), True),
        (of("broker", name="b1"), "hq/dmz/cell", "any", ("b0", "b1"), True),
        (of("broker", name="b1"), HERE, "any", ("b1", "b0"), False),
        (of("broker", name="b1"), HERE, "any", (), False),
        (of("broker", name="b1"), "hq", "any", ("b1",), False),
        (of("broker", name="b1"), "hq/dmz2", "any", ("b1",), False),
        (of("recorder"), HERE, "web1", (), False),
        (of("operator"), HERE, "web1", (), False),
        (of("zone"), HERE, "web1", (), False),
    ],
)
def test_what_may_go_up(peer: Certificate, zone: str, node: str, hops: tuple[str, ...], *, may: bool) -> None:
    """A node's own, a broker's zone with itself as the last hop; of anybody else nothing."""
    topic = UpTopic("main", topics.shard_of(node), zone, node, "logs")
    assert (rights.up_refusal(peer, topic, hops) is None) is may


@pytest.mark.threat("naming-another-at-a-hop")
@pytest.mark.parametrize(
    ("peer", "topic", "may"),
    [
        (of("recorder"), b"d/hq/dmz/web1/", True),
        (of("recorder"), b"a/main/", True),
        (of("recorder"), b"a/mai/", False),
        (of("recorder"), b"a/main2/", False),
        (of("broker"), b"a/any/", True),
        (of("broker"), b"d/hq/dmz/web1/", True),
        (of("node"), b"d/hq/dmz/web1/", False),
        (of("node"), b"a/main/", False),
    ],
)
def test_what_may_go_down(peer: Certificate, topic: bytes, *, may: bool) -> None:
    """A recorder says hello for its own sink; a node says nothing there."""
    assert (rights.down_refusal(peer, topic, b"") is None) is may


@pytest.mark.threat("naming-another-at-a-hop")
@pytest.mark.parametrize(
    ("topic", "head", "may"),
    [
        (b"d/hq/dmz/web1/", COMMANDED, True),
        (b"a/main/", COMMANDED, False),
        (b"l/web1/", COMMANDED, False),
        (b"d/hq/dmz/web1/", encode_hello(Hello("main", b"session.")), False),
        (b"d/hq/dmz/web1/", b"", False),
    ],
)
def test_a_dispatcher_sends_commands_and_nothing_else(topic: bytes, head: bytes, *, may: bool) -> None:
    """No cursor, no retirement, no hello: those are of a recorder."""
    assert (rights.down_refusal(of("dispatcher"), topic, head) is None) is may


@pytest.mark.threat("anothers-topic")
@pytest.mark.parametrize(
    ("peer", "topic", "may"),
    [
        (of("recorder"), b"u/main/", True),
        (of("recorder"), b"u/main/07/", True),
        (of("recorder"), b"u/main2/", False),
        (of("recorder"), b"u/mai/", False),
        (of("recorder"), b"l/", True),
        (of("node"), b"l/", False),
        (of("broker"), b"u/any/07/", True),
        (of("broker"), b"l/", True),
        (of("node"), b"u/main/", False),
    ],
)
def test_what_may_be_asked_for_upwards(peer: Certificate, topic: bytes, *, may: bool) -> None:
    """A recorder its own sink and heartbeats, a broker any."""
    assert rights.may_ask_up(peer, topic) is may


@pytest.mark.threat("anothers-topic")
@pytest.mark.parametrize(
    ("peer", "topic", "may"),
    [
        (of("node"), b"d/hq/dmz/web1/", True),
        (of("node"), b"d/hq/dmz/web10/", False),
        (of("node"), b"d/hq/dmz/", False),
        (of("node"), b"d/hq/dmz/web1/x/", False),
        (of("node"), b"a/main/", True),
        (of("node"), b"a/other/", False),
        (of("node"), b"a/", False),
        (of("node"), b"l/", True),
        (of("broker"), b"d/hq/dmz/", True),
        (of("broker"), b"d/hq/dmz/cell/", True),
        (of("broker"), b"d/hq/dmz2/", False),
        (of("broker"), b"d/hq/", False),
        (of("broker"), b"a/", True),
        (of("broker"), b"l/", True),
        (of("recorder"), b"d/hq/dmz/web1/", False),
        (of("recorder"), b"a/main/", False),
    ],
)
def test_what_may_be_asked_for_downwards(peer: Certificate, topic: bytes, *, may: bool) -> None:
    """A node its own topic to the letter, the hellos of its sinks and heartbeats; a broker its zone."""
    assert rights.may_ask_down(peer, topic) is may
