"""Read-only connections to a store's two files, for any number of threads."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store import layout, sqlite_hits
from tabard.consumers.store.hits import Hits
from tabard.consumers.store.layout import FILES, RECORDS, STATE
from tabard.consumers.store.reading import LOG, SQLITE, Answer
from tabard.consumers.store.results import Count, IndexState, LogQuery
from tabard.consumers.store.words import fold, has_word
from tabard.errors import StoreAway, StoreError, StoreMissing

BUSY_SECONDS: Final = 2.0
KEPT: Final = 8
_VERSION: Final = "SELECT version_num FROM alembic_version"
_OWN_VERSION: Final = [(layout.VERSION,)]
"""Idle connections that are kept for the next question."""
_PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_IOERR,
    }
)

Identity = tuple[tuple[int, int], ...]


class SqliteReading(sqlite3.Connection):
    """A reader's connection; see `reading.Reading`."""

    sql: Final = SQLITE

    def total(self) -> Count:
        """By the books that commits and deletions keep."""
        row = self.execute("SELECT rows FROM main.usage WHERE stream = ?", (LOGS,)).fetchone()
        return Count(row[0] if row else 0, "exactly")

    def again(self, text: str, values: Sequence[int] = (), /) -> Answer:
        """Ask: the module keeps every plan."""
        return self.execute(text, values)

    def indexes(self) -> list[IndexState]:
        """Those of the file."""
        return sqlite_hits.states(self, self.total().records)

    def log(self, _since: int, _until: int) -> str:
        """All: it is one table."""
        return LOG

    def hits(self, query: LogQuery) -> Hits | None:
        """What serves it."""
        return sqlite_hits.find(self, query) if query.text or query.words else None


class Connections:
    """A pool for one store. The records file is ``main`` of each connection, the state file is attached as ``state``."""

    def __init__(self, store: str | os.PathLike[str]) -> None:
        self.store = Path(os.path.abspath(store))
        # Made once: each question looks at them, and a path takes longer to make than to look at.
        self._files: Final = [(kind.name, str(kind.path(self.store))) for kind in FILES]
        self._guard = threading.Lock()
        self._idle: list[tuple[SqliteReading, Identity]] = []

    @contextlib.contextmanager
    def use(self, _search: LogQuery | None = None, /) -> Iterator[SqliteReading]:
        """A connection for one question, within one view of the data.

        Raises:
            StoreError: the store is missing, unreadable, damaged, or of another schema version.
        """
        identity = self._identity()
        connection = self._taken(identity)
        try:
            if connection is None:
                connection = self._open()
            connection.execute("BEGIN")
            if (
                connection.execute(_VERSION).fetchall() != _OWN_VERSION
            ):  # it may have moved since the last question
                layout.check_version(connection, str(RECORDS.path(self.store)), reading=True)
            yield connection
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            _close(connection)
            kind = StoreAway if _passes(error) else StoreError
            raise kind(
                "the store cannot be read",
                found=str(error),
                where=str(self.store),
                hint="Try again; if it stays, restore a backup",
            ) from error
        except BaseException:
            _close(connection)
            raise
        self._give_back(connection, identity)

    def which(self) -> str:
        """The file that stands where the records are. Raises StoreError."""
        device, number = self._identity()[FILES.index(RECORDS)]
        return f"{device}-{number}"

    def close(self) -> None:
        """Close what is idle; a connection in use is closed by the next `close`."""
        with self._guard:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    def _taken(self, identity: Identity) -> SqliteReading | None:
        stale = []
        found = None
        with self._guard:
            while self._idle and found is None:
                connection, of = self._idle.pop()
                if of == identity:
                    found = connection
                else:  # a backup was put in place of the file it reads
                    stale.append(connection)
        for connection in stale:
            connection.close()
        return found

    def _give_back(self, connection: SqliteReading, identity: Identity) -> None:
        with self._guard:
            if len(self._idle) < KEPT:
                self._idle.append((connection, identity))
                return
        connection.close()

    def _identity(self) -> Identity:
        found = []
        for name, path in self._files:
            try:
                state = os.stat(path)
            except FileNotFoundError as error:
                raise StoreMissing(
                    "store not found",
                    expected=f"the file {name}.db",
                    where=str(self.store),
                    hint="Start a recorder, or pass --home",
                ) from error
            except OSError as error:
                # A file system that is away for the moment, or rights, which do not come by waiting.
                kind = StoreError if isinstance(error, PermissionError) else StoreAway
                raise kind("the store cannot be read", found=str(error), where=str(self.store)) from error
            found.append((state.st_dev, state.st_ino))
        return tuple(found)

    def _open(self) -> SqliteReading:
        layout.check_library()
        records, state = (kind.path(self.store) for kind in (RECORDS, STATE))
        connection = sqlite3.connect(
            _uri(records),
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            factory=SqliteReading,
        )
        # LIKE takes A for a and leaves Ä apart from ä. Folding by Python is slower: only such a text pays for it.
        connection.create_function("tabard_fold", 1, fold, deterministic=True)
        connection.create_function("tabard_word", 2, has_word, deterministic=True)
        try:
            connection.execute("ATTACH ? AS state", (_uri(state),))
            connection.execute("PRAGMA query_only = ON")
            connection.execute("PRAGMA temp_store = MEMORY")
            layout.check_version(connection, str(records), reading=True)
            layout.check_version(connection, str(state), "state", reading=True)
        except BaseException:
            connection.close()
            raise
        return connection


def _uri(path: Path) -> str:
    """How to open a file for reading; on a read-only medium without write-ahead log as one that nobody changes."""
    log = path.with_name(path.name + "-wal")
    frozen = not os.access(path.parent, os.W_OK) and not (log.exists() and log.stat().st_size)
    return f"{path.as_uri()}?mode=ro{'&immutable=1' if frozen else ''}"


def _passes(error: sqlite3.Error) -> bool:
    """Whether the same may go well a moment later: somebody has the file to himself, or it is being exchanged."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _PASSING


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        with contextlib.suppress(sqlite3.Error):
            connection.close()
