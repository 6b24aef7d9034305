"""VACUUM of Tabard's own tables, one after another: room that deleted rows left can be used again, and the planner knows what is there."""

from __future__ import annotations

import contextlib

import psycopg2
from psycopg2 import extensions

from tabard.consumers.store.backup import Progress, quiet
from tabard.consumers.store.layout import FILES, FileKind
from tabard.consumers.store.postgresql.server import check_version, connect, first, schema_of
from tabard.consumers.store.vacuum import Won
from tabard.errors import StoreError

_TABLES = "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r' ORDER BY 1"
_SIZE = (
    "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class"
    " WHERE relnamespace = %s::regnamespace AND relkind = 'r'"
)


def vacuum(url: str, password: str, told: Progress = quiet, *, full: bool = False) -> list[Won]:
    """Vacuum and analyse every table of both schemas. Recorders and readers go on, except with `full`.

    With `full` each table is written anew and locked for everybody meanwhile. Raises StoreError.
    """
    try:
        return [_vacuum(url, password, kind, told, full=full) for kind in FILES]
    except psycopg2.Error as error:
        raise StoreError(
            "the store cannot be vacuumed",
            expected="a user that owns the tables",
            found=" ".join(str(error).split()),
            where="store.url",
            hint="What was done so far stays done; try again",
        ) from error


def _vacuum(url: str, password: str, kind: FileKind, told: Progress, *, full: bool) -> Won:
    schema = schema_of(kind)
    with contextlib.closing(connect(url, password, schema, "tabard vacuum")) as connection:
        _check(connection, schema)
        return _vacuum_schema(connection, kind, told, full=full)


def _check(connection: extensions.connection, schema: str) -> None:
    """Raises StoreError: it is not there, or of another version."""
    if first(connection, "SELECT to_regnamespace(%s)", (schema,)) == (None,):
        raise StoreError(
            "store not found", expected=f"the schema {schema}", where="store.url", hint="Start a recorder"
        )
    check_version(connection, schema)


def _vacuum_schema(connection: extensions.connection, kind: FileKind, told: Progress, *, full: bool) -> Won:
    schema = schema_of(kind)
    before = _size(connection, schema)
    connection.notices.clear()
    with connection.cursor() as cursor:
        cursor.execute(_TABLES, (schema,))
        for (table,) in cursor.fetchall():
            told(f"vacuuming {schema}.{table}", 0, 0)
            options = "FULL, ANALYZE" if full else "ANALYZE"
            cursor.execute(f'VACUUM ({options}) {schema}."{table}"')
    # One that belongs to somebody else is passed over with a warning.
    passed = [notice for notice in connection.notices if "WARNING" in notice]
    return Won(kind.name, before, _size(connection, schema), 0, 0, complete=not passed)


def _size(connection: extensions.connection, schema: str) -> int:
    row = first(connection, _SIZE, (schema,))
    return int(row[0]) if row else 0
