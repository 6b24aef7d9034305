"""Stores as every schema version had them, with rows in every table, and what their schema looks like in one spelling.

The files in ``pins`` say what the migrations made when their version was new: one that is changed afterwards would make
stores that differ from those that are out there, and a test says so. ``python -m tests.schemas`` writes those that are not there yet.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from pathlib import Path
from typing import Any, Final

from psycopg2 import extensions

from tabard.brokers.delivery.ranges import Range, Ranges
from tabard.consumers.store import schema
from tabard.consumers.store.layout import FILES, STATE, FileKind
from tabard.consumers.store.postgresql import partitions
from tabard.consumers.store.postgresql import schema as served
from tabard.consumers.store.postgresql.server import connect, schema_of
from tests.contract.chain import NOON, SECOND

PINS: Final = Path(__file__).parent / "pins"
ROWS: Final = 3
_OUR_OWN: Final = "alembic_version"
_TEXTS: Final = {"state": "{}", "facts": "{}", "attributes": '{"a": 1}', "entries": "{}", "kind": "host"}
_TIMES: Final = {"time", "arrived", "created", "first_seen", "beacon", "wall", "since", "minute"}
_IDS: Final = {"id", "node_id", "epoch_id", "configuration_id", "row_id"}
_SMALL: Final = {"opened", "finished", "at_least", "severity", "kind"}

Rows = dict[str, list[dict[str, Any]]]
"""By table."""


def versions() -> list[str]:
    """Every schema version, oldest first."""
    return [step.version for step in schema.steps_after(None)]


def pin(engine: str, kind: FileKind, version: str) -> Path:
    """The file that says what that version is."""
    return PINS / f"{version}.{kind.name}.{engine}.txt"


def code_of(version: str) -> str:
    """A digest of a migration, comments and empty lines left out."""
    (path,) = (Path(schema.__file__).parent / "migrations/versions").glob(f"{version}_*.py")
    lines = (line.rstrip() for line in path.read_text(encoding="utf-8").splitlines())
    code = "".join(f"{line}\n" for line in lines if line and not line.lstrip().startswith("#"))
    return hashlib.sha256(code.encode()).hexdigest()


# --- SQLite ------------------------------------------------------------------------------------------


def make_sqlite(store: Path, version: str) -> None:
    """The two files as they were at a version, with rows in every table."""
    for kind in FILES:
        store.mkdir(exist_ok=True)
        connection = sqlite3.connect(kind.path(store), isolation_level=None)
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        schema.migrate(connection, kind, "a test", end=version)
        fill_sqlite(connection, kind)
        connection.close()


def describe_sqlite(connection: sqlite3.Connection) -> str:
    """Every table, index and whatever else there is, in one spelling."""
    found = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
    texts = (re.sub(r"\s*([(),])\s*", r"\1", " ".join(sql.split())) for (sql,) in found)
    # A table that a migration renamed is written with quotes from then on.
    return "".join(f"{text.replace(chr(34), '')}\n" for text in sorted(texts))


def tables_sqlite(connection: sqlite3.Connection) -> list[str]:
    """Tables that hold rows of their own: not what an index of words keeps for itself."""
    found = connection.execute("PRAGMA table_list").fetchall()
    return sorted(
        name
        for database, name, kind, *_ in found
        if database == "main" and kind == "table" and not name.startswith("sqlite_") and name != _OUR_OWN
    )


def fill_sqlite(connection: sqlite3.Connection, kind: FileKind) -> None:
    """Rows in every table."""
    for table in tables_sqlite(connection):
        columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
        shape = {
            name: (type_, bool(not_null or key)) for _at, name, type_, not_null, _default, key in columns
        }
        for number in range(1, ROWS + 1):
            row = _row(kind, table, shape, number)
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO {table} VALUES ({marks})", tuple(row.values()))


def rows_sqlite(connection: sqlite3.Connection) -> Rows:
    """Everything that is stored."""
    connection.row_factory = sqlite3.Row
    found = {
        table: [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]
        for table in tables_sqlite(connection)
    }
    connection.row_factory = None
    return found


# --- PostgreSQL --------------------------------------------------------------------------------------

_COLUMNS: Final = """
SELECT class.relname, format('%s %s%s%s%s', attname, format_type(atttypid, atttypmod),
 CASE WHEN attnotnull THEN ' not null' ELSE '' END,
 CASE WHEN attidentity <> '' THEN ' identity ' || attidentity::text ELSE '' END,
 coalesce(' default ' || pg_get_expr(adbin, adrelid), ''))
 FROM pg_class AS class JOIN pg_attribute ON attrelid = class.oid AND attnum > 0 AND NOT attisdropped
 LEFT JOIN pg_attrdef ON adrelid = class.oid AND adnum = attnum
 WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
 ORDER BY class.relname, attnum"""
_REST: Final = """
SELECT class.relname, pg_get_constraintdef(pg_constraint.oid) FROM pg_constraint JOIN pg_class AS class ON class.oid = conrelid
 WHERE relnamespace = current_schema()::regnamespace AND NOT relispartition AND contype <> 'n'
UNION SELECT class.relname, pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class AS class ON class.oid = indrelid
 WHERE relnamespace = current_schema()::regnamespace AND NOT relispartition
