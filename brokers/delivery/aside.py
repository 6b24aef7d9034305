"""Commits beside the loop: one at a time, by a worker that has the database to itself meanwhile.

While a server writes, the recorder takes in and makes ready what comes next. Cursors are read only while no commit is
on its way: what is read during one may be older than what the sink knows a moment later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from tabard.brokers.delivery.ports import (
    CursorConflict,
    EpochCursor,
    EpochWork,
    Heard,
    NodeKey,
    Presence,
    SinkStore,
    StoreUnavailable,
)


class Worker(Protocol):
    """Does one job at a time."""

    def begin(self, job: Callable[[], None]) -> None:
        """Begin a job; the one before it is done."""

    def wait(self) -> None:
        """Return when no job is being done."""


class StoreAside:
    """A `SinkStore` whose commits a worker does."""

    def __init__(self, store: SinkStore, worker: Worker) -> None:
        self.busy = False
        """Whether a commit was begun, and nobody has asked what became of it."""
        self.done = False
        """Whether that is known."""
        self._store = store
        self._worker = worker
        self._error: Exception | None = None

    def begin(self, work: Sequence[EpochWork], arrived: int) -> None:
        """Begin a commit; see `SinkStore.commit`."""
        assert not self.busy, "a commit is begun and not settled"
        self.busy, self.done, self._error = True, False, None

        def job() -> None:
            try:
                self._store.commit(work, arrived)
            except Exception as error:  # whoever asks for the outcome gets it
                self._error = error
            self.done = True

        self._worker.begin(job)

    def outcome(self) -> CursorConflict | StoreUnavailable | None:
        """Wait for the commit, and say why it failed if it did. Raises what nobody expects of a store."""
        self._worker.wait()
        self.busy, error, self._error = False, self._error, None
        if error is None or isinstance(error, (CursorConflict, StoreUnavailable)):
            return error
        raise error

    def wait(self) -> None:
        """Wait until no commit is on its way, for whoever uses the same connection."""
        self._worker.wait()

    # --- what is asked between two commits ---------------------------------------------------

    def load(self, key: NodeKey, stream: int, epochs: Sequence[bytes]) -> dict[bytes, EpochCursor]:
        """See `SinkStore.load`."""
        self._worker.wait()
        return self._store.load(key, stream, epochs)

    def unfinished(self, key: NodeKey, stream: int) -> list[EpochCursor]:
        """See `SinkStore.unfinished`."""
        self._worker.wait()
        return self._store.unfinished(key, stream)

    def digest(self, key: NodeKey, stream: int, epoch: bytes, last: int) -> bytes | None:
        """See `SinkStore.digest`."""
        self._worker.wait()
        return self._store.digest(key, stream, epoch, last)

    def spans(self, key: NodeKey, stream: int, epoch: bytes, seq: int) -> bool:
        """See `SinkStore.spans`."""
        self._worker.wait()
        return self._store.spans(key, stream, epoch, seq)

    def heard(self, key: NodeKey, stream: int) -> Heard:
        """See `SinkStore.heard`."""
        self._worker.wait()
        return self._store.heard(key, stream)

    def said(self, key: NodeKey, stream: int, epoch: bytes) -> list[tuple[int, int]]:
        """See `SinkStore.said`."""
        self._worker.wait()
        return self._store.said(key, stream, epoch)

    def commit(self, work: Sequence[EpochWork], arrived: int) -> None:
        """Commit at once."""
        self._worker.wait()
        self._store.commit(work, arrived)

    def presence(self, beacons: Sequence[Presence]) -> None:
        """See `SinkStore.presence`."""
        self._worker.wait()
        self._store.presence(beacons)
