"""The links of one broker to the brokers above and below it: who is there, and what each lane of each link lost.

Pure: the broker's sockets hand in what passes, and what neighbours say of themselves. A neighbour below is known from the
first heartbeat that it sends up, which those of earlier editions do not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tabard.brokers.hops import Compared, Sending
from tabard.brokers.pair import MISSED
from tabard.brokers.wire import topics
from tabard.brokers.wire.heartbeat import Heartbeat, decode_heartbeat, encode_heartbeat
from tabard.brokers.wire.tally import BOOT_BYTES, Tally, Told, decode_tally, encode_tally
from tabard.brokers.wire.topics import link_topic
from tabard.errors import WireError
from tabard.names import zone_within

MOST_PEERS: Final = 64
"""Brokers below, and brokers above, that are known at a time; beyond it those that are not heard make room."""
_CACHED_TOPICS: Final = 20_000


@dataclass
class Peer:
    """A broker at the other end of a link."""

    beat: Heartbeat
    heard: float
    """Monotonic seconds of its last heartbeat."""
    since: float
    """Since when it is heard without a break."""
    taken: Compared = field(default_factory=Compared)
    """What came from it."""
    given: Told | None = None
    """What it says that it compared of what was sent to it."""
    ways: int = 1
    """How many brokers above it it knows."""
    counts: dict[str, int] = field(default_factory=dict)
    """Messages that came from it, by key."""

    def is_heard(self, now: float) -> bool:
        """Whether fewer than three of its heartbeats were missed."""
        return now - self.heard <= MISSED * self.beat.interval


class Links:
    """Counts what passes, and compares.

    Args:
        name: of the broker.
        zone: that it forwards for.
        boot: 8 random bytes of this start.
        counters: the broker's, for what should not happen.
        is_asked: whether the broker itself asked for `SINK`, `SHARD` from below.
    """

    def __init__(
        self,
        name: str,
        zone: str,
        boot: bytes,
        counters: Counter[str],
        is_asked: Callable[[str, str], bool] = lambda _sink, _shard: True,
    ) -> None:
        if len(boot) != BOOT_BYTES:
            raise ValueError(f"expected {BOOT_BYTES} bytes, found {len(boot)}")
        self.name = name
        self.zone = zone
        self.ways = 1
        """How many brokers above it the broker knows."""
        self._boot = boot
        self._counters = counters
        self._is_asked = is_asked
        self._below: dict[bytes, Peer] = {}
        self._above: dict[bytes, Peer] = {}
        self._up = Sending()
        self._down = Sending()
        self._up_keys: dict[bytes, str] = {}
        self._down_keys: dict[bytes, tuple[str, ...]] = {}

    # --- what passes -----------------------------------------------------------------------

    def came_up(self, topic: bytes, hops: bytes) -> None:
        """A message came from below."""
        if not hops:  # from a node
            return
        peer = self._below.get(hops.rpartition(b"/")[2])
        if peer is not None:
            key = self._up_key(topic)
            peer.counts[key] = peer.counts.get(key, 0) + 1

    def sent_up(self, topic: bytes) -> None:
        """A message was handed to the socket above."""
        key = self._up_key(topic)
        counts = self._up.counts
        counts[key] = counts.get(key, 0) + 1

    def came_down(self, hops: bytes) -> None:
        """A message came from above."""
        peer = self._above.get(hops.rpartition(b"/")[2]) if hops else None
        if peer is not None:
            peer.counts[""] = peer.counts.get("", 0) + 1

    def sent_down(self, topic: bytes) -> None:
        """A message was handed to the socket below."""
        keys = self._down_keys.get(topic)
        if keys is None:
            keys = self._children_of(topic)
        for key in keys:
            self._down.counts[key] += 1

    def _up_key(self, topic: bytes) -> str:
        key = self._up_keys.get(topic)
        if key is None:
            try:
                parsed = topics.parse_up(topic)
                key = f"{parsed.sink}/{parsed.shard:02d}"
            except WireError:
                return ""  # it will be dropped, and no tally names it
            if len(self._up_keys) >= _CACHED_TOPICS:
                self._up_keys.clear()
            self._up_keys[topic] = key
        return key

    def _children_of(self, topic: bytes) -> tuple[str, ...]:
        """The brokers below that asked for a topic: all of them, or those by whose zone it goes."""
        target = topics.parse_down(topic)
        keys = tuple(
            peer.beat.broker
            for peer in self._below.values()
            if target is None or zone_within(target[0], peer.beat.zone)
        )
        if len(self._down_keys) >= _CACHED_TOPICS:
            self._down_keys.clear()
        self._down_keys[topic] = keys
        return keys

    # --- who is there ----------------------------------------------------------------------

    def joined_above(self, topic: bytes) -> None:
        """A peer of the socket above asks for a topic: brokers do so for heartbeats whenever they connect."""
        if topic == topics.LINK_PREFIX:
            self._up.joined()

    def joined_below(self, topic: bytes) -> None:
        """A peer of the socket below asks for a topic: a broker does so for its zone whenever it connects."""
        for peer in self._below.values():
            if topic == topics.zone_subscription(peer.beat.zone):
                self._down.joined(peer.beat.broker)

    def left_above(self, topic: bytes) -> None:
        """Nobody above asks for a topic any more, so those below are not asked for it, either."""
        prefix = topic.removeprefix(topics.UP_PREFIX).decode("ascii", "replace").removesuffix("/")
        for peer in self._below.values():
            peer.taken.drop(prefix if "/" in prefix else f"{prefix}/")

    def hear_below(self, now: float, frames: list[bytes]) -> None:
        """A heartbeat came from below."""
        said = self._read("up", frames)
        if said is None:
            return
        beat, tally = said
        if beat.broker == self.name or not zone_within(beat.zone, self.zone):
            why = "loop" if beat.broker == self.name else "zone outside this broker's"
            self._counters[f"up dropped: heartbeat, {why}"] += 1
            return
        known = self._below.get(beat.broker.encode())
        if known is None or known.beat.zone != beat.zone:
            if not self._make_room(now, self._below, beat.broker):
                self._counters["up dropped: heartbeat, too many brokers"] += 1
                return
            self._down.counts[beat.broker] = 0
            self._down.joined(beat.broker)
            self._down_keys.clear()
        peer = self._heard(now, self._below, beat)
        if tally is not None:
            self._take(now, "up", peer, tally, lambda key: self._came_under(peer, key))

    def hear_above(self, now: float, frames: list[bytes]) -> None:
        """A heartbeat came with what a parent hands down."""
        said = self._read("down", frames)
        if said is None or said[0].broker == self.name:
            return
        beat, tally = said
        raw = beat.broker.encode()
        if raw not in self._above:  # another one took the place of a parent that is left
            self._above = {name: peer for name, peer in self._above.items() if peer.is_heard(now)}
            if not self._make_room(now, self._above, beat.broker):
                return
        peer = self._heard(now, self._above, beat)
        if tally is not None:
            mine = tuple(row for row in tally.sent if row.key == self.name)
            self._take(now, "down", peer, tally._replace(sent=mine), lambda _key: peer.counts.get("", 0))

    def _read(self, lane: str, frames: list[bytes]) -> tuple[Heartbeat, Tally | None] | None:
        head, body = (frames[2], frames[4]) if len(frames) > 4 else (b"", b"")
        try:
            beat, tally = decode_heartbeat(head), decode_tally(body)
            if frames[0] == link_topic(beat.broker):
                return beat, tally
            self._counters[f"{lane} refused: a heartbeat of another broker"] += 1
            return None
        except WireError:
            self._counters[f"{lane} dropped: malformed heartbeat or tally"] += 1
            return None

    def _came_under(self, peer: Peer, key: str) -> int | None:
        sink, _, shard = key.partition("/")
        return peer.counts.get(key, 0) if self._is_asked(sink, shard) else None

    def _make_room(self, now: float, peers: dict[bytes, Peer], name: str) -> bool:
        """Whether there is room for one more."""
        if name.encode() in peers or len(peers) < MOST_PEERS:
            return True
        silent = [peer for peer in peers.values() if not peer.is_heard(now)]
        if not silent:
            return False
        gone = min(silent, key=lambda peer: peer.heard).beat.broker
        del peers[gone.encode()]
        self._down.forget(gone)
        self._down_keys.clear()
        return True

    @staticmethod
    def _heard(now: float, peers: dict[bytes, Peer], beat: Heartbeat) -> Peer:
        peer = peers.get(beat.broker.encode())
        if peer is None:
            peer = peers[beat.broker.encode()] = Peer(beat, now, now)
        elif not peer.is_heard(now):
            peer.since = now
        peer.beat, peer.heard = beat, now
        return peer

    def _take(
        self, now: float, lane: str, peer: Peer, tally: Tally, received: Callable[[str], int | None]
    ) -> None:
        name = peer.beat.broker
        if tally.boot != peer.taken.boot:
            peer.given = None
        lost, doubled = peer.taken.take(now, (peer.beat.number, peer.beat.interval), tally, received)
        if lost:
            self._counters[f"{lane} lost on the link from {name}"] += lost
        if doubled:
            self._counters[f"{lane} came twice on the link from {name}"] += doubled
        peer.ways = tally.ways
        peer.given = next((told for told in tally.told if told.peer == self.name), peer.given)

    # --- what is said of it ----------------------------------------------------------------

    def beat_below(self, beat: Heartbeat, envelope: bytes = b"") -> list[bytes]:
        """The heartbeat for all below."""
        return encode_heartbeat(beat, self._tally(self._down, self._below), envelope)

    def beat_above(
        self, beat: Heartbeat, envelope: bytes = b"", recorders: Sequence[Told] = ()
    ) -> list[bytes]:
        """The heartbeat for those above; `recorders`: what was compared of what they sent."""
        return encode_heartbeat(beat, self._tally(self._up, self._above, recorders), envelope)

    def _tally(self, sending: Sending, peers: dict[bytes, Peer], recorders: Sequence[Told] = ()) -> bytes:
        told = tuple(
            Told(peer.beat.broker, peer.taken.sent, peer.taken.received)
            for peer in peers.values()
            if peer.taken.begun
        )
        return encode_tally(Tally(self._boot, sending.rows(), (*told, *recorders), self.ways))

    def status(self, now: float, wall: int) -> list[dict[str, Any]]:
        """Of each link: the other end, whether and since when it is heard, what was compared of each lane.

        Times are nanoseconds since 1970 UTC. A lane is None while nothing was compared of it.
        """
        return [
            {
                "peer": peer.beat.broker,
                "zone": peer.beat.zone,
                "side": side,
                "heard": wall - round((now - peer.heard) * 1e9),
                "since": wall - round((now - peer.since) * 1e9),
                "is_heard": peer.is_heard(now),
                "well": peer.is_heard(now) and peer.beat.above,
                "ways": peer.ways,
                "up": taken if side == "below" else given,
                "down": given if side == "below" else taken,
            }
            for side, peers in (("above", self._above), ("below", self._below))
            for peer in peers.values()
            for taken, given in [(_lane(peer.taken), _told(peer.given))]
        ]


def _lane(compared: Compared) -> dict[str, int] | None:
    return {"sent": compared.sent, "received": compared.received} if compared.begun else None


def _told(told: Told | None) -> dict[str, int] | None:
    return {"sent": told.sent, "received": told.received} if told is not None else None
