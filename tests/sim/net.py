"""Links that lose, delay, fill up and can be cut, and brokers that run the production forwarder."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from tabard.brokers.forwarder import Forwarder
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


class SimBroker:
    """A broker between links; stopped or dead it loses what reaches it."""

    def __init__(self, name: str, zone: str) -> None:
        self.forwarder = Forwarder(name, zone)
        self.alive = True
        self.up_links: dict[str, Link] = {}
        self.down_links: dict[str, Link] = {}

    def up(self, frames: list[bytes]) -> None:
        """A message from below: to the subscribers of its topic."""
        if not self.alive:
            return
        passed = self.forwarder.up(list(frames))
        if passed is None:
            return
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
        topic = passed[0].decode()
        for prefix, link in self.down_links.items():
            if topic.startswith(("a/", prefix)):
                link.send(list(passed))
