"""The decisions of a broker: which messages it hands on, and why it drops the others.

A broker keeps no durable state. It drops only what breaks the protocol, and counts every drop by its
reason. What a peer with a key may say is looked up in `rights`, what may pass the boundary of the zone in `policy.boundary`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from tabard.brokers import rights
from tabard.brokers.links import Links
from tabard.brokers.policy.boundary import Boundary
from tabard.brokers.trust.certificates import Certificate
from tabard.brokers.wire import topics
from tabard.brokers.wire.attested import MAX_ATTESTED
from tabard.brokers.wire.codec import MAX_HEAD
from tabard.brokers.wire.tally import BOOT_BYTES
from tabard.brokers.wire.topics import UpTopic
from tabard.errors import WireError
from tabard.names import zone_within

FRAMES: Final = 6
MAX_HOPS: Final = 8
MAX_HOPS_BYTES: Final = 1024
MAX_SMALL: Final = 256
"""Bytes of an envelope and of a signature."""
_MOST: Final = (MAX_SMALL, MAX_HEAD, MAX_SMALL, MAX_ATTESTED)
"""Bytes of envelope, head, signature and body."""
_CACHED_TOPICS: Final = 20_000

UpCheck = Callable[[UpTopic, tuple[str, ...]], str | None]
"""Why a batch or beacon must not pass, None when it may; the second argument is the hops before this one."""


class Forwarder:
    """Checks and rewrites messages of both lanes for one broker."""

    def __init__(
        self,
        name: str,
        zone: str,
        up_checks: Sequence[UpCheck] = (),
        is_asked: Callable[[str, str], bool] = lambda _sink, _shard: True,
    ) -> None:
        self.name = name
        self.zone = zone
        self.counters: Counter[str] = Counter()
        self.links = Links(name, zone, os.urandom(BOOT_BYTES), self.counters, is_asked)
        self.boundary: Boundary | None = None
        """What holds back or changes records on their way up; None in a home without keys, which has no policies."""
        self._own = name.encode()
        self._up_checks = tuple(up_checks)
        self._topics: dict[bytes, UpTopic] = {}
        self._down_topics: dict[bytes, None] = {}

    def up(self, frames: list[bytes], peer: Certificate | None = None) -> list[bytes] | None:
        """The message to send on the up lane, None when it is dropped.

        `peer`: whose connection it came over; None: of this user's own roles on this host.
        """
        self.counters["up received"] += 1
        hops = self._hops("up", frames)
        if hops is None:
            return None
        topic = self._up_topic(frames[0])
        if topic is None:
            return None
        foreign = rights.up_refusal(peer, topic, hops) if peer is not None else None
        if foreign is not None:
            self._refuse("up", foreign)
            return None
        for check in self._up_checks:
            reason = check(topic, hops)
            if reason is not None:
                self.counters[f"up dropped: {reason}"] += 1
                return None
        if self.boundary is not None and not self.boundary.passes(topic, frames):
            return None
        return self._passed("up", frames)

    def down(self, frames: list[bytes], peer: Certificate | None = None) -> list[bytes] | None:
        """The message to send on the down lane, None when it is dropped.

        `peer`: whose connection it came over; None: of a broker that was dialled, or of this user's own roles.
        """
        self.counters["down received"] += 1
        foreign = rights.down_refusal(peer, frames[0], b"".join(frames[2:3])) if peer is not None else None
        if foreign is not None:
            self._refuse("down", foreign)
            return None
        if self._hops("down", frames) is None or not self._down_topic(frames[0]):
            return None
        if self.boundary is not None and not self.boundary.descends(frames):
            return None
        return self._passed("down", frames)

    def _passed(self, lane: str, frames: list[bytes]) -> list[bytes]:
        hops = frames[5]
        frames[5] = hops + b"/" + self._own if hops else self._own
        self.counters[f"{lane} sent"] += 1
        if lane == "up":
            self.links.sent_up(frames[0])
        else:
            self.links.sent_down(frames[0])
        self.counters[f"{lane} bytes"] += len(frames[4]) + len(frames[2])
        return frames

    def _refuse(self, lane: str, reason: str) -> None:
        self.counters[f"{lane} refused: {reason}"] += 1

    def _drop(self, lane: str, reason: str) -> None:
        self.counters[f"{lane} dropped: {reason}"] += 1

    def _hops(self, lane: str, frames: list[bytes]) -> tuple[str, ...] | None:
        if len(frames) != FRAMES:
            self._drop(lane, "wrong number of frames")
            return None
        if lane == "up":  # what a link carried is counted, whatever becomes of it here
            self.links.came_up(frames[0], frames[5])
        else:
            self.links.came_down(frames[5])
        if any(len(frame) > most for frame, most in zip(frames[1:5], _MOST, strict=True)):
            self._drop(lane, "a frame too large")
            return None
        raw = frames[5]
        if not raw:
            return ()
        if len(raw) > MAX_HOPS_BYTES:
            self._drop(lane, "malformed hops")
            return None
        hops = raw.split(b"/")
        if self._own in hops:
            self._drop(lane, "loop")
            return None
        if len(hops) >= MAX_HOPS:
            self._drop(lane, "too many hops")
            return None
        return tuple(hop.decode("ascii", "replace") for hop in hops)

    def _up_topic(self, raw: bytes) -> UpTopic | None:
        topic = self._topics.get(raw)
        if topic is not None:
            return topic
        try:
            topic = topics.parse_up(raw)
        except WireError:
            self._drop("up", "malformed topic")
            return None
        if not zone_within(topic.zone, self.zone):
            self._drop("up", "zone outside this broker's")
            return None
        if len(self._topics) >= _CACHED_TOPICS:
            self._topics.clear()
        self._topics[raw] = topic
        return topic

    def _down_topic(self, raw: bytes) -> bool:
        if raw in self._down_topics:
            return True
        try:
            target = topics.parse_down(raw)
        except WireError:
            self._drop("down", "malformed topic")
            return False
        if target is not None and not zone_within(target[0], self.zone):
            self._drop("down", "zone outside this broker's")
            return False
        if len(self._down_topics) >= _CACHED_TOPICS:
            self._down_topics.clear()
        self._down_topics[raw] = None
        return True
