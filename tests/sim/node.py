"""A simulated host with an agent: production journals, outbox and publisher on a disk that can fail."""

from __future__ import annotations

import copy
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from tabard.agents.journal.author import Author, Owner
from tabard.agents.journal.journal import Journal
from tabard.agents.journal.limits import Limits
from tabard.agents.journal.outbox import Outbox
from tabard.agents.notes import Notes
from tabard.brokers.delivery.notes import BY_NODE, Retirement
from tabard.brokers.delivery.ports import NodeKey
from tabard.brokers.delivery.publisher import Publisher
from tabard.brokers.delivery.seal import Seal
from tabard.brokers.delivery.starting import AGE
from tabard.brokers.wire.codec import pack
from tabard.brokers.wire.messages import Message
from tabard.brokers.wire.streams import CONTROL, LOGS, SAMPLES, STREAM_NAMES
from tabard.errors import JournalError
from tabard.records import LOG_INDEX, LOG_WIDTH
from tests.sim.boundary import exception_of
from tests.sim.clock import HostClock, Time
from tests.sim.database import SimDatabase
from tests.sim.disk import Killed, SimDisk
from tests.sim.plan import Plan

ENFORCE_EVERY = 1.0
FROZEN_INBOX = 500
"""Messages that wait in the socket of a frozen process."""
NOON = 1_700_000_000_000_000_000
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
        self,
        time: Time,
        rng: Random,
        name: str,
        zone: str,
        up: Callable[[list[bytes]], None],
        limits: Limits,
        outbox: Limits,
        plan: Plan,
        seal: Seal,
    ) -> None:
        self.seal = seal
        self.time = time
        self.rng = rng
        self.key = NodeKey(name, zone)
        self.disk = SimDisk()
        self.database = SimDatabase()
        self.clock = HostClock(time)
        self.limits = limits
        self.outbox_limits = outbox
        self.sinks = list(plan.sinks)
        self.fsync = plan.fsync
        self.up = up
        self.accepted: list[Accepted] = []
        self.unsynced: list[Accepted] = []
        self.lost_by_power: set[str] = set()
        self.journal_restores = 0
        self.host_restores = 0
        """How often its machine was put back, each time of which its journal was too."""
        self.restored_alive = False
        """Whether its journal was put back under a process that went on."""
        self.was_read_only = False
        self.rolled_back: set[str] = set()
        self.exchanged_at: int | None = None
        """How many records were accepted when the files were copied that now lie in the place of the journal's."""
        self.refused = 0
        self.life = 0
        self.alive = False
        self.frozen: list[list[bytes]] | None = None
        self.journals: dict[int, Journal | Outbox] = {}
        self.publisher: Publisher | None = None
        self.noted: bytes | None = None
        """The file of the notes on sinks, which is synced at each writing."""
        self.told_to_retire: set[str] = set()
        """The sinks that its people said are retired."""
        self.installed: float | None = None
        """When its agent was started for the first time."""
        self.rekeying: Callable[[], None] | None = None
        """What gives it another key, once its process looks."""
        self._signed_by: dict[int, bytes] = {}
        """By stream, which key opened the epoch that is written."""
        self._numbers = dict.fromkeys(STREAM_NAMES, 0)
        self._sync_due = False
        self._wake_at = float("inf")

    # --- life ------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the agent on what the disk holds."""
        self.life += 1
        self.frozen = None
        self._sync_due = False
        self._wake_at = float("inf")
        self._look_at_keys()
        try:
            self.journals = {
                CONTROL: self._outbox(),
                LOGS: self._journal(LOGS),
                SAMPLES: self._journal(SAMPLES),
            }
        except (JournalError, Killed):
            self._restart_later()
            return
        self._signed_by = dict.fromkeys(self.journals, self.seal.pen.key_id)
        self.publisher = Publisher(
            self.key,
            self.sinks,
            self.journals,
            self.seal,
            self.rng.randbytes,
            interval=5.0,
            facts=self._facts,
            notes=Notes(lambda: self.noted, self._write_note, "notes"),
        )
        if self.installed is None:
            self.installed = self.time.now
        self.alive = True
        self._tick()

    def _write_note(self, content: bytes) -> None:
        self.noted = content

    def _facts(self) -> dict[str, Any]:
        logs = self.journals[LOGS]
        return {AGE: logs.stats().oldest_age} if isinstance(logs, Journal) else {}

    def retire(self, sink: str, who: str = "root") -> None:
        """Somebody says in the node's home that a sink is retired."""
        if self.alive and self.frozen is None and self.publisher is not None:
            word = Retirement(BY_NODE, who, self.clock.wall())
            self.publisher.retire(self.clock.monotonic(), sink, word)
            self.told_to_retire.add(sink)
            self._pump()

    def retired(self) -> set[str]:
        """The sinks that are retired, as the file has it."""
        return set(Notes(lambda: self.noted, self._write_note, "notes").retired())

    def _outbox(self) -> Outbox:
        return Outbox.open(self.database.connect, self._author(CONTROL), self.outbox_limits)

    def _journal(self, stream: int) -> Journal:
        directory = f"journal/{STREAM_NAMES[stream]}"
        return Journal.open(self.disk, directory, self._author(stream), self.limits)

    def _author(self, stream: int) -> Author:
        owner = Owner(self.clock.boot, self.key.node, self.key.zone, "sim")
        return Author(stream, owner, clock=self.clock, seal=self.seal, entropy=self.rng.randbytes)

    def _restart_later(self) -> None:
        life = self.life
        self.time.at(
            self.time.now + 1.0, lambda: self.start() if life == self.life and not self.alive else None
        )

    def kill(self) -> None:
        """SIGKILL: memory is gone, the page cache is not."""
        if self.exchanged_at is not None:
            self._roll_back_from(self.exchanged_at)
            self.exchanged_at = None
        self.alive = False
        self.life += 1
        self.disk.fuse = None
        self.database.connection.close()
        self.journals = {}
        self.publisher = None

    def stop(self) -> None:
        """An orderly end."""
        if self.alive:
            self._mortal(self._close)
        self.kill()

    def _close(self) -> None:
        try:
            for journal in self.journals.values():
                journal.close()
        except JournalError:
            return  # the disk refuses: it ends as if it had been killed
        self._synced()

    def power_cut(self) -> None:
        """Memory and whatever was not synced are gone."""
        self.kill()
        self.disk.power_cut(self.rng)
        self.clock.reboot()
        self.lost_by_power.update(entry.payload for entry in self.unsynced)
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
            self._tick()

    def _mortal(self, action: Callable[[], None]) -> None:
        """Do what may end the process in the middle of it."""
        try:
            action()
        except Killed:
            self.kill()
            self._restart_later()

    # --- copies ----------------------------------------------------------------------------

    def disk_snapshot(self) -> Any:
        """All files, the outbox included."""
        return self.disk.snapshot(), self.database.snapshot()

    def disk_restore(self, snapshot: Any) -> None:
        """Put older files in the place of all; nobody has them open."""
        files, database = snapshot
        self.disk.restore(files)
        self.database.restore(database)
        self.unsynced.clear()

    def roll_back(self, mark: int) -> None:
        """What was accepted from number `mark` on may be gone without a trace."""
        self._roll_back_from(mark)

    def _roll_back_from(self, mark: int) -> None:
        self.rolled_back.update(entry.payload for entry in self.accepted[mark:])

    def host_snapshot(self) -> Any:
        """The whole machine as it runs: memory and disk, as a hypervisor copies it."""
        kept = (self.time, self.rng, self.clock, self.database, self, self.up, self.seal)
        memo: dict[int, Any] = {id(item): item for item in kept}
        memo[id(self.database.connection)] = None  # opened again at the next use
        state = (self.disk, self.journals, self.publisher, self.unsynced, self._signed_by)
        return copy.deepcopy(state, memo), self.database.snapshot()

    def host_restore(self, snapshot: Any) -> None:
        """Go on from the copy, as if nothing had happened since; the clock is the host's and goes on."""
        self.kill()
        memory, database = snapshot
        self.alive = True
        self.frozen = None
        self.disk, self.journals, self.publisher, self.unsynced, self._signed_by = memory
        self.database.restore(database)
        self._wake_at = float("inf")
        self._sync_due = True
        self._sync(self.life)
        self._tick()

    def settled(self, sink: str, stream: int) -> frozenset[bytes]:
        """The epochs that the node knows to be stored by a sink to their end."""
        if self.publisher is None or sink in self.retired():
            return frozenset()
        return self.publisher._sinks[sink].senders[stream].settled

    # --- work ------------------------------------------------------------------------------

    def produce(self, stream: int, count: int) -> None:
        """An application logs `count` records; what the journal takes is remembered as accepted."""
        if self.alive and self.frozen is None:
            self._mortal(lambda: self._produce(stream, count))

    def _produce(self, stream: int, count: int) -> None:
        payloads = []
        for _ in range(count):
            self._numbers[stream] += 1
            payloads.append(f"{self.key.node}/{stream}/{self._numbers[stream]}")
        body = pack(
            [("sim", self._numbers[stream], "sim", [self._record(stream, text) for text in payloads])]
        )
        try:
            batch = self.journals[stream].append(body, count, {"sim": self._numbers[stream]})
        except JournalError:
            self.refused += count
            return
        header = batch.header
        for offset, text in enumerate(payloads):
            entry = Accepted(text, self.key.node, stream, header.epoch, header.first + offset, self.time.now)
            self.accepted.append(entry)
            if stream != CONTROL:
                self.unsynced.append(entry)
        if not self._sync_due:
            self._sync_due = True
            self.time.at(self.time.now + self.fsync, self._sync, self.life)

    def _record(self, stream: int, text: str) -> list[Any]:
        if stream != LOGS:
            return [NOON, "sim", {"payload": text}]
        record: list[Any] = [None] * LOG_WIDTH
        record[0], record[1], record[LOG_INDEX["message"]] = NOON, 9, text
        record[LOG_INDEX["user2"]] = PAD
        record[LOG_INDEX["exception"]] = exception_of(self.key.zone, stream, text)
        return record

    def _sync(self, life: int) -> None:
        if life != self.life or not self.alive:
            return
        if self.frozen is not None:
            self.time.at(self.time.now + 0.25, self._sync, life)
            return
        self._sync_due = False
        self._mortal(self._do_sync)

    def _do_sync(self) -> None:
        try:
            for journal in self.journals.values():
                journal.sync()
        except JournalError:
            self._sync_due = True
            self.time.at(self.time.now + 1.0, self._sync, self.life)
            return
        self._synced()
        self._pump()

    def _synced(self) -> None:
        if self.exchanged_at is not None:
            # by now the journal has noticed; what went into the old files is lost, and must be said to be
            self._roll_back_from(self.exchanged_at)
            self.exchanged_at = None
        self.unsynced.clear()

    def receive(self, frames: list[bytes]) -> None:
        """A message of the down lane arrives."""
        if not self.alive or self.publisher is None:
            return
        if self.frozen is not None:
            if len(self.frozen) < FROZEN_INBOX:
                self.frozen.append(frames)
            return
        self._mortal(lambda: self._receive(Message(*frames)))

    def _receive(self, message: Message) -> None:
        assert self.publisher is not None
        self.publisher.receive(self.clock.monotonic(), message)
        self._pump()

    def _pump(self) -> None:
        """Publish what may be published, and wake up when the publisher wants to be asked again."""
        if not self.alive or self.publisher is None or self.frozen is not None:
            return
        now = self.clock.monotonic()
        while True:
            messages = self.publisher.outgoing(now, self.clock.wall(), 32)
            for message in messages:
                self.up(list(message))
            if len(messages) < 2:
                break
        wake_at = self.time.now + max(0.001, self.publisher.deadline() - now)
        if wake_at < self._wake_at:
            self._wake_at = wake_at
            self.time.at(wake_at, self._wake, self.life, wake_at)

    def _wake(self, life: int, wake_at: float) -> None:
        if life == self.life and wake_at == self._wake_at:
            self._wake_at = float("inf")
            self._mortal(self._pump)

    def _tick(self) -> None:
        """Once a second, as long as this process runs."""
        self._mortal(self._enforce)
        if self.alive:
            self.time.at(self.time.now + ENFORCE_EVERY, self._tick_of, self.life)

    def _tick_of(self, life: int) -> None:
        if life == self.life and self.alive and self.frozen is None:
            self._tick()

    def _look_at_keys(self) -> None:
        """Take up another key, as a home gets it."""
        rekeying, self.rekeying = self.rekeying, None
        if rekeying is not None:
            rekeying()
            if self.alive and self.publisher is not None:
                self.publisher.speak(self.clock.monotonic())

    def _rotate(self) -> None:
        """Begin epochs of the key that signs now, as `tabard.agents.journals.Journals.rotate` does."""
        key_id = self.seal.pen.key_id
        for stream, journal in self.journals.items():
            if self._signed_by.get(stream) != key_id:
                try:
                    journal.renew("", "rotation")
                except JournalError:
                    return
                self._signed_by[stream] = key_id

    def _enforce(self) -> None:
        self._look_at_keys()
        self._rotate()
        for journal in self.journals.values():
            journal.enforce(self.clock.monotonic())
        self._pump()
