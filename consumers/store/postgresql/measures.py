"""How large the parts of a store on a server are; see `tabard.consumers.store.measures`."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Final

import psycopg2
from psycopg2 import extensions

from tabard.brokers.wire.streams import STREAM_NAMES
from tabard.consumers.store.layout import FILES, ROW_TABLES
from tabard.consumers.store.measures import DaySize, Measures, PartSize
from tabard.consumers.store.postgresql import partitions
from tabard.consumers.store.postgresql.server import connect, first, schema_of, schema_version
from tabard.errors import StoreError

_SIZE: Final = (
    "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class"
    " WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
)
_DAY: Final = (
    "SELECT reltuples::bigint, pg_total_relation_size(oid) FROM pg_class WHERE oid = to_regclass(%s)"
)
_FEW: Final = 100_000
"""Rows that are counted rather than estimated."""


def measures(url: str, password: str) -> Measures:
    """Measure both schemas. Raises StoreError."""
    made = Measures([], [], {})
    for kind in FILES:
        with contextlib.closing(connect(url, password, schema_of(kind), "tabard stats")) as connection:
            try:
                row = first(connection, _SIZE)
                version = schema_version(connection) or ""
                made.parts.append(PartSize(kind.name, version, int(row[0]) if row else 0, 0, 0))
                for stream in sorted(kind.streams):
                    days = _days(connection, stream)
                    made.days.extend(days)
                    made.used[STREAM_NAMES[stream]] = sum(day.bytes for day in days)
            except psycopg2.Error as error:
                raise StoreError(
                    "the store cannot be read", found=" ".join(str(error).split()), where=schema_of(kind)
                ) from error
    return made


def _days(connection: extensions.connection, stream: int) -> list[DaySize]:
    found = []
    for part in partitions.existing(connection, ROW_TABLES[stream]):
        row = first(connection, _DAY, (part.name,))
        if row is None:  # dropped a moment ago
            continue
        rows, estimated = int(row[0]), True
        if rows < _FEW:
            counted = first(connection, f"SELECT count(*) FROM {part.name}")  # noqa: S608
            rows, estimated = int(counted[0]) if counted else 0, False
        day = f"{datetime.fromtimestamp(part.day * 86_400, UTC):%Y-%m-%d}"
        found.append(DaySize(STREAM_NAMES[stream], day, rows, estimated, int(row[1])))
    return found
