"""The shards whose nodes a sink's worker serves, and by which call it calls them.

A call is a hello with a session that its nodes have not heard: each of them sends a beacon soon. Shards that were
gained together share a call, which is repeated as it is; so a node that was moved and came back hears a new one, and
nobody else is bothered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

from tabard.brokers.delivery.ports import Claim, NodeKey
from tabard.brokers.delivery.seal import Seal, sealed
from tabard.brokers.wire import topics
from tabard.brokers.wire.messages import ALL_SHARDS, SESSION_BYTES, Hello, Message, encode_hello

EVERYTHING: Final[Mapping[int, Claim | None]] = dict.fromkeys(range(topics.SHARDS))
"""All shards, for whoever has its store alone and needs no leases."""
CALL_EVERY: Final = 1.0
"""Seconds between two calls to a node that sends in a session nobody knows."""


class Territory:
    """Which shards are held, under which claims, until when."""

    def __init__(
        self, sink: str, seal: Seal, entropy: Callable[[int], bytes], claims: Mapping[int, Claim | None]
    ) -> None:
        self.claims: dict[int, Claim | None] = {}
        self.until = float("inf")
        """Monotonic seconds: what comes later is not for this worker, unless the leases were renewed by then."""
        self._sink = sink
        self._seal = seal
        self._entropy = entropy
        self._calls: dict[int, bytes] = {}
        self._called: dict[NodeKey, float] = {}
        self.gain(claims)

    def holds(self, shard: int, now: float) -> bool:
        """Whether a message of that shard is for this worker."""
        return shard in self.claims and now < self.until

    def share(self, whole: int, without: Collection[int] = ()) -> int:
        """The part of `whole` that goes with what is held, `without` some."""
        held = len(self.claims.keys() - set(without))
        return whole * held // topics.SHARDS

    def gain(self, claims: Mapping[int, Claim | None]) -> None:
        """Serve more shards, or the same ones under other claims, by a new call."""
        self.claims.update(claims)
        self._calls.update(dict.fromkeys(claims, self._entropy(SESSION_BYTES)))

    def lose(self, parts: Collection[int]) -> None:
        """Serve them no more."""
        for part in parts:
            self.claims.pop(part, None)
            self._calls.pop(part, None)

    def renew_calls(self) -> None:
        """What nodes heard from here does not hold any more: call all of them anew."""
        self._calls = dict.fromkeys(self.claims, self._entropy(SESSION_BYTES))

    def hellos(self) -> list[Message]:
        """The calls, one for each set of shards that was gained together; each may be sent any number of times."""
        masks: dict[bytes, int] = {}
        for shard, call in self._calls.items():
            masks[call] = masks.get(call, 0) | 1 << shard
        return [self._hello(call, mask, topics.all_topic(self._sink)) for call, mask in masks.items()]

    def call(self, now: float, key: NodeKey) -> list[Message]:
        """A call to one node alone, by a session of its own; nothing when it was just called."""
        if now - self._called.get(key, float("-inf")) < CALL_EVERY:
            return []
        self._called[key] = now
        return [self._hello(self._entropy(SESSION_BYTES), ALL_SHARDS, topics.down_topic(key.zone, key.node))]

    def _hello(self, call: bytes, shards: int, topic: bytes) -> Message:
        head = encode_hello(Hello(self._sink, call, shards))
        return sealed(self._seal, topic, head)
