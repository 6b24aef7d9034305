"""What herald and the command line ask of a store on PostgreSQL: the questions of every engine, over other connections.

A tail goes on from an id, and two recorders commit in another order than they draw their ids: whoever went on from
the highest id seen would miss rows. So it goes no further than `marks.settled` says.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any, Final

import psycopg2
from psycopg2 import errors, extensions

from tabard.brokers.wire.streams import STREAM_NAMES
from tabard.consumers.store import arriving, pages, walk, withheld
from tabard.consumers.store.arriving import PAGE, Beside
from tabard.consumers.store.held import held
from tabard.consumers.store.hits import Hits
from tabard.consumers.store.layout import FILES, ROW_TABLES
from tabard.consumers.store.postgresql import closed, hits, indexing, marks, partitions
from tabard.consumers.store.postgresql.away import is_away, sentence
from tabard.consumers.store.postgresql.server import LOCK_SECONDS, Password, check_version, connect, schema_of
from tabard.consumers.store.questions import BUDGET, Questions
from tabard.consumers.store.reading import LOG, POSTGRESQL, Answer, DayGone, Sql
from tabard.consumers.store.results import Count, GapRow, IndexState, LogQuery, LogRow, Stats, StreamStats
from tabard.errors import StoreAway, StoreError, StoreMissing

KEPT: Final = 8
"""Idle connections that are kept for the next question."""
LOOK_EVERY: Final = 3.0
"""Seconds for which a connection remembers how far the search index reaches, and about how much it has of a search: it never reaches less far unless it goes."""
CHEAP: Final = 20_000
"""Rows of a partition from which on they are not counted: the server has an estimate."""
_ONE_VIEW: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_EACH_ITS_OWN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"
"""Each statement sees what was committed when it began."""
_SPEAKS: Final = re.compile(r"\?")
PREPARED: Final = 64
"""Plans that a connection keeps."""
_RECORDS: Final = (
    "SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint FROM pg_class JOIN pg_inherits ON inhrelid = oid"
    " WHERE inhparent = to_regclass(?)"
)
_WHICH: Final = (
    "SELECT system_identifier, (SELECT oid FROM pg_database WHERE datname = current_database()),"
    " coalesce(to_regclass('tabard_records.log')::oid::bigint, 0) FROM pg_control_system()"
)
_REPLACED: Final = (errors.UndefinedTable, errors.InvalidSchemaName)
"""The tables are away: somebody restores them without a transaction."""
_PASSING: Final = (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure)
_INTERACTIVE: Final = {"jit": "off", "lock_timeout": f"{LOCK_SECONDS}s"}
"""To compile what reads a page takes longer than to read it, and even for EXPLAIN it is begun. A table that somebody
has to himself is not waited for until he is done: whoever asked is told."""


class PostgresReading:
    """A reader's connection; see `reading.Reading`."""

    sql: Sql = POSTGRESQL

    def __init__(self, connection: extensions.connection, *, narrows: bool = False) -> None:
        """`narrows`: it may see which days are closed, and `closed.PREPARE` was run on it."""
        self.connection = connection
        self._narrows = narrows
        self._window: closed.Window | None = None
        self._log = hits.Log(None, 0)
        self._looked = float("-inf")
        self._prepared: dict[str, str] = {}

    def total(self) -> Count:
        """By the server's own estimate; what is little is counted."""
        rows, estimated = 0, False
        for name in partitions.existing(self.connection, f"{self.sql.records}.log"):
            table = f"{self.sql.records}.{name.name}"
            found, guessed = _rows_of(self, table)
            rows, estimated = rows + found, estimated or guessed
        return Count(rows, "about" if estimated else "exactly")

    def indexes(self) -> list[IndexState]:
        """That of the log's partitions; rows are the server's estimates."""
        found = indexing.covered(self.connection)
        if found is None:
            return []
        rows = {day: _rows_of(self, f"{self.sql.records}.{day.name}")[0] for day, _has in found.days}
        (size,) = self.execute(
            "SELECT coalesce(sum(pg_relation_size(inhrelid)), 0)::bigint FROM pg_inherits"
            " WHERE inhparent = to_regclass(?)",
            (f"{self.sql.records}.log_{found.kind}",),
        ).fetchone()
        covered = sum(rows[day] for day, has in found.days if has)
        state = "building" if found.since != 0 else "whole"
        return [IndexState(found.kind, state, covered, sum(rows.values()), int(size))]

    def begin(self, text: str, search: LogQuery | None = None) -> None:
        """Begin a transaction, and in the same breath see which days of arrival a search can meet anything in."""
        self._window = None
        ends = None if search is None or not self._narrows else walk.window(search)
        if ends is None:
            self.execute(text)
            return
        low, high = ends
        found = self.execute(f"{text}; {closed.FOUND}", closed.given(low, high)).fetchone()
        self._window = closed.window(low, high, found)

    @property
    def narrowed(self) -> bool:
        """Whether days are named that may be dropped meanwhile."""
        return self._window is not None and self._window.log != LOG

    def log(self, since: int, until: int) -> str:
        """Without the days of arrival that hold nothing of it."""
        found = self._window
        return LOG if found is None or since < found.low or until > found.high else found.log

    def hits(self, query: LogQuery) -> Hits | None:
        """What serves it. How far an index reaches is looked up anew after some seconds."""
        if not query.text and not query.words:
            return None
        if monotonic() - self._looked > LOOK_EVERY:
            covered, records = indexing.covered(self.connection), 0
            if covered is not None:
                (records,) = self.execute(_RECORDS, (f"{self.sql.records}.log",)).fetchone()
            self._log, self._looked = hits.Log(covered, records), monotonic()
        log = (
            replace(self._log, records=self._window.records) if self._window and self.narrowed else self._log
        )
        return hits.find(self, log, query)

    def execute(self, text: str, values: Sequence[Any] = (), /) -> Answer:
        """Ask, each question with a cursor of its own."""
        cursor: Any = self.connection.cursor()
        cursor.execute(_spoken(text), tuple(values))
        return cursor  # type: ignore[no-any-return]

    def again(self, text: str, values: Sequence[int] = (), /) -> Answer:
        """Ask by a statement that the server has prepared: most of such a question's time it plans."""
        name = self._prepared.get(text)
        if name is None:
            if len(self._prepared) >= PREPARED:
                return self.execute(text, values)
            name = f"tabard_{len(self._prepared)}"
            numbers = itertools.count(1)
            self.execute(f"PREPARE {name} AS {_SPEAKS.sub(lambda _: f'${next(numbers)}', text)}")
            self._prepared[text] = name
        return self.execute(f"EXECUTE {name} ({', '.join('?' * len(values))})", values)


