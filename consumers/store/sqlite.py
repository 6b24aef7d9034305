"""The store on SQLite: two files, each with its own cursors, never one transaction across both."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Self

from tabard.brokers.delivery.ports import CursorConflict, EpochWork, StoreUnavailable
from tabard.consumers.store import indexing, schema
from tabard.consumers.store.commit import Ids
from tabard.consumers.store.database import Database
from tabard.consumers.store.layout import FILES, RECORDS, RESTORING, FileKind
from tabard.consumers.store.parts import PartedStore
from tabard.consumers.store.readonly import SqliteReading
from tabard.consumers.store.reserve import Reserve
from tabard.consumers.store.sqlite_writer import SqliteWriter
from tabard.consumers.store.statements import Statements, sqlite_statements
from tabard.consumers.store.writing import Writer
from tabard.errors import StoreError, WireError

IDLE_ROWS: Final = 1_000
"""Rows since the last checkpoint from which on an idle moment is used for the next."""
_LENGTH_BYTES: Final = 8

_log = logging.getLogger(__name__)


class _File:
    """One database with its statements and what is remembered of it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.statements: Statements = sqlite_statements(database.kind)
        self.ids = Ids()
        self.unmoved = 0
        """Bytes of batches committed since the write-ahead log was told of them."""
        self.index = indexing.NONE
        """The search index of the log, if this file has one."""
        self.touched = False
        """Whether retention has been at it since then."""
        self.stored: Counter[int] = Counter()
        """Rows committed since retention asked, by stream."""

    @contextlib.contextmanager
    def guarded(self, *, writes: bool = False) -> Iterator[SqliteReading]:
        """The connection; every failure ends its transaction, drops the numbers, and becomes a refusal to go on.

        Only a success that `writes` ends a fault: a full disk can still be read.
        """
        try:
            self.database.notice_replacement()
            yield self.database.connection
            if writes:
                self.database.fault = None
                self.database.full = False
        except (sqlite3.Error, OSError, WireError) as error:
            self.ids.forget()
            raise self.database.failed(error) from error
        except BaseException:
            self.ids.forget()
            self.database.rollback()
            raise

    @property
    def kind(self) -> FileKind:
        """Which of the two."""
        return self.database.kind

    def writer(self) -> SqliteWriter:
        """What writes it. Raises StoreUnavailable."""
        return SqliteWriter(self.database, self.statements, self.index)

    @contextlib.contextmanager
    def writing(self, *, changes: bool = False) -> Iterator[SqliteWriter]:
        """As `guarded`, with what writes it."""
        with self.guarded(writes=changes):
            yield self.writer()

    @contextlib.contextmanager
    def lightly(self) -> Iterator[SqliteWriter]:
        """Without a wait for the disk."""
        with self.guarded(), self.database.relaxed():
            yield self.writer()

    def refuse_replaced(self) -> None:
        """Raise CursorConflict, once, when another file was put in its place."""
        with self.guarded():
            self._refuse_noticed()

    def before_commit(self, _work: Sequence[EpochWork], _arrived: int) -> None:
        """Raise CursorConflict, once, when the file was replaced since the last commit."""
        self._refuse_noticed()

    def _refuse_noticed(self) -> None:
        if self.database.replaced:
            self.database.replaced = False
            raise CursorConflict(f"{self.database.where} was replaced by another file")

    def after_commit(self, work: Sequence[EpochWork], stored: Counter[int]) -> None:
        """For retention, and for the write-ahead log."""
        self.stored.update(stored)
        self.unmoved += sum(len(entry.batch.body) for item in work for entry in item.entries)


