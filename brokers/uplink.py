"""How a node is connected to its broker, or to a pair of them: publishes to one, hears both.

Both connections are kept up, so that moving costs no time. What waited for the broker that is left is dropped: the sink
finds by the next beacon what it lacks, and asks for it.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import zmq

from tabard.brokers import sockets
from tabard.brokers.loop import Loop
from tabard.brokers.numbering import Descents
from tabard.brokers.pair import EVERY, Pair
from tabard.brokers.topology import Ends
from tabard.brokers.wire import topics
from tabard.brokers.wire.heartbeat import decode_heartbeat
from tabard.brokers.wire.hop import BOOT_BYTES, Ascent, decode_descent, encode_ascent
from tabard.clock import wall
from tabard.errors import WireError

BURST: Final = 64
"""Messages taken in before everything else has its turn."""
_BEACON: Final = f"/{topics.BEACON}/".encode()
_TOPICS: Final = 64
"""Topics that come down to a node: its own, and one of each sink, from each start of a broker."""


class _Numbers:
    """Of the hop to one broker, see `wire.hop`."""

    def __init__(self) -> None:
        self.sent: dict[bytes, int] = {}
        """Messages handed up, by sink."""
        self.before = 0
        """Changes of the connections of earlier sockets."""
        self.down = Descents(_TOPICS)


_log = logging.getLogger(__name__)


class Uplink:
    """A publisher and a subscriber for each broker of the pair.

    Args:
        made: where sockets come from.
        loop: calls back.
        wanted: the topics heard from the broker that is used.
        take: is handed every message that came, but for heartbeats.
        taken: is called after some were handed over.
        moved: is called when another broker is used from now on.
        counters: of what should not happen.
        linked: is handed what comes from a broker itself, with the place of its ends; whether it was no heartbeat.
    """

    def __init__(
        self,
        made: sockets.Sockets,
        loop: Loop,
        wanted: Sequence[bytes],
        *,
        take: Callable[[list[bytes]], object],
        taken: Callable[[], object],
        moved: Callable[[], object],
        counters: Counter[str],
        linked: Callable[[int, list[bytes]], bool] = lambda _which, _frames: False,
    ) -> None:
        self._made = made
        self._loop = loop
        self._wanted = wanted
        self._take = take
        self._taken = taken
        self._moved = moved
        self._ends: Sequence[Ends] = ()
        self._up: list[zmq.Socket[bytes]] = []
        self._down: list[zmq.Socket[bytes]] = []
        self._pair = Pair((), loop.now())
        self._counters = counters
        self._boot = os.urandom(BOOT_BYTES)
        self._numbers: list[_Numbers] = []
        self._linked = linked

    def start(self, ends: Sequence[Ends]) -> None:
        """Connect to one broker or more, the preferred one first; they need not be there yet."""
        self._ends = ends
        self._pair = Pair([end.up for end in ends], self._loop.now())
        for which, end in enumerate(ends):
            self._numbers.append(_Numbers())
            self._up.append(self._publisher(end))
            down = self._made.subscriber()
            down.subscribe(topics.LINK_PREFIX)
            self._down.append(down)
            if which == self._pair.active:
                self._ask(which)
            self._made.connect(down, end.down)
            self._loop.add_socket(down, partial(self._hear, which))
        if len(ends) > 1:
            self._loop.every(EVERY, self._look)

    def _publisher(self, end: Ends) -> zmq.Socket[bytes]:
        up = self._made.publisher()
        self._made.connect(up, end.up)
        return up

    def _ask(self, which: int) -> None:
        for topic in self._wanted:
            self._down[which].subscribe(topic)

    def send(self, frames: tuple[bytes, ...] | list[bytes]) -> None:
        """Publish to the broker that is used, without waiting; before `start` there is none."""
        if self._up:
            which = self._pair.active
            topic = frames[0]
            sink = topic[: topic.find(b"/", len(topics.UP_PREFIX))]
            numbers = self._numbers[which]
            number = numbers.sent[sink] = numbers.sent.get(sink, 0) + 1
            if topic.endswith(_BEACON):
                frames = (topic, self._ascent(which, number), *frames[2:])
            sockets.send(self._up[which], frames)

    def _ascent(self, which: int, number: int) -> bytes:
        """What a beacon says of the hop that it is about to take."""
        numbers = self._numbers[which]
        session = numbers.before + self._made.changes(self._up[which])
        return encode_ascent(Ascent(self._boot, session, number, numbers.down.sent, numbers.down.received))

    def tell(self, which: int, frames: list[bytes]) -> None:
        """Say something to one of the brokers itself."""
        sockets.send(self._up[which], frames)

    def _hear(self, which: int) -> None:
        """What was on its way from the broker that was left counts, too: all of it is idempotent."""
        given = False
        for _ in range(BURST):
            frames = sockets.receive(self._down[which])
            if frames is None:
                break
            if frames[0].startswith(topics.LINK_PREFIX):
                self._heartbeat(which, frames)
            else:
                given = True
                self._number(which, frames)
                self._take(frames)
        if given:
            self._taken()

    def _number(self, which: int, frames: list[bytes]) -> None:
        try:
            descent = decode_descent(frames[1]) if len(frames) > 1 else None
        except WireError:
            return  # whoever takes the message says so
        if descent is not None:
            self._numbers[which].down.take(self._loop.now(), frames[0], descent)

    def _heartbeat(self, which: int, frames: list[bytes]) -> None:
        if self._linked(which, frames):
            return
        try:
            self._pair.hear(which, self._loop.now(), decode_heartbeat(frames[2] if len(frames) > 2 else b""))
        except WireError:
            self._counters["malformed heartbeat"] += 1

    def _look(self) -> None:
        left = self._pair.active
        if not self._pair.move(self._loop.now()):
            return
        for topic in self._wanted:
            self._down[left].unsubscribe(topic)
        self._numbers[left].before += self._made.changes(self._up[left]) + 1
        self._made.close_one(self._up[left])
        self._up[left] = self._publisher(self._ends[left])
        self._ask(self._pair.active)
        self._counters["moves to another broker"] += 1
        _log.warning(
            "the broker at %s is away, or hears nothing from above: going on through the one at %s",
            self._ends[left].up,
            self._ends[self._pair.active].up,
        )
        self._moved()

    def status(self) -> list[dict[str, Any]]:
        """As `Pair.status`, and of each broker `down`: what came of what it numbered; None while nothing was compared."""
        rows = self._pair.status(self._loop.now(), wall())
        return [
            {
                **row,
                "down": {"sent": numbers.down.sent, "received": numbers.down.received}
                if numbers.down.begun
                else None,
            }
            for row, numbers in zip(rows, self._numbers, strict=False)
        ]
