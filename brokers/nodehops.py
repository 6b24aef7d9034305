"""The hop between a broker and the nodes right below it, by number: what each said it sent, and what came of it.

Pure. A node counts what it hands up for a sink, and says so in the envelope of its beacons, which follow what they count
through the same connection; it says as well what it saw of what came down, by the numbers that the broker gave it. So the
broker knows of both lanes. What nobody above asks for is not sent by the nodes, and not compared.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tabard.brokers.hops import Compared
from tabard.brokers.trust.certificates import NODE, Certificate
from tabard.brokers.wire import topics
from tabard.brokers.wire.hop import Ascent, decode_ascent
from tabard.brokers.wire.tally import Sent, Tally
from tabard.brokers.wire.topics import UpTopic
from tabard.errors import WireError

MOST: Final = 10_000
"""Nodes, by sink, that are compared at a time."""
APART: Final = 1.0
"""Seconds that two beacons must be apart, at least half of them, to be compared: a later one shows that the earlier one was not stuck in an old connection."""
WORST: Final = 20
"""Nodes that the status names, those with the most losses first."""
UP_LOST: Final = "up lost on the link from its nodes"
UP_DOUBLED: Final = "up came twice on the link from its nodes"
DOWN_LOST: Final = "down lost on the link to its nodes"

Key = tuple[str, str, str]
"""Zone and name of a node, and the sink."""


@dataclass
class _Hop:
    """One node towards one sink."""

    came: int = 0
    up: Compared = field(default_factory=Compared)


@dataclass
class _Said:
    """What one node says of the down lane."""

    boot: bytes = b""
    before: tuple[int, int] = (0, 0)
    """Sent and received, of earlier starts of the node."""
    down: tuple[int, int] = (0, 0)
    """With those of this one."""


def is_of(peer: Certificate | None, topic: bytes) -> bool:
    """Whether a message is of the node whose connection it came over; None: of a home without keys, or of this user's own role."""
    if peer is None:
        return True
    try:
        parsed = topics.parse_up(topic)
    except WireError:
        return False
    return peer.role == NODE and (peer.zone, peer.name) == (parsed.zone, parsed.node)


class NodeHops:
    """Of one broker. `is_asked`: whether it asks those below for a shard of a sink."""

    def __init__(self, counters: Counter[str], is_asked: Callable[[str, str], bool]) -> None:
        self._counters = counters
        self._is_asked = is_asked
        self._hops: OrderedDict[Key, _Hop] = OrderedDict()
        self._said: OrderedDict[tuple[str, str], _Said] = OrderedDict()

    def came(self, now: float, frames: list[bytes]) -> None:
        """A message came right from a node."""
        try:
            topic = topics.parse_up(frames[0])
        except WireError:
            return
        key = (topic.zone, topic.node, topic.sink)
        hop = self._hops.get(key)
        if hop is None:
            if len(self._hops) >= MOST:
                self._hops.popitem(last=False)
            hop = self._hops[key] = _Hop()
        hop.came += 1
        if topic.what == topics.BEACON:
            self._hops.move_to_end(key)
            try:
                ascent = decode_ascent(frames[1])
            except WireError:
                self._counters["up dropped: malformed envelope of a beacon"] += 1
                return
            if ascent is not None:
                self._compare(now, hop, topic, ascent)

    def _compare(self, now: float, hop: _Hop, topic: UpTopic, ascent: Ascent) -> None:
        self._down(topic, ascent)
        key = f"{topic.sink}/{topic.shard:02d}"
        asked = self._is_asked(topic.sink, f"{topic.shard:02d}")
        tally = Tally(ascent.boot, (Sent(key, ascent.session, ascent.number),), ())
        lost, doubled = hop.up.take(
            now, (ascent.number, APART), tally, lambda _key: hop.came if asked else None
        )
        if lost:
            self._counters[UP_LOST] += lost
        if doubled:
            self._counters[UP_DOUBLED] += doubled

    def _down(self, topic: UpTopic, ascent: Ascent) -> None:
        """What the node says of the down lane; it begins anew with each of its starts."""
        key = (topic.zone, topic.node)
        said = self._said.get(key)
        if said is None:
            if len(self._said) >= MOST:
                self._said.popitem(last=False)
            # What it had compared before this broker was started is not this broker's.
            said = self._said[key] = _Said(ascent.boot, (-ascent.down_sent, -ascent.down_received))
        elif ascent.boot != said.boot:
            said.boot, said.before = ascent.boot, said.down
        sent, received = said.before[0] + ascent.down_sent, said.before[1] + ascent.down_received
        if sent < said.down[0] or received < said.down[1]:
            return  # an older beacon
        lost = (sent - received) - (said.down[0] - said.down[1])
        if lost > 0:
            self._counters[DOWN_LOST] += lost
        said.down = (sent, received)

    def left(self, topic: bytes) -> None:
        """Nobody above asks for a topic any more: what nodes send under it from now on reaches nobody."""
        parts = topic.removeprefix(topics.UP_PREFIX).decode("ascii", "replace").split("/")
        sink, shard = parts[0], parts[1] if len(parts) > 1 else ""
        for (_zone, node, of), hop in self._hops.items():
            if of == sink and shard in {"", f"{topics.shard_of(node):02d}"}:
                hop.up.drop("")

    def status(self) -> dict[str, Any]:
        """How many nodes there are, both lanes of all of them together, and those that lost most.

        A lane is None while nothing was compared of it.
        """
        up = [(hop.up.sent, hop.up.received) for hop in self._hops.values() if hop.up.begun]
        down = [said.down for said in self._said.values() if said.down[0]]
        lost: dict[tuple[str, str], list[int]] = {}
        for (zone, node, _sink), hop in self._hops.items():
            lost.setdefault((zone, node), [0, 0])[0] += hop.up.sent - hop.up.received
        for key, said in self._said.items():
            lost.setdefault(key, [0, 0])[1] += said.down[0] - said.down[1]
        lacking = sorted(
            (key for key in lost if any(lost[key])), key=lambda key: (-sum(map(abs, lost[key])), key)
        )
        return {
            "nodes": len(lost),
            "up": _sum(up),
            "down": _sum(down),
            "worst": [
                {"node": node, "zone": zone, "up_lost": lost[zone, node][0], "down_lost": lost[zone, node][1]}
                for zone, node in lacking[:WORST]
            ],
        }


def _sum(lanes: list[tuple[int, int]]) -> dict[str, int] | None:
    if not lanes:
        return None
    return {"sent": sum(sent for sent, _ in lanes), "received": sum(received for _, received in lanes)}
