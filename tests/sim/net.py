"""Links that lose, delay, fill up and can be cut, and brokers that run the production forwarder."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from tabard.brokers.forwarder import Forwarder
from tabard.brokers.limiter import SERVE_EVERY, Limiter
from tabard.brokers.numbering import Numbering
from tabard.brokers.wire.hop import Cap, decode_descent
from tests.sim.clock import Time

Deliver = Callable[[list[bytes]], None]


LATEST: Final = 3.0
"""Seconds by which a message that strays may be late."""


class Link:
    """One direction of one connection: in order, bounded, lossy; of what strays a copy comes later, or only that."""

    def __init__(
        self,
        time: Time,
        rng: Random,
        deliver: Deliver,
        *,
        capacity: int,
        loss: float,
        rate: float = float("inf"),
        stray: float = 0.0,
        touch: Callable[[list[bytes]], list[list[bytes]]] | None = None,
    ) -> None:
        """`touch` puts others in the place of a message, and is told of each."""
        self._touch = touch
        self._time = time
        self._rng = rng
        self._deliver = deliver
        self._capacity = capacity
        self._loss = loss
        self._stray = stray
        self._pause = 1.0 / rate
        self._queued = 0
        self._last = 0.0
        self.cut = False
        self.dropped = 0

    def send(self, frames: list[bytes]) -> None:
        """Take a message, or lose it."""
        for each in [frames] if self._touch is None else self._touch(frames):
            self._send(each)

    def _send(self, frames: list[bytes]) -> None:
        if self.cut or self._queued >= self._capacity or self._rng.random() < self._loss:
            self.dropped += 1
            return
        if self._stray and self._rng.random() < self._stray:
            self._time.at(self._time.now + self._rng.uniform(0.0, LATEST), self._come_late, list(frames))
            if self._rng.random() < 0.5:
                return
        self._queued += 1
        self._last = max(self._last + self._pause, self._time.now + self._rng.uniform(0.0005, 0.02))
        self._time.at(self._last, self._arrive, frames)

    def heal(self) -> None:
        """Lose nothing any more, but for want of room."""
        self.cut = False
        self._loss = self._stray = 0.0

    def _come_late(self, frames: list[bytes]) -> None:
        if not self.cut:
            self._deliver(frames)

    def _arrive(self, frames: list[bytes]) -> None:
        self._queued -= 1
        if self.cut:
            self.dropped += 1
        else:
            self._deliver(frames)


LEAST: Final = 2_000
"""Bytes of a burst over a limited link: small, since the worlds are."""


class SimBroker:
    """A broker between links; stopped or dead it loses what reaches it, and what it knew of limits.

    `up` and `links`: bytes a second that it hands up, and that come from a broker below.
    """

    def __init__(
        self, name: str, zone: str, time: Time, up: int = 0, links: dict[str, int] | None = None
    ) -> None:
        self.forwarder = Forwarder(name, zone)
        self.up_links: dict[str, Link] = {}
        self.down_links: dict[str, Link] = {}
        self.passed = 0
        """Bytes that it handed up."""
        self._time = time
        self._limits = (up, links or {})
        self._starts = 0
        self._alive = False
        self.alive = True
        if self.limiter.active:
            self._serve()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._alive

    @alive.setter
    def alive(self, value: bool) -> None:
        if value and not self._alive:
            self._starts += 1
            up, links = self._limits
            self.limiter = Limiter(self._time.now, up, links, LEAST)
            self._numbering = Numbering(self._starts.to_bytes(8, "big"))
        self._alive = value

    def _serve(self) -> None:
        self._time.at(self._time.now + SERVE_EVERY, self._serve)
        if self.alive:
            for frames, caps in self.limiter.serve(self._time.now):
                self._down(frames, caps)

    def up(self, frames: list[bytes]) -> None:
        """A message from below: to the subscribers of its topic."""
        if not self.alive:
            return
        passed = self.forwarder.up(list(frames))
        if passed is None:
            return
        size = sum(map(len, passed))
        self.passed += size
        self.limiter.rose(self._time.now, passed, size)
        topic = passed[0].decode()
        for prefix, link in self.up_links.items():
            if topic.startswith(prefix):
                link.send(list(passed))

    def down(self, frames: list[bytes]) -> None:
        """A message from above: to the subscribers of its topic."""
        if not self.alive:
            return
        passed = self.forwarder.down(list(frames))
        if passed is None:
            return
        came = decode_descent(passed[1])
        above = came.caps if came is not None else ()
        self._down(passed, self.limiter.caps(self._time.now, passed, above))

    def _down(self, frames: list[bytes], caps: tuple[Cap, ...]) -> None:
        frames[1] = self._numbering.envelope(frames[0], caps)
        topic = frames[0].decode()
        for prefix, link in self.down_links.items():
            if topic.startswith(("a/", prefix)):
                link.send(list(frames))
