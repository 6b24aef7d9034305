"""A sink's calls for beacons: to all nodes when a session begins, to one that sends in a session nobody knows."""

from __future__ import annotations

from collections.abc import Callable

from tabard.brokers.delivery.ports import NodeKey
from tabard.brokers.delivery.seal import Seal
from tabard.brokers.wire import topics
from tabard.brokers.wire.messages import SESSION_BYTES, Hello, Message, encode_hello

CALL_EVERY = 1.0
"""Seconds between two calls to the same node."""


class Calls:
    """Makes the hellos of one sink."""

    def __init__(self, sink: str, seal: Seal, entropy: Callable[[int], bytes]) -> None:
        self._sink = sink
        self._seal = seal
        self._entropy = entropy
        self._called: dict[NodeKey, float] = {}

    def all(self, session: bytes) -> Message:
        """The call to every node that `session` has begun."""
        return self._hello(topics.all_topic(self._sink), session)

    def one(self, now: float, key: NodeKey) -> list[Message]:
        """The call to one node; nothing when it was called a moment ago."""
        if now - self._called.get(key, float("-inf")) < CALL_EVERY:
            return []
        self._called[key] = now
        return [self._hello(topics.down_topic(key.zone, key.node), self._entropy(SESSION_BYTES))]

    def _hello(self, topic: bytes, session: bytes) -> Message:
        head = encode_hello(Hello(self._sink, session))
        return Message(topic, b"", head, self._seal.sign(head), b"", b"")
