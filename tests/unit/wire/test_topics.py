"""Topics: what is made can be read, what is read was made, and a prefix matches no other node."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.brokers.wire import topics
from tabard.brokers.wire.streams import STREAM_IDS
from tabard.errors import WireError
from tabard.names import MAX_ZONE_DEPTH
from tests.unit.wire.messages import names, zones

whats = st.sampled_from([*sorted(STREAM_IDS), topics.BEACON])


@given(names, zones, names, whats)
def test_an_up_topic_is_read_as_it_was_made(sink: str, zone: str, node: str, what: str) -> None:
    """Sink, shard, zone of any depth, node and stream; a recorder of its shard is subscribed to it."""
    topic = topics.up_topic(sink, zone, node, what)
    shard = topics.shard_of(node)
    assert topics.parse_up(topic) == (sink, shard, zone, node, what)
    assert topic.startswith(topics.up_subscription(sink, shard))
    assert not topic.startswith(topics.up_subscription(sink, (shard + 1) % topics.SHARDS))
    with pytest.raises(WireError):
        topics.parse_down(topic)


@given(zones, names)
def test_a_down_topic_is_read_as_it_was_made(zone: str, node: str) -> None:
    """Its zone's broker and every broker above it are subscribed to it."""
    topic = topics.down_topic(zone, node)
    assert topics.parse_down(topic) == (zone, node)
    parts = zone.split("/")
    for depth in range(1, len(parts) + 1):
        assert topic.startswith(topics.zone_subscription("/".join(parts[:depth])))
    with pytest.raises(WireError):
        topics.parse_up(topic)


@given(names)
def test_the_topic_of_all_nodes_names_none(sink: str) -> None:
    """A sink's hello is for everyone."""
    assert topics.parse_down(topics.all_topic(sink)) is None


@given(zones, names, names)
def test_a_subscription_matches_one_node(zone: str, node: str, more: str) -> None:
    """`d/hq/web1/` is no beginning of what goes to `web10`."""
    longer = (node + more)[:63]
    matches = topics.down_topic(zone, longer).startswith(topics.down_topic(zone, node))
    assert matches == (longer == node)


@given(names)
def test_a_shard_is_the_same_everywhere(node: str) -> None:
    """CRC-32 modulo 64, as the protocol says, whatever the host."""
    assert topics.shard_of(node) == crc32(node.encode()) % 64


@pytest.mark.threat("path-as-name")
@pytest.mark.parametrize(
    ("topic", "said"),
    [
        (b"", "not an up topic"),
        (b"u/", "not an up topic"),
        (b"u/main/27/hq/web1/logs", "not an up topic"),
        (b"u/main/27/web1/logs/", "not an up topic"),
        (b"x/main/27/hq/web1/logs/", "not an up topic"),
        (b"u/main/27/" + b"z/" * (MAX_ZONE_DEPTH + 1) + b"web1/logs/", "not an up topic"),
        (b"u/main/27/hq/web1/logs/\xc3\xa4/", "not an up topic"),
        (b"u/" + b"a" * topics.MAX_TOPIC, "not an up topic"),
        (b"u/main/27/hq//web1/logs/", "no name"),
        (b"u/Main/27/hq/web1/logs/", "no name"),
        (b"u/main/27/../web1/logs/", "no name"),
        (b"u/main/27/hq/web 1/logs/", "no name"),
        (b"u/main/27/hq/web1\n/logs/", "no name"),
        (b"u/main/27/hq/" + b"w" * 64 + b"/logs/", "no name"),
        (b"u/main/xx/hq/web1/logs/", "wrong shard"),
        (b"u/main/028/hq/web1/logs/", "wrong shard"),
        (b"u/main//hq/web1/logs/", "wrong shard"),
        (b"u/main/SS/hq/web1/log/", "unknown stream"),
        (b"u/main/SS/hq/web1/beacons/", "unknown stream"),
    ],
)
def test_what_is_no_up_topic_is_refused(topic: bytes, said: str) -> None:
    """The error says which part is wrong, and shows at most some of what was found."""
    topic = topic.replace(b"SS", f"{topics.shard_of('web1'):02d}".encode())
    with pytest.raises(WireError) as refused:
        topics.parse_up(topic)
    assert said in str(refused.value)
    assert len(str(refused.value)) < 400


def test_every_other_shard_is_refused() -> None:
    """A node cannot send to the recorder of another shard."""
    right = topics.up_topic("main", "hq", "web1", "logs")
    own = topics.shard_of("web1")
    for shard in set(range(topics.SHARDS)) - {own}:
        with pytest.raises(WireError, match="wrong shard"):
            topics.parse_up(right.replace(f"/{own:02d}/".encode(), f"/{shard:02d}/".encode()))


@pytest.mark.threat("path-as-name")
@pytest.mark.parametrize(
    "topic",
    [
        b"",
        b"d",
        b"d/",
        b"a/",
        b"d/hq/web1",
        b"d/web1/",
        b"a/main",
        b"a/main/x/",
        b"d//web1/",
        b"d/hq/Web1/",
        b"d/hq/web1//",
        b"d/hq/../",
        b"d/hq/web1\n/",
        b"d/hq/\xc3\xa4/",
        b"d/" + b"z/" * (MAX_ZONE_DEPTH + 1) + b"web1/",
        b"d/hq/" + b"w" * 64 + b"/",
        b"D/hq/web1/",
    ],
    ids=repr,
)
def test_what_is_no_down_topic_is_refused(topic: Any) -> None:
    """Neither one node's nor all nodes'."""
    with pytest.raises(WireError, match="not a down topic"):
        topics.parse_down(topic)
