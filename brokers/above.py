"""What a broker knows of those above it, and which of a pair it uses: both lanes go through one of them at a time."""

from __future__ import annotations

import logging
from collections import Counter
from functools import partial
from typing import Any, Final

import zmq

from tabard.brokers import sockets
from tabard.brokers.loop import Loop
from tabard.brokers.pair import EVERY, Pair
from tabard.brokers.topology import Plan
from tabard.brokers.upward import Upward
from tabard.brokers.wire import topics
from tabard.brokers.wire.heartbeat import decode_heartbeat
from tabard.brokers.wire.rosters import is_news
from tabard.clock import wall
from tabard.errors import WireError

BURST: Final = 64

_log = logging.getLogger(__name__)


class Above:
    """Hears the heartbeats from above; moves to the standby and dials it in the parent's place.

    A parent that dials this broker itself is not in its settings: it is known once it was heard. Of a broker that
    never heard one nobody can say that it is not the top.
    """

    def __init__(
        self,
        plan: Plan,
        made: sockets.Sockets,
        loop: Loop,
        up_out: Upward,
        down_in: zmq.Socket[bytes],
        counters: Counter[str],
    ) -> None:
        self._parents = plan.parents
        self._made = made
        self._loop = loop
        self._up_out = up_out
        self._down_in = down_in
        self._pair = Pair([parent.up for parent in plan.parents] or [""], loop.now())
        self._ears: list[zmq.Socket[bytes]] = []
        self._counters = counters
        down_in.send(b"\x01" + topics.LINK_PREFIX)
        if plan.parents:
            made.connect(down_in, plan.parents[0].down)
        if len(plan.parents) > 1:
            for which, parent in enumerate(plan.parents):
                ear = made.subscriber()
                ear.subscribe(topics.LINK_PREFIX)
                made.connect(ear, parent.down)
                loop.add_socket(ear, partial(self._listen, which))
                self._ears.append(ear)
            loop.every(EVERY, self._look)

    def hear(self, frames: list[bytes]) -> None:
        """A heartbeat came with what the parent hands down. Of a pair each is heard apart."""
        if not self._ears:
            self._take(0, frames)

    def _listen(self, which: int) -> None:
        for _ in range(BURST):
            frames = sockets.receive(self._ears[which])
            if frames is None:
                return
            self._take(which, frames)

    def _take(self, which: int, frames: list[bytes]) -> None:
        if is_news(frames):
            return
        try:
            self._pair.hear(which, self._loop.now(), decode_heartbeat(frames[2] if len(frames) > 2 else b""))
        except WireError:
            self._counters["down dropped: malformed heartbeat"] += 1

    def is_well(self, now: float) -> bool:
        """Whether what is handed up gets to the top, as far as anybody knows."""
        if not self._parents and self._pair.links[0].heard is None:
            return True
        return self._pair.is_well(now)

    def _look(self) -> None:
        left = self._parents[self._pair.active]
        if not self._pair.move(self._loop.now()):
            return
        used = self._parents[self._pair.active]
        self._up_out.redial(left.up, used.up)
        self._made.disconnect(self._down_in, left.down)
        self._made.connect(self._down_in, used.down)
        _log.warning(
            "the broker at %s is away, or hears nothing from above: going on through the one at %s",
            left.up,
            used.up,
        )

    def status(self) -> list[dict[str, Any]]:
        """As `Pair.status`, with an `end` of "" for a parent that dials; nothing while none was heard of."""
        if not self._parents and self._pair.links[0].heard is None:
            return []
        return self._pair.status(self._loop.now(), wall())