class SqliteStore(PartedStore[_File]):
    """A sink's database in two files, of which one instance is the only writer. Not for several threads at once."""

    def __init__(self, databases: Sequence[Database]) -> None:
        """Made by `open` or `memory`; `databases` are one for each of the store's files, in their order."""
        super().__init__([_File(database) for database in databases])
        path = databases[0].path
        self._reserve = None if path is None else Reserve(path.parent)
        self._rescue = False
        """Whether what room there is belongs to deletion alone."""
        self.wall: Callable[[], int] = time.time_ns
        """The clock of the machine, which all who share the files are on."""

    @classmethod
    def open(cls, store: str | os.PathLike[str], synchronous: str = "full") -> Self:
        """Open the store in the directory `store`, and make it if it is not there.

        `synchronous` is ``full`` (a commit survives a power cut) or ``normal`` (it survives the end of the
        process; a power cut may take the last commits back, and what nodes have released by then is lost).

        Raises:
            StoreError: it cannot be made or opened, or is of another schema version.
        """
        directory = Path(store)
        settle(directory)
        if not all(kind.path(directory).exists() for kind in FILES):
            schema.create(directory)
        return cls._opened(lambda kind: Database(kind, kind.path(directory), synchronous))

    @classmethod
    def memory(cls, image: bytes | None = None) -> Self:
        """A store that lives in memory, empty or as `image` says. Raises StoreError when that is not one."""
        parts = dict(zip(FILES, _split(image), strict=True)) if image is not None else None
        return cls._opened(
            lambda kind: Database(kind, None, image=parts[kind] if parts else schema.template(kind))
        )

    @classmethod
    def _opened(cls, opening: Callable[[FileKind], Database]) -> Self:
        with contextlib.ExitStack() as undo:
            databases = []
            for kind in FILES:
                database = opening(kind)
                undo.callback(database.close)
                databases.append(database)
            undo.pop_all()
        return cls(databases)

    def close(self) -> None:
        """Close both files. A store in memory is gone then."""
        for file in self._parts:
            file.database.close()

    @property
    def fault(self) -> str | None:
        """Why the store cannot be written, as of the last try, or what is wrong with it; None when all is well."""
        for file in self._parts:
            if file.database.fault:
                return file.database.fault
        for file in self._parts:
            if file.database.wal.fault:
                return f"{file.database.where}: {file.database.wal.fault}"
        return None

    def image(self) -> bytes:
        """Both databases as bytes, for `memory`. Raises StoreUnavailable."""
        parts = []
        for file in self._parts:
            with file.guarded():
                parts.append(file.database.serialize())
        return b"".join(len(part).to_bytes(_LENGTH_BYTES, "big") + part for part in parts)

    def connection(self, kind: FileKind) -> sqlite3.Connection:
        """The writing connection of one file, to look into a store in memory."""
        return self._of_kind(kind).database.connection

    def index_by(self, kind: str) -> None:
        """Put what is stored from now on into a search index of that kind, as far as it is there; ``none``: into none.

        Raises StoreError when this SQLite library cannot keep such an index.
        """
        file = self._of_kind(RECORDS)
        if kind != indexing.NONE:
            indexing.check_library(file.database.connection, kind)
        file.index = kind

    def writer(self, kind: FileKind) -> SqliteWriter:
        """How one file is written. Raises StoreUnavailable."""
        return self._of_kind(kind).writer()

    @contextlib.contextmanager
    def upkeep(self, kind: FileKind) -> Iterator[SqliteReading]:
        """A short transaction of retention on one file, between two commits. Raises StoreUnavailable."""
        file = self._of_kind(kind)
        with file.guarded(writes=True), file.database.relaxed() as connection:
            file.touched = True
            yield connection

    @contextlib.contextmanager
    def looking(self, kind: FileKind) -> Iterator[SqliteReading]:
        """The writing connection of one file, for a question of retention. Raises StoreUnavailable."""
        with self._of_kind(kind).guarded() as connection:
            yield connection

    def forget_numbers(self, kind: FileKind) -> None:
        """Read the numbers of nodes and epochs anew: some are not there any more."""
        self._of_kind(kind).ids.forget()

    def take_stored(self) -> Counter[int]:
        """Rows committed since the last call, by stream."""
        stored: Counter[int] = Counter()
        for file in self._parts:
            stored.update(file.stored)
            file.stored.clear()
        return stored

    def keep_reserve(self) -> bool:
        """See that there is a reserve for a full disk; whether there is one."""
        return self._reserve is None or self._reserve.take()

    @property
    def rescuing(self) -> bool:
        """Whether the disk is full, and what room there is belongs to deletion alone."""
        return self._rescue

    def begin_rescue(self) -> bool:
        """Give deletion the reserve when the disk is full. False: it is not, or there is none.

        Until `end_rescue` nothing else is written: what came in would take the room that is to be won.
        """
        full = any(file.database.full for file in self._parts)
        if not full or self._reserve is None or not self._reserve.give():
            return False
        self._rescue = True
        self.truncate()
        return True

    def end_rescue(self) -> bool:
        """Let records come in again; whether there is a reserve again."""
        self.truncate()
        self._rescue = False
        return self.keep_reserve()

    def truncate(self) -> None:
        """Give back the room of the write-ahead logs. Never raises."""
        for file in self._parts:
            with contextlib.suppress(StoreUnavailable), file.guarded():
                file.database.truncate()

    def _now(self, _writer: Writer) -> int:
        return self.wall()

    def _refuse_writing(self) -> None:
        if self._rescue:
            raise StoreUnavailable(self.fault or "the disk is full: old records are being deleted")

    def after_commit(self) -> None:
        """When nodes have heard of a commit, or rows were deleted: see that the write-ahead logs stay short. Never raises."""
        for file in self._parts:
            if file.unmoved or file.touched:
                size, file.unmoved, file.touched = file.unmoved, 0, False
                with contextlib.suppress(StoreUnavailable), file.guarded():
                    file.database.committed(size)

    def moved(self, kind: FileKind, size: int) -> None:
        """So many bytes of pages were written to a file that no row tells of."""
        self._of_kind(kind).unmoved += size

    def log_length(self, kind: FileKind) -> int:
        """Bytes in the write-ahead log of a file."""
        return self._of_kind(kind).database.wal.length

    def idle(self) -> None:
        """Use a moment in which nothing waits: move the write-ahead logs into the files, in small parts.

        What is long is moved by a thread meanwhile; `settle` waits for it. Never raises.
        """
        self.after_commit()
        for file in self._parts:
            with contextlib.suppress(StoreUnavailable), file.guarded():
                file.database.idle(IDLE_ROWS)

    def settle(self) -> None:
        """Wait until what was begun in the background is done."""
        for file in self._parts:
            file.database.wal.settle()


def settle(store: Path) -> None:
    """Finish a restoration that was interrupted. Raises StoreError, AlreadyRunning."""
    if (store / RESTORING).exists():
        from tabard.consumers.store import restoring

        aside = restoring.settle(store)
        if aside is not None:
            _log.warning(
                "a restoration was interrupted and is finished now; what was there before is in %s", aside
            )


def _split(image: bytes) -> list[bytes]:
    parts = []
    at = 0
    while at < len(image):
        size = int.from_bytes(image[at : at + _LENGTH_BYTES], "big")
        at += _LENGTH_BYTES
        parts.append(image[at : at + size])
        at += size
    if len(parts) != len(FILES) or not all(parts):
        raise StoreError("not an image of a store", expected=f"{len(FILES)} databases", found=f"{len(parts)}")
    return parts
