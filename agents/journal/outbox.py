"""The journal of the control stream: a SQLite database, durable with every commit, and never dropped from.

Whoever has to answer something appends the answer in the same transaction that notes what was done::

    with outbox.transaction() as db:
        db.execute("UPDATE ...")
        outbox.append(body, 1, {})

Either both happen or neither. When the outbox is full it refuses, so that no new command is begun whose
answer could not be kept.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple

from tabard import failpoints
from tabard.agents.journal.faults import DiskRefused, Fault, Faults
from tabard.agents.journal.fork import Cut, carried
from tabard.agents.journal.gaps import DAMAGED, Dropped, GapMaker, chain_digest
from tabard.agents.journal.limits import MAX_MARKS, Limits
from tabard.agents.journal.opening import Opening, Owner, open_body
from tabard.agents.journal.segment import Prior
from tabard.brokers.delivery.ports import EpochSpan
from tabard.brokers.delivery.ranges import Ranges
from tabard.brokers.delivery.seal import Seal
from tabard.brokers.wire.batch import (
    DATA,
    EPOCH_BYTES,
    NO_DIGEST,
    OPEN,
    Batch,
    Header,
    body_digest,
    check_batch,
    seal_batch,
)
from tabard.brokers.wire.codec import pack, unpack
from tabard.clock import Clock
from tabard.errors import WireError

BEFORE_COMMIT = failpoints.declare("outbox.before_commit", "about to commit control records")
AFTER_COMMIT = failpoints.declare("outbox.after_commit", "past a commit that nobody was told of yet")

MAX_EPOCHS: Final = 256
"""Stored epochs beyond this number are let go at once."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS outbox_epoch (
    id INTEGER PRIMARY KEY, uid BLOB NOT NULL UNIQUE, last INTEGER NOT NULL, digest BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS outbox_batch (
    epoch INTEGER NOT NULL REFERENCES outbox_epoch, first INTEGER NOT NULL, last INTEGER NOT NULL,
    previous BLOB NOT NULL, digest BLOB NOT NULL, size INTEGER NOT NULL,
    head BLOB NOT NULL, signature BLOB NOT NULL, body BLOB NOT NULL, UNIQUE (epoch, first)
) STRICT;
CREATE TABLE IF NOT EXISTS outbox_mark (
    id INTEGER PRIMARY KEY, source TEXT NOT NULL UNIQUE, mark BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS outbox_state (
    only INTEGER PRIMARY KEY CHECK (only = 1), clean INTEGER NOT NULL
) STRICT;
"""


class _Epoch(NamedTuple):
    row: int
    oldest: int
    last: int
    digest: bytes


class OutboxStats(NamedTuple):
    """Where an outbox stands."""

    bytes: int
    epochs: int


class Outbox:
    """The control stream's journal (`ports.StreamJournal`). Owned by one thread."""

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        stream: int,
        *,
        limits: Limits,
        clock: Clock,
        seal: Seal,
        entropy: Callable[[int], bytes],
        owner: Owner,
        where: str,
    ) -> None:
        self.stream = stream
        self.marks: dict[str, Any] = {}
        """Every source's mark as of the last commit; the source heard of last stands last."""
        self.unsynced = 0
        """Always 0: what is committed is durable."""
        self._connect = connect
        self._db: sqlite3.Connection | None = None
        self._limits = limits
        self._clock = clock
        self._seal = seal
        self._entropy = entropy
        self._owner = owner
        self._where = where
        self._faults = Faults(clock)
        self._gaps = GapMaker(stream, seal)
        self._epochs: dict[bytes, _Epoch] = {}
        self._bytes = 0
        self._spans: tuple[EpochSpan, ...] = ()
        self._stored: Mapping[bytes, Ranges] = {}
        self._depth = 0
        self._doomed = False
        """A part of the transaction under way failed: the rest must not be committed without it."""
        self._begun = False
        """Whether this run's epoch was begun."""
        self._opening = Opening("start")

    @classmethod
    def open(
        cls,
        connect: Callable[[], sqlite3.Connection],
        stream: int,
        *,
        limits: Limits,
        clock: Clock,
        seal: Seal,
        entropy: Callable[[int], bytes],
        boot: str,
        node: str,
        zone: str,
        version: str,
        where: str = "outbox",
        lost: int | None = None,
    ) -> Outbox:
        """Read what the database holds and begin a new epoch.

        When nothing can be written the outbox opens all the same, and `append` tries again.

        Args:
            connect: opens the database, in autocommit mode (``isolation_level=None``).
            stream: the stream's id.
            limits: its bounds; only `bytes` and `keep_acked` apply.
            clock: wall for stamps.
            seal: signs the batches.
            entropy: as many random bytes as asked for; names epochs.
            boot: changes with every boot of the host.
            node: this node's name, for the OPEN.
            zone: this node's zone path, for the OPEN.
            version: the agent's version, for the OPEN.
            where: the database's path, for messages.
            lost: at least so many records were lost with a database that had to be set aside; None for none.

        Raises:
            JournalError: the database cannot be read.
        """
        outbox = cls(
            connect,
            stream,
            limits=limits,
            clock=clock,
            seal=seal,
            entropy=entropy,
            owner=Owner(boot, node, zone, version),
            where=where,
        )
        outbox._opening = Opening("start", clean=lost is None, lost=lost)
        outbox._connected()
        with suppress(DiskRefused):  # noted as a fault; reading works, and append tries again
            outbox._begin()
        return outbox

    # --- transactions --------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One durable transaction, which the caller may extend; nested ones are part of the outermost.

        Raises:
            JournalError: the disk refused; nothing was written (`retry` is true: try again later).
        """
        db = self._connected()
        if self._depth:
            try:
                yield db
            except BaseException:
                self._doomed = True
                raise
            return
        self._depth += 1
        self._doomed = False
        try:
            db.execute("BEGIN IMMEDIATE")
            yield db
            self._check_whole()
            failpoints.hit(BEFORE_COMMIT)
            db.execute("COMMIT")
            self._publish()
            failpoints.hit(AFTER_COMMIT)
        except BaseException as error:
            self._roll_back(db)
            if isinstance(error, (sqlite3.DatabaseError, OSError)):
                raise self._refused("the outbox cannot be written", error) from error
            raise
        finally:
            self._depth -= 1

    def _check_whole(self) -> None:
        if self._doomed:
            raise OSError(errno.ECANCELED, "a part of the transaction failed")

    def _roll_back(self, db: sqlite3.Connection) -> None:
        try:
            if db.in_transaction:
                db.execute("ROLLBACK")
            self._load(db)
        except sqlite3.DatabaseError:
            # What stands there is unknown now: read it anew before the next use.
            self._db = None
            with suppress(sqlite3.Error):
                db.close()

    def _connected(self) -> sqlite3.Connection:
        if self._db is None:
            try:
                db = self._connect()
                db.execute("PRAGMA busy_timeout = 5000")
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = FULL")
                if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'outbox_state'").fetchone():
                    db.executescript(_SCHEMA)
                self._load(db)
            except (sqlite3.DatabaseError, OSError) as error:
                raise self._refused("the outbox cannot be opened", error) from error
            self._db = db
        return self._db

    def _load(self, db: sqlite3.Connection) -> None:
        """Take the state from the database."""
        oldest = dict(db.execute("SELECT epoch, min(first) FROM outbox_batch GROUP BY epoch"))
        rows = db.execute("SELECT id, uid, last, digest FROM outbox_epoch ORDER BY id").fetchall()
        self._epochs = {
            uid: _Epoch(row, oldest.get(row, last + 1), last, digest) for row, uid, last, digest in rows
        }
        self._bytes = db.execute("SELECT coalesce(sum(size), 0) FROM outbox_batch").fetchone()[0]
        marks = db.execute("SELECT source, mark FROM outbox_mark ORDER BY id").fetchall()
        self.marks = {source: unpack(mark) for source, mark in marks}
        self._publish()

    def _publish(self) -> None:
        """What was committed may be shown."""
        self._spans = tuple(
            EpochSpan(uid, epoch.oldest, epoch.last, epoch.digest)
            for uid, epoch in self._epochs.items()
            if epoch.oldest <= epoch.last
        )

    # --- writing -------------------------------------------------------------------------------

    def append(self, body: bytes, count: int, marks: Mapping[str, Any]) -> Batch:
        """Cut a batch of `count` records and commit it, or make it part of the transaction under way.

        Raises:
            JournalError: the outbox is full, or the disk refused; nothing was accepted.
        """
        self._make_room(len(body))
        if not self._begun:
            self._begin()
        uid, epoch = next(reversed(self._epochs.items()))
        header = Header(
            self.stream,
            DATA,
            uid,
            self._seal.key_id,
            epoch.last + 1,
            count,
            body_digest(body),
            epoch.digest,
        )
        batch = seal_batch(header, body, self._seal.sign)
        with self.transaction() as db:
            self._insert(db, batch)
            for source, mark in marks.items():
                db.execute(
                    "INSERT OR REPLACE INTO outbox_mark (source, mark) VALUES (?, ?)", (source, pack(mark))
                )
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
        if self._bytes + size > self._limits.bytes:
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
            state = db.execute("SELECT clean FROM outbox_state").fetchone()
            clean = self._opening.clean and (state is None or state[0] == 1)
            db.execute("INSERT OR REPLACE INTO outbox_state (only, clean) VALUES (1, 0)")
            opening = self._open_batch(self._opening._replace(clean=clean), self._tip())
            self._insert_epoch(db, opening)
        self._begun = True
        self._opening = Opening("start")
        self._faults.clear("read-only", "failing")

    def _open_batch(self, opening: Opening, tip: Prior | None) -> Batch:
        body = open_body(opening, tip, self._owner, self._clock.wall())
        epoch = self._entropy(EPOCH_BYTES)
        header = Header(self.stream, OPEN, epoch, self._seal.key_id, 1, 1, body_digest(body), NO_DIGEST)
        return seal_batch(header, body, self._seal.sign)

    def _tip(self) -> Prior | None:
        if not self._epochs:
            return None
        uid, epoch = next(reversed(self._epochs.items()))
        return Prior(uid, epoch.last, epoch.digest)

    def _insert_epoch(self, db: sqlite3.Connection, opening: Batch) -> None:
        uid = opening.header.epoch
        cursor = db.execute("INSERT INTO outbox_epoch (uid, last, digest) VALUES (?, 0, ?)", (uid, NO_DIGEST))
        self._epochs[uid] = _Epoch(cursor.lastrowid or 0, 1, 0, NO_DIGEST)
        self._insert(db, opening)

    def _insert(self, db: sqlite3.Connection, batch: Batch) -> None:
        header = batch.header
        epoch = self._epochs[header.epoch]
        digest = chain_digest(batch)
        db.execute(
            "INSERT INTO outbox_batch (epoch, first, last, previous, digest, size, head, signature, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                epoch.row,
                header.first,
                header.last,
                header.previous,
                digest,
                batch.size,
                batch.head,
                batch.signature,
                batch.body,
            ),
        )
        self._set_end(db, header.epoch, header.last, digest)
        self._bytes += batch.size

    def _set_end(self, db: sqlite3.Connection, uid: bytes, last: int, digest: bytes) -> None:
        epoch = self._epochs[uid]
        db.execute("UPDATE outbox_epoch SET last = ?, digest = ? WHERE id = ?", (last, digest, epoch.row))
        self._epochs[uid] = epoch._replace(last=last, digest=digest)

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
            row = (
                self._connected()
                .execute(
                    "SELECT rowid, first, last, previous, digest, head, signature, body FROM outbox_batch"
                    " WHERE epoch = ? AND first <= ? ORDER BY first DESC LIMIT 1",
                    (known.row, seq),
                )
                .fetchone()
            )
        except sqlite3.DatabaseError as error:
            self._refused("the outbox cannot be read", error)
            return None
        if row is None or row[2] < seq:
            return None
        rowid, first, last, previous, digest, head, signature, body = row
        try:
            batch = check_batch(head, signature, body)
        except WireError:
            batch = self._gaps.make(Dropped(epoch, first, last, previous, digest), DAMAGED)
            self._replace_damaged(rowid, batch)
        return batch

    def _replace_damaged(self, rowid: int, gap: Batch) -> None:
        self._faults.note("damaged", self._where, f"a batch from {gap.header.first} on is unreadable")
        with suppress(DiskRefused), self.transaction() as db:  # it stays, and reads as the same gap again
            db.execute(
                "UPDATE outbox_batch SET head = ?, signature = ?, body = ? WHERE rowid = ?",
                (gap.head, gap.signature, gap.body, rowid),
            )

    def read_from(self, epoch: bytes, seq: int) -> Iterator[Batch]:
        """The batches of `epoch` from the one that holds `seq` on, up to what is not kept."""
        while (batch := self.read(epoch, seq)) is not None:
            yield batch
            seq = batch.header.last + 1

    # --- forking -------------------------------------------------------------------------------

    def fork(self, epoch: bytes, seq: int, detail: str) -> None:
        """End `epoch` before `seq` and carry what is kept of it from there on into a new epoch, to be written on.

        Where `seq` lies inside a batch, all of that batch is carried. Raises JournalError; nothing changed then.
        """
        known = self._epochs.get(epoch)
        held = self.read(epoch, max(seq, known.oldest)) if known else None
        if held is not None:
            cut = Cut(epoch, held.header.first - 1, held.header.previous)
        elif known is not None:
            cut = Cut(epoch, known.last, known.digest)
        else:
            cut = Cut(epoch, seq - 1, NO_DIGEST)
        tip = self._tip()
        if tip and tip.epoch == epoch:
            tip = Prior(*cut)
        opening = self._open_batch(Opening("fork", doubt=detail, forked=Prior(*cut)), tip)
        with self.transaction() as db:
            for batch in carried(self.read_from(epoch, cut.last + 1), opening, self._seal):
                if batch is opening:
                    self._insert_epoch(db, batch)
                else:
                    self._insert(db, batch)
            if known is not None and held is not None:
                self._set_end(db, epoch, cut.last, cut.digest)
                db.execute("DELETE FROM outbox_batch WHERE epoch = ? AND first > ?", (known.row, cut.last))
                self._tidy(db)
        self._begun = True

    # --- letting go ----------------------------------------------------------------------------

    def release(self, cursors: Mapping[bytes, Ranges]) -> None:
        """Every required sink has stored these ranges: the oldest are removed, beyond `Limits.keep_acked` bytes."""
        self._stored = dict(cursors)
        keep = self._limits.keep_acked if len(self._epochs) <= MAX_EPOCHS else 0
        if self._bytes > keep:
            with suppress(DiskRefused):  # noted as a fault; the next release tries again
                self._delete_stored(keep)

    def _delete_stored(self, keep: int) -> None:
        stored = self._stored_rows()
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

    def _stored_rows(self) -> list[tuple[int, int]]:
        """Row and size of the batches stored everywhere, oldest first, up to the first that is not."""
        rows: list[tuple[int, int]] = []
        newest = next(reversed(self._epochs), None)
        for uid, epoch in self._epochs.items():
            held = self._stored[uid].covering(epoch.oldest) if uid in self._stored else None
            upto = held.hi if held else 0
            if uid == newest:
                upto = min(upto, epoch.last - 1)  # the newest batch stays, for sinks to compare histories by
            rows += self._connected().execute(
                "SELECT rowid, size FROM outbox_batch WHERE epoch = ? AND last <= ? ORDER BY first",
                (epoch.row, upto),
            )
            if upto < epoch.last:
                break
        return rows

    def _tidy(self, db: sqlite3.Connection) -> None:
        """After batches were deleted: forget epochs of which nothing is left, but for the newest."""
        db.execute(
            "DELETE FROM outbox_epoch WHERE id < (SELECT max(id) FROM outbox_epoch)"
            " AND id NOT IN (SELECT epoch FROM outbox_batch)"
        )
        self._load(db)

    def enforce(self, now: float) -> None:
        """Nothing is ever dropped for age or size; a full outbox refuses instead."""

    # --- the rest ------------------------------------------------------------------------------

    def sync(self) -> None:
        """Nothing to do: every commit is durable."""

    def sync_job(self) -> None:
        """Always None: every commit is durable."""
        return

    def finish_sync(self, job: object) -> None:
        """Never called with a job of this journal, since it makes none."""

    def close(self) -> None:
        """End in order. Raises JournalError when the disk refused."""
        try:
            if self._begun:
                with self.transaction() as db:
                    db.execute("UPDATE outbox_state SET clean = 1")
        finally:
            self._begun = False
            if self._db is not None:
                with suppress(sqlite3.Error):  # what is committed is there
                    self._db.close()
                self._db = None

    def faults(self) -> tuple[Fault, ...]:
        """What is wrong with the database, in words."""
        return self._faults.list()

    def note_fault(self, kind: str, where: str, detail: str) -> None:
        """Have a fault reported that was found before the outbox was opened."""
        self._faults.note(kind, where, detail)

    def stats(self) -> OutboxStats:
        """Where it stands."""
        return OutboxStats(self._bytes, len(self._epochs))

    def _refused(self, what: str, error: sqlite3.DatabaseError | OSError) -> DiskRefused:
        return self._faults.refused(what, self._where, _as_disk_error(error))


def _as_disk_error(error: sqlite3.DatabaseError | OSError) -> OSError:
    """A database error as the disk error it stands for."""
    if isinstance(error, OSError):
        return error
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # missing where the module itself complains
    number = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_READONLY: errno.EROFS}.get(code, errno.EIO)
    return OSError(number, str(error))
