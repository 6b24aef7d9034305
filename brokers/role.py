"""The broker process: two lanes with two ends each, and one loop. Each child that it dials has sockets of its own, the parent one of its own."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from tabard import failpoints
from tabard.brokers import sockets
from tabard.brokers.above import Above
from tabard.brokers.descriptors import raise_limit
from tabard.brokers.expected import Expectations
from tabard.brokers.forwarder import FRAMES, Forwarder
from tabard.brokers.inlet import Inlet
from tabard.brokers.keyring import LOOK_EVERY as KEYS_EVERY
from tabard.brokers.keyring import keys_of
from tabard.brokers.limiter import SERVE_EVERY, Limiter
from tabard.brokers.loop import Loop
from tabard.brokers.news.driver import Driver
from tabard.brokers.nodehops import NodeHops, is_of
from tabard.brokers.numbering import Numbering
from tabard.brokers.outlet import Outlet
from tabard.brokers.pair import EVERY
from tabard.brokers.policy.keeper import Keeper
from tabard.brokers.recorderhops import FromRecorders
from tabard.brokers.running import role
from tabard.brokers.topology import Plan
from tabard.brokers.trust.certificates import BROKER, Certificate
from tabard.brokers.trust.files import Trust
from tabard.brokers.upward import Upward
from tabard.brokers.wire import topics
from tabard.brokers.wire.heartbeat import Heartbeat
from tabard.brokers.wire.hop import BOOT_BYTES, Cap, decode_descent
from tabard.brokers.wire.rosters import Speaker
from tabard.clock import SystemClock, wall
from tabard.errors import WireError
from tabard.home import Home

BURST: Final = 256
"""Messages of one lane that are handed on before the other lane has its turn."""

BEFORE_FORWARD = failpoints.declare(
    "broker.before_forward", "a broker received a message and has not sent it on"
)
CONNECTIONS: Final = 65_536
"""Descriptors that a broker may have, as far as the system lets it: strangers who only connect have some for seconds."""
LOOK_EVERY: Final = 0.2
"""Seconds between two looks whether a single pass is done."""
AFTER_FORWARD = failpoints.declare("broker.after_forward", "a broker sent a message on")

_log = logging.getLogger(__name__)


class Broker:
    """A forwarder between its four sockets."""

    def __init__(self, plan: Plan, made: sockets.Sockets, loop: Loop, trust: Trust | None = None) -> None:
        """``trust``: the keys and rosters of its home, None where it has none."""
        self.plan = plan
        self._made = made
        self._handled = -1
        self._handled_at = 0.0
        self.forwarder = Forwarder(plan.name, plan.zone, is_asked=self._is_asked)
        links, counters = self.forwarder.links, self.forwarder.counters
        self.limiter = Limiter(loop.now(), plan.rate, dict(plan.link_rates))
        self.nodes = NodeHops(counters, self._is_asked)
        self.recorders = FromRecorders(counters)
        self._numbering = Numbering(os.urandom(BOOT_BYTES))
        links.ways = max(len(plan.parents), 1)
        self.keeper = Keeper(trust, plan.name, plan.zone, SystemClock(), counters) if trust else None
        if self.keeper is not None:
            self.forwarder.boundary = self.keeper.boundary
            loop.every(KEYS_EVERY, self._look_at_policies)
        self.up_in = Inlet(made, "up", plan.up_in, [], counters)
        is_own = self.keeper.boundary.is_local if self.keeper is not None else None
        self.up_out = Upward(plan, made, loop, counters, self._ask_below, links.joined_above, is_own)
        self.down_in = Inlet(made, "down", plan.down_in, [], counters)
        # Nodes' subscriptions end here.
        below = partial(Outlet, made, loop, "down_out", counters=counters, joined=self._joined_below)
        self.down_out = below(endpoint=plan.down_out, dials=())
        self.up_links = [Inlet(made, "up", "", [end], counters) for end in plan.dialled_by("up_in")]
        self.down_links = [below(endpoint="", dials=[end]) for end in plan.dialled_by("down_out")]
        # Heartbeats of the brokers below.
        self._send_below(b"\x01" + topics.LINK_PREFIX)
        # Upward a broker asks for its own zone only, and for heartbeats after that: once one comes, the rest was heard.
        for prefix in (topics.zone_subscription(plan.zone), topics.ALL_PREFIX):
            self.down_in.socket.send(b"\x01" + prefix)
        self.above = Above(plan, made, loop, self.up_out, self.down_in.socket, counters)
        self._loop = loop
        self._beats = 0
        me = Speaker(BROKER, plan.zone, plan.name)
        self.news = Driver(me, trust, loop, counters, self._send_news, self._see) if trust else None
        for inlet in (self.up_in, *self.up_links):
            loop.add_socket(inlet.socket, partial(self.forward_up, inlet))
        loop.add_socket(self.down_in.socket, self.forward_down)
        loop.every(EVERY, self._beat)
        self._serve()
        self._look_at_policies()

    def limit(self, plan: Plan) -> None:
        """Go by the rates of another edition of its plan."""
        self.limiter.limit_links(self._loop.now(), plan.rate, dict(plan.link_rates))

    def _look_at_policies(self) -> None:
        if self.keeper is not None:
            self.keeper.look()
            self.up_out.look()
            self.limiter.limit_zones(self._loop.now(), self.keeper.rates())

    def _joined_below(self, topic: bytes) -> None:
        self.forwarder.links.joined_below(topic)
        self._numbering.joined(topic)

    def _serve(self) -> None:
        """Say the last cursors again to those whom a limited link lets send more by now."""
        now = self._loop.now()
        self._loop.call_at(now + (SERVE_EVERY if self.limiter.active else EVERY), self._serve)
        for frames, caps in self.limiter.serve(now):
            self._descend(frames, caps)
            self.forwarder.links.sent_down(frames[0])
            self._send_down(frames)

    def _descend(self, frames: list[bytes], caps: tuple[Cap, ...]) -> None:
        frames[1] = self._numbering.envelope(frames[0], caps)

    def _ask_below(self, frame: bytes) -> None:
        """Hand a subscription on. Heartbeats go one hop, and those from below are asked for anyhow."""
        if frame[1:] == topics.LINK_PREFIX:
            return
        if frame[:1] == b"\0":
            self.forwarder.links.left_above(frame[1:])
            self.nodes.left(frame[1:])
        self._send_below(frame)

    def _send_below(self, frame: bytes) -> None:
        for inlet in (self.up_in, *self.up_links):
            inlet.socket.send(frame)

    def _is_asked(self, sink: str, shard: str) -> bool:
        """Whether this broker asks those below for a shard of a sink."""
        return self.up_out.is_asked(f"u/{sink}/{shard}/".encode(), f"u/{sink}/".encode())

    def forward_up(self, inlet: Inlet) -> None:
        """Hand on what came from below."""
        self._forward(inlet, self.up_out.send, self._up)

    def forward_down(self) -> None:
        """Hand on what came from above."""
        self._forward(self.down_in, self._send_down, self._down)

    def _send_down(self, frames: list[bytes]) -> None:
        for outlet in (self.down_out, *self.down_links):
            outlet.send(frames)

    def _up(self, frames: list[bytes], peer: Certificate | None) -> list[bytes] | None:
        if frames[0].startswith(topics.LINK_PREFIX):  # goes one hop only
            if self._may_speak("up", frames[0], peer) and self._is_beat("up", "below", frames, peer):
                self.forwarder.links.hear_below(self._loop.now(), frames)
            return None
        now = self._loop.now()
        if len(frames) == FRAMES and not frames[5] and is_of(peer, frames[0]):
            self.nodes.came(now, frames)
        passed = self.forwarder.up(frames, peer)
        if passed is not None and self.limiter.active:
            self.limiter.rose(now, passed, sum(map(len, passed)))
        return passed

    def _down(self, frames: list[bytes], peer: Certificate | None) -> list[bytes] | None:
        if frames[0].startswith(topics.LINK_PREFIX):
            if self._may_speak("down", frames[0], peer) and self._is_beat("down", "above", frames, peer):
                self.above.hear(frames)
                self.forwarder.links.hear_above(self._loop.now(), frames)
            return None
        now = self._loop.now()
        if len(frames) == FRAMES and not frames[5]:
            self.recorders.came(now, frames)
        passed = self.forwarder.down(frames, peer)
        if passed is None:
            return None
        try:
            came = decode_descent(passed[1])
        except WireError:
            came = None  # as if it had come with none: it cannot be believed, and harms nobody
            self.forwarder.counters["down dropped: malformed envelope"] += 1
        caps = came.caps if came is not None else ()
        self._descend(passed, self.limiter.caps(now, passed, caps) if self.limiter.active else caps)
        return passed

    def _may_speak(self, lane: str, topic: bytes, peer: Certificate | None) -> bool:
        """Whether what goes one hop is said in the name of whose connection it came over."""
        if peer is None or topic == topics.link_topic(peer.name):
            return True
        self.forwarder.counters[f"{lane} refused: a heartbeat of another broker"] += 1
        return False

    def _is_beat(self, lane: str, link: str, frames: list[bytes], peer: Certificate | None) -> bool:
        """Whether it is to be looked at as a heartbeat, which brokers have: other things said on a link are about rosters."""
        if self.news is not None and self.news.hear(link, frames, peer):
            return False
        if peer is None or peer.role == BROKER:
            return True
        self.forwarder.counters[f"{lane} refused: a heartbeat of another broker"] += 1
        return False

    def _see(self) -> None:
        """A roster came: look at once who is to be cut off, though not amid what is being received."""
        self._loop.call_soon(self._made.look)

    def _send_news(self, link: str, frames: list[bytes]) -> None:
        if link == "above":
            self.up_out.send(frames)
        else:
            self._send_down(frames)

    def _beat(self) -> None:
        """Tell those below and above that this broker is there, whether it leads on, and what it sent them."""
        self._beats += 1
        well = self.above.is_well(self._loop.now())
        beat = Heartbeat(self.plan.name, self.plan.zone, EVERY, self._beats, well)
        versions = self.news.versions() if self.news else b""
        self._send_down(self.forwarder.links.beat_below(beat, versions))
        self.up_out.send(self.forwarder.links.beat_above(beat, versions, self.recorders.told()))

    @staticmethod
    def _forward(
        source: Inlet,
        hand_on: Callable[[list[bytes]], object],
        check: Callable[[list[bytes], Certificate | None], list[bytes] | None],
    ) -> None:
        for _ in range(BURST):
            came = source.receive()
            if came is None:
                return
            failpoints.hit(BEFORE_FORWARD)
            passed = check(*came)
            if passed is not None:
                hand_on(passed)
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
            "policies": self.keeper.status() if self.keeper is not None else None,
            "keys": self.keeper.key_status() if self.keeper is not None else None,
            "hops": self.forwarder.links.status(self._loop.now(), wall()),
            "nodes": self.nodes.status(),
            "limits": self.limiter.status(),
            "rosters": self.news.status() if self.news else None,
            "counters": dict(self.forwarder.counters),
        }


def run(
    home: Home,
    plan: Plan,
    peers: Expectations,
    *,
    hwm: int,
    max_frame: int,
    status_every: float,
    reload: Callable[[Callable[[Plan], None]], None] = lambda _take: None,
    once: float | None = None,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Run one broker until it is told to end.

    Args:
        home: the directory of its lock, sockets and status file.
        plan: what it binds and dials.
        peers: which brokers are expected where it dials.
        hwm: messages queued for each connection before some are dropped.
        max_frame: bytes of one frame; a peer that sends a larger one is disconnected.
        status_every: seconds between two writings of the status file.
        reload: called on SIGHUP with what takes the rates of a new plan: reads the settings again.
        once: end after this many seconds in which nothing was forwarded.
        ready: called when it forwards.

    Raises:
        AlreadyRunning: it runs already in this home.
        TabardError: an address cannot be bound.
        RefusedError: an address is TCP, and this home has no key for the broker.
    """
    raise_limit(CONNECTIONS)
    running: list[Broker] = []

    def limit(newer: Plan) -> None:
        for each in running:
            each.limit(newer)

    with role(f"broker.{plan.name}", home, partial(reload, limit)) as process:
        keys = keys_of(home, "broker", plan.name, plan.zone, peers, process.loop)
        made = sockets.Sockets(hwm=hwm, max_frame=max_frame, keys=keys)
        try:
            broker = Broker(plan, made, process.loop, keys[0].trust if keys else None)
            running.append(broker)
            process.report(lambda: made.told(broker.status()), status_every)
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
