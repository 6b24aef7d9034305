"""How large the parts of a store are, and how far its streams are from their limits: what `tabard store stats` adds."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import NamedTuple

from tabard.brokers.wire.streams import LOGS, STREAM_NAMES
from tabard.consumers.store.layout import FILES, QUARANTINED, FileKind, schema_version
from tabard.consumers.store.place import Place
from tabard.consumers.store.room import ROW_OVERHEAD, space
from tabard.errors import StoreError


class PartSize(NamedTuple):
    """One file, or one schema."""

    part: str
    schema: str
    """Schema version."""
    bytes: int
    """Of the file without its log, or of the tables with their indexes."""
    log: int
    """Of the write-ahead log; 0 on a server."""
    free: int
    """Bytes of the file in pages that are free; 0 on a server."""


class DaySize(NamedTuple):
    """The records of one stream that arrived on one day, where each day is a table of its own."""

    stream: str
    day: str
    """``2026-11-22``, UTC."""
    rows: int
    estimated: bool
    bytes: int


class Measures(NamedTuple):
    """All of it."""

    parts: list[PartSize]
    days: list[DaySize]
    """None on SQLite."""
    used: dict[str, int]
    """By stream, what its limit of size is compared with."""


def measures(place: Place) -> Measures:
    """Measure a store, while it is written. Raises StoreError."""
    if place.url:
        from tabard.consumers.store.postgresql import measures as served

        return served.measures(place.url, place.password())
    used: dict[str, int] = {}
    parts = [_measure(Path(place.directory), kind, used) for kind in FILES]
    return Measures(parts, [], used)


def _measure(store: Path, kind: FileKind, used: dict[str, int]) -> PartSize:
    path = kind.path(store)
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        ) as connection:
            connection.execute("BEGIN")
            size, free = space(connection)
            taken = dict(
                connection.execute("SELECT stream, bytes + rows * ? FROM usage", (ROW_OVERHEAD,)).fetchall()
            )
            version = schema_version(connection) or ""
    except sqlite3.Error as error:
        raise StoreError("the store cannot be read", found=str(error), where=str(path)) from error
    others = 0
    for stream in sorted(kind.streams, reverse=True):
        # Logs are what is nothing else, as retention counts them.
        bytes_ = size - free - others - taken.get(QUARANTINED, 0) if stream == LOGS else taken.get(stream, 0)
        others += bytes_
        used[STREAM_NAMES[stream]] = max(0, bytes_)
    log = path.with_name(path.name + "-wal")
    return PartSize(kind.name, version, size, log.stat().st_size if log.exists() else 0, free)
