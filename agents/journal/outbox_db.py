"""The outbox's database connection: durable transactions that a caller may extend."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, Protocol

from tabard import failpoints
from tabard.agents.journal.faults import DiskRefused, Faults

BEFORE_COMMIT = failpoints.declare("outbox.before_commit", "about to commit control records")
AFTER_COMMIT = failpoints.declare("outbox.after_commit", "past a commit that nobody was told of yet")

SCHEMA: Final = """
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


class DatabaseFile(Protocol):
    """The file of a database that is open. Both raise OSError."""

    def moved(self) -> bool:
        """Whether its name stands for another file by now, or for none."""
        ...

    def put_back(self, db: sqlite3.Connection) -> None:
        """Give the name to a copy of what the connection holds. Raises sqlite3.DatabaseError, too."""
        ...


class OutboxDatabase:
    """A connection that is opened when needed, and again after an error that left its state unknown."""

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        where: str,
        faults: Faults,
        load: Callable[[sqlite3.Connection], None],
        committed: Callable[[], None],
        *,
        file: DatabaseFile | None = None,
        was_moved: Callable[[], None] = lambda: None,
    ) -> None:
        self._connect = connect
        self._where = where
        self._faults = faults
        self._load = load
        """Takes the owner's state from the database: after opening it, and whenever a transaction failed."""
        self._committed = committed
        self._file = file
        self._was_moved = was_moved
        """Told when the file was replaced or removed, once a copy of what was open has its name."""
        self._db: sqlite3.Connection | None = None
        self._depth = 0
        self._doomed = False
        """A part of the transaction under way failed: the rest must not be committed without it."""

    def connection(self) -> sqlite3.Connection:
        """The connection. Raises DiskRefused when it cannot be opened now."""
        if self._db is None:
            try:
                db = self._connect()
                db.execute("PRAGMA busy_timeout = 5000")
                # No log beside the file: what is committed is in the file itself, which is checked at the start.
                db.execute("PRAGMA journal_mode = TRUNCATE")
                db.execute("PRAGMA synchronous = FULL")
                if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'outbox_state'").fetchone():
                    db.executescript(SCHEMA)
                self._load(db)
            except (sqlite3.DatabaseError, OSError) as error:
                raise self.refused("the outbox cannot be opened", error) from error
            self._db = db
        return self._db

    def keep_place(self) -> bool:
        """See that what is open is what its name stands for; whether it had to be put back. Raises DiskRefused."""
        if self._db is None or self._file is None or self._depth:
            return False
        try:
            if not self._file.moved():
                return False
            self._file.put_back(self._db)
        except (sqlite3.DatabaseError, OSError) as error:
            raise self.refused("the outbox was replaced or removed and cannot be put back", error) from error
        self.close()
        self._was_moved()
        return True

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One durable transaction; nested ones are part of the outermost. Raises DiskRefused: nothing was written."""
        self.keep_place()
        db = self.connection()
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
            self._committed()
            failpoints.hit(AFTER_COMMIT)
        except BaseException as error:
            self._roll_back(db)
            if isinstance(error, (sqlite3.DatabaseError, OSError)):
                raise self.refused("the outbox cannot be written", error) from error
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
            self.close()  # what stands there is unknown now: read it anew before the next use

    def close(self) -> None:
        """Close; the next use opens it again."""
        db, self._db = self._db, None
        if db is not None:
            with suppress(sqlite3.Error):  # what is committed is there
                db.close()

    def refused(self, what: str, error: sqlite3.DatabaseError | OSError) -> DiskRefused:
        """Remember an error, and the exception to raise for it."""
        return self._faults.refused(what, self._where, _as_disk_error(error))


def _as_disk_error(error: sqlite3.DatabaseError | OSError) -> OSError:
    """A database error as the disk error it stands for."""
    if isinstance(error, OSError):
        return error
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # missing where the module itself complains
    number = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_READONLY: errno.EROFS}.get(code, errno.EIO)
    return OSError(number, str(error))
