"""A SQLite database in memory as one file on a simulated host: what is committed is durable."""

from __future__ import annotations

import sqlite3


class _Connection(sqlite3.Connection):
    """Closing it is what the end of a process does to it: what was not committed is undone."""

    def close(self) -> None:
        """Roll back; the content stays for whoever opens the file next."""
        if self.in_transaction:
            self.rollback()


class SimDatabase:
    """One database file, with at most one process on it."""

    def __init__(self) -> None:
        self.connection = self._opened()

    @staticmethod
    def _opened() -> _Connection:
        return sqlite3.connect(":memory:", isolation_level=None, factory=_Connection)

    def connect(self) -> sqlite3.Connection:
        """Open the file."""
        self.connection.close()
        return self.connection

    def snapshot(self) -> bytes:
        """The file's committed content."""
        assert not self.connection.in_transaction
        return self.connection.serialize()

    def restore(self, content: bytes) -> None:
        """Put a file with that content in its place; who holds the old one open goes on with that."""
        self.connection = self._opened()
        if content:
            self.connection.deserialize(content)

    def refuse(self, *, refusing: bool) -> None:
        """Take no writes, or take them again."""
        self.connection.execute(f"PRAGMA query_only = {int(refusing)}")
