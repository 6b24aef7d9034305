"""The rate limits of one broker: which links a message crosses, and the caps that go down with a sink's cursors.

Pure: what passed comes in, caps come out. A link can be limited at its lower end (what this broker hands up to whoever is
above) and at its upper end (what comes from one broker below); by a policy, also all that comes out of a zone. What a
node may send is the least of what the links on its way let it.

Cursors come when the sink has something to say. So that a link goes on in between, the last cursor of each node is kept
and said again as it is, signed by its sink, with a new cap: a node takes of a cursor that it knows nothing but the cap.
Of the streams, control is never capped, and beacons are not either; both count as bytes that passed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from tabard.brokers.ratelimit import BURST_LEAST, Limit
from tabard.brokers.wire import topics
from tabard.brokers.wire.hop import Cap
from tabard.brokers.wire.messages import Cursor, decode_beacon, decode_cursor, decode_envelope
from tabard.brokers.wire.streams import CONTROL, STREAM_IDS
from tabard.brokers.wire.topics import UpTopic
from tabard.errors import WireError
from tabard.names import zone_within

SERVE_EVERY: Final = 0.1
"""Seconds between two looks at who waits."""
MOST: Final = 10_000
"""Nodes, by sink, whose last cursor is kept."""
_SHARED: Final = 64
"""Different credentials that are kept once for all cursors that bear them."""


class Node(NamedTuple):
    """Of whom a message is, and for which sink."""

    sink: str
    zone: str
    name: str


class Again(NamedTuple):
    """A cursor to be said again."""

    frames: list[bytes]
    caps: tuple[Cap, ...]


@dataclass
class _Known:
    """What is known of a node."""

    hop: str | None = None
    """The broker below that its messages come from; "" for none, None until one came."""
    limits: tuple[Limit, ...] = ()
    number: int = 0
    """Of the limits it was looked up in."""
    cursor: Cursor | None = None
    frames: list[bytes] | None = None
    """Of that cursor, as it was sent."""
    above: tuple[Cap, ...] = ()
    """The caps it came with."""


class Limiter:
    """All limits of a broker.

    Args:
        now: monotonic seconds.
        up: bytes a second that the broker hands up; 0 for any.
        links: bytes a second that come from a broker below, by its name.
        least: bytes of a burst, at least.
    """

    def __init__(
        self, now: float, up: int = 0, links: Mapping[str, int] | None = None, least: int = BURST_LEAST
    ) -> None:
        self._least = least
        self._up = Limit(up, now, least) if up else None
        self._links = {peer: Limit(rate, now, least) for peer, rate in (links or {}).items() if rate}
        self._zones: dict[str, Limit] = {}
        self._number = 0
        self._nodes: OrderedDict[Node, _Known] = OrderedDict()
        self._bodies: dict[bytes, bytes] = {}

    @property
    def active(self) -> bool:
        """Whether anything is limited."""
        return bool(self._up or self._links or self._zones)

    def limit_links(self, now: float, up: int, links: Mapping[str, int]) -> None:
        """From now on so many bytes a second are handed up, and come from brokers below; as at the start."""
        self._up = self._changed(now, self._up, up)
        self._links = {
            peer: limit
            for peer, rate in links.items()
            if (limit := self._changed(now, self._links.get(peer), rate)) is not None
        }
        self._number += 1

    def _changed(self, now: float, limit: Limit | None, rate: int) -> Limit | None:
        if not rate:
            return None
        if limit is None:
            return Limit(rate, now, self._least)
        if limit.rate != rate:
            limit.change(now, rate)
        return limit

    def limit_zones(self, now: float, rates: Mapping[str, int]) -> None:
        """From now on so many bytes a second come out of these zones, by policies; those not named are not limited."""
        if {zone: limit.rate for zone, limit in self._zones.items()} == dict(rates):
            return
        for zone in self._zones.keys() - rates.keys():
            del self._zones[zone]
        for zone, rate in rates.items():
            if zone in self._zones:
                self._zones[zone].change(now, rate)
            else:
                self._zones[zone] = Limit(rate, now, self._least)
        self._number += 1

    def _all(self) -> Iterable[tuple[str, Limit]]:
        if self._up is not None:
            yield "up", self._up
        yield from ((f"link {peer}", limit) for peer, limit in self._links.items())
        yield from ((f"zone {zone}", limit) for zone, limit in self._zones.items())

    # --- up --------------------------------------------------------------------------------

    def rose(self, now: float, frames: list[bytes], size: int) -> None:
        """A message of `size` bytes was handed up; the broker itself is the last of its hops."""
        try:
            topic = topics.parse_up(frames[0])
        except WireError:
            return
        before = frames[5].rpartition(b"/")[0].rpartition(b"/")[2].decode("ascii", "replace")
        node = Node(topic.sink, topic.zone, topic.node)
        known = self._know(node)
        if before != known.hop or known.number != self._number:
            self._place(known, node, before)
        unasked = topic.what == topics.BEACON or STREAM_IDS[topic.what] == CONTROL
        for limit in known.limits:
            limit.passed(now, size, unasked=unasked)
        if known.limits:
            self._listen(now, node, known, topic, frames, size)

    def _listen(
        self, now: float, node: Node, known: _Known, topic: UpTopic, frames: list[bytes], size: int
    ) -> None:
        """Take note of how much the node says it has sent."""
        try:
            if topic.what == topics.BEACON:
                said = [(part.stream, part.envelope, 0) for part in decode_beacon(frames[2]).streams]
            elif STREAM_IDS[topic.what] == CONTROL:
                return
            else:
                said = [(STREAM_IDS[topic.what], decode_envelope(frames[1]), size)]
        except WireError:
            return  # whoever verifies it says so
        for stream, envelope, batch in said:
            if stream != CONTROL:
                for limit in known.limits:
                    limit.heard(now, (node, stream), envelope.session, envelope.sent_bytes, batch)

    def _know(self, node: Node) -> _Known:
        known = self._nodes.get(node)
        if known is None:
            if len(self._nodes) >= MOST:
                self._nodes.popitem(last=False)
            known = self._nodes[node] = _Known()
            self._place(known, node, None)
        else:
            self._nodes.move_to_end(node)
        return known

    def _place(self, known: _Known, node: Node, hop: str | None) -> None:
        """Find the limits that a node's messages are under: by the last broker they came from, and by its zone."""
        link = self._links.get(hop or "")
        zones = [limit for zone, limit in self._zones.items() if zone_within(node.zone, zone)]
        known.limits = tuple(limit for limit in (self._up, link, *zones) if limit is not None)
        known.hop, known.number = hop, self._number

    # --- down ------------------------------------------------------------------------------

    def caps(self, now: float, frames: list[bytes], above: tuple[Cap, ...]) -> tuple[Cap, ...]:
        """The caps that a message goes down with; `above`: those it came with."""
        try:
            target = topics.parse_down(frames[0])
            cursor = decode_cursor(frames[2]) if target is not None else None
        except WireError:
            return above
        if target is None or cursor is None:
            return above
        node = Node(cursor.sink, *target)
        known = self._know(node)
        if known.number != self._number:
            self._place(known, node, known.hop)
        if known.hop is None and self._links:
            # It may come over a limited link: nothing more passes until it was heard over which, as after a restart.
            asked = {part.stream: Cap(part.stream, None) for part in cursor.streams if part.stream != CONTROL}
            return tuple({**{cap.stream: cap for cap in above}, **asked}.values())
        if not known.limits:
            return above
        held = known.cursor
        if held is None or held.session != cursor.session or held.number <= cursor.number:
            known.cursor, known.above = cursor, above
            known.frames = [*frames[:4], self._shared(frames[4]), frames[5]]
        return self._capped(now, node, known.limits, cursor, above)

    def _shared(self, body: bytes) -> bytes:
        """The same bytes for equal credentials: each recorder has one, and there are thousands of cursors."""
        if len(self._bodies) >= _SHARED and body not in self._bodies:
            self._bodies.clear()
        return self._bodies.setdefault(body, body)

    @staticmethod
    def _capped(
        now: float, node: Node, limits: tuple[Limit, ...], cursor: Cursor, above: tuple[Cap, ...]
    ) -> tuple[Cap, ...]:
        given = {cap.stream: cap for cap in above}
        for part in cursor.streams:
            if part.stream == CONTROL:
                continue
            found = [
                limit.cap(now, (node, part.stream), cursor.session, first=cursor.number == 1)
                for limit in limits
            ]
            if part.stream in given:
                found.append(given[part.stream].bytes)
            if not found:
                continue
            known = [cap for cap in found if cap is not None]
            given[part.stream] = Cap(part.stream, min(known) if len(known) == len(found) else None)
        return tuple(given.values())

    def serve(self, now: float) -> list[Again]:
        """Grant what there is; the cursors that are to be said again to those who have more now."""
        more: dict[Node, None] = {}
        for _, limit in self._all():
            more.update((key[0], None) for key in limit.serve(now) if isinstance(key, tuple))
        again = []
        for node in more:
            known = self._nodes.get(node)
            if known is not None and known.cursor is not None and known.frames is not None:
                caps = self._capped(now, node, known.limits, known.cursor, known.above)
                again.append(Again(list(known.frames), caps))
        return again

    def status(self) -> list[dict[str, Any]]:
        """Of each limit: what it is of, its rate in bytes a second, the bytes that passed, and how many streams wait."""
        return [
            {
                "of": of,
                "rate": round(limit.rate),
                "passed": limit.passed_bytes,
                "waiting": limit.waiting,
            }
            for of, limit in self._all()
        ]