UNION SELECT class.relname, 'PARTITION BY ' || pg_get_partkeydef(class.oid) FROM pg_class AS class
 WHERE relnamespace = current_schema()::regnamespace AND relkind = 'p'
ORDER BY 1, 2"""


def empty_postgresql(url: str, kind: FileKind, version: str) -> extensions.connection:
    """A schema as it was at a version, and a connection that has it in its search path."""
    connection = connect(url, "", schema_of(kind), "a test")
    ask(connection, f"CREATE SCHEMA {schema_of(kind)}")
    served.migrate(connection, kind, end=version)
    return connection


def make_postgresql(url: str, version: str) -> None:
    """Both schemas as they were at a version, with rows in every table."""
    for kind in FILES:
        connection = empty_postgresql(url, kind, version)
        fill_postgresql(connection, kind)
        connection.close()


def ask(connection: extensions.connection, text: str) -> list[tuple[Any, ...]]:
    """Rows of an answer."""
    with connection.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchall() if cursor.description else []


def describe_postgresql(connection: extensions.connection) -> str:
    """Every table with its columns, keys, checks, indexes and its partitioning, in one spelling."""
    columns = ask(connection, _COLUMNS)
    lines = [f"{table}: {text}" for table, text in columns]
    lines += [f"{table}: {text}" for table, text in ask(connection, _REST)]
    ((name,),) = ask(connection, "SELECT current_schema()::text")
    return "".join(f"{line}\n" for line in lines).replace(f"{name}.", "")


def tables_postgresql(connection: extensions.connection) -> list[str]:
    """Tables that hold rows; those in partitions by the name of the whole."""
    found = ask(
        connection,
        "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
        f" AND relkind IN ('r', 'p') AND NOT relispartition AND relname <> '{_OUR_OWN}' ORDER BY 1",
    )
    return [name for (name,) in found]


def fill_postgresql(connection: extensions.connection, kind: FileKind) -> None:
    """Rows in every table, and a day for those that need one."""
    parted = {
        name for (name,) in ask(connection, "SELECT partrelid::regclass::text FROM pg_partitioned_table")
    }
    for table in tables_postgresql(connection):
        if table in parted:
            partitions.ensure(connection, table, partitions.day_of(NOON))
        columns = ask(
            connection,
            "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute"
            f" WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''"
            " ORDER BY attnum",
        )
        shape = {name: (type_, bool(not_null)) for name, type_, not_null in columns}
        for number in range(1, ROWS + 1):
            row = _row(kind, table, shape, number)
            names, marks = ", ".join(f'"{name}"' for name in row), ", ".join(["%s"] * len(row))
            with connection.cursor() as cursor:
                cursor.execute(
                    f"INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE VALUES ({marks})",
                    tuple(row.values()),
                )

    for sequence, _ in sequences(connection):
        ask(connection, f"SELECT setval('{sequence}', {ROWS})")


def sequences(connection: extensions.connection) -> list[tuple[str, str]]:
    """What gives tables their numbers, and the table."""
    found = [
        (ask(connection, f"SELECT pg_get_serial_sequence('{table}', 'id')")[0][0], table)
        for (table,) in ask(
            connection,
            "SELECT attrelid::regclass::text FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
            " WHERE attname = 'id' AND relkind IN ('r', 'p') AND NOT relispartition"
            " AND relnamespace = current_schema()::regnamespace",
        )
    ]
    return [(sequence, table) for sequence, table in found if sequence]


def rows_postgresql(connection: extensions.connection) -> Rows:
    """Everything that is stored."""
    found: Rows = {}
    for table in tables_postgresql(connection):
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {table}")
            names = [column.name for column in cursor.description or ()]
            found[table] = [
                {
                    name: bytes(value) if isinstance(value, memoryview) else value
                    for name, value in zip(names, row, strict=True)
                }
                for row in cursor.fetchall()
            ]
    return found


# --- rows --------------------------------------------------------------------------------------------


def _row(kind: FileKind, table: str, shape: dict[str, tuple[str, bool]], number: int) -> dict[str, Any]:
    """A row that a store could have. The last one has nothing where nothing may stand."""
    return {
        name: None if number == ROWS and not needed else _value(kind, table, name, type_.lower(), number)
        for name, (type_, needed) in shape.items()
    }


def _value(kind: FileKind, table: str, name: str, type_: str, number: int) -> Any:
    if type_ in {"integer", "bigint", "smallint"}:
        if name in _IDS:
            return number
        if name == "stream":
            return number if table == "usage" else (1 if kind == STATE else 2)
        if name == "rows":
            return ROWS
        if name in _SMALL or type_ == "smallint":
            return number % 2
        return NOON + number * SECOND if name in _TIMES else 10 * number
    if type_ in {"text", "character varying"}:
        return _TEXTS.get(name, f"{name} {number} grün")
    if type_ in {"blob", "bytea"}:
        if name == "ranges":
            ranges = Ranges()
            ranges.add(Range(1, 10 * number, b"", b"digest"))
            return ranges.encode()
        if name == "data":
            return b"\x80"
        return hashlib.sha256(f"{table} {name} {number}".encode()).digest()[:16]
    if type_ == "boolean":
        return bool(number % 2)
    if type_ in {"real", "double precision"}:
        return 0.5 * number
    raise AssertionError(f"no rows can be made for a column of type {type_}: {table}.{name}")
