"""A simulated host with an agent: production journals, outbox and publisher on a disk that can fail."""

from __future__ import annotations

import copy
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from tabard.agents.journal.journal import Journal
from tabard.agents.journal.limits import Limits
from tabard.brokers.delivery.ports import NodeKey
from tabard.brokers.delivery.publisher import Publisher
from tabard.brokers.delivery.seal import OpenSeal
from tabard.brokers.wire.codec import pack
from tabard.brokers.wire.messages import Message
from tabard.brokers.wire.streams import LOGS, SAMPLES, STREAM_NAMES
from tabard.errors import JournalError
from tabard.records import LOG_INDEX, LOG_WIDTH
from tests.sim.clock import HostClock, Time
from tests.sim.disk import SimDisk

TICK = 0.25
PAD = "x" * 40


class Accepted(NamedTuple):
    """A record the journal took: what the store must show, or a gap must cover."""

    payload: str
    node: str
    stream: int
    epoch: bytes
    seq: int
    at: float


class SimNode:
    """One host. `up` publishes; what it is told comes in by `receive`."""

    def __init__(
        self, time: Time, rng: Random, name: str, zone: str, up: Callable[[list[bytes]], None], limits: Limits
    ) -> None:
        self.time = time
        self.rng = rng
        self.key = NodeKey(name, zone)
        self.disk = SimDisk()
        self.clock = HostClock(time)
        self.limits = limits
        self.up = up
        self.accepted: list[Accepted] = []
        self.unsynced: list[Accepted] = []
        self.lost_by_power: list[Accepted] = []
        self.rolled_back: list[Accepted] = []
        self.exchanged_at: int | None = None
        """How many records were accepted when the files were copied that now lie in the place of the journal's."""
        self.refused = 0
        self.life = 0
        self.alive = False
        self.frozen: list[list[bytes]] | None = None
        self.journals: dict[int, Journal] = {}
        self.publisher: Publisher | None = None
        self._numbers = dict.fromkeys(STREAM_NAMES, 0)
        self.fsync_delay = 0.05
        self._sync_due = False

    # --- life ------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the agent on what the disk holds."""
        self.life += 1
        self.frozen = None
        try:
            self.journals = {
                stream: Journal.open(
                    self.disk,
                    f"journal/{STREAM_NAMES[stream]}",
                    stream,
                    limits=self.limits,
                    clock=self.clock,
                    seal=OpenSeal(),
                    entropy=self._entropy,
                    boot=self.clock.boot,
                    node=self.key.node,
                    zone=self.key.zone,
                    version="sim",
                )
                for stream in (LOGS, SAMPLES)
            }
        except JournalError:
            self.time.at(self.time.now + 1.0, self._restart_of(self.life))
            return
        self.publisher = Publisher(self.key, ["main"], self.journals, OpenSeal(), self._entropy, interval=5.0)
        self.alive = True
        self._sync_due = False
        self._tick(self.life)

    def _restart_of(self, life: int) -> Callable[[], None]:
        return lambda: self.start() if life == self.life and not self.alive else None

    def _entropy(self, size: int) -> bytes:
        return self.rng.randbytes(size)

    def kill(self) -> None:
        """SIGKILL: memory is gone, the page cache is not."""
        if self.exchanged_at is not None:
            self.rolled_back.extend(self.accepted[self.exchanged_at :])
            self.exchanged_at = None
        self.alive = False
        self.life += 1
        self.journals = {}
        self.publisher = None

    def stop(self) -> None:
        """An orderly end."""
        if self.alive:
            try:
                for journal in self.journals.values():
                    journal.close()
            except JournalError:
                pass  # the disk refuses: it ends as if it had been killed
            else:
                self._synced()
        self.kill()

    def power_cut(self) -> None:
        """Memory and whatever was not synced are gone."""
        self.kill()
        self.disk.power_cut(self.rng)
        self.clock.reboot()
        self.lost_by_power.extend(self.unsynced)
        self.unsynced.clear()

    def freeze(self) -> None:
        """SIGSTOP."""
        if self.alive and self.frozen is None:
            self.frozen = []

    def thaw(self) -> None:
        """SIGCONT: what waited in the socket's queue arrives at once."""
        if self.frozen is not None:
            waiting, self.frozen = self.frozen, None
            for frames in waiting:
                self.receive(frames)
            self._tick(self.life)

    def host_snapshot(self) -> Any:
        """The whole machine as it runs: memory and disk, as a hypervisor copies it."""
        kept = (self.time, self.rng, self.clock, self, self.up)
        memo: dict[int, Any] = {id(item): item for item in kept}
        state = (self.disk, self.journals, self.publisher, self.unsynced)
        return copy.deepcopy(state, memo)

    def host_restore(self, snapshot: Any) -> None:
        """Go on from the copy, as if nothing had happened since; the clock is the host's and goes on."""
        self.life += 1
        self.alive = True
        self.frozen = None
        self.disk, self.journals, self.publisher, self.unsynced = snapshot
        self._sync_due = True
        self._sync(self.life)
        self._tick(self.life)

    # --- work ------------------------------------------------------------------------------

    def produce(self, stream: int, count: int) -> None:
        """An application logs `count` records; what the journal takes is remembered as accepted."""
        if not self.alive or self.frozen is not None:
            return
        payloads = []
        for _ in range(count):
            self._numbers[stream] += 1
            payloads.append(f"{self.key.node}/{stream}/{self._numbers[stream]}")
        body = pack([("sim", self._numbers[stream], "sim", [_record(stream, text) for text in payloads])])
        try:
            batch = self.journals[stream].append(body, count, {"sim": self._numbers[stream]})
        except JournalError:
            self.refused += count
            return
        header = batch.header
        for offset, text in enumerate(payloads):
            entry = Accepted(text, self.key.node, stream, header.epoch, header.first + offset, self.time.now)
            self.accepted.append(entry)
            self.unsynced.append(entry)
        if not self._sync_due:
            self._sync_due = True
            self.time.at(self.time.now + self.fsync_delay, lambda life=self.life: self._sync(life))

    def _sync(self, life: int) -> None:
        if life != self.life or not self.alive:
            return
        if self.frozen is not None:
            self.time.at(self.time.now + TICK, lambda: self._sync(life))
            return
        self._sync_due = False
        try:
            for journal in self.journals.values():
                journal.sync()
        except JournalError:
            self._sync_due = True
            self.time.at(self.time.now + 1.0, lambda: self._sync(life))
            return
        self._synced()
        self.pump()

    def _synced(self) -> None:
        if self.exchanged_at is not None:
            # by now the journal has noticed; what went into the old files is lost, and must be said to be
            self.rolled_back.extend(self.accepted[self.exchanged_at :])
            self.exchanged_at = None
        self.unsynced.clear()

    def receive(self, frames: list[bytes]) -> None:
        """A message of the down lane arrives."""
        if not self.alive or self.publisher is None:
            return
        if self.frozen is not None:
            self.frozen.append(frames)
            return
        self.publisher.receive(self.clock.monotonic(), Message(*frames))
        self.pump()

    def pump(self) -> None:
        """Publish what may be published."""
        if not self.alive or self.publisher is None or self.frozen is not None:
            return
        while True:
            messages = self.publisher.outgoing(self.clock.monotonic(), self.clock.wall(), 32)
            for message in messages:
                self.up(list(message))
            if len(messages) < 2:
                return

    def _tick(self, life: int) -> None:
        if life != self.life or not self.alive or self.frozen is not None:
            return
        for journal in self.journals.values():
            journal.enforce(self.clock.monotonic())
        self.pump()
        self.time.at(self.time.now + TICK, lambda: self._tick(life))


def _record(stream: int, text: str) -> list[Any]:
    if stream == LOGS:
        record: list[Any] = [None] * LOG_WIDTH
        record[0], record[1], record[LOG_INDEX["message"]] = 1_700_000_000_000_000_000, 9, text
        record[LOG_INDEX["user2"]] = PAD
        return record
    return [1_700_000_000_000_000_000, "sim", {"payload": text}]
