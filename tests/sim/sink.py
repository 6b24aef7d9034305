"""A simulated recorder: the production sink over the production store, which can fail, freeze and be restored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from tabard.brokers.delivery.ports import CursorConflict, EpochWork, StoreUnavailable
from tabard.brokers.delivery.seal import OpenSeal
from tabard.brokers.delivery.sink import Sink
from tabard.brokers.wire.messages import Message
from tabard.consumers.store.sqlite import SqliteStore
from tests.sim.clock import EPOCH_NS, Time

TICK = 0.25
IDLE = 0.005


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

    def __init__(self, time: Time, rng: Random, down: Callable[[list[bytes]], None], budget: int) -> None:
        self.time = time
        self.rng = rng
        self.down = down
        self.budget = budget
        self.image: list[Any] | None = None
        self.flaky = FlakyStore(SqliteStore.memory(), rng)
        self.sink: Sink | None = None
        self.alive = False
        self.frozen: list[list[bytes]] | None = None
        self.life = 0
        self.inbox = 400
        self._flush_due = False

    def start(self) -> None:
        """Start the process on the database as it is."""
        self.life += 1
        self.alive = True
        self.frozen = None
        self._flush_due = False
        self.sink = Sink("main", self.flaky, OpenSeal(), self.rng.randbytes, budget=self.budget)
        self._send([self.sink.hello()])
        self.time.at(self.time.now + 1.0, self._later(self._hello))
        self._tick(self.life)

    def _later(self, action: Callable[[], None]) -> Callable[[], None]:
        life = self.life
        return lambda: action() if life == self.life and self.alive else None

    def _hello(self) -> None:
        if self.sink is not None:
            self._send([self.sink.hello()])

    def kill(self) -> None:
        """SIGKILL: what was not committed is gone."""
        self.alive = False
        self.life += 1
        self.sink = None

    def snapshot(self) -> None:
        """Keep a copy of the database."""
        self.image = self.flaky.store.image()

    def restore(self) -> bool:
        """Put the copy in the place of the database, whoever is running on it."""
        if self.image is None:
            return False
        self.flaky.store = SqliteStore.memory(self.image)
        return True

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

    def receive(self, frames: list[bytes]) -> None:
        """A message of the up lane arrives."""
        if not self.alive or self.sink is None:
            return
        if self.frozen is not None:
            if len(self.frozen) < self.inbox:
                self.frozen.append(frames)
            return
        self.sink.receive(self.time.now, self.wall(), Message(*frames))
        if not self._flush_due:
            self._flush_due = True
            self.time.at(self.time.now + IDLE, self._later(self._flush))

    def wall(self) -> int:
        """The recorder's wall clock."""
        return EPOCH_NS + int(self.time.now * 1e9)

    def _flush(self) -> None:
        if self.sink is None:
            return
        if self.frozen is not None:
            self.time.at(self.time.now + TICK, self._later(self._flush))
            return
        self._flush_due = False
        self.sink.flush(self.time.now, self.wall())
        self._send(self.sink.outgoing(self.time.now))

    def _send(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self.down(list(message))

    def _tick(self, life: int) -> None:
        if life != self.life or self.sink is None or self.frozen is not None:
            return
        try:
            self.flaky.presence(self.sink.presence())
        except (CursorConflict, StoreUnavailable) as error:
            self.sink.store_lost(error)
        self._send(self.sink.outgoing(self.time.now))
        self.time.at(self.time.now + TICK, lambda: self._tick(life))
