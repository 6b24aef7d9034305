"""A simulated recorder: the production sink over the production store, which can fail, freeze and be restored."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from tabard.brokers.delivery.ports import CursorConflict, EpochWork, StoreUnavailable
from tabard.brokers.delivery.seal import OpenSeal
from tabard.brokers.delivery.sink import Sink
from tabard.brokers.wire.messages import Message
from tabard.consumers.store.sqlite import SqliteStore
from tests.sim.clock import EPOCH_NS, Time
from tests.sim.disk import Killed

PRESENCE_EVERY = 1.0
IDLE = 0.005
"""Seconds after which the socket counts as drained."""
FROZEN_INBOX = 500


class FlakyStore:
    """Hands on to the production store, or fails before or after the commit."""

    def __init__(self, store: SqliteStore, rng: Random) -> None:
        self.store = store
        self.rng = rng
        self.down = False
        self.replaced = False
        """Whether the files were exchanged underneath: the next look at them finds out."""
        self.doubtful = 0.0
        """Chance that a commit is done and yet reported as failed."""

    def __getattr__(self, name: str) -> Any:
        if name in {"load", "unfinished", "newest", "digest", "presence"}:
            self._look()
        return getattr(self.store, name)

    def commit(self, work: Sequence[EpochWork], arrived: int) -> None:
        """Commit, unless the fault says otherwise."""
        self._look()
        self.store.commit(work, arrived)
        if self.doubtful and self.rng.random() < self.doubtful:
            raise StoreUnavailable("the connection broke during the commit")

    def _look(self) -> None:
        if self.down:
            raise StoreUnavailable("the disk is away")
        if self.replaced:
            self.replaced = False
            raise CursorConflict("another file lies there now")


class SimRecorder:
    """One recorder process and its database, which survives it."""

    def __init__(
        self, name: str, time: Time, rng: Random, down: Callable[[list[bytes]], None], budget: int
    ) -> None:
        self.name = name
        self.time = time
        self.rng = rng
        self.down = down
        self.budget = budget
        self.flaky = FlakyStore(SqliteStore.memory(), rng)
        self.sink: Sink | None = None
        self.restores = 0
        """How often an older database was put in the place of its own."""
        self.life = 0
        self.frozen: list[list[bytes]] | None = None
        self._flush_due = False
        self._wake_at = float("inf")

    # --- life ------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether there is a process, frozen or not."""
        return self.sink is not None

    def start(self) -> None:
        """Start the process."""
        self.life += 1
        self.frozen = None
        self._flush_due = False
        self._wake_at = float("inf")
        self.sink = Sink(self.name, self.flaky, OpenSeal(), self.rng.randbytes, budget=self.budget)
        self._hello(self.life)
        self.time.at(self.time.now + 1.0, self._hello, self.life)
        self._tick(self.life)

    def kill(self) -> None:
        """SIGKILL: what was not committed is gone."""
        self.life += 1
        self.sink = None

    def freeze(self) -> None:
        """SIGSTOP."""
        if self.alive and self.frozen is None:
            self.frozen = []

    def thaw(self) -> None:
        """SIGCONT."""
        if self.frozen is not None:
            waiting, self.frozen = self.frozen, None
            for frames in waiting:
                self.receive(frames)
            self._tick(self.life)

    def snapshot(self) -> bytes:
        """A copy of the database."""
        return self.flaky.store.image()

    def restore(self, image: bytes, *, noticed: bool = True) -> None:
        """Put a copy in the place of the database, whoever is running on it."""
        self.restores += 1
        self.flaky.store = SqliteStore.memory(image)
        self.flaky.replaced = self.alive and noticed

    def wipe(self) -> None:
        """Put an empty database in the place of its own."""
        self.restores += 1
        self.flaky.store = SqliteStore.memory()

    def machine_snapshot(self) -> tuple[bytes, Sink | None]:
        """A copy of the whole machine: the database, and the process with all it has in memory."""
        memo = {id(self.flaky): self.flaky, id(self.rng): self.rng}
        return self.snapshot(), copy.deepcopy(self.sink, memo)

    def machine_restore(self, machine: tuple[bytes, Sink | None]) -> None:
        """Put the machine back to what it was, as a hypervisor does; nobody on it notices."""
        image, sink = machine
        self.restores += 1
        self.life += 1
        self.frozen = None
        self._flush_due = False
        self._wake_at = float("inf")
        self.flaky.store = SqliteStore.memory(image)
        self.flaky.replaced = False
        self.sink = copy.deepcopy(sink, {id(self.flaky): self.flaky, id(self.rng): self.rng})
        if self.sink is not None:
            self._tick(self.life)

    def _mortal(self, action: Callable[[Sink], None]) -> None:
        """Do what may end the process in the middle of it."""
        if self.sink is None:
            return
        try:
            action(self.sink)
        except Killed:
            self.kill()
            life = self.life
            self.time.at(self.time.now + 1.0, lambda: self.start() if life == self.life else None)

    # --- work ------------------------------------------------------------------------------

    def receive(self, frames: list[bytes]) -> None:
        """A message of the up lane arrives."""
        if self.frozen is not None:
            if len(self.frozen) < FROZEN_INBOX:
                self.frozen.append(frames)
            return
        self._mortal(lambda sink: sink.receive(self.time.now, self.wall(), Message(*frames)))
        if self.alive and not self._flush_due:
            self._flush_due = True
            self.time.at(self.time.now + IDLE, self._flush, self.life)

    def wall(self) -> int:
        """The recorder's wall clock."""
        return EPOCH_NS + int(self.time.now * 1e9)

    def _flush(self, life: int) -> None:
        if life != self.life:
            return
        if self.frozen is not None:
            self.time.at(self.time.now + 0.25, self._flush, life)
            return
        self._flush_due = False
        self._mortal(self._commit)

    def _commit(self, sink: Sink) -> None:
        sink.flush(self.time.now, self.wall())
        self._send(sink)

    def _send(self, sink: Sink) -> None:
        for message in sink.outgoing(self.time.now):
            self.down(list(message))
        wake_at = max(sink.deadline(), self.time.now + 0.001)
        if wake_at < self._wake_at:
            self._wake_at = wake_at
            self.time.at(wake_at, self._wake, self.life, wake_at)

    def _wake(self, life: int, wake_at: float) -> None:
        if life == self.life and wake_at == self._wake_at and self.frozen is None:
            self._wake_at = float("inf")
            self._mortal(self._send)

    def _hello(self, life: int) -> None:
        if life == self.life and self.sink is not None:
            self.down(list(self.sink.hello()))

    def _tick(self, life: int) -> None:
        if life == self.life and self.frozen is None:
            self._wake_at = float("inf")
            self._mortal(self._note_presence)
            self.time.at(self.time.now + PRESENCE_EVERY, self._tick, life)

    def _note_presence(self, sink: Sink) -> None:
        try:
            self.flaky.presence(sink.presence())
        except (CursorConflict, StoreUnavailable) as error:
            sink.store_lost(error)
        self._send(sink)
