"""What the search index of a store on SQLite knows of one search."""

from __future__ import annotations

import sqlite3
from typing import Final

from tabard.consumers.store import indexing
from tabard.consumers.store.hits import INDEX, PARTLY, Asked, Condition, listed
from tabard.consumers.store.indexing import Note
from tabard.consumers.store.results import IndexState, LogQuery
from tabard.consumers.store.words import matching

LISTED: Final = 300
"""Ids that are named one by one: the index need not be asked for them again."""
SPREAD: Final = 8
"""A stretch of the log is narrowed when the ids in it lie within this many times as many: others are walked."""


class SqliteHits:
    """See `hits.Hits`."""

    faults: tuple[type[Exception], ...] = (sqlite3.DatabaseError,)

    def __init__(self, connection: sqlite3.Connection, note: Note, match: str, *, whole: bool) -> None:
        self.how = INDEX if whole else PARTLY
        self.uncovered: Condition = (
            ("", ()) if whole else (" AND log.id NOT BETWEEN ? AND ?", (note.low, note.high))
        )
        self._connection = connection
        self._note = note
        self._match = match

    def few(self, asked: Asked, candidates: int, most: int | None) -> Condition | None:  # noqa: ARG002 -- their rows say more
        """All of them, by the ids that the index has."""
        found = self._within(self._note.low, self._note.high)
        rows = self._connection.execute(f"{found[0]} LIMIT ?", (*found[1], candidates + 1)).fetchall()
        if len(rows) > candidates:
            return None
        if len(rows) <= LISTED:
            return f"log.id IN ({listed([row[0] for row in rows])})", ()
        return f"log.id IN ({found[0]})", found[1]

    def take(self, asked: Asked, candidates: int, columns: str, limit: int) -> None:
        """Another question costs next to nothing here."""

    def narrow(self, first: int, last: int, size: int) -> Condition:
        """By the index, where the ids lie close enough together for it to be worth it."""
        if last - first > size * SPREAD:
            return "", ()
        text, values = self._within(max(first, self._note.low), min(last, self._note.high))
        covered = (self._note.low, self._note.high)
        return f" AND (log.id NOT BETWEEN ? AND ? OR log.id IN ({text}))", (*covered, *values)

    def _within(self, first: int, last: int) -> Condition:
        table = self._note.table
        return (
            f"SELECT rowid FROM {table} WHERE {table} MATCH ? AND rowid BETWEEN ? AND ?",  # noqa: S608
            (self._match, first, last),
        )


def find(connection: sqlite3.Connection, query: LogQuery) -> SqliteHits | None:
    """What serves a search for a text or words; None: nothing does."""
    for note in indexing.notes(connection):
        match = matching(note.kind, query.text, query.words) if note.usable else ""
        if match:
            ends = connection.execute("SELECT (SELECT min(id) FROM log), (SELECT max(id) FROM log)")
            first, last = ends.fetchone()
            whole = first is None or (note.low <= first and last <= note.high)
            return SqliteHits(connection, note, match, whole=whole)
    return None


def states(connection: sqlite3.Connection, rows: int) -> list[IndexState]:
    """The indexes of the file, of whose log records there are so many."""
    found = []
    for note in indexing.notes(connection):
        (covered,) = connection.execute(
            "SELECT count(*) FROM log WHERE id BETWEEN ? AND ?", (note.low, note.high)
        ).fetchone()
        try:
            (size,) = connection.execute(
                f"SELECT coalesce(sum(length(block)), 0) FROM {note.table}_data"  # noqa: S608
            ).fetchone()
        except sqlite3.DatabaseError:  # it is being removed
            size = 0
        state = "broken" if not note.usable else "whole" if covered >= rows else "building"
        found.append(IndexState(note.kind, state, covered if note.usable else 0, rows, size))
    return found
