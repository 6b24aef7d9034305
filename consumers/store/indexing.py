"""The search index of a store on SQLite: an FTS5 table beside the log, filled in the transaction of the rows.

What can go wrong, and what becomes of it:

* A kill, a full disk, a restored backup: index, note and rows are in one file and change in one transaction. They agree.
* Rows that were stored without the index, by another version or under another setting: the note says which ids are
  covered, nothing else is ever taken as searched, and what is not covered is caught up with.
* Rows that were deleted without it: an entry without a row is a candidate that nobody finds. It costs room only.
* A damaged index, one of another form, or one that does not know rows which it should: it is dropped and made anew.
* A switched setting, rows that were there before: all is made and removed in small steps, and a kill between two of them
  costs nothing.

The table keeps no texts (`content=''`) and no places within them (`detail=none`): half the room and work of what
FTS5 does unasked, since the rows themselves decide on each candidate.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from tabard.consumers.store import words
from tabard.errors import StoreError

NONE: Final = "none"
KINDS: Final = ("words", "trigram")
FORM: Final = 1
"""What is indexed, and how: another number makes every index anew."""
SAMPLE: Final = 32
"""Rows that are looked for to see whether the index knows what it should."""

_NOTES: Final = (
    "CREATE TABLE IF NOT EXISTS log_index (kind TEXT PRIMARY KEY, form INTEGER NOT NULL, low INTEGER NOT NULL,"
    " high INTEGER NOT NULL, broken INTEGER NOT NULL) STRICT, WITHOUT ROWID"
)
_SAID: Final = "coalesce(char(10) || {}, '')"
_TEXTS: Final = {
    "words": f"message || {_SAID.format('exception')}",
    "trigram": f"message || {_SAID.format('function')} || {_SAID.format('module')} || {_SAID.format('exception')}",
}
_HEAD: Final = 10
"""The blocks up to here say what there is; without them SQLite does not even remove the table."""
_EMPTY: Final = (
    "CREATE TABLE IF NOT EXISTS {0}_data (id INTEGER PRIMARY KEY, block BLOB)",
    "CREATE TABLE IF NOT EXISTS {0}_idx (segid, term, pgno, PRIMARY KEY (segid, term)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS {0}_config (k PRIMARY KEY, v) WITHOUT ROWID",
    "INSERT OR REPLACE INTO {0}_config (k, v) VALUES ('version', 4)",
    "INSERT OR REPLACE INTO {0}_data (id, block) VALUES (1, x''), (10, x'00000000000000')",
)
"""What FTS5 keeps of an empty table."""
_TOKENIZERS: Final = {"words": "ascii", "trigram": "trigram"}
_FUNCTIONS: Final[dict[str, tuple[str, Callable[[str], str]]]] = {
    "words": ("tabard_indexed_words", words.indexed_words),
    "trigram": ("tabard_indexed_text", words.indexed_text),
}


class Note(NamedTuple):
    """What the file says of an index."""

    kind: str
    form: int
    low: int
    """The first id it covers."""
    high: int
    """The last one. Every row between the two is in it."""
    broken: bool
    """It does not hold what it should: it is not to be used."""

    @property
    def table(self) -> str:
        """Where it is."""
        return f"log_{self.kind}"

    @property
    def usable(self) -> bool:
        """Whether a search may go by it."""
        return not self.broken and self.form == FORM


def notes(connection: sqlite3.Connection) -> list[Note]:
    """The indexes of the file, whole or not. Raises sqlite3.Error."""
    try:
        rows = connection.execute("SELECT kind, form, low, high, broken FROM main.log_index").fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return []
        raise
    return [
        Note(kind, form, low, high, bool(broken)) for kind, form, low, high, broken in rows if kind in KINDS
    ]


def check_library(connection: sqlite3.Connection, kind: str) -> None:
    """Raise StoreError when this SQLite library cannot keep such an index."""
    try:
        connection.execute("CREATE VIRTUAL TABLE temp.tabard_try " + _using(kind))
        connection.execute("DROP TABLE temp.tabard_try")
    except sqlite3.Error as error:
        raise StoreError(
            "the search index cannot be kept",
            expected="an SQLite library with FTS5" + (", 3.34 or newer" if kind == "trigram" else ""),
            found=f"{sqlite3.sqlite_version}: {error}",
            where=f'store.index = "{kind}"',
            hint='Use another SQLite library, or set store.index = "none"',
        ) from error


def _using(kind: str) -> str:
    return f"USING fts5(doc, content='', detail=none, columnsize=0, tokenize='{_TOKENIZERS[kind]}')"


# --- with the rows ----------------------------------------------------------------------------------------


def last_id(connection: sqlite3.Connection) -> int:
    """The id of the row stored last, 0 without any."""
    return int(connection.execute("SELECT coalesce(max(id), 0) FROM log").fetchone()[0])


def fill(connection: sqlite3.Connection, kind: str, before: int) -> None:
    """Index the rows that this transaction stored after the id `before`, if all up to there are indexed.

    A fault of the index alone is noted and does not hold up the rows. Raises sqlite3.Error for any other.
    """
    try:
        row = connection.execute(
            "SELECT high FROM log_index WHERE kind = ? AND form = ? AND NOT broken", (kind, FORM)
        ).fetchone()
    except sqlite3.OperationalError:  # no such table: it was never made
        return
    if row is not None and row[0] > before:
        # Its last rows went without its knowing: their ids are given again, to rows that it would never look at.
        connection.execute("UPDATE log_index SET broken = 1 WHERE kind = ?", (kind,))
        return
    if row is None or row[0] != before:
        return
    last = last_id(connection)
    connection.execute("SAVEPOINT filling")
    try:
        _index(connection, kind, "id > ? AND id <= ?", (before, last))
    except sqlite3.DatabaseError as error:
        connection.execute("ROLLBACK TO filling")
        connection.execute("RELEASE filling")
        if not _is_its_own(error):
            raise
        connection.execute("UPDATE log_index SET broken = 1 WHERE kind = ?", (kind,))
        return
    connection.execute("RELEASE filling")
    connection.execute("UPDATE log_index SET high = ? WHERE kind = ?", (last, kind))


def forget(
    connection: sqlite3.Connection, condition: str, values: Sequence[Any] = (), *, in_place: bool = True
) -> None:
    """Take the rows of `log` that meet a condition out of every index.

    To be called in the transaction that deletes them, before it does; `condition` is what stands after WHERE in that DELETE. Costs nothing where there is no index. Without `in_place` the indexes are given up, to be
    made anew: that writes next to nothing, and a full disk has no more room. Raises sqlite3.Error.
    """
    for note in notes(connection):
        if note.usable and not in_place:
            connection.execute("UPDATE log_index SET broken = 1 WHERE kind = ?", (note.kind,))
        elif note.usable:
            try:
                _index(
                    connection,
                    note.kind,
                    f"({condition}) AND id BETWEEN ? AND ?",
                    (*values, note.low, note.high),
                    command="delete",
                )
                last = f"SELECT coalesce(max(id), 0) FROM log WHERE ({condition}) IS NOT TRUE"  # noqa: S608
                (left,) = connection.execute(last, values).fetchone()
                if left < note.high:  # the ids behind it may be given again
                    connection.execute(
                        "UPDATE log_index SET high = ?, low = min(low, ?) WHERE kind = ?",
                        (left, left + 1, note.kind),
                    )
            except sqlite3.DatabaseError as error:
                if not _is_its_own(error):
                    raise
                connection.execute("UPDATE log_index SET broken = 1 WHERE kind = ?", (note.kind,))


def enter(connection: sqlite3.Connection, condition: str, values: Sequence[Any] = ()) -> None:
    """Put rows of `log` that `forget` took out back into every index, as they are now.

    To be called in the same transaction. Raises sqlite3.Error.
    """
    for note in notes(connection):
        if note.usable:
            _index(
                connection,
                note.kind,
                f"({condition}) AND id BETWEEN ? AND ?",
                (*values, note.low, note.high),
            )


def scrub(connection: sqlite3.Connection, blocks: int, *, begin: bool) -> bool:
    """Rewrite about so many blocks of the indexes, so that nothing stays in them of rows that were forgotten.

    `forget` only notes in FTS5 that they are gone; their words stand in older blocks until these are merged. To be called
    with `begin` once, and then without it until it says False: there is no more. Raises sqlite3.Error.
    """
    more = False
    for note in notes(connection):
        if note.usable:
            before = connection.total_changes
            connection.execute(
                f"INSERT INTO {note.table}({note.table}, rank) VALUES ('merge', ?)",  # noqa: S608
                (-blocks if begin else blocks,),
            )
            # So FTS5 says it: a merge that had nothing to do changes less than two rows.
            more = connection.total_changes - before >= 2 or more
    return more


def _index(
    connection: sqlite3.Connection, kind: str, condition: str, values: Sequence[Any], command: str = ""
) -> None:
    table, (function, _made) = f"log_{kind}", _FUNCTIONS[kind]
    whole = f"CASE WHEN length(x) = length(CAST(x AS BLOB)) THEN x ELSE {function}(x) END"
    rows = f"SELECT id, {_TEXTS[kind]} AS x FROM log WHERE {condition}"  # noqa: S608 -- the callers' own
    if command:
        text = f"INSERT INTO {table}({table}, rowid, doc) SELECT '{command}', id, {whole} FROM ({rows})"  # noqa: S608
    else:
        text = f"INSERT INTO {table}(rowid, doc) SELECT id, {whole} FROM ({rows})"  # noqa: S608
    try:
        connection.execute(text, values)
    except sqlite3.OperationalError as error:
        if "no such function" not in str(error):
            raise
        for name, made in _FUNCTIONS.values():
            connection.create_function(name, 1, made, deterministic=True)
        connection.execute(text, values)


def _is_its_own(error: sqlite3.DatabaseError) -> bool:
    """Whether the index is at fault, and not the file: its tables are damaged, or not there."""
    name = getattr(error, "sqlite_errorname", "") or ""
    return name == "SQLITE_CORRUPT_VTAB" or (name == "SQLITE_ERROR" and "no such function" not in str(error))


# --- in the background ------------------------------------------------------------------------------------


def begin(connection: sqlite3.Connection, kind: str) -> None:
    """Make an empty index; from here on `fill` keeps it. Raises sqlite3.Error."""
    last = last_id(connection)
    connection.execute(_NOTES)
    connection.execute(f"CREATE VIRTUAL TABLE log_{kind} {_using(kind)}")
    connection.execute(
        "INSERT OR REPLACE INTO log_index (kind, form, low, high, broken) VALUES (?, ?, ?, ?, 0)",
        (kind, FORM, last + 1, last),
    )


def build(connection: sqlite3.Connection, note: Note, rows: int) -> bool:
    """Index up to `rows` of what is not covered, the newest first. False: all is covered. Raises sqlite3.Error."""
    last = last_id(connection)
    if note.high < last:
        end = min(note.high + rows, last)
        _index(connection, note.kind, "id > ? AND id <= ?", (note.high, end))
        connection.execute("UPDATE log_index SET high = ? WHERE kind = ?", (end, note.kind))
        return True
    first = connection.execute("SELECT min(id) FROM log").fetchone()[0]
    if first is None or note.low <= first:
        return False
    start = max(note.low - rows, first)
    _index(connection, note.kind, "id >= ? AND id < ?", (start, note.low))
    connection.execute("UPDATE log_index SET low = ? WHERE kind = ?", (start, note.kind))
    return True


def agrees(connection: sqlite3.Connection, note: Note) -> bool:
    """Whether the index knows a sample of the rows that it should. Raises sqlite3.Error for a fault of the file."""
    if not note.usable or note.high > last_id(connection):
        return False
    chosen = random.Random(note.high)
    text = f"SELECT id, {_TEXTS[note.kind]} FROM log WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1"  # noqa: S608
    try:
        for _ in range(SAMPLE if note.low <= note.high else 0):
            at = chosen.randint(note.low, note.high)
            row = connection.execute(text, (at, note.high)).fetchone()
            if row is not None and not _knows(connection, note, *row):
                return False
    except sqlite3.DatabaseError as error:
        if not _is_its_own(error):
            raise
        return False
    return True


def _knows(connection: sqlite3.Connection, note: Note, row_id: int, said: str) -> bool:
    parts = words.tokens(said)[:8] if note.kind == "words" else words.trigrams(said)
    match = " AND ".join('"' + part.replace('"', '""') + '"' for part in parts if len(part) < 1_000)
    if not match:
        return True
    return (
        connection.execute(
            f"SELECT 1 FROM {note.table} WHERE {note.table} MATCH ? AND rowid = ?",  # noqa: S608
            (match, row_id),
        ).fetchone()
        is not None
    )


def drop(connection: sqlite3.Connection, note: Note, blocks: int) -> bool:
    """Remove up to `blocks` blocks of an index, and the index with the last of them. False: it is gone.

    All at once, a large one would keep ingest waiting for seconds. Raises sqlite3.Error.
    """
    connection.execute("UPDATE log_index SET broken = 1 WHERE kind = ?", (note.kind,))
    table, data = note.table, f"{note.table}_data"
    if _exists(connection, data):
        done = connection.execute(
            f"DELETE FROM {data} WHERE id IN (SELECT id FROM {data} WHERE id > ? ORDER BY id DESC LIMIT ?)",  # noqa: S608
            (_HEAD, blocks),
        ).rowcount
        if done == blocks:
            return True
    if _exists(connection, table):
        for text in _EMPTY:  # to be dropped, it has to be one that can be opened
            connection.execute(text.format(table))
        connection.execute(f"DROP TABLE {table}")
    for part in ("data", "idx", "docsize", "config"):
        connection.execute(f"DROP TABLE IF EXISTS {table}_{part}")
    connection.execute("DELETE FROM log_index WHERE kind = ?", (note.kind,))
    return False


def _exists(connection: sqlite3.Connection, table: str) -> bool:
    return (
        connection.execute(
            "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)
        ).fetchone()
        is not None
    )