@functools.lru_cache(maxsize=512)
def _spoken(text: str) -> str:
    """The text with the driver's kind of parameters."""
    return _SPEAKS.sub("%s", text.replace("%", "%%"))


class Connections:
    """A pool for one store; see `reading.Pool`."""

    def __init__(self, url: str, password: Password = "") -> None:
        self._url = url
        self._password = password
        self._guard = threading.Lock()
        self._idle: list[PostgresReading] = []

    @contextlib.contextmanager
    def use(self, search: LogQuery | None = None, /, begin: str = _ONE_VIEW) -> Iterator[PostgresReading]:
        """A connection for one question, within one view of the data unless `begin` says otherwise.

        Raises:
            DayGone: a day that can hold what the `search` is for was dropped meanwhile.
            StoreError: the server cannot be reached, refuses, or the store is of another schema version.
        """
        with self._guard:
            reading = self._idle.pop() if self._idle else None
        fresh = reading is None
        try:
            if reading is not None:
                try:
                    reading.begin(begin, search)
                except psycopg2.Error:  # the server was restarted meanwhile
                    _close(reading)
                    reading, fresh = None, True
            if reading is None:
                reading = self._open()
                reading.begin(begin, search)
            yield reading
            reading.execute("COMMIT")
        except psycopg2.Error as error:
            _close(reading)
            if reading is not None and reading.narrowed and isinstance(error, errors.UndefinedTable):
                raise DayGone from error
            raise _unreadable(error, reading)(
                "the store cannot be read",
                found=sentence(error),
                where="store.url",
                hint="Is the server there?" if fresh else "Try again",
            ) from error
        except BaseException:
            _close(reading)
            raise
        with self._guard:
            if len(self._idle) < KEPT:
                self._idle.append(reading)
                return
        _close(reading)

    def close(self) -> None:
        """Close what is idle; a connection in use is closed by the next `close`."""
        with self._guard:
            idle, self._idle = self._idle, []
        for reading in idle:
            _close(reading)

    def _open(self) -> PostgresReading:
        path = ",".join(schema_of(kind) for kind in FILES)
        connection = connect(self._url, self._password, path, "tabard reader", _INTERACTIVE)
        try:
            for kind in FILES:
                with connection.cursor() as cursor:
                    cursor.execute(f"SET search_path TO {schema_of(kind)}")
                check_version(connection, schema_of(kind))
            with connection.cursor() as cursor:
                cursor.execute(f"SET search_path TO {path}; {closed.PREPARE}; {closed.MAY_LOOK}")
                (narrows,) = cursor.fetchone() or (False,)
        except BaseException:
            connection.close()
            raise
        return PostgresReading(connection, narrows=narrows)


