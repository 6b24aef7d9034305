"""One SQLite file and its only writing connection: opening, durability, what its failures mean."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tabard.brokers.delivery.ports import StoreUnavailable
from tabard.consumers.store import layout
from tabard.consumers.store.layout import FileKind
from tabard.consumers.store.readonly import SqliteReading
from tabard.consumers.store.wal import WriteAheadLog
from tabard.consumers.store.words import fold
from tabard.errors import StoreError

BUSY_SECONDS: Final = 2.0
"""How long a commit waits for another writer (an upgrade, a command) before it gives up for now."""
CACHE_KIB: Final = 32_768
"""Page cache: the right edges of a few thousand nodes' indexes."""
CACHED_STATEMENTS: Final = 256
"""Prepared texts kept: an insert of many rows has one for every set of fields and every power of two."""

REFUSALS: Final = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    OverflowError,
    ValueError,
    TypeError,
    LookupError,
)
"""How the driver and the database refuse a row, as against failing themselves."""

_OWN_VERSION: Final = [(layout.VERSION,)]
_REASONS: Final = {
    "SQLITE_FULL": "the disk is full",
    "SQLITE_READONLY": "the file or its directory is read-only",
    "SQLITE_BUSY": "another process keeps the file locked",
    "SQLITE_LOCKED": "another connection keeps a table locked",
    "SQLITE_IOERR": "the disk failed",
    "SQLITE_CORRUPT": "the file is damaged",
    "SQLITE_NOTADB": "the file is not a database",
    "SQLITE_CANTOPEN": "the file cannot be opened",
    "SQLITE_NOMEM": "memory is exhausted",
}
_FULL: Final = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")
_LASTING: Final = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_READONLY")
"""Failures after which the connection is still good; after any other it is opened anew."""


