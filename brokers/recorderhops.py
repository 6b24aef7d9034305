"""The hop between a recorder and the brokers right below it, by number: the same tallies as between two brokers.

The recorder asks its brokers for their heartbeats, as a broker above them would, and compares what they counted for the
shards that it asks for. What it sends down it numbers itself; each broker compares, and tells by its heartbeats.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, Final

from tabard.brokers.links import Links
from tabard.brokers.numbering import Descents, Numbering
from tabard.brokers.wire import topics
from tabard.brokers.wire.hop import decode_descent
from tabard.brokers.wire.messages import Message
from tabard.brokers.wire.tally import Told
from tabard.errors import WireError

MOST: Final = 16
"""Starts of recorders that a broker compares at a time."""


def name_of(boot: bytes) -> str:
    """What a start of a recorder is called in tallies: no broker can have such a name."""
    return f"recorder {boot.hex()}"


class FromRecorders:
    """What came down to a broker right from recorders."""

    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters
        self._starts: OrderedDict[bytes, Descents] = OrderedDict()

    def came(self, now: float, frames: list[bytes]) -> None:
        """A message came without hops."""
        try:
            descent = decode_descent(frames[1])
        except WireError:
            return  # it is dropped for that
        if descent is None:
            return
        start = self._starts.get(descent.boot)
        if start is None:
            if len(self._starts) >= MOST:
                self._starts.popitem(last=False)
            start = self._starts[descent.boot] = Descents()
        self._starts.move_to_end(descent.boot)
        lost = start.take(now, frames[0], descent)
        if lost:
            self._counters["down lost on the link from a recorder"] += lost

    def told(self) -> list[Told]:
        """For the heartbeat upwards."""
        return [
            Told(name_of(boot), start.sent, start.received)
            for boot, start in self._starts.items()
            if start.begun
        ]


class RecorderHops:
    """Of one recorder.

    Args:
        zone: of its home; brokers of it and below are believed.
        boot: 8 random bytes of this start.
        counters: the recorder's, for what should not happen.
        is_asked: whether it asks for a shard of a sink.
    """

    def __init__(
        self, zone: str, boot: bytes, counters: Counter[str], is_asked: Callable[[str, str], bool]
    ) -> None:
        self._links = Links(name_of(boot), zone, boot, counters, is_asked)
        self._numbering = Numbering(boot)
        self._changes = 0

    def take(self, now: float, frames: list[bytes]) -> bool:
        """Count what came; whether it was a heartbeat, and nothing else is to be done with it."""
        if frames[0].startswith(topics.LINK_PREFIX):
            self._links.hear_below(now, frames)
            return True
        if len(frames) == len(Message._fields):
            self._links.came_up(frames[0], frames[5])
        return False

    def numbered(self, message: Message, changes: int) -> Message:
        """A message as it is sent; `changes`: how often the connections of its socket came up or went, so far."""
        if changes != self._changes:
            self._changes = changes
            self._numbering.joined()
        return message._replace(envelope=self._numbering.envelope(message.topic))

    def status(self, now: float, wall: int) -> list[dict[str, Any]]:
        """As `Links.status`: of each broker both lanes."""
        return self._links.status(now, wall)
