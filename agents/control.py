"""The control stream's journal as the agent holds it: there also while its disk lets no outbox open.

An agent on a read-only mount still publishes what it kept of logs and samples. Its outbox cannot even be
opened there; until it can, nothing is accepted into the control stream, which is said.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from tabard.agents.journal.faults import DiskRefused, Fault
from tabard.agents.journal.outbox import Outbox
from tabard.brokers.delivery.ports import EpochSpan
from tabard.brokers.delivery.ranges import Ranges
from tabard.brokers.wire.batch import Batch
from tabard.brokers.wire.streams import CONTROL
from tabard.clock import Clock
from tabard.errors import JournalError


class Control:
    """An outbox, as soon as it can be opened (`ports.StreamJournal`)."""

    stream = CONTROL

    def __init__(self, where: str, open_outbox: Callable[[], Outbox], clock: Clock) -> None:
        self._where = where
        self._open = open_outbox
        self._clock = clock
        self._outbox: Outbox | None = None
        self._error: JournalError | None = None
        self._since = clock.wall()
        self.when_full: Callable[[], bool] = lambda: False
        """Asks others to give way when the disk is full: whether there is more room."""
        self._try()

    def _try(self) -> Outbox | None:
        if self._outbox is None:
            try:
                self._outbox = self._open()
                self._error = None
            except JournalError as error:
                self._error = error
        return self._outbox

    def append(self, body: bytes, count: int, marks: Mapping[str, Any]) -> Batch:
        """Keep a batch durably, see `Outbox.append`. Raises JournalError, also while there is no outbox."""
        while True:
            try:
                return self._append(body, count, marks)
            except DiskRefused as refused:
                if not refused.full or not self.when_full():
                    raise

    def _append(self, body: bytes, count: int, marks: Mapping[str, Any]) -> Batch:
        outbox = self._try()
        if outbox is None:
            assert self._error is not None
            raise self._error
        return outbox.append(body, count, marks)

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """One durable transaction, of which batches that are appended become part. Raises JournalError, also without an outbox."""
        outbox = self._try()
        if outbox is None:
            assert self._error is not None
            raise self._error
        return outbox.transaction()

    @property
    def marks(self) -> Mapping[str, Any]:
        """See `Outbox.marks`; none while there is no outbox."""
        return self._outbox.marks if self._outbox else {}

    def spans(self) -> Sequence[EpochSpan]:
        """See `Outbox.spans`."""
        return self._outbox.spans() if self._outbox else ()

    def read(self, epoch: bytes, seq: int) -> Batch | None:
        """See `Outbox.read`."""
        return self._outbox.read(epoch, seq) if self._outbox else None

    def release(
        self, cursors: Mapping[bytes, Ranges], stops: Mapping[bytes, Collection[int]] | None = None
    ) -> None:
        """See `Outbox.release`."""
        if self._outbox:
            self._outbox.release(cursors, stops)

    def lacking(self, cursors: Mapping[bytes, Ranges]) -> int:
        """See `Outbox.lacking`."""
        return self._outbox.lacking(cursors) if self._outbox else 0

    def renew(self, doubt: str, reason: str = "fork") -> None:
        """See `Outbox.renew`. Raises JournalError."""
        if self._outbox:
            self._outbox.renew(doubt, reason)

    def enforce(self, now: float) -> None:
        """See `Outbox.enforce`; also when an outbox that could not be opened is tried again."""
        outbox = self._try()
        if outbox:
            outbox.enforce(now)

    def close(self) -> None:
        """See `Outbox.close`. Raises JournalError."""
        if self._outbox:
            self._outbox.close()

    def faults(self) -> tuple[Fault, ...]:
        """See `Outbox.faults`."""
        if self._outbox:
            return self._outbox.faults()
        return (Fault("unopened", self._where, str(self._error), self._since),)

    def status(self) -> Mapping[str, Any]:
        """Bytes, epochs, dropped records (none, ever)."""
        if self._outbox is None:
            return {"bytes": 0, "epochs": 0, "dropped": 0}
        stats = self._outbox.stats()
        return {"bytes": stats.bytes, "epochs": stats.epochs, "dropped": 0}
