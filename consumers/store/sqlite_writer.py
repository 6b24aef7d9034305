"""How one SQLite file is written: many log records in one statement, everything else row by row."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from tabard.brokers.delivery.leases import Lease
from tabard.brokers.delivery.ports import Entry
from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store import deployed, indexing
from tabard.consumers.store.chunks import Chunk, chunks_of
from tabard.consumers.store.columns import groups_of
from tabard.consumers.store.database import REFUSALS, Database
from tabard.consumers.store.lease_statements import sqlite_leases
from tabard.consumers.store.models import LOG_HEAD
from tabard.consumers.store.rows import Row, builder
from tabard.consumers.store.sink_statements import sqlite_sinks
from tabard.consumers.store.statements import Statements, sqlite_deployments, sqlite_presence
from tabard.consumers.store.writing import Locked, Made
from tabard.records import LOG_INDEX

CHUNKED: Final = 8
"""Log records in a batch from which on it has statements of its own."""
_LOGGER: Final = len(LOG_HEAD) + LOG_INDEX["logger"]


class SqliteWriter:
    """Writes one file; see `writing.Writer`. Its connection is in autocommit mode."""

    refusals: tuple[type[Exception], ...] = REFUSALS

    def __init__(self, database: Database, statements: Statements, index: str = indexing.NONE) -> None:
        """`index` is the search index that the log's rows go into, if it is there."""
        self._database = database
        self._index = index
        self._before: int | None = None
        """The last id before this transaction's log records; None: it has none, or nobody asks."""
        self._connection = database.connection
        self.statements = statements
        self.deployments = sqlite_deployments()
        self.presence = sqlite_presence()
        self.leases = sqlite_leases()
        self.sinks = sqlite_sinks()

    def begin(self) -> None:
        """Begin, as the only one that writes. Raises StoreUnavailable when the store is closed."""
        self._database.begin()

    def commit(self) -> None:
        """Wait for the disk."""
        if self._before is not None:
            indexing.fill(self._connection, self._index, self._before)
            self._before = None
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        """End a transaction without effect."""
        self._before = None
        self._database.rollback()

    @contextlib.contextmanager
    def part(self) -> Iterator[None]:
        """By a savepoint."""
        self._connection.execute("SAVEPOINT part")
        try:
            yield
        except REFUSALS:
            self._connection.execute("ROLLBACK TO part")
            self._connection.execute("RELEASE part")
            raise
        self._connection.execute("RELEASE part")

    def one(self, text: str, values: Sequence[Any]) -> Sequence[Any] | None:
        """All of the answer is read: an open one would hold up the commit."""
        rows: list[Sequence[Any]] = self._connection.execute(text, values).fetchall()
        return rows[0] if rows else None

    def all(self, text: str, values: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """Every row."""
        return self._connection.execute(text, values).fetchall()

    def run(self, text: str, values: Sequence[Any]) -> int:
        """Run a statement."""
        return self._connection.execute(text, values).rowcount

    def lock_leases(self, role: str, parts: Sequence[int], *, claiming: bool) -> Locked:  # noqa: ARG002 -- alone in any case
        """Nobody else writes the file meanwhile."""
        asked = frozenset(parts)
        rows = self._connection.execute(self.leases.leases, (role,)).fetchall()
        return Locked({row[0]: Lease(*row) for row in rows if row[0] in asked}, ())

    def set_cursors(self, changed: Sequence[Sequence[Any]]) -> int:
        """One statement, run for each."""
        return self._connection.executemany(self.statements.set_epoch, changed).rowcount

    def make(
        self, stream: int, entry: Entry, node_id: int, epoch_id: int, arrived: int, *, careful: bool
    ) -> Made:
        """Chunks for a batch of many log records, rows for any other."""
        if (
            stream == LOGS
            and entry.batch.header.count >= CHUNKED
            and entry.seqs is None
            and not entry.withheld
            and not careful
        ):
            chunks: list[Chunk] = []
            found: list[Any] = []
            for group in groups_of(entry, arrived):
                chunks += chunks_of(group, node_id, epoch_id, arrived)
                found += group.configurations
            if chunks:
                return Made(entry.count, 0, chunks, found)
        rows = builder(stream, careful=careful)(entry, node_id, epoch_id, arrived)
        if stream != LOGS:
            return Made(len(rows), sum(len(row[-1]) for row in rows), rows)
        return Made(
            len(rows), 0, rows, [row[len(LOG_HEAD) :] for row in rows if row[_LOGGER] == deployed.LOGGER]
        )

    def insert(self, stream: int, made: Sequence[Made]) -> None:
        """In order; neighbours of few rows share a statement."""
        execute = self._connection.execute
        if stream == LOGS and self._before is None and self._index != indexing.NONE:
            self._before = indexing.last_id(self._connection)
        for chunked, run in groupby(made, key=lambda each: bool(each.parts) and type(each.parts[0]) is Chunk):
            if chunked:
                for each in run:
                    for statement, parameters in each.parts:
                        execute(statement, parameters)
            else:
                rows: list[Row] = [row for each in run for row in each.parts]
                self._connection.executemany(self.statements.add_rows[stream], rows)

    def expect(self, stream: int, table: str) -> None:
        """Nothing: nobody else writes, so ids become visible in their order."""

    def add_batches(self, rows: Sequence[Sequence[Any]]) -> None:
        """One statement, run for each."""
        self._connection.executemany(self.statements.add_batch, rows)

    def add_policed(self, attestations: Sequence[Sequence[Any]], stubs: Sequence[Sequence[Any]]) -> None:
        """Each by one statement, run for each row."""
        self._connection.executemany(self.statements.add_attestation, attestations)
        self._connection.executemany(self.statements.add_withheld, stubs)

    def count(self, stream: int, rows: int, size: int) -> None:
        """In the table `usage`."""
        self._connection.execute(self.statements.add_usage, (stream, rows, size))