class Database:
    """The writing side of one file; without a path it lives in memory.

    Raises:
        StoreError: it cannot be opened, or is of another schema version.
    """

    def __init__(
        self, kind: FileKind, path: Path | None, synchronous: str = "full", image: bytes = b""
    ) -> None:
        self.kind = kind
        self.path = path
        self.fault: str | None = None
        """Why it cannot be written at the moment; None when the last try went well."""
        self.full = False
        """Whether the last try failed because the disk was full."""
        self.replaced = False
        """Another file was found in its place: what was read from the old one no longer holds. The reader clears it."""
        self._synchronous = "FULL" if synchronous == "full" else "NORMAL"
        self._identity = (0, 0)
        self._wal_identity = (0, 0)
        self._image = image
        self.wal = WriteAheadLog(None if path is None else _beside(path, "-wal"), self._second)
        self._connection: SqliteReading | None = self._open()

    @property
    def where(self) -> str:
        """The file, for messages."""
        return str(self.path) if self.path else f"{self.kind.name} in memory"

    @property
    def connection(self) -> SqliteReading:
        """The open connection, in autocommit mode. Raises StoreUnavailable when there is none to be had."""
        if self._connection is None:
            try:
                self._connection = self._open()
            except StoreError as error:
                self.fault = str(error)
                raise StoreUnavailable(self.fault) from error
        return self._connection

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        self.wal.close()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def notice_replacement(self) -> None:
        """Open the file anew when another one was put in its place, as a restored backup is; see `replaced`.

        Raises:
            StoreUnavailable: the file is gone, or the new one cannot be opened.
        """
        if self.path is None or self._connection is None:
            return
        found = _identity(self.path)
        if found == self._identity:
            return
        if found is None:
            self.fault = (
                f"{self.where}: the file is gone; put it back, or restart the recorder to begin a new one"
            )
            raise StoreUnavailable(self.fault)
        self.close()
        self._discard_wal()
        self.replaced = True
        _ = self.connection

    def failed(self, error: BaseException) -> StoreUnavailable:
        """Note a failure of the database, leave no transaction open, and make the error to be raised."""
        name = getattr(error, "sqlite_errorname", "") or ""
        self.full = name in _FULL
        reason = next((text for code, text in _REASONS.items() if name.startswith(code)), "")
        self.fault = f"{self.where}: {reason + ': ' if reason else ''}{error}"
        self.rollback()
        if not name.startswith(_LASTING):
            self.reset()
        return StoreUnavailable(self.fault)

    def rollback(self) -> None:
        """End an open transaction without effect."""
        connection = self._connection
        if connection is not None and connection.in_transaction:
            try:
                connection.execute("ROLLBACK")
            except sqlite3.Error:
                self.reset()

    def begin(self) -> None:
        """Begin a transaction, as the only one that writes.

        Raises:
            StoreUnavailable: the store is being moved, was moved, or has been upgraded under this program.
        """
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("SELECT version_num FROM alembic_version").fetchall() == _OWN_VERSION:
            return
        try:
            layout.check_version(connection, self.where)
        except StoreError as error:
            self.fault = str(error)
            self.rollback()
            raise StoreUnavailable(self.fault) from error

    @contextlib.contextmanager
    def relaxed(self) -> Iterator[SqliteReading]:
        """A transaction that may be lost in a power cut, with no wait for the disk; the next commit carries it along."""
        connection = self.connection
        connection.execute("PRAGMA synchronous = NORMAL")
        try:
            self.begin()
            yield connection
            connection.execute("COMMIT")
        finally:
            self.rollback()
            if self._connection is connection:
                connection.execute(f"PRAGMA synchronous = {self._synchronous}")

    def reset(self) -> None:
        """Drop a connection that cannot be trusted any more. A database in memory lives and dies with it."""
        if self.path is not None:
            with contextlib.suppress(sqlite3.Error):
                self.close()

    def serialize(self) -> bytes:
        """The whole database as bytes."""
        return self.connection.serialize()

    def committed(self, size: int) -> None:
        """A commit with that many bytes of records is done: see that the write-ahead log stays short."""
        if self.path is not None:
            self.wal.wrote(size)
            self.wal.after_commit(self.connection)

    def idle(self, rows: int) -> None:
        """Use a moment in which nothing waits to move the write-ahead log, if some `rows` rows were written."""
        if self.path is not None:
            self.wal.idle(self.connection, rows)

    def truncate(self) -> None:
        """Move the whole write-ahead log into the file and give its room back, unless a reader needs it."""
        if self.path is not None:
            self.wal.settle()
            self.connection.execute("PRAGMA busy_timeout = 0")
            try:
                self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                self.connection.execute(f"PRAGMA busy_timeout = {round(BUSY_SECONDS * 1000)}")

    def _open(self) -> SqliteReading:
        layout.check_library()
        # Never made by being opened: a file that is gone must not come back empty.
        target = ":memory:" if self.path is None else f"{self.path.absolute().as_uri()}?mode=rw"
        connection = None
        try:
            connection = sqlite3.connect(
                target,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=CACHED_STATEMENTS,
                uri=True,
                factory=SqliteReading,
            )
            connection.create_function("tabard_fold", 1, fold, deterministic=True)  # for `holds`
            if self.path is None:
                connection.deserialize(self._image)
            else:
                self._tune(connection)
            layout.check_version(connection, self.where)
        except sqlite3.Error as error:
            if connection is not None:
                connection.close()
            raise StoreError("the store cannot be opened", found=str(error), where=self.where) from error
        except StoreError:
            if connection is not None:
                connection.close()
            raise
        if self.path is not None:
            self._identity = _identity(self.path) or (0, 0)
            self._wal_identity = _identity(_beside(self.path, "-wal")) or (0, 0)
            self.wal.begin(connection)
        return connection

    def _second(self) -> sqlite3.Connection | None:
        """Another connection to the file that this one has open, to move the write-ahead log with."""
        if self.path is None:
            return None
        connection = None
        try:
            connection = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode=rw",
                timeout=0,
                isolation_level=None,
                check_same_thread=False,
                uri=True,
            )
            connection.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
            connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        except sqlite3.Error:
            same = False
        else:
            same = _identity(self.path) == self._identity
        if connection is not None and not same:
            connection.close()
        return connection if same else None

    def _tune(self, connection: sqlite3.Connection) -> None:
        for pragma in (
            "journal_mode = WAL",
            f"synchronous = {self._synchronous}",
            f"cache_size = -{CACHE_KIB}",
            "wal_autocheckpoint = 0",  # see `wal`, also for journal_size_limit
            "temp_store = MEMORY",
            # Some distributions build SQLite so that it overwrites what it deletes: twice the work of retention.
            "secure_delete = OFF",
            "trusted_schema = OFF",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()

    def _discard_wal(self) -> None:
        """Remove the replaced file's write-ahead log, which SQLite would take for the new file's own."""
        if self.path is None:
            return
        log = _beside(self.path, "-wal")
        if _identity(log) == self._wal_identity:
            for path in (log, _beside(self.path, "-shm")):
                with contextlib.suppress(OSError):
                    path.unlink()


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file a path leads to; None when to none."""
    try:
        state = os.stat(path)
    except OSError:
        return None
    return (state.st_dev, state.st_ino)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
