"""Adding and releasing holds, by whoever is allowed to write the store: beside a recorder that runs, or without one.

Both parts of the store keep every hold. They are two databases on SQLite, and one after the other is changed: first
the control stream's, then that of the logs. What a kill leaves half done is listed, and done again by the same command.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from tabard import failpoints
from tabard.consumers.store import holds, marks
from tabard.consumers.store.holds import Hold
from tabard.consumers.store.layout import FILES, FileKind, check_version
from tabard.consumers.store.place import Place
from tabard.consumers.store.reading import POSTGRESQL, Reading
from tabard.consumers.store.readonly import SqliteReading
from tabard.errors import StoreError, UsageError

BUSY_SECONDS: Final = 30.0
"""How long is waited for a transaction of the recorder."""
BETWEEN: Final = failpoints.declare(
    "store.hold_between", "a hold is in one part of the store, not yet in the other"
)

_T = TypeVar("_T")
_COLUMNS: Final = ", ".join(holds.COLUMNS)
_VALUES: Final = ", ".join("?" * len(holds.COLUMNS))


def add(place: Place, hold: Hold) -> Hold:
    """Put a hold in force; once this returns nothing that falls under it is deleted any more.

    Raises:
        UsageError: a hold of that name is in force, and covers something else.
        StoreError: the store cannot be written.
    """
    return _in_both(place, lambda part: put(part, hold))[-1]


def release(place: Place, name: str, now: int, by: str, reason: str) -> Hold:
    """End a hold; what it covered goes with the next pass of retention if it is too old or too much.

    Raises:
        UsageError: no hold of that name is in force.
        StoreError: the store cannot be written.
    """
    found = [hold for hold in _in_both(place, lambda part: end(part, name, now, by, reason)) if hold]
    if not found:
        raise UsageError(
            "no hold of that name is in force",
            expected="one of those that `tabard store hold list` shows",
            found=name,
        )
    return found[-1]


def put(part: Reading, hold: Hold) -> Hold:
    """Put a hold in force in one part, in whose transaction `part` is. Raises UsageError as `add` does."""
    _lock(part)
    known = next((each for each in holds.listed(part, "") if each.name == hold.name), None)
    if known is None:
        part.execute(f"INSERT INTO hold ({_COLUMNS}) VALUES ({_VALUES})", hold)  # noqa: S608
        return hold
    if known[1:7] != hold[1:7]:
        raise UsageError(
            "a hold of that name is in force, and covers something else",
            expected="a name that no hold in force has",
            found=hold.name,
            hint="Take another name; `tabard store hold list` shows those in force",
        )
    return known


def end(part: Reading, name: str, now: int, by: str, reason: str) -> Hold | None:
    """End a hold in one part, in whose transaction `part` is; None: it is not in force there."""
    _lock(part)
    found = next((hold for hold in holds.listed(part, "") if hold.name == name), None)
    if found is None:
        return None
    part.execute(
        "UPDATE hold SET released = ?, released_by = ?, release_reason = ? WHERE name = ? AND released IS NULL",
        (now, by, reason, name),
    )
    # What it covered was passed over: retention has to look there again.
    part.execute("DELETE FROM retention_mark WHERE name LIKE ?", (marks.LEVELS,))
    return found._replace(released=now, released_by=by, release_reason=reason)


def _lock(part: Reading) -> None:
    """Wait until every deletion has ended that does not know of what follows."""
    if part.sql is POSTGRESQL:
        part.execute("SELECT pg_advisory_xact_lock(?)", (holds.LOCK,)).fetchall()


def _in_both(place: Place, change: Callable[[Reading], _T]) -> list[_T]:
    """Run `change` in a transaction on each part; its answers."""
    done: list[_T] = []
    for kind in reversed(FILES):
        if done:
            failpoints.hit(BETWEEN)
        with _served(place, kind) if place.url else _file(place, kind) as part:
            done.append(change(part))
    return done


@contextlib.contextmanager
def _file(place: Place, kind: FileKind) -> Iterator[Reading]:
    from pathlib import Path

    path = kind.path(Path(place.directory).absolute())
    connection = None
    try:
        if not path.exists():
            raise StoreError(
                "store not found",
                expected=f"the file {path.name}",
                where=place.directory,
                hint="Start a recorder, or pass --home",
            )
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            factory=SqliteReading,
        )
        connection.execute("PRAGMA wal_autocheckpoint = 0").fetchall()  # that is the recorder's
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        check_version(
            connection, str(path)
        )  # within the transaction: a store that is moved away is not changed
        yield connection
        connection.execute("COMMIT")
    except (sqlite3.Error, OSError) as error:
        raise StoreError(
            "the store cannot be written",
            expected="files that this user may write to, with room on their disk",
            found=str(error),
            where=str(path),
            hint="Run it as the user of the recorder",
        ) from error
    finally:
        if connection is not None:
            connection.close()


@contextlib.contextmanager
def _served(place: Place, kind: FileKind) -> Iterator[Reading]:
    import psycopg2

    from tabard.consumers.store.postgresql.read import PostgresReading
    from tabard.consumers.store.postgresql.server import check_version, connect, schema_of

    where = schema_of(kind)
    patience = {"lock_timeout": f"{BUSY_SECONDS:.0f}s", "idle_in_transaction_session_timeout": "5s"}
    connection = connect(place.url, place.password(), where, "tabard store hold", patience)
    try:
        check_version(connection, where)
        part = PostgresReading(connection)
        part.execute("BEGIN")
        yield part
        part.execute("COMMIT")
    except psycopg2.Error as error:
        raise StoreError(
            "the store cannot be written",
            expected="a user that may change the tables of the store",
            found=" ".join(str(error).split()),
            where=where,
        ) from error
    finally:
        connection.close()
