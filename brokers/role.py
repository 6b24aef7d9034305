"""The broker process: four sockets, two lanes, one loop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

import zmq

from tabard import failpoints
from tabard.brokers import sockets
from tabard.brokers.above import Above
from tabard.brokers.forwarder import Forwarder
from tabard.brokers.loop import Loop
from tabard.brokers.outlet import Outlet
from tabard.brokers.pair import EVERY
from tabard.brokers.running import role
from tabard.brokers.topology import Plan
from tabard.brokers.wire import topics
from tabard.brokers.wire.heartbeat import Heartbeat
from tabard.home import Home

BURST: Final = 256
"""Messages of one lane that are handed on before the other lane has its turn."""

BEFORE_FORWARD = failpoints.declare(
    "broker.before_forward", "a broker received a message and has not sent it on"
)
LOOK_EVERY: Final = 0.2
"""Seconds between two looks whether a single pass is done."""
AFTER_FORWARD = failpoints.declare("broker.after_forward", "a broker sent a message on")

_log = logging.getLogger(__name__)


class Broker:
    """A forwarder between its four sockets."""

    def __init__(self, plan: Plan, made: sockets.Sockets, loop: Loop) -> None:
        self.plan = plan
        self._handled = -1
        self._handled_at = 0.0
        self.forwarder = Forwarder(plan.name, plan.zone, is_asked=self._is_asked)
        links = self.forwarder.links
        self.up_in = made.forward_in()
        sockets.bind(self.up_in, plan.up_in)
        self.up_out = self._outlet(made, loop, "up_out", links.joined_above, self._ask_below)
        self.down_in = made.forward_in()
        sockets.bind(self.down_in, plan.down_in)
        # Nodes' subscriptions end here.
        self.down_out = self._outlet(made, loop, "down_out", links.joined_below)
        for endpoint in plan.dialled_by("up_in"):
            sockets.connect(self.up_in, endpoint)
        # Heartbeats of the brokers below.
        self.up_in.send(b"\x01" + topics.LINK_PREFIX)
        # Upward a broker asks for its own zone only, and for heartbeats after that: once one comes, the rest was heard.
        for prefix in (topics.zone_subscription(plan.zone), topics.ALL_PREFIX):
            self.down_in.send(b"\x01" + prefix)
        self.above = Above(plan, made, loop, self.up_out, self.down_in, self.forwarder.counters)
        self._loop = loop
        self._beats = 0
        loop.add_socket(self.up_in, self.forward_up)
        loop.add_socket(self.down_in, self.forward_down)
        loop.every(EVERY, self._beat)

    def _outlet(
        self,
        made: sockets.Sockets,
        loop: Loop,
        lane: str,
        joined: Callable[[bytes], object],
        told: Callable[[bytes], object] = lambda _frame: None,
    ) -> Outlet:
        endpoint = self.plan._asdict()[lane]
        counters = self.forwarder.counters
        return Outlet(made, loop, lane, endpoint, self.plan.dialled_by(lane), counters, told, joined)

    def _ask_below(self, frame: bytes) -> None:
        """Hand a subscription on. Heartbeats go one hop, and those from below are asked for anyhow."""
        if frame[1:] == topics.LINK_PREFIX:
            return
        if frame[:1] == b"\0":
            self.forwarder.links.left_above(frame[1:])
        self.up_in.send(frame)

    def _is_asked(self, sink: str, shard: str) -> bool:
        """Whether this broker asks those below for a shard of a sink."""
        return self.up_out.is_asked(f"u/{sink}/{shard}/".encode(), f"u/{sink}/".encode())

    def forward_up(self) -> None:
        """Hand on what came from below."""
        self._forward(self.up_in, self.up_out, self._up)

    def forward_down(self) -> None:
        """Hand on what came from above."""
        self._forward(self.down_in, self.down_out, self._down)

    def _up(self, frames: list[bytes]) -> list[bytes] | None:
        if frames[0].startswith(topics.LINK_PREFIX):  # goes one hop only
            self.forwarder.links.hear_below(self._loop.now(), frames)
            return None
        return self.forwarder.up(frames)

    def _down(self, frames: list[bytes]) -> list[bytes] | None:
        if frames[0].startswith(topics.LINK_PREFIX):
            self.above.hear(frames)
            self.forwarder.links.hear_above(self._loop.now(), frames)
            return None
        return self.forwarder.down(frames)

    def _beat(self) -> None:
        """Tell those below and above that this broker is there, whether it leads on, and what it sent them."""
        self._beats += 1
        well = self.above.is_well(self._loop.now())
        beat = Heartbeat(self.plan.name, self.plan.zone, EVERY, self._beats, well)
        self.down_out.send(self.forwarder.links.beat_below(beat))
        self.up_out.send(self.forwarder.links.beat_above(beat))

    @staticmethod
    def _forward(
        source: zmq.Socket[bytes],
        target: Outlet,
        check: Callable[[list[bytes]], list[bytes] | None],
    ) -> None:
        for _ in range(BURST):
            frames = sockets.receive(source)
            if frames is None:
                return
            failpoints.hit(BEFORE_FORWARD)
            passed = check(frames)
            if passed is not None:
                target.send(passed)
                failpoints.hit(AFTER_FORWARD)

    def idle(self, now: float) -> float:
        """Seconds since the counters moved, as far as earlier calls saw."""
        handled = self.forwarder.counters["up received"] + self.forwarder.counters["down received"]
        if handled != self._handled:
            self._handled, self._handled_at = handled, now
        return now - self._handled_at

    def status(self) -> dict[str, Any]:
        """For the status file: endpoints and counters."""
        plan = self.plan
        return {
            "name": plan.name,
            "zone": plan.zone,
            "endpoints": {
                "up_in": plan.up_in,
                "up_out": plan.up_out,
                "down_in": plan.down_in,
                "down_out": plan.down_out,
            },
            "dials": [list(dial) for dial in plan.dialled(plan.parents)],
            "above": self.above.status(),
            "hops": self.forwarder.links.status(self._loop.now(), time.time_ns()),
            "counters": dict(self.forwarder.counters),
        }


def run(
    home: Home,
    plan: Plan,
    *,
    hwm: int,
    max_frame: int,
    status_every: float,
    reload: Callable[[], None] = lambda: None,
    once: float | None = None,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Run one broker until it is told to end.

    Args:
        home: the directory of its lock, sockets and status file.
        plan: what it binds and dials.
        hwm: messages queued for each connection before some are dropped.
        max_frame: bytes of one frame; a peer that sends a larger one is disconnected.
        status_every: seconds between two writings of the status file.
        reload: called on SIGHUP: reads the settings again.
        once: end after this many seconds in which nothing was forwarded.
        ready: called when it forwards.

    Raises:
        AlreadyRunning: it runs already in this home.
        TabardError: an address cannot be bound.
    """
    with role(f"broker.{plan.name}", home, reload) as process:
        made = sockets.Sockets(hwm=hwm, max_frame=max_frame)
        try:
            broker = Broker(plan, made, process.loop)
            process.report(broker.status, status_every)
            _log.info("broker %s of zone %s is forwarding", plan.name, plan.zone)
            ready()
            if once is not None:

                def look() -> None:
                    if broker.idle(process.loop.now()) > once:
                        process.loop.stop()

                process.loop.every(LOOK_EVERY, look)
            process.loop.run()
        finally:
            made.close()
