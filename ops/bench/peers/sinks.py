"""The stores of the peers: the table that each of them fills, and a look into it.

The table has what a syslog message says, and the two indexes by which logs are looked up: by time, and by host and time.
Tabard's has a third one, for its cursor; theirs need none, so they are not given one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import psycopg2

from tabard.ops.bench.peers.work import number_in

_COLUMNS: Final = """
    time {time} NOT NULL,
    host TEXT NOT NULL,
    service TEXT NOT NULL,
    severity INTEGER NOT NULL,
    process TEXT NOT NULL,
    message TEXT NOT NULL
)"""
_INDEXES: Final = ("CREATE INDEX log_time ON log (time)", "CREATE INDEX log_host_time ON log (host, time)")
FILE_SCHEMA: Final = (
    "CREATE TABLE log (\n    id INTEGER PRIMARY KEY," + _COLUMNS.format(time="TEXT"),
    *_INDEXES,
)
SERVER_SCHEMA: Final = (
    "CREATE TABLE log (\n    id BIGSERIAL," + _COLUMNS.format(time="TIMESTAMPTZ"),
    *_INDEXES,
)


class Sink(Protocol):
    """A look into a store."""

    def stored(self, expected: int = 0) -> int:
        """How many rows can be queried: exact from `expected` on."""

    def numbers(self) -> Sequence[int]:
        """The number of each row, in the order of the store."""

    def close(self) -> None:
        """Close the connection."""


class FileTable:
    """A table in an SQLite file, made here: with a write-ahead log, which stays with the file."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=10.0)
        self._connection.execute("PRAGMA journal_mode=WAL")
        for statement in FILE_SCHEMA:
            self._connection.execute(statement)

    def stored(self, expected: int = 0) -> int:  # noqa: ARG002 -- it is always exact
        """By the highest id: nothing is deleted, and a transaction that failed leaves no hole."""
        return int(self._connection.execute("SELECT coalesce(max(id), 0) FROM log").fetchone()[0])

    def numbers(self) -> list[int]:
        """By id."""
        return [
            number_in(said) for (said,) in self._connection.execute("SELECT message FROM log ORDER BY id")
        ]

    def close(self) -> None:
        """Close it."""
        self._connection.close()


class ServerTable:
    """A table in an empty database on a server, made here."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg2.extensions.connection | None = None
        with self._connect().cursor() as cursor:
            for statement in SERVER_SCHEMA:
                cursor.execute(statement)

    def stored(self, expected: int = 0) -> int:
        """Counted, once that many ids were drawn: a failed transaction leaves a hole. 0 while the server is away."""
        try:
            with self._connect().cursor() as cursor:
                cursor.execute("SELECT last_value FROM log_id_seq")
                drawn = int((cursor.fetchone() or (0,))[0])
                if drawn < expected:
                    return drawn
                cursor.execute("SELECT count(*) FROM log")
                return int((cursor.fetchone() or (0,))[0])
        except psycopg2.Error:
            self.close()
            return 0

    def numbers(self) -> list[int]:
        """By id, over a new connection: the last one may have died with the server."""
        self.close()
        with self._connect().cursor() as cursor:
            cursor.execute("SELECT message FROM log ORDER BY id")
            return [number_in(said) for (said,) in cursor.fetchall()]

    def close(self) -> None:
        """Close it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> psycopg2.extensions.connection:
        if self._connection is None:
            self._connection = psycopg2.connect(self._url)
            self._connection.autocommit = True
        return self._connection


class Lines:
    """A text file with a line for each record, as rsyslog writes one: nothing can be queried, it has to be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self._lines = 0

    def stored(self, expected: int = 0) -> int:  # noqa: ARG002 -- it is always exact
        """Line feeds, of which only those are counted that are new."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._read)
                while data := file.read(1 << 20):
                    self._read += len(data)
                    self._lines += data.count(b"\n")
        return self._lines

    def numbers(self) -> Sequence[int]:
        """Line by line."""
        if not self._path.exists():
            return []
        return [number_in(said) for said in self._path.read_text(errors="replace").splitlines()]

    def close(self) -> None:
        """Nothing is open."""
