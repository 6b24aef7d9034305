"""Where a store lies and what its parts are called: the few facts that every other module here shares."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Final, NamedTuple

from tabard.brokers.wire.streams import CONTROL, LOGS, SAMPLES
from tabard.errors import ClosedStore, NewerStore, StoreError

VERSION: Final = "0014"
"""The schema this program reads and writes: the head of the migrations, the same for both files."""

CLOSED: Final = "moving"
"""In place of the version: the last rows are copied to another store, nothing is written here any more."""
MOVED: Final = "moved"
"""In place of the version: all of it is in another store."""
FILLING: Final = "filling"
"""In place of the version: another store is being copied here, and not all of it is there yet.

All three stand where the version stands, so that no program, of whatever version, takes such a store for one of its own.
"""
NOT_IN_USE: Final = frozenset({CLOSED, MOVED, FILLING})
"""Of a store that takes nothing: a backup of it would be whole and of no use."""

OLDEST_SQLITE: Final = (3, 37, 0)
"""The first version with STRICT tables."""


class FileKind(NamedTuple):
    """One of the two databases of a store."""

    name: str
    streams: frozenset[int]

    def path(self, store: Path) -> Path:
        """``<name>.db`` below the store's directory."""
        return store / f"{self.name}.db"


RECORDS: Final = FileKind("records", frozenset({LOGS, SAMPLES}))
STATE: Final = FileKind("state", frozenset({CONTROL}))
FILES: Final = (RECORDS, STATE)

ROW_TABLES: Final = {CONTROL: "control", LOGS: "log", SAMPLES: "sample"}
"""The table that holds a stream's records."""

RESTORING: Final = "restoring"
"""The directory below a store's in which a backup is made ready; see `restoring`."""

QUARANTINED: Final = 0
"""In place of a stream in `usage`: batches in quarantine, of all streams of the file."""


def check_library() -> None:
    """Raise StoreError when the SQLite library is too old for this schema."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreError(
            "the SQLite library is too old",
            expected=".".join(map(str, OLDEST_SQLITE)) + " or newer",
            found=sqlite3.sqlite_version,
            hint="Use a newer Python or system SQLite",
        )


def is_blank(connection: sqlite3.Connection, database: str = "main") -> bool:
    """Whether a database holds nothing at all: it is being made, or its making was interrupted."""
    count = connection.execute(f"SELECT count(*) FROM {database}.sqlite_master").fetchone()[0]  # noqa: S608
    return int(count) == 0


def schema_version(connection: sqlite3.Connection, database: str = "main") -> str | None:
    """The schema version that a database says it has, None when it has none; `database` may be an attached one."""
    found = connection.execute(
        f"SELECT count(*) FROM {database}.sqlite_master WHERE type = 'table' AND name = 'alembic_version'"  # noqa: S608
    ).fetchone()
    if not found[0]:
        return None
    row = connection.execute(f"SELECT version_num FROM {database}.alembic_version").fetchone()  # noqa: S608
    return None if row is None else str(row[0])


def versions_in(store: str | os.PathLike[str]) -> dict[str, str]:
    """The schema version of each file of a store that is there, can be read and has one."""
    found = {}
    for kind in FILES:
        path = kind.path(Path(store))
        with contextlib.suppress(sqlite3.Error):
            uri = f"{path.absolute().as_uri()}?mode=ro"
            with contextlib.closing(sqlite3.connect(uri, uri=True)) as file:
                version = schema_version(file)
            if version is not None:
                found[str(path)] = version
    return found


def moved_to(connection: sqlite3.Connection, database: str = "main") -> str:
    """Where a store was or is being moved to; "" when that is nowhere, or not said."""
    known = connection.execute(
        f"SELECT count(*) FROM {database}.sqlite_master WHERE type = 'table' AND name = 'move'"  # noqa: S608
    ).fetchone()
    row = known[0] and connection.execute(f"SELECT url FROM {database}.move").fetchone()  # noqa: S608
    return str(row[0]) if row else ""


def closed_store(found: str, where: str, url: str = "") -> ClosedStore:
    """The error about a store that stands at CLOSED, MOVED or FILLING; `url` is where it went."""
    if found == FILLING:
        return ClosedStore(
            "another store is being moved here, and not all of it is here yet",
            where=where,
            hint="Run `tabard store migrate` to its end",
        )
    to = f" to {url}" if url else ""
    if found == CLOSED:
        return ClosedStore(
            f"this store is being moved{to}, and nothing is written here any more",
            where=where,
            hint="`tabard store migrate` finishes that when it is run again, and with --undo it takes it back",
        )
    setting = f'set store.url = "{url}"' if url else "set store.url to where it is"
    return ClosedStore(
        f"this store has moved{to}",
        where=where,
        hint=f"In tabard.toml {setting}, and start what uses the store again",
    )


def newer_store(found: str, where: str, url: str = "") -> NewerStore | ClosedStore:
    """The error about a schema version that is newer than this program's, or about what stands in its place."""
    if found in NOT_IN_USE:
        return closed_store(found, where, url)
    return NewerStore(
        "the store's schema is newer than this program",
        expected=f"version {VERSION}",
        found=f"version {found}",
        where=where,
        hint="Install the Tabard that wrote it, or a newer one",
    )


def check_version(
    connection: sqlite3.Connection, where: str, database: str = "main", *, reading: bool = False
) -> None:
    """Raise StoreError when the schema is not the one of this program. A store that is closed can be read."""
    found = schema_version(connection, database)
    if found == VERSION or (reading and found == CLOSED):
        return
    if found is None and is_blank(connection, database):
        raise StoreError(
            "store not found", found="an empty file", where=where, hint="Start a recorder, or pass --home"
        )
    if found is not None and found > VERSION:
        raise newer_store(found, where, moved_to(connection, database))
    raise StoreError(
        "the store's schema is older than this program",
        expected=f"version {VERSION}",
        found=f"version {found}" if found else "no version",
        where=where,
        hint="Run `tabard store upgrade`",
    )
