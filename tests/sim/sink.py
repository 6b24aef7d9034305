"""A simulated recorder: the production sink over the production store, which can fail, freeze and be restored."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from tabard.brokers.delivery.aside import StoreAside
from tabard.brokers.delivery.ports import CursorConflict, EpochWork, NodeKey, StoreUnavailable
from tabard.brokers.delivery.seal import Seal
from tabard.brokers.delivery.sink import Sink
from tabard.brokers.wire.messages import Message
from tabard.consumers.recorder.backfilling import Backfilling
from tabard.consumers.recorder.owning import Watch
from tabard.consumers.store.sqlite import SqliteStore
from tests.sim.clock import EPOCH_NS, Time
from tests.sim.disk import Killed

PRESENCE_EVERY = 1.0
IDLE = 0.005
"""Seconds after which the socket counts as drained."""
FROZEN_INBOX = 500
LONGEST_COMMIT = 0.3
"""Seconds that a commit beside the loop takes."""
MOST_PENDING = 100
"""Records that gather during one, before the loop waits for it."""


Machine = tuple[bytes, Sink | None, StoreAside | None]
"""A database, and the process with its store."""


class FlakyStore:
    """Hands on to the production store, or fails before or after the commit."""

    def __init__(self, store: SqliteStore, rng: Random) -> None:
        self.store = store
        self.rng = rng
        self.down = False
        self.first: dict[tuple[NodeKey, int], int] = {}
        """When something of a stream was committed for the first time of all, by the recorder's wall clock."""
        self.replaced = False
        """Whether the files were exchanged underneath: the next look at them finds out."""
        self.doubtful = 0.0
        """Chance that a commit is done and yet reported as failed."""

    def __getattr__(self, name: str) -> Any:
        if name in {
            "load",
            "unfinished",
            "newest",
            "digest",
            "presence",
            "heard",
            "said",
            "owned",
            "backfills",
            "reopen",
        }:
            self._look()
        return getattr(self.store, name)

    def commit(self, work: Sequence[EpochWork], arrived: int) -> None:
        """Commit, unless the fault says otherwise."""
        self._look()
        self.store.commit(work, arrived)
        for item in work:
            self.first.setdefault((item.key, item.stream), arrived)
        if self.doubtful and self.rng.random() < self.doubtful:
            raise StoreUnavailable("the connection broke during the commit")

    def _look(self) -> None:
        if self.down:
            raise StoreUnavailable("the disk is away")
        if self.replaced:
            self.replaced = False
            raise CursorConflict("another file lies there now")


class SlowWorker:
    """Does a job some time later, or at once for somebody who waits. A job of a process that is gone is not done."""

    def __init__(self, recorder: SimRecorder) -> None:
        self._recorder = recorder
        self._life = recorder.life
        self._job: Callable[[], None] | None = None

    def begin(self, job: Callable[[], None]) -> None:
        """Begin a job."""
        self._job = job
        self._later()

    def wait(self) -> None:
        """Do it now."""
        job, self._job = self._job, None
        if job is not None:
            job()
            self._recorder.committed()

    def _later(self) -> None:
        recorder = self._recorder
        recorder.time.at(recorder.time.now + recorder.rng.uniform(0.0, LONGEST_COMMIT), self._do)

    def _do(self) -> None:
        if self._life == self._recorder.life and self._job is not None:
            if self._recorder.frozen is not None:
                self._later()
            else:
                self._recorder.mortal(lambda _sink: self.wait())


