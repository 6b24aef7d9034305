"""Exchanges of rosters joined by links that lose, double and disorder what they carry, in virtual time."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Final

from tabard.brokers.news.exchange import Exchange
from tabard.brokers.news.shelf import TrustShelf, mark_of
from tabard.brokers.trust.directory import Directory
from tabard.brokers.wire.heartbeat import Heartbeat, encode_heartbeat
from tabard.brokers.wire.rosters import Speaker, Version
from tests.unit.trust.places import NOW

UP: Final = "up"
DOWN: Final = "down"
BEAT: Final = 1.0
STEP: Final = 0.05


class MemoryTrust:
    """A home's trust without a disk; `broken` is what the disk answers."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self.disk: dict[str, bytes] = {}
        self.broken: OSError | None = None
        self.edition = 0

    def reload(self) -> bool:
        """Nothing changes but by `write_roster`."""
        return False

    def touch(self) -> None:
        """As `Trust.touch`."""
        self.edition += 1

    def write_roster(self, zone: str) -> None:
        """As `Trust.write_roster`."""
        if self.broken is not None:
            raise self.broken
        self.disk[zone] = self.directory.rosters()[zone]


class Side:
    """One role with its exchange."""

    def __init__(self, world: World, me: Speaker, directory: Directory) -> None:
        self.me = me
        self.trust = MemoryTrust(directory)
        self.counters: Counter[str] = Counter()
        self.shelf = TrustShelf(self.trust, world.wall)  # type: ignore[arg-type]  # it has all that is used of it
        self.exchange = Exchange(me, self.shelf, self.counters, world.now)
        self.above: list[Side] = []
        self.below: list[Side] = []
        self.beats = 0
        self.sent = 0
        """Bytes of parts."""

    def versions(self) -> dict[str, int]:
        """Numbers by zone."""
        return {row.zone: row.number for row in self.shelf.versions()}

    def beat(self) -> list[bytes]:
        """Its heartbeat."""
        self.beats += 1
        beat = Heartbeat(self.me.name, self.me.zone, BEAT, self.beats, above=True)
        return encode_heartbeat(beat, b"", self.exchange.versions())


class World:
    """All roles, and what is on its way between them."""

    def __init__(self, seed: int = 0, *, lose: float = 0.0, double: float = 0.0, late: float = 0.0) -> None:
        self.random = Random(seed)
        self.now = 100.0
        self.lose, self.double, self.late = lose, double, late
        self.cut: set[frozenset[str]] = set()
        self._sides: dict[str, Side] = {}
        self._queue: list[tuple[float, int, Side, Side, str, list[bytes]]] = []
        self._order = count()
        self._next_beat = self.now

    def wall(self) -> int:
        """Nanoseconds since 1970."""
        return NOW + round(self.now * 1e9)

    def add(self, role: str, zone: str, name: str, directory: Directory, *above: Side) -> Side:
        """A role that hands up to others."""
        side = self._sides[name] = Side(self, Speaker(role, zone, name), directory)
        for each in above:
            side.above.append(each)
            each.below.append(side)
        return side

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        self._until(lambda: False, seconds)

    def run_until(self, holds: Callable[[], bool], most: float = 120.0) -> float:
        """Let time pass until something holds; the seconds that it took."""
        began = self.now
        assert self._until(holds, most), f"not within {most} s of virtual time"
        return self.now - began

    def _until(self, holds: Callable[[], bool], seconds: float) -> bool:
        end = self.now + seconds
        while self.now < end:
            if holds():
                return True
            self.now += STEP
            self._turn()
        return holds()

    def _turn(self) -> None:
        if self.now >= self._next_beat:
            self._next_beat += BEAT
            for side in list(self._sides.values()):
                if side.me.role == "broker":
                    beat = side.beat()
                    self.send(side, UP, beat)
                    self.send(side, DOWN, beat)
        while self._queue and self._queue[0][0] <= self.now:
            _at, _number, to, source, link, frames = heapq.heappop(self._queue)
            to.exchange.hear(self.now, link, frames, source.me)
            self._flush(to)  # as the driver does
        for side in self._sides.values():
            if side.exchange.deadline() <= self.now:
                self._flush(side)

    def _flush(self, side: Side) -> None:
        for link, frames in side.exchange.outgoing(self.now, self.wall()):
            side.sent += len(frames[4])
            self.send(side, link, frames)

    def send(self, source: Side, link: str, frames: list[bytes]) -> None:
        """To everybody on a link."""
        for to in source.above if link == UP else source.below:
            if frozenset({source.me.name, to.me.name}) in self.cut:
                continue
            for _ in range(2 if self.random.random() < self.double else 1):
                if self.random.random() >= self.lose:
                    at = self.now + self.random.random() * self.late
                    heapq.heappush(
                        self._queue, (at, next(self._order), to, source, DOWN if link == UP else UP, frames)
                    )


class ByteShelf:
    """Rosters that are nothing but bytes, believed whatever they are; for sizes that take too long to sign."""

    def __init__(self, **rosters: tuple[int, bytes]) -> None:
        self.held: dict[str, tuple[int, bytes]] = dict(rosters)
        self.looks = 0
        self._marks: dict[str, tuple[bytes, bytes]] = {}

    def look(self) -> None:
        """Count it."""
        self.looks += 1

    def versions(self) -> list[Version]:
        """All, as they were put in."""
        for zone, (_number, data) in self.held.items():
            if zone not in self._marks or self._marks[zone][0] is not data:
                self._marks[zone] = (data, mark_of(data))
        return [Version(zone, number, self._marks[zone][1]) for zone, (number, _data) in self.held.items()]

    def knows(self, zone: str) -> bool:
        """Every zone there is."""
        return bool(zone)

    def roster(self, zone: str) -> bytes | None:
        """The one of a zone."""
        return self.held[zone][1] if zone in self.held else None
