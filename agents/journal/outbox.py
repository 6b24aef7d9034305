"""The journal of the control stream: a SQLite database, durable with every commit, and never dropped from.

Whoever has to answer something appends the answer in the same transaction that notes what was done::

    with outbox.transaction() as db:
        db.execute("UPDATE ...")
        outbox.append(body, 1, {})

Either both happen or neither. When the outbox is full it refuses, so that no new command is begun whose
answer could not be kept.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, Final, NamedTuple

from tabard.agents.journal.author import FORK, Author, Opening
from tabard.agents.journal.faults import DiskRefused, Fault, Faults
from tabard.agents.journal.gaps import GapMaker
from tabard.agents.journal.limits import MAX_MARKS, Limits
from tabard.agents.journal.outbox_db import DatabaseFile, OutboxDatabase
from tabard.agents.journal.outbox_note import CommitNote, after_loss
from tabard.agents.journal.outbox_rows import (
    KeptEpoch,
    find_batch,
    insert_batch,
    insert_epoch,
    insert_mark,
    kept_between,
    load_epochs,
    load_marks,
    mark_begun,
    replace_batch,
    stored_rows,
)
from tabard.agents.journal.segment import Prior
from tabard.agents.journal.tidemark import Tidemark
from tabard.brokers.delivery.ports import EpochSpan
from tabard.brokers.delivery.ranges import Ranges
from tabard.brokers.wire.batch import Batch

MAX_EPOCHS: Final = 256
"""Stored epochs beyond this number are let go at once."""

_REFUSALS: Final = frozenset({"full", "read-only", "failing"})
"""Faults that are over when the disk takes a write again."""


class OutboxStats(NamedTuple):
    """Where an outbox stands."""

    bytes: int
    epochs: int


class Outbox:
    """The control stream's journal (`ports.StreamJournal`). Owned by one thread."""

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        author: Author,
        limits: Limits,
        where: str,
        tidemark: Tidemark | None,
        file: DatabaseFile | None,
    ) -> None:
        self.stream = author.stream
        self.marks: dict[str, Any] = {}
        """Every source's mark as of the last commit; the source heard of last stands last."""
        self.unsynced = 0
        """Always 0: what is committed is durable."""
        self._limits = limits
        self._author = author
        self._where = where
        self._faults = Faults(author.clock)
        self._refused = 0
        """Bytes of the batch for which there was no room, while it is the last that was tried."""
        self._database = OutboxDatabase(
            connect,
            where,
            self._faults,
            self._load,
            self._settled,
            file=file,
            was_moved=self._moved,
        )
        self._committed = CommitNote(tidemark, author.owner.boot)
        self._gaps = GapMaker(author.stream)
        self._epochs: dict[bytes, KeptEpoch] = {}
        self._bytes = 0
        self._spans: tuple[EpochSpan, ...] = ()
        self._stored: Mapping[bytes, Ranges] = {}
        self._own = b""
        """The epoch begun by this run, while that is committed."""
        self._opening = Opening("start")

    @classmethod
    def open(
        cls,
        connect: Callable[[], sqlite3.Connection],
        author: Author,
        limits: Limits,
        *,
        where: str = "outbox",
        lost: int | None = None,
        tidemark: Tidemark | None = None,
        file: DatabaseFile | None = None,
    ) -> Outbox:
        """Read what the database holds and begin a new epoch.

        When nothing can be written the outbox opens all the same, and `append` tries again.

        Args:
            connect: opens the database, in autocommit mode (``isolation_level=None``).
            author: makes the batches of its stream.
            limits: its bounds; only `bytes` and `keep_acked` apply.
            where: the database's path, for messages.
            lost: at least so many records were lost with a database that had to be set aside; None for none.
            tidemark: where is noted how far it was committed.
            file: the database's file, to be looked after.

        Raises:
            JournalError: the database cannot be read.
        """
        outbox = cls(connect, author, limits, where, tidemark, file)
        outbox._database.connection()
        outbox._compare(lost)
        with suppress(DiskRefused):  # noted as a fault; reading works, and append tries again
            outbox._begin()
        return outbox

    def _compare(self, lost: int | None) -> None:
        """Hold what is there against the note of how far it was committed. Raises DiskRefused."""
        try:
            whole = self._committed.compare(self._epochs)
        except OSError as error:
            raise self._faults.refused("the outbox cannot be read now", self._where, error) from error
        if not whole or lost is not None:
            self._opening = after_loss(lost or 0)
        if not whole and lost is None:
            self._faults.note("damaged", self._where, "it lacks something that was committed")

    # --- transactions --------------------------------------------------------------------------

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """One durable transaction, which the caller may extend; nested ones are part of the outermost.

        Raises:
            JournalError: the disk refused; nothing was written (`retry` is true: try again later).
        """
        return self._database.transaction()

    def _load(self, db: sqlite3.Connection) -> None:
        """Take the state from the database."""
        self._epochs = load_epochs(db)
        self._bytes = db.execute("SELECT coalesce(sum(size), 0) FROM outbox_batch").fetchone()[0]
        self.marks = load_marks(db)
        self._publish()

    def _publish(self) -> None:
        """What was committed may be shown."""
        self._spans = tuple(
            EpochSpan(uid, epoch.oldest, epoch.last, epoch.digest)
            for uid, epoch in self._epochs.items()
            if epoch.oldest <= epoch.last
        )

    def _settled(self) -> None:
        """Something was committed."""
        self._publish()
        self._committed.write(self._epochs)

    def _moved(self) -> None:
        """The file was replaced or removed while it was open; a copy of what was open is there now."""
        self._faults.note("replaced", self._where, "somebody replaced or removed it; it was put back")
        self._committed.close()
        self._own = b""
        self._opening = Opening(
            "doubt", clean=False, doubt="the outbox was replaced or removed while it was open"
        )

    # --- writing -------------------------------------------------------------------------------

    def append(self, body: bytes, count: int, marks: Mapping[str, Any]) -> Batch:
        """Cut a batch of `count` records and commit it, or make it part of the transaction under way.

        Raises:
            JournalError: the outbox is full, or the disk refused; nothing was accepted.
        """
        self._make_room(len(body))
        with self.transaction() as db:
            if self._own not in self._epochs:
                self._begin()
            epoch = self._epochs[self._own]
            batch = self._author.data(Prior(self._own, epoch.last, epoch.digest), body, count)
            self._insert(db, batch)
            for source, mark in marks.items():
                insert_mark(db, source, mark)
                self.marks.pop(source, None)
                self.marks[source] = mark
            while len(self.marks) > MAX_MARKS:
                forgotten = next(iter(self.marks))
                del self.marks[forgotten]
                db.execute("DELETE FROM outbox_mark WHERE source = ?", (forgotten,))
        return batch

    def _make_room(self, size: int) -> None:
        if self._bytes + size > self._limits.bytes:
            self._delete_stored(0)
        self._refused = 0
        if self._bytes + size > self._limits.bytes:
            self._refused = size
            self._faults.note("full", self._where, f"{self._bytes} bytes wait for a sink to store them")
            raise DiskRefused(
                "the outbox is full",
                expected=f"at most {self._limits.bytes} bytes",
                found=f"{self._bytes} bytes that no sink has stored yet",
                where=self._where,
                hint="No new command is begun until a sink has stored the answers to earlier ones.",
            )
        self._faults.clear("full")

    def _begin(self) -> None:
        """Begin this run's epoch. Raises JournalError; the next append tries again."""
        with self.transaction() as db:
            # Who went back to an older state has forgotten what it did since, as has who lost something.
            lost = self._opening.lost is not None or self._opening.reason == FORK
            clean = mark_begun(db, lost=lost) and self._opening.clean
            self._bytes += self._committed.fill_in(db, self._epochs, self._gaps)
            opening = self._author.opening(self._opening._replace(clean=clean), self._tip())
            self._epochs[opening.header.epoch] = insert_epoch(db, opening.header.epoch)
            self._insert(db, opening)
        self._own = opening.header.epoch
        self._faults.clear("read-only", "failing")

    def _tip(self) -> Prior | None:
        if not self._epochs:
            return None
        uid, epoch = next(reversed(self._epochs.items()))
        return Prior(uid, epoch.last, epoch.digest)

    def _insert(self, db: sqlite3.Connection, batch: Batch) -> None:
        uid = batch.header.epoch
        self._epochs[uid] = insert_batch(db, self._epochs[uid], batch)
        self._bytes += batch.size

    def renew(self, doubt: str, reason: str = FORK) -> None:
        """Begin a new epoch, whose OPEN says `doubt`. Raises JournalError; the next call tries again."""
        self._opening = Opening(reason, doubt=doubt or None)
        self._begin()

    # --- reading -------------------------------------------------------------------------------

    def spans(self) -> Sequence[EpochSpan]:
        """The epochs kept, oldest first, as of the last commit; the last one is the epoch being written."""
        return self._spans

    def read(self, epoch: bytes, seq: int) -> Batch | None:
        """The batch that holds `seq`; a gap where it is damaged; None when it is not kept."""
        known = self._epochs.get(epoch)
        if known is None:
            return None
        try:
            found = find_batch(self._database.connection(), epoch, known, seq, self._gaps)
        except sqlite3.DatabaseError as error:
            self._database.refused("the outbox cannot be read", error)
            return None
        if found is not None and found.damaged:
            self._faults.note(
                "damaged", self._where, f"a batch from {found.batch.header.first} on is unreadable"
            )
            with suppress(DiskRefused), self.transaction() as db:  # it stays, and reads as the same gap again
                replace_batch(db, found.rowid, found.batch)
        return found.batch if found else None

    def read_from(self, epoch: bytes, seq: int) -> Iterator[Batch]:
        """The batches of `epoch` from the one that holds `seq` on, up to what is not kept."""
        while (batch := self.read(epoch, seq)) is not None:
            yield batch
            seq = batch.header.last + 1

    # --- letting go ----------------------------------------------------------------------------

    def release(
        self, cursors: Mapping[bytes, Ranges], stops: Mapping[bytes, Collection[int]] | None = None
    ) -> None:
        """Every required sink has stored these ranges: the oldest are removed, beyond `Limits.keep_acked` bytes."""
        del stops  # only what may have to drop has a use for it
        self._stored = dict(cursors)
        keep = self._limits.keep_acked if len(self._epochs) <= MAX_EPOCHS else 0
        if self._bytes > keep:
            with suppress(DiskRefused):  # noted as a fault; the next release tries again
                self._delete_stored(keep)

    def lacking(self, cursors: Mapping[bytes, Ranges]) -> int:
        """Bytes of the batches kept that are not stored by these cursors."""
        nothing = Ranges()
        db = self._database.connection()
        return sum(
            kept_between(db, epoch, lo, hi)
            for uid, epoch in self._epochs.items()
            for lo, hi in cursors.get(uid, nothing).holes(epoch.last, epoch.oldest)
        )

    def _delete_stored(self, keep: int) -> None:
        stored = stored_rows(self._database.connection(), self._epochs, self._stored)
        excess = sum(size for _, size in stored) - keep
        if not stored or excess <= 0:
            return
        with self.transaction() as db:
            for rowid, size in stored:
                if excess <= 0:
                    break
                excess -= size
                db.execute("DELETE FROM outbox_batch WHERE rowid = ?", (rowid,))
            self._tidy(db)

    def _tidy(self, db: sqlite3.Connection) -> None:
        """After batches were deleted: forget epochs of which nothing is left, but for the newest."""
        db.execute(
            "DELETE FROM outbox_epoch WHERE id < (SELECT max(id) FROM outbox_epoch)"
            " AND id NOT IN (SELECT epoch FROM outbox_batch)"
        )
        self._load(db)

    def enforce(self, now: float) -> None:
        """See that the file is still there; nothing is dropped for age or size, a full outbox refuses instead."""
        del now
        with suppress(DiskRefused):  # noted as a fault; the next call tries again
            if self._database.keep_place():
                self._begin()
            elif any(fault.kind in _REFUSALS for fault in self._faults.list()):
                self._try_again()

    def _try_again(self) -> None:
        """See whether what refused a batch still would: the next one may be days away. Raises JournalError."""
        if self._own not in self._epochs:
            self._begin()
        else:
            with self.transaction() as db:
                db.execute("UPDATE outbox_state SET clean = 0")
        self._faults.clear("read-only", "failing")
        if self._bytes + self._refused <= self._limits.bytes:
            self._faults.clear("full")

    # --- the rest ------------------------------------------------------------------------------

    def sync(self) -> None:
        """Nothing to do: every commit is durable."""

    def sync_job(self) -> None:
        """Always None: every commit is durable."""

    def finish_sync(self, job: object) -> None:
        """Never called with a job of this journal, since it makes none."""

    def close(self) -> None:
        """End in order. Raises JournalError when the disk refused."""
        try:
            if self._own in self._epochs:
                with self.transaction() as db:
                    db.execute("UPDATE outbox_state SET clean = 1")
                self._committed.write(self._epochs, closed=True)
        finally:
            self._own = b""
            self._database.close()
            self._committed.close()

    def faults(self) -> tuple[Fault, ...]:
        """What is wrong with the database, in words."""
        return self._faults.list()

    def note_fault(self, kind: str, where: str, detail: str) -> None:
        """Have a fault reported that was found before the outbox was opened."""
        self._faults.note(kind, where, detail)

    def stats(self) -> OutboxStats:
        """Where it stands."""
        return OutboxStats(self._bytes, len(self._epochs))
