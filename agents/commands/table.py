"""What a node remembers of commands: a row of each in the outbox, written with the answers in one transaction.

A row is kept until its command has expired by a dispatcher's clock: as long as it could be sent again. What was forgotten is not
believed again: a command that expires no later than one that was forgotten counts as expired.
"""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

from tabard.agents.journal.outbox_rows import COMMANDS_LOST
from tabard.brokers.wire.answers import ACCEPTED, ENDS, RUNNING, STATE_OF
from tabard.brokers.wire.codec import pack, unpack

WAITING: Final = ACCEPTED
STARTING: Final = "starting"
"""It may have been begun: only its folder says."""
MOST_KEPT: Final = 10_000
"""Rows; with so many no new command is taken,"""
MOST_ANSWERED: Final = MOST_KEPT + 1_000
"""and with so many none is refused any more, since that has to be remembered as well."""
MOST_WAITING: Final = 1_000

_COLUMNS: Final = "id, number, state, issuer, expires, document, attempt, boot, read, chunk, by, kind, data"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS command (
    number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, state TEXT NOT NULL, issuer TEXT NOT NULL,
    expires INTEGER NOT NULL, document BLOB NOT NULL, attempt INTEGER NOT NULL DEFAULT 0,
    boot TEXT NOT NULL DEFAULT '', read INTEGER NOT NULL DEFAULT 0, chunk INTEGER NOT NULL DEFAULT 0,
    by TEXT NOT NULL DEFAULT '', kind TEXT NOT NULL, data BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS command_memory (
    only INTEGER PRIMARY KEY CHECK (only = 1), forgotten INTEGER NOT NULL, since INTEGER
) STRICT;
"""


class Row(NamedTuple):
    """One command."""

    id: bytes
    number: int
    """In the order in which they were accepted."""
    state: str
    issuer: str
    expires: int
    order: bytes
    """Encoded, to be believed again when it is begun; empty once it has ended."""
    attempt: int
    """Numbers the folders of those that were not begun."""
    boot: str
    """Of the host when it was begun."""
    read: int
    """Bytes of its file of output that were sent."""
    chunk: int
    """Number of the last answer with output."""
    by: str
    """Who cancelled it."""
    kind: str
    """Of the last answer that says a state."""
    data: bytes
    """Of that answer, packed."""

    @property
    def answer(self) -> tuple[str, dict[str, object]]:
        """The last answer that says a state."""
        return self.kind, unpack(self.data)


class Memory(NamedTuple):
    """What is known of commands without a row."""

    forgotten: int = 0
    """The latest expiry of those that were forgotten."""
    since: int | None = 0
    """Commands issued up to then may have been executed, and nobody knows; 0: of none that is so; None: up to when is not known yet."""


def ensure(db: sqlite3.Connection) -> None:
    """Make the tables, in a transaction under way; an outbox of an earlier version has none."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'command_memory'").fetchone():
        for statement in _SCHEMA.split(";")[:-1]:
            db.execute(statement)
        db.execute("INSERT INTO command_memory (only, forgotten, since) VALUES (1, 0, 0)")
    if db.execute("SELECT 1 FROM outbox_mark WHERE source = ?", (COMMANDS_LOST,)).fetchone():
        db.execute("DELETE FROM outbox_mark WHERE source = ?", (COMMANDS_LOST,))
        db.execute("UPDATE command_memory SET since = NULL")


def memory(db: sqlite3.Connection) -> Memory:
    """What is remembered of those without a row."""
    return Memory(*db.execute("SELECT forgotten, since FROM command_memory").fetchone())


def remember_expired(db: sqlite3.Connection, expires: int) -> None:
    """One that expires then counts as expired, whatever a clock says later; it needs no row."""
    db.execute("UPDATE command_memory SET forgotten = max(forgotten, ?)", (expires,))


