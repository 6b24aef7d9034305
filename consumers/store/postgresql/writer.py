"""How one part of the store is written: everything of which there is much goes through COPY."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

import psycopg2
from psycopg2 import errors, extensions
from psycopg2.extras import execute_values

from tabard.brokers.delivery.leases import Lease
from tabard.brokers.delivery.ports import Entry, StoreUnavailable
from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store import deployed
from tabard.consumers.store.layout import ROW_TABLES
from tabard.consumers.store.models import LOG_HEAD
from tabard.consumers.store.postgresql import closed, lines, packing
from tabard.consumers.store.postgresql.marks import MARK, MARK_BESIDE
from tabard.consumers.store.postgresql.packing import (
    Field,
    Packed,
    blob,
    number,
    pack_rows,
    small,
    source,
    text,
)
from tabard.consumers.store.postgresql.partitions import Partition, day_of
from tabard.consumers.store.postgresql.server import IDLE_SECONDS, WHICH, Server
from tabard.consumers.store.postgresql.texts import Texts
from tabard.consumers.store.rows import builder
from tabard.consumers.store.sink_statements import postgresql_sinks
from tabard.consumers.store.writing import Locked, Made
from tabard.records import INT_FIELDS, LOG_FIELDS, LOG_INDEX

_LOGGER: Final = len(LOG_HEAD) + LOG_INDEX["logger"]
_LOG_ROW: Final[Sequence[tuple[str, Field]]] = (
    *((name, text if name == "origin" else number) for name in LOG_HEAD),
    *((name, number if name in INT_FIELDS else text) for name in LOG_FIELDS),
)
_MAP_ROW: Final[Sequence[tuple[str, Field]]] = (
    *((name, number) for name in ("node_id", "epoch_id", "seq", "arrived", "time")),
    ("kind", text),
    ("data", blob),
)
_BATCH: Final[Sequence[tuple[str, Field]]] = (
    ("epoch_id", number),
    ("first", number),
    ("count", number),
    ("stream", small),
    ("kind", small),
    ("header", blob),
    ("signature", blob),
    ("arrived", number),
    ("proof", blob),
)
_ATTESTATION: Final[Sequence[tuple[str, Field]]] = (
    ("epoch_id", number),
    ("first", number),
    ("place", small),
    ("last", number),
    ("policy_id", number),
    ("broker", text),
    ("cut", number),
    ("proof", blob),
)
_WITHHELD: Final[Sequence[tuple[str, Field]]] = (
    ("node_id", number),
    ("stream", small),
    *((name, number) for name in ("epoch_id", "first", "count", "policy_id", "time", "arrived")),
)
_LEASES: Final = "SELECT part, owner, fence FROM lease WHERE role = %s AND part = ANY(%s) ORDER BY part"
_HOLD_LEASES: Final = f"{_LEASES} FOR SHARE"
_CLAIM_LEASES: Final = f"{_LEASES} FOR UPDATE SKIP LOCKED"
_END_FROZEN: Final = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()"
    " AND usename = current_user AND state = 'active' AND wait_event = 'ClientRead'"
    " AND xact_start < clock_timestamp() - make_interval(secs => %s)"
    " AND backend_xid IN (SELECT xmax FROM lease WHERE role = %s AND part = ANY(%s))"
)
"""End who locks these leases and stands still within a COPY: to the server it is at work, so no limit of time ends it."""

_log = logging.getLogger(__name__)


class PostgresWriter:
    """Writes one part; see `writing.Writer`. Its connection is in autocommit mode."""

    refusals: tuple[type[Exception], ...] = (
        psycopg2.DataError,
        psycopg2.IntegrityError,
        *packing.REFUSALS,
    )

    def __init__(self, server: Server, texts: Texts) -> None:
        self._server = server
        self._texts = texts
        self._arrived: int | None = None
        """When the log rows arrive that are written; None: none are."""
        self._cursor = server.connection.cursor()
        self._expected: set[str] = set()
        """Tables beside the log that readers know of to get rows in this transaction."""
        self.statements = texts.statements
        self.deployments = texts.deployments
        self.presence = texts.presence
        self.leases = texts.leases
        self.sinks = postgresql_sinks()

    @property
    def connection(self) -> extensions.connection:
        """The connection that it writes on."""
        return self._server.connection

    def begin(self) -> None:
        """Begin; statements see what others have committed by then, whatever the server is set to.

        Raises StoreUnavailable, once, when other tables are in the place of those that were written: see `Server.known`.
        """
        self._expected.clear()
        self._cursor.execute(f"BEGIN ISOLATION LEVEL READ COMMITTED; {WHICH}")
        row = self._cursor.fetchone()
        if not self._server.known(row[0] if row else None):
            raise StoreUnavailable(f"{self._server.where} was replaced by other tables")

    def commit(self) -> None:
        """Wait for the server's disk. A day of which log records were written is not closed any more."""
        if self._arrived is None:
            self._cursor.execute("COMMIT")
            return
        day = Partition("log", day_of(self._arrived))
        self._cursor.execute(f"{closed.REOPEN}; COMMIT", (day.name,))

    def rollback(self) -> None:
        """End a transaction without effect."""
        self._server.rollback()

    @contextlib.contextmanager
    def part(self) -> Iterator[None]:
        """By a savepoint."""
        self._cursor.execute("SAVEPOINT part")
        expected = set(self._expected)
        try:
            yield
        except self.refusals:
            self._cursor.execute("ROLLBACK TO SAVEPOINT part")
            self._expected = expected
            self._cursor.execute("RELEASE SAVEPOINT part")
            raise
        self._cursor.execute("RELEASE SAVEPOINT part")

    def one(self, text: str, values: Sequence[Any]) -> Sequence[Any] | None:
        """The first row."""
        self._cursor.execute(text, values)
        row: Sequence[Any] | None = self._cursor.fetchone()
        return row

    def all(self, text: str, values: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """Every row."""
        self._cursor.execute(text, values)
        return self._cursor.fetchall()

    def run(self, text: str, values: Sequence[Any]) -> int:
        """Run a statement."""
        self._cursor.execute(text, values)
        return int(self._cursor.rowcount)

    def lock_leases(self, role: str, parts: Sequence[int], *, claiming: bool) -> Locked:
        """By locks of rows; `claiming`, what a transaction that is open anywhere writes under is left out.

        One that stands still is ended then: its lease is over, and what it locks can be had the next time.
        """
        self._cursor.execute(_CLAIM_LEASES if claiming else _HOLD_LEASES, (role, list(parts)))
        found = {int(row[0]): Lease(*row) for row in self._cursor.fetchall()}
        skipped: set[int] = set()
        if claiming and len(found) < len(parts):
            there = self.all(self.leases.leases, (role,))
            skipped = {int(row[0]) for row in there}.intersection(parts).difference(found)
        if skipped:
            (ended,) = self.one(_END_FROZEN, (IDLE_SECONDS, role, sorted(skipped))) or (0,)
            if ended:
                _log.warning(
                    "a recorder stood still in its commit beyond its lease: its transaction was ended"
                )
        return Locked(found, skipped)

    def set_cursors(self, changed: Sequence[Sequence[Any]]) -> int:
        """All in one statement, in the order of their ids, so that two recorders do not wait for each other in a ring."""
        rows = sorted(changed, key=lambda row: int(row[-2]))
        execute_values(
            self._cursor, self._texts.set_cursors, rows, template=self._texts.cursor_row, page_size=len(rows)
        )
        return int(self._cursor.rowcount)

    def make(
        self, stream: int, entry: Entry, node_id: int, epoch_id: int, arrived: int, *, careful: bool
    ) -> Made:
        """Bytes for COPY. Batches of logs were made ready when they came, or are now."""
        if stream == LOGS:
            self._arrived = arrived
        if stream == LOGS and not careful:
            prepared = entry.made if entry.made is not None else lines.prepare(entry, arrived)
            packed = [each.placed(node_id, epoch_id, arrived) for each in prepared.lines]
            return Made(prepared.rows, 0, packed, prepared.configurations)
        rows = builder(stream, careful=careful)(entry, node_id, epoch_id, arrived)
        made = pack_rows(_LOG_ROW if stream == LOGS else _MAP_ROW, rows)
        configurations = (
            [row[len(LOG_HEAD) :] for row in rows if row[_LOGGER] == deployed.LOGGER]
            if stream == LOGS
            else ()
        )
        return Made(len(rows), len(made.data), [made] if rows else [], configurations)

    def insert(self, stream: int, made: Sequence[Made]) -> None:
        """One COPY for neighbours with the same columns."""
        packed = [part for each in made for part in each.parts]
        if packed and stream == LOGS:
            self._cursor.execute(MARK)
        for _, run in groupby(packed, key=lambda part: (part.binary, part.columns)):
            self._copy(ROW_TABLES[stream], list(run))

    def expect(self, stream: int, table: str) -> None:
        """Only what is of the log is followed."""
        if stream == LOGS and table not in self._expected:
            self._cursor.execute(MARK_BESIDE[table])
            self._expected.add(table)

    def add_batches(self, rows: Sequence[Sequence[Any]]) -> None:
        """One COPY."""
        self._copy("batch", [pack_rows(_BATCH, rows)])

    def add_policed(self, attestations: Sequence[Sequence[Any]], stubs: Sequence[Sequence[Any]]) -> None:
        """A COPY for each kind of which there is any."""
        for table, columns, rows in (
            ("attestation", _ATTESTATION, attestations),
            ("withheld", _WITHHELD, stubs),
        ):
            if rows:
                if table in MARK_BESIDE:
                    self.expect(LOGS, table)
                self._copy(table, [pack_rows(columns, rows)])

    def count(self, stream: int, rows: int, size: int) -> None:
        """Nothing: the sizes of the partitions say it, and one row for all would make recorders wait for each other."""

    def _copy(self, table: str, parts: Sequence[Packed]) -> None:
        first = parts[0]
        names = ", ".join(f'"{name}"' for name in first.columns)
        command = f"COPY {table} ({names}) FROM STDIN" + (" (FORMAT binary)" if first.binary else "")
        try:
            self._cursor.copy_expert(command, source(parts))  # type: ignore[arg-type]  # of a file it only reads
        except errors.CheckViolation as error:
            if (
                error.diag.constraint_name is None
            ):  # no constraint of the table: the row's day was dropped meanwhile
                raise psycopg2.OperationalError(
                    f"a partition of {table} is not there any more: {error}"
                ) from error
            raise
