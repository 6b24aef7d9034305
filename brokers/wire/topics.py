"""Topics: the first frame of every message, which is all that subscriptions see.

=============================================  =================================================
``u/SINK/SHARD/ZONE.../NODE/STREAM/``          up: a batch of a stream, or ``beacon``
``d/ZONE.../NODE/``                            down: to one node
``a/SINK/``                                    down: to all nodes (a sink's hello)
``l/BROKER/``                                  down, one hop: a broker's heartbeat
=============================================  =================================================

Every topic ends in ``/``, so that a subscription to ``d/hq/web1/`` never matches ``web10``.
"""

from __future__ import annotations

import functools
from typing import Final, NamedTuple
from zlib import crc32

from tabard.brokers.wire.streams import STREAM_NAMES
from tabard.errors import WireError
from tabard.names import MAX_ZONE_DEPTH, NAME

SHARDS: Final = 64
BEACON: Final = "beacon"
MAX_TOPIC: Final = 1024

UP_PREFIX: Final = b"u/"
DOWN_PREFIX: Final = b"d/"
ALL_PREFIX: Final = b"a/"
LINK_PREFIX: Final = b"l/"
"""Heartbeats of the brokers that one is connected to; they are never handed on."""

_REMEMBERED: Final = 8_192
"""Topics whose parts are remembered: four of each node."""
_LAST_PARTS: Final = frozenset({*STREAM_NAMES.values(), BEACON})


class UpTopic(NamedTuple):
    """The parts of an up topic."""

    sink: str
    shard: int
    zone: str
    node: str
    what: str
    """A stream's name, or ``beacon``."""


def shard_of(node: str) -> int:
    """The shard a node's records belong to, the same on every host and for ever."""
    return crc32(node.encode()) % SHARDS


def up_topic(sink: str, zone: str, node: str, what: str) -> bytes:
    """The topic of a stream's batches or of the beacons of a node."""
    return f"u/{sink}/{shard_of(node):02d}/{zone}/{node}/{what}/".encode()


def up_subscription(sink: str, shard: int) -> bytes:
    """What a recorder subscribes to for one shard."""
    return f"u/{sink}/{shard:02d}/".encode()


def down_topic(zone: str, node: str) -> bytes:
    """The topic of what goes to one node."""
    return f"d/{zone}/{node}/".encode()


def zone_subscription(zone: str) -> bytes:
    """What a broker subscribes to: its own zone and all zones below it."""
    return f"d/{zone}/".encode()


def all_topic(sink: str) -> bytes:
    """The topic on which a sink says hello to every node."""
    return f"a/{sink}/".encode()


def link_topic(broker: str) -> bytes:
    """The topic of a broker's heartbeats."""
    return f"l/{broker}/".encode()


@functools.lru_cache(maxsize=_REMEMBERED)
def parse_up(topic: bytes) -> UpTopic:
    """The parts of an up topic.

    Raises:
        WireError: not an up topic, a wrong shard, or a part that is no name.
    """
    parts = _parts(topic)
    # u, sink, shard, zone 1 to 8 parts, node, what, ""
    if not (7 <= len(parts) <= 6 + MAX_ZONE_DEPTH and parts[0] == "u" and parts[-1] == ""):
        raise WireError("not an up topic", expected="u/SINK/SHARD/ZONE/NODE/STREAM/", found=repr(topic[:80]))
    node, what = parts[-3], parts[-2]
    names = (parts[1], *parts[3:-3], node)
    if not all(NAME.fullmatch(name) for name in names):
        raise WireError("an up topic with a part that is no name", expected="names", found=repr(topic[:80]))
    if parts[2] != f"{shard_of(node):02d}":
        raise WireError(
            "an up topic with a wrong shard", expected=f"{shard_of(node):02d}", found=parts[2][:8]
        )
    if what not in _LAST_PARTS:
        raise WireError("an up topic of an unknown stream", expected="a stream or beacon", found=what[:20])
    return UpTopic(parts[1], int(parts[2]), "/".join(parts[3:-3]), node, what)


def _parts(topic: bytes) -> list[str]:
    """The parts of a topic, none of one that is too long or not ASCII."""
    if len(topic) > MAX_TOPIC or not topic.isascii():
        return []
    return topic.decode("ascii").split("/")


def parse_down(topic: bytes) -> tuple[str, str] | None:
    """Zone and node of a down topic, None for a topic to all nodes.

    Raises:
        WireError: neither.
    """
    parts = _parts(topic)
    named = len(parts) >= 3 and parts[-1] == "" and all(NAME.fullmatch(part) for part in parts[1:-1])
    if named and parts[0] == "a" and len(parts) == 3:
        return None
    if named and parts[0] == "d" and 4 <= len(parts) <= 3 + MAX_ZONE_DEPTH:
        return "/".join(parts[1:-2]), parts[-2]
    raise WireError("not a down topic", expected="d/ZONE/NODE/ or a/SINK/", found=repr(topic[:80]))