def expires_at(db: sqlite3.Connection, uid: bytes, expires: int) -> None:
    """It is known by now when one expires that was cancelled before it came."""
    db.execute("UPDATE command SET expires = ? WHERE id = ? AND expires > ?", (expires, uid, expires))


def remember_since(db: sqlite3.Connection, since: int) -> None:
    """Say up to when commands may have been executed that nobody remembers."""
    db.execute("UPDATE command_memory SET since = ?", (since,))


def find(db: sqlite3.Connection, uid: bytes) -> Row | None:
    """The row of a command."""
    return next(iter(_rows(db, "WHERE id = ?", uid)), None)


def unfinished(db: sqlite3.Connection) -> list[Row]:
    """Those that are begun or may be, the first accepted first."""
    return _rows(db, "WHERE state IN (?, ?) ORDER BY number", STARTING, RUNNING)


def next_waiting(db: sqlite3.Connection) -> Row | None:
    """The one that is to be begun next."""
    return next(iter(_rows(db, "WHERE state = ? ORDER BY number LIMIT 1", WAITING)), None)


def count(db: sqlite3.Connection, state: str = "") -> int:
    """How many there are, or how many in a state."""
    found: tuple[int] = (
        db.execute("SELECT count(*) FROM command WHERE state = ?", (state,))
        if state
        else db.execute("SELECT count(*) FROM command")
    ).fetchone()
    return found[0]


def insert(
    db: sqlite3.Connection, uid: bytes, issuer: str, expires: int, order: bytes, kind: str, data: object
) -> None:
    """A new command; its state is what its answer says."""
    values = (uid, STATE_OF[kind], issuer, expires, order, kind, pack(data))
    db.execute(
        "INSERT INTO command (id, state, issuer, expires, document, kind, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
        values,
    )


def answer(db: sqlite3.Connection, uid: bytes, kind: str, data: object) -> None:
    """Another state of a command, with the answer that says it."""
    state = STATE_OF[kind]
    db.execute(
        "UPDATE command SET state = ?, kind = ?, data = ?, document = CASE WHEN ? THEN x'' ELSE document END WHERE id = ?",
        (state, kind, pack(data), state in ENDS, uid),
    )


def starting(db: sqlite3.Connection, uid: bytes, boot: str) -> None:
    """It is about to be begun."""
    db.execute("UPDATE command SET state = ?, boot = ? WHERE id = ?", (STARTING, boot, uid))


def not_begun(db: sqlite3.Connection, uid: bytes) -> None:
    """It is known not to have been begun, and that it cannot be any more in its folder: it waits again."""
    db.execute("UPDATE command SET state = ?, attempt = attempt + 1 WHERE id = ?", (WAITING, uid))


def sent(db: sqlite3.Connection, uid: bytes, read: int, chunk: int) -> None:
    """So much of its output was sent."""
    db.execute("UPDATE command SET read = ?, chunk = ? WHERE id = ?", (read, chunk, uid))


def cancelled_by(db: sqlite3.Connection, uid: bytes, by: str) -> None:
    """Somebody wants it ended; the first one's name stays."""
    db.execute("UPDATE command SET by = ? WHERE id = ? AND by = ''", (by, uid))


def forget(db: sqlite3.Connection, now: int) -> None:
    """Let go of those that have ended and have expired by a dispatcher's clock."""
    marks = ", ".join("?" * len(ENDS))
    where = f"WHERE expires <= ? AND state IN ({marks})"
    values = (now, *ENDS)
    latest = db.execute(f"SELECT max(expires) FROM command {where}", values).fetchone()[0]  # noqa: S608 -- marks only
    if latest is not None:
        remember_expired(db, latest)
        db.execute(f"DELETE FROM command {where}", values)  # noqa: S608 -- likewise


def _rows(db: sqlite3.Connection, where: str, *values: object) -> list[Row]:
    found = db.execute(f"SELECT {_COLUMNS} FROM command {where}", values)  # noqa: S608 -- constants of this module
    return [Row(*row) for row in found]