class PostgresReader(Questions):
    """Read-only access to a store on PostgreSQL. Safe to share between threads."""

    def __init__(self, url: str, password: Password = "") -> None:
        """The server is asked at the first question."""
        self._server = Connections(url, password)
        self._connections = self._server

    def tail(self, query: LogQuery, after_id: int, budget: float = BUDGET) -> tuple[list[LogRow], int]:
        """Records stored after `after_id` that fit the filters, in the order of their ids."""
        with self._server.use(begin=_EACH_ITS_OWN) as connection:
            return pages.tail(connection, query, after_id, budget, marks.settled(connection))

    def last_id(self) -> int:
        """Where a tail begins that wants nothing of what is there."""
        with self._server.use(begin=_EACH_ITS_OWN) as connection:
            return marks.settled(connection)

    def beside(self, query: LogQuery, place: Beside, limit: int = PAGE) -> tuple[list[GapRow], Beside]:
        """Gaps, batches in quarantine and stubs of the log stored after a place; the place to go on from."""
        with self._server.use(begin=_EACH_ITS_OWN) as connection:
            last = arriving.end(connection, marks.settled_beside(connection))
            return arriving.after(connection, query, place, last, limit, again=False)

    def beside_end(self, since: int | None = None) -> Beside:
        """The place behind all that is there, or before all that arrived after the moment `since`."""
        with self._server.use(begin=_EACH_ITS_OWN) as connection:
            last = arriving.end(connection, marks.settled_beside(connection))
            return last if since is None else arriving.since(connection, since, last)

    def which(self) -> str:
        """The server's own name, and the table of the log in it: a restoration makes another one."""
        with self._server.use(begin=_EACH_ITS_OWN) as connection:
            return "-".join(map(str, connection.execute(_WHICH).fetchone()))

    def stats(self) -> Stats:
        """The store in numbers; the rows are the server's own estimate."""
        with self._server.use() as connection:
            return _stats(connection)

    def _courtesy(self) -> Callable[[], None]:
        return _nothing


def _unreadable(error: psycopg2.Error, reading: PostgresReading | None) -> type[StoreError]:
    """Whether it is worth trying again."""
    if isinstance(error, _REPLACED):
        return StoreMissing
    gone = reading is not None and reading.connection.closed != 0
    return StoreAway if gone or is_away(error) or isinstance(error, _PASSING) else StoreError


def _nothing() -> None:
    """No search holds anything up here."""


def _stats(connection: PostgresReading) -> Stats:
    streams = {}
    taken = 0
    for kind, schema in zip(FILES, connection.sql.parts, strict=True):
        (size,) = connection.execute(
            "SELECT coalesce(sum(pg_total_relation_size(pg_class.oid)), 0)::bigint FROM pg_class"
            " JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = ? AND relkind = 'r'",
            (schema,),
        ).fetchone()
        taken += int(size)
        for stream in sorted(kind.streams):
            streams[STREAM_NAMES[stream]] = _stream_stats(connection, schema, ROW_TABLES[stream])

    def count(table: str, *schemas: str) -> int:
        return sum(
            int(connection.execute(f"SELECT count(*) FROM {schema}.{table}").fetchone()[0])  # noqa: S608
            for schema in schemas
        )

    parts, kept = connection.sql.parts, held(connection)
    return Stats(
        holds=kept.holds,
        held=kept.rows,
        held_partial=kept.partial,
        streams=streams,
        nodes=count("node", connection.sql.records),
        gaps=count("gap", *parts),
        quarantined=count("quarantine", *parts),
        withheld=withheld.total(connection),
        bytes=taken,
        free=0,
    )


def _stream_stats(connection: PostgresReading, schema: str, table: str) -> StreamStats:
    rows, oldest, newest = 0, None, None
    for part in partitions.existing(connection.connection, f"{schema}.{table}"):
        name = f"{schema}.{part.name}"
        first, last = connection.execute(f"SELECT min(arrived), max(arrived) FROM {name}").fetchone()  # noqa: S608
        rows += _rows_of(connection, name)[0]
        if first is not None:
            oldest = first if oldest is None else min(oldest, first)
            newest = last if newest is None else max(newest, last)
    return StreamStats(rows, oldest, newest)


def _rows_of(connection: PostgresReading, table: str) -> tuple[int, bool]:
    """How many rows a partition has, and whether that is the server's estimate."""
    (estimate,) = connection.execute(
        "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(?)", (table,)
    ).fetchone()
    if estimate is not None and estimate >= CHEAP:
        return int(estimate), True
    # Never analysed, or cheap to count.
    (counted,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
    return int(counted), False


def _close(reading: PostgresReading | None) -> None:
    if reading is not None:
        with contextlib.suppress(psycopg2.Error):
            reading.connection.close()