class SimRecorder:
    """One recorder process and its database, which survives it."""

    def __init__(
        self,
        name: str,
        time: Time,
        rng: Random,
        down: Callable[[list[bytes]], None],
        budget: int,
        begins: str = "oldest",
        *,
        aside: bool = False,
        seal: Seal,
    ) -> None:
        self.seal = seal
        self.name = name
        self.time = time
        self.rng = rng
        self.down = down
        self.budget = budget
        self.begins = begins
        self.began: float | None = None
        """When its first process was started."""
        self.flaky = FlakyStore(SqliteStore.memory(), rng)
        self.sink: Sink | None = None
        self._apart = aside
        self._aside: StoreAside | None = None
        self.rosters: list[Callable[[], None]] = []
        """What lets its keys know of a roster, once a process looks."""
        self.restores = 0
        """How often an older database was put in the place of its own."""
        self.lost_at: float | None = None
        """When it was lost for good."""
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
        self._look_at_keys(None)
        self._aside = self._beside()
        if self.began is None:
            self.began = self.time.now
        owned = self.flaky.store.own(self.name, self.wall(), "memory")
        self.sink = Sink(
            self.name,
            self._aside or self.flaky,
            self.seal,
            self.rng.randbytes,
            budget=self.budget,
            began=owned.began if self.begins == "now" else None,
        )
        self._hello(self.life)
        self.time.at(self.time.now + 1.0, self._hello, self.life)
        self._tick(self.life)

    def start_first(self) -> None:
        """Start its first process, unless there was one."""
        if self.began is None:
            self.start()

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

    def machine_snapshot(self) -> Machine:
        """A copy of the whole machine: the database, and the process with all it has in memory."""
        self._settle()
        return self.snapshot(), copy.deepcopy(self.sink, self._outside(self._aside, self._aside)), self._aside

    def _outside(self, before: StoreAside | None, after: StoreAside | None) -> dict[int, Any]:
        """What a copy of the process does not copy; `after` stands in the place of `before`."""
        held = [self.flaky, self.rng, self.seal]
        return {id(each): each for each in held} | ({} if before is None else {id(before): after})

    def _beside(self) -> StoreAside | None:
        return StoreAside(self.flaky, SlowWorker(self)) if self._apart else None

    def _settle(self) -> None:
        """Wait for the commit that is on its way."""
        if self.sink is not None and self._aside is not None and self._aside.busy:
            self.sink.finish(self.time.now, self._aside.outcome())

    def machine_restore(self, machine: Machine) -> None:
        """Put the machine back to what it was, as a hypervisor does; nobody on it notices."""
        image, sink, before = machine
        self.restores += 1
        self.life += 1
        self.frozen = None
        self._flush_due = False
        self._wake_at = float("inf")
        self.flaky.store = SqliteStore.memory(image)
        self.flaky.replaced = False
        self._aside = self._beside()
        self.sink = copy.deepcopy(sink, self._outside(before, self._aside))
        if self.sink is not None:
            self._tick(self.life)

    def mortal(self, action: Callable[[Sink], None]) -> None:
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
        self.mortal(lambda sink: sink.receive(self.time.now, self.wall(), Message(*frames)))
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
        self.mortal(self._commit)

    def _commit(self, sink: Sink) -> None:
        if self._aside is None:
            sink.flush(self.time.now, self.wall())
            self._send(sink)
            return
        if self._aside.busy:
            if sink.pending_records < MOST_PENDING:
                return  # `_settled` goes on
            self._settle()
        works = sink.begin()
        if works:
            self._aside.begin(works, self.wall())
        self._send(sink)

    def committed(self) -> None:
        """The worker is done: the loop hears of it a moment later."""
        self.time.at(self.time.now + self.rng.uniform(0.0, 0.01), self._settled, self.life)

    def _settled(self, life: int) -> None:
        if life != self.life or self._aside is None or not (self._aside.busy and self._aside.done):
            return
        if self.frozen is not None:
            self.time.at(self.time.now + 0.25, self._settled, life)
            return

        def go_on(sink: Sink) -> None:
            self._settle()
            self._send(sink)
            self._commit(sink)

        self.mortal(go_on)

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
            self.mortal(self._send)

    def _hello(self, life: int) -> None:
        if life == self.life and self.sink is not None:
            for message in self.sink.hellos():
                self.down(list(message))

    def _tick(self, life: int) -> None:
        if life == self.life and self.frozen is None:
            self._wake_at = float("inf")
            self.mortal(self._note_presence)
            self.time.at(self.time.now + PRESENCE_EVERY, self._tick, life)

    def _look_at_keys(self, sink: Sink | None) -> None:
        """Take up rosters, as `tabard.consumers.recorder.worker.Recorder.look_at_keys` does."""
        if self.rosters:
            for take in self.rosters:
                take()
            self.rosters.clear()
            if sink is not None:
                sink.recheck(self.time.now)

    def _note_presence(self, sink: Sink) -> None:
        self._look_at_keys(sink)
        try:
            if self._aside is None or not self._aside.busy:
                Watch(self.flaky, sink).look()
                Backfilling(self.flaky, sink, self.wall).step(self.time.now)
            self.flaky.presence(sink.presence())
        except (CursorConflict, StoreUnavailable) as error:
            sink.store_lost(error)
        self._send(sink)
