"""Opening one part of a store for a change beside its recorder: the connection, and its failures as sentences."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tabard.consumers.store.layout import FileKind
from tabard.consumers.store.place import Place
from tabard.consumers.store.readonly import SqliteReading
from tabard.errors import StoreError

if TYPE_CHECKING:
    from tabard.consumers.store.postgresql.read import PostgresReading

BUSY_SECONDS: Final = 30.0
"""How long is waited for a transaction of the recorder."""


def path_of(place: Place, kind: FileKind) -> Path:
    """The file of a part."""
    return kind.path(Path(place.directory).absolute())


@contextlib.contextmanager
def file(place: Place, kind: FileKind, *, again: str = "") -> Iterator[SqliteReading]:
    """A connection to a part on SQLite, outside of any transaction; its schema version is not looked at.

    `again` is what an error says of another try. Raises StoreError, also in place of the driver's errors within.
    """
    path = path_of(place, kind)
    if not path.exists():
        raise StoreError(
            "store not found",
            expected=f"the file {path.name}",
            where=place.directory,
            hint="Start a recorder, or pass --home",
        )
    connection = None
    try:
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            factory=SqliteReading,
        )
        connection.execute("PRAGMA wal_autocheckpoint = 0").fetchall()  # that is the recorder's
        connection.execute("PRAGMA synchronous = FULL")
        yield connection
    except (sqlite3.Error, OSError) as error:
        raise StoreError(
            "the store cannot be written",
            expected="files that this user may write to, with room on their disk",
            found=str(error),
            where=str(path),
            hint=f"Run it as the user of the recorder, and again{again}",
        ) from error
    finally:
        if connection is not None:
            connection.close()


@contextlib.contextmanager
def served(
    place: Place, kind: FileKind, program: str, *, idle: float, again: str = ""
) -> Iterator[PostgresReading]:
    """A connection to a part on a server, outside of any transaction; it is of this program's schema version.

    The server ends a transaction that stands still for `idle` seconds. `again` is what an error says of another try.
    Raises StoreError, also in place of the driver's errors within.
    """
    import psycopg2

    from tabard.consumers.store.postgresql.read import PostgresReading
    from tabard.consumers.store.postgresql.server import check_version, connect, schema_of

    where = schema_of(kind)
    patience = {
        "lock_timeout": f"{BUSY_SECONDS:.0f}s",
        "idle_in_transaction_session_timeout": f"{idle:.0f}s",
    }
    connection = connect(place.url, place.password(), where, program, patience)
    try:
        check_version(connection, where)
        yield PostgresReading(connection)
    except psycopg2.Error as error:
        raise StoreError(
            "the store cannot be written",
            expected="a user that may change the tables of the store",
            found=" ".join(str(error).split()),
            where=where,
            hint=f"Mend that, and run it again{again}",
        ) from error
    finally:
        connection.close()
