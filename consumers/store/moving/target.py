"""The PostgreSQL side of a move: taking rows in, knowing how far it is, becoming a store."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import psycopg2
from psycopg2 import extensions
from psycopg2.extras import execute_values

from tabard import failpoints
from tabard.consumers.store.layout import FILES, FILLING, VERSION, FileKind
from tabard.consumers.store.moving.compare import Block, Sums, rows_text, sums_of, sums_text
from tabard.consumers.store.moving.packing import Stream
from tabard.consumers.store.moving.tables import TABLES, Carried, How
from tabard.consumers.store.postgresql import partitions, schema
from tabard.consumers.store.postgresql.server import (
    PATIENT,
    check_version,
    connect,
    schema_of,
    schema_version,
)
from tabard.errors import RefusedError, StoreError

_LOCK: Final = 0x7461_6261_726D
"""The advisory lock of whoever fills a database."""
_NOTED: Final = ("closed_day", "retention_mark")
"""What retention says of rows here: of those before a move that was taken back, for instance."""
_NOTES: Final = "tabard_moving"
"""The schema that says what is being moved here and how far it is; it stays as the evidence."""
BEFORE_CHUNK: Final = failpoints.declare(
    "move.before_chunk", "about to commit copied rows with their position"
)
BEFORE_WHOLE: Final = failpoints.declare("move.before_whole", "about to make the target a store")
AFTER_WHOLE: Final = failpoints.declare(
    "move.after_whole", "just past the commit that made the target a store"
)

Key = tuple[int, ...]


class Position(NamedTuple):
    """How far a table was copied."""

    key: Key
    rows: int


class Target:
    """A database that is being filled; one connection for each part. Its errors are StoreError and psycopg2.Error."""

    def __init__(self, url: str, password: str) -> None:
        self._url = url
        self._password = password
        self._open: dict[FileKind, extensions.connection] = {}
        self.decided = False
        """Whether it may be a store by now: the commit that makes it one was sent."""

    def __enter__(self) -> Self:
        """Connect, and see that nobody else fills this database. Raises StoreError, RefusedError."""
        try:
            for kind in FILES:
                # What a crash of the server takes back, it takes back together with the position.
                options = {**PATIENT, "synchronous_commit": "off"}
                self._open[kind] = connect(
                    self._url,
                    self._password,
                    schema_of(kind),
                    "tabard migrate",
                    options,
                    where=self._url,
                )
            self._lock()
        except BaseException:
            self.close()
            raise
        return self

    def _lock(self) -> None:
        if not self._first("SELECT pg_try_advisory_lock(%s)", (_LOCK,))[0]:
            raise RefusedError(
                "another `tabard store migrate` fills this database",
                where=self._url,
                hint="Wait for its end",
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        while self._open:
            with contextlib.suppress(psycopg2.Error):
                self._open.popitem()[1].close()

    # --- where it stands ------------------------------------------------------------------------------

    def prepare(self, move: str, source: str) -> bool:
        """Make ready for a move with that id, or go on with it. True: it is whole already.

        Raises:
            RefusedError: the database holds a store, or another one is being moved here.
            StoreError: the tables cannot be made, or are of another version.
        """
        noted = self._noted()
        if noted is None:
            self._take(move, source)
            return False
        if noted[0] != move:
            raise RefusedError(
                "the database holds another store" if noted[2] else "another store is being moved there",
                expected="an empty database",
                found=f"the store of {noted[1]}",
                where=self._url,
                hint="Make a database for this store",
            )
        return bool(noted[2])

    def holds(self, move: str) -> bool:
        """Whether the move with that id led here."""
        noted = self._noted()
        return noted is not None and noted[0] == move

    def whole(self, move: str) -> bool:
        """Whether the move with that id came to its end here."""
        noted = self._noted()
        return noted is not None and noted[0] == move and noted[2]

    def _noted(self) -> tuple[str, str, bool] | None:
        if self._first(f"SELECT to_regclass('{_NOTES}.move') IS NULL")[0]:
            return None
        row = self._maybe(f"SELECT id, source, done FROM {_NOTES}.move")  # noqa: S608
        return None if row is None else (str(row[0]), str(row[1]), row[2] is not None)

    def _take(self, move: str, source: str) -> None:
        """Make the tables where there are none, and see that nobody uses them until they are filled."""
        for kind in FILES:
            if schema_version(self._open[kind]) not in {None, VERSION, FILLING}:
                check_version(self._open[kind], schema_of(kind))
        before = {kind: schema_version(self._open[kind]) for kind in FILES}
        if None in before.values():
            schema.upgrade(self._url, self._password, only_new=True)
        if set(before.values()) <= {None, VERSION}:
            self._stand(FILLING)
        # From here on no recorder starts on it; one that had started before shows by its session or its rows.
        used = self._used()
        if used:
            self._stand(VERSION)
            raise RefusedError(
                "the database is in use",
                expected="an empty database that no recorder writes",
                found=used,
                where=self._url,
                hint="Make a database for the store that is to be moved",
            )
        with self._changing(FILES[0]) as run:
            run(f"CREATE SCHEMA {_NOTES}", ())
            run(f"CREATE TABLE {_NOTES}.move (id text, source text, done timestamptz)", ())
            run(
                f"CREATE TABLE {_NOTES}.position"
                " (part text, name text, at bigint[], rows bigint, PRIMARY KEY (part, name))",
                (),
            )
            run(f"INSERT INTO {_NOTES}.move VALUES (%s, %s)", (move, source))  # noqa: S608

    def _used(self) -> str:
        """Who uses the database, or what is in it; "" when nothing speaks against filling it."""
        if self.recorders():
            return "a recorder that writes it"
        for table in TABLES:
            name = _name(table)
            if table.how is not How.LEFT and self._maybe(f"SELECT 1 FROM {name} LIMIT 1") is not None:  # noqa: S608
                return f"rows in {name}"
        return ""

    def recorders(self) -> int:
        """How many sessions of recorders there are."""
        row = self._first(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name LIKE 'tabard recorder%' AND datname = current_database()"
        )
        return int(row[0])

    def _stand(self, version: str) -> None:
        with self._changing(FILES[0]) as run:
            self._version(run, version)

    @staticmethod
    def _version(run: Callable[[str, Sequence[Any]], None], version: str) -> None:
        for kind in FILES:
            run(f"UPDATE {schema_of(kind)}.alembic_version SET version_num = %s", (version,))  # noqa: S608

    def position(self, table: Carried) -> Position:
        """How far a table is copied; before the first row it is 0."""
        row = self._maybe(
            f"SELECT at, rows FROM {_NOTES}.position WHERE part = %s AND name = %s",  # noqa: S608
            (table.kind.name, table.name),
        )
        return Position(tuple(row[0]), int(row[1])) if row else Position((0,) * len(table.key), 0)

    # --- rows -----------------------------------------------------------------------------------------

    def ensure_day(self, table: Carried, day: int) -> None:
        """See that rows that arrived on that day find their partition."""
        partitions.ensure(self._open[table.kind], table.name, day)

    @contextlib.contextmanager
    def chunk(self, table: Carried) -> Iterator[Callable[[Position], None]]:
        """A transaction for the next rows of a table; what it is handed is called with the position after them."""

        def note(position: Position) -> None:
            run(
                f"INSERT INTO {_NOTES}.position VALUES (%s, %s, %s, %s)"  # noqa: S608
                " ON CONFLICT (part, name) DO UPDATE SET at = excluded.at, rows = excluded.rows",
                (table.kind.name, table.name, list(position.key), position.rows),
            )

        with self._changing(table.kind) as run:
            yield note
            failpoints.hit(BEFORE_CHUNK)

    def copy(self, table: Carried, parts: Iterable[bytes], *, part: FileKind | None = None) -> int:
        """COPY packed rows within the transaction of `part`; how many the server took. Raises what `parts` raises."""
        names = ", ".join(f'"{name}"' for name in table.columns)
        stream = Stream(parts)
        with self._open[part or table.kind].cursor() as cursor:
            try:
                cursor.copy_expert(
                    f"COPY {_name(table)} ({names}) FROM STDIN (FORMAT binary)",
                    stream,  # type: ignore[arg-type]  # it only reads
                    size=1 << 20,
                )
            except psycopg2.Error as error:
                if stream.error is not None:
                    raise stream.error from error
                raise
            return int(cursor.rowcount)

    def sums(self, table: Carried) -> Sums:
        """What tells whether the blocks of a table are the same here."""
        with self._open[table.kind].cursor() as cursor:
            cursor.execute(sums_text(table, _name(table)))
            return sums_of(table, cursor.fetchall())

    def rows(self, table: Carried, block: Block) -> list[tuple[Any, ...]]:
        """The rows of a block, by their compared columns."""
        with self._open[table.kind].cursor() as cursor:
            cursor.execute(rows_text(table, _name(table), block))
            return cursor.fetchall()

    def delete(self, table: Carried, keys: Sequence[Key]) -> int:
        """Delete rows, within a transaction of `chunk`; how many there were."""
        names = ", ".join(f"said.{name}" for name in table.key)
        own = ", ".join(f"held.{name}" for name in table.key)
        text = (
            f"DELETE FROM {_name(table)} AS held USING (VALUES %s) AS said ({', '.join(table.key)})"  # noqa: S608
            f" WHERE ({own}) = ({names})"
        )
        types = f"({', '.join(['%s::bigint'] * len(table.key))})"
        done = 0
        with self._open[table.kind].cursor() as cursor:
            for start in range(0, len(keys), 1000):
                execute_values(cursor, text, keys[start : start + 1000], template=types, page_size=1000)
                done += cursor.rowcount
        return done

    def between(
        self, table: Carried, low: Key | None = None, high: Key | None = None, *, part: FileKind | None = None
    ) -> Iterator[tuple[Any, ...]]:
        """The rows behind a key up to another, or all, within a transaction; no more of them at once than needed."""
        names = ", ".join(f'"{name}"' for name in table.columns)
        keys = ", ".join(table.key)
        text = f"SELECT {names} FROM {_name(table)}"  # noqa: S608
        if low is not None and high is not None:
            text += f" WHERE ({keys}) > ({_list(low)}) AND ({keys}) <= ({_list(high)})"
        with self._open[part or table.kind].cursor() as cursor:
            cursor.execute(f"DECLARE compared CURSOR FOR {text} ORDER BY {keys}")
            cursor.execute("FETCH 256 FROM compared")
            while rows := cursor.fetchall():
                yield from rows
                cursor.execute("FETCH 256 FROM compared")
            cursor.execute("CLOSE compared")

    # --- becoming a store -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def becoming_whole(self) -> Iterator[Callable[[Carried], None]]:
        """The one transaction that makes it a store; what it is handed empties a table of either part.

        `decided` says afterwards, whatever happened, whether it may have been committed.
        """

        def empty(table: Carried) -> None:
            run(f"TRUNCATE {_name(table)}", ())

        with self._changing(FILES[0], decides=True) as run:
            run("SET LOCAL synchronous_commit = on", ())
            yield empty
            for table in TABLES:
                if table.name in _NOTED:
                    empty(table)
            for table in TABLES:
                if table.numbered:
                    run(
                        f"SELECT setval(pg_get_serial_sequence('{_name(table)}', 'id'), greatest(max(id), 1), max(id) IS NOT NULL)"  # noqa: S608
                        f" FROM {_name(table)}",
                        (),
                    )
            self._version(run, VERSION)
            run(f"UPDATE {_NOTES}.move SET done = now()", ())  # noqa: S608
            failpoints.hit(BEFORE_WHOLE)
        failpoints.hit(AFTER_WHOLE)

    def analyze(self) -> None:
        """Let the server know what it holds, so that the first questions are planned well."""
        for table in TABLES:
            with self._open[table.kind].cursor() as cursor:
                cursor.execute(f"ANALYZE {_name(table)}")

    def close_again(self) -> None:
        """Take it for a store no more."""
        with self._changing(FILES[0]) as run:
            self._version(run, FILLING)
            run(f"UPDATE {_NOTES}.move SET done = NULL", ())  # noqa: S608

    def open_again(self) -> None:
        """Take it for a store again, after `close_again`."""
        with self._changing(FILES[0]) as run:
            self._version(run, VERSION)
            run(f"UPDATE {_NOTES}.move SET done = now()", ())  # noqa: S608

    def release(self) -> None:
        """Empty it, and forget what was moved here: it is a new store."""
        with self._changing(FILES[0]) as run:
            for table in TABLES:
                if table.how is not How.LEFT:
                    run(f"TRUNCATE {_name(table)}", ())
            run(f"DROP SCHEMA {_NOTES} CASCADE", ())
            self._version(run, VERSION)

    def count(self, table: Carried) -> int:
        """How many rows a table has."""
        return int(self._first(f"SELECT count(*) FROM {_name(table)}")[0])  # noqa: S608

    # --- the connection -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _changing(
        self, kind: FileKind, *, decides: bool = False
    ) -> Iterator[Callable[[str, Sequence[Any]], None]]:
        connection = self._open[kind]

        def run(text: str, values: Sequence[Any]) -> None:
            with connection.cursor() as cursor:
                cursor.execute(text, values or None)

        run("BEGIN", ())
        try:
            yield run
        except BaseException:
            if not connection.closed:
                with contextlib.suppress(psycopg2.Error):
                    run("ROLLBACK", ())
            raise
        self.decided = decides
        try:
            run("COMMIT", ())
        except psycopg2.Error:
            if not connection.closed:  # the server says that it did not
                self.decided = False
            raise

    def _first(self, text: str, values: Sequence[Any] = ()) -> tuple[Any, ...]:
        row = self._maybe(text, values)
        if row is None:
            raise StoreError("the server gave no answer", where=self._url)
        return row

    def _maybe(self, text: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        with self._open[FILES[0]].cursor() as cursor:
            cursor.execute(text, values or None)
            row: tuple[Any, ...] | None = cursor.fetchone()
            return row


def _name(table: Carried) -> str:
    return f"{schema_of(table.kind)}.{table.name}"


def _list(key: Key) -> str:
    return ", ".join(str(int(part)) for part in key)
