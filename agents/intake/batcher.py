"""Cuts batches out of what the sources bring, and journals them before anything is acknowledged.

A group's records arrive already encoded and are copied into the body as they are. When the journal
cannot keep a batch (full disk, read-only mount), nothing is accepted and nothing is thrown away: the
sources are told to pause, and the same batch is tried again until it is kept.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tabard import failpoints
from tabard.agents.intake.ports import Handle, JournalWriter, Loop
from tabard.brokers.wire.codec import pack
from tabard.errors import JournalError
from tabard.records import MAX_BODY, MAX_RECORDS

BEFORE_APPEND: Final = failpoints.declare(
    "intake.before_append", "about to journal a batch of records no source was told of"
)
AFTER_APPEND: Final = failpoints.declare(
    "intake.after_append", "past the journaling of a batch, its sources not yet told"
)

GROUP_OVERHEAD: Final = 4_096
"""Bytes that source, mark, origin and array heads may take beside the records of a group."""
MAX_GROUP: Final = MAX_BODY - GROUP_OVERHEAD
"""Bytes of one group's encoded records: with its overhead it fits a batch of its own."""
BATCH_BYTES: Final = 524_288
"""Bytes at which a batch is cut, though it holds few records."""
RETRY_FIRST: Final = 0.1
RETRY_MOST: Final = 5.0
"""Seconds between two tries of a batch that the journal refused: doubled each time, up to the most."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """When a batch is full."""

    records: int = MAX_RECORDS
    size: int = BATCH_BYTES


@dataclass(slots=True)
class _Batch:
    """What is gathered for one batch of the journal, and who is to be told when it is kept."""

    parts: list[bytes] = field(default_factory=list)
    marks: dict[str, Any] = field(default_factory=dict)
    done: list[Callable[[], None]] = field(default_factory=list)
    groups: int = 0
    count: int = 0
    size: int = 0

    def body(self) -> bytes:
        return b"".join((array_head(self.groups), *self.parts))


class Batcher:
    """Collects groups of encoded records and journals them, in the order they came.

    ``linger`` is how many seconds a batch that is not full waits for company; it may be changed while
    running. ``on_blocked`` and ``on_ready`` hold callbacks that are run when the journal stops and starts
    taking batches: a source that hears of the first reads no further until the second.
    """

    def __init__(
        self, journal: JournalWriter, loop: Loop, *, linger: float, limits: BatchLimits | None = None
    ) -> None:
        self._journal = journal
        self._loop = loop
        self._limits = limits or BatchLimits()
        self.linger = linger
        self.blocked: JournalError | OSError | None = None
        """Why nothing can be accepted at the moment; None when all is well."""
        self.on_blocked: list[Callable[[], None]] = []
        self.on_ready: list[Callable[[], None]] = []
        self.accepted = 0
        """Records journaled since the start."""
        self._open = _Batch()
        self._full: deque[_Batch] = deque()
        self._due = 0.0
        self._timer: Handle | None = None
        self._retry: Handle | None = None
        self._pause = RETRY_FIRST

    @property
    def waiting(self) -> int:
        """Records taken in and not yet journaled."""
        return self._open.count + sum(batch.count for batch in self._full)

    def add(
        self,
        source: str,
        mark: Any,
        origin: str,
        records: bytes,
        count: int,
        done: Callable[[], None] | None = None,
    ) -> None:
        """Take ``count`` records, encoded as one msgpack array of at most `MAX_GROUP` bytes.

        ``mark`` says how far ``source`` has been read once these are kept; "" is a source without marks.
        ``done`` is called after they are journaled. Keeps order; never refuses, so a source has to heed
        ``on_blocked``.
        """
        head = b"\x94" + pack(source) + pack(mark) + pack(origin)
        size = len(head) + len(records)
        batch = self._open
        if batch.count and (
            batch.count + count > self._limits.records or batch.size + size > self._limits.size
        ):
            self._close_batch()
            batch = self._open
        if not batch.count:
            self._start_linger()
        batch.parts += (head, records)
        batch.groups += 1
        batch.count += count
        batch.size += size
        if source:
            batch.marks[source] = mark
        if done is not None:
            batch.done.append(done)
        if batch.count >= self._limits.records or batch.size >= self._limits.size:
            self._close_batch()
        if self._full and not self.blocked:
            self._journal_full()

    def keep(self, source: str, mark: Any) -> None:
        """Journal ``mark`` along with the next records, whoever brings them.

        For a source that has a position and no records yet, and for one that was quiet for so long that
        the journal might forget it.
        """
        self._open.marks[source] = mark

    def flush(self) -> None:
        """Journal what is waiting now, without lingering. A blocked journal is tried once more."""
        self._close_batch()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        self._journal_full()

    def _start_linger(self) -> None:
        self._due = self._loop.now() + self.linger
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self._linger_over)

    def _linger_over(self) -> None:
        # One timer serves many batches: full ones leave it running, and it looks again for the next.
        self._timer = None
        if not self._open.count:
            return
        if self._loop.now() < self._due:
            self._timer = self._loop.call_at(self._due, self._linger_over)
            return
        self._close_batch()
        if not self.blocked:
            self._journal_full()

    def _close_batch(self) -> None:
        if self._open.count:
            self._full.append(self._open)
            self._open = _Batch()

    def _journal_full(self) -> None:
        while self._full:
            batch = self._full[0]
            try:
                failpoints.hit(BEFORE_APPEND)
                self._journal.append(batch.body(), batch.count, batch.marks)
            except (JournalError, OSError) as error:
                self._block(error)
                return
            self._full.popleft()
            self.accepted += batch.count
            try:
                failpoints.hit(AFTER_APPEND)
            finally:
                for done in batch.done:
                    done()
        self._unblock()

    def _block(self, error: JournalError | OSError) -> None:
        first = self.blocked is None
        self.blocked = error
        self._retry = self._loop.call_at(self._loop.now() + self._pause, self._try_again)
        self._pause = min(self._pause * 2, RETRY_MOST)
        if first:
            _log.error("nothing is accepted until the journal can be written: %s", error)
            for callback in self.on_blocked:
                callback()

    def _try_again(self) -> None:
        self._retry = None
        self._journal_full()

    def _unblock(self) -> None:
        self._pause = RETRY_FIRST
        if self.blocked is None:
            return
        self.blocked = None
        _log.warning("the journal can be written again; records are accepted")
        for callback in self.on_ready:
            callback()


def array_head(length: int) -> bytes:
    """The msgpack bytes that open an array of ``length`` elements (at most 65,535)."""
    if length < 16:
        return bytes((0x90 | length,))
    return b"\xdc" + length.to_bytes(2, "big")
