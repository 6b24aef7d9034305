"""What is in a file and how much room it takes, as retention asks for it."""

from __future__ import annotations

import sqlite3
from typing import Final

from tabard.consumers.store.layout import FILES, FileKind

ROW_OVERHEAD: Final = 100
"""Bytes a sample takes beside its data, or a batch in quarantine: its other columns, and its share of the indexes."""


def kind_of(stream: int) -> FileKind:
    """The file that holds a stream."""
    return next(kind for kind in FILES if stream in kind.streams)


def uncount(connection: sqlite3.Connection, stream: int, rows: int, size: int) -> None:
    """Take deleted rows out of the totals."""
    connection.execute(
        "UPDATE usage SET rows = max(0, rows - ?), bytes = max(0, bytes - ?) WHERE stream = ?",
        (rows, size, stream),
    )


def mib(size: int) -> str:
    """A size for people."""
    return f"{size / 2**20:.1f} MiB"


def space(connection: sqlite3.Connection) -> tuple[int, int]:
    """Bytes of the file, and those of them that are in free pages."""
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return pages * size, free * size


def give_back(connection: sqlite3.Connection, pages: int) -> int:
    """Give up to so many free pages back to the file system, within the open transaction; returns how many.

    Python's driver goes one step in a statement that has no columns, and a step of this one is one page.
    """
    pages = min(pages, int(connection.execute("PRAGMA freelist_count").fetchone()[0]))
    for _ in range(pages):
        connection.execute("PRAGMA incremental_vacuum(1)")
    return pages
