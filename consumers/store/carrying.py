"""Legal holds that are in force when a backup is put in place: they stay in force, whatever the backup says of them."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tabard.consumers.store import holding, holds
from tabard.consumers.store.holds import Hold
from tabard.consumers.store.layout import FILES, FileKind
from tabard.consumers.store.reading import Reading
from tabard.consumers.store.readonly import SqliteReading


def carry(kept: Sequence[Hold], part: Reading) -> int:
    """Put holds in force in one part, in whose transaction `part` is; returns how many were not.

    One whose name another hold in force has, which covers something else, gets a name that says where it is from.
    """
    known = {hold.name: hold for hold in holds.listed(part, "")}
    done = 0
    for hold in kept:
        there = known.get(hold.name)
        if there is not None and there[1:7] == hold[1:7]:
            continue
        stamp = (
            "" if there is None else f" before {datetime.fromtimestamp(time.time(), UTC):%Y-%m-%dT%H:%M:%SZ}"
        )
        holding.put(part, hold._replace(name=f"{hold.name}{stamp}"))
        done += 1
    return done


def carry_files(store: Path, stage: Path) -> int:
    """From the files of a store to those that will be in their place; returns how many holds. Raises sqlite3.Error."""
    carried = 0
    for kind in FILES:
        kept = _held(store, kind)
        if not kept:
            continue
        connection = sqlite3.connect(kind.path(stage), factory=SqliteReading, isolation_level=None)
        with contextlib.closing(connection):
            connection.execute("BEGIN IMMEDIATE")
            carried = max(carried, carry(kept, connection))
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return carried


def _held(store: Path, kind: FileKind) -> list[Hold]:
    """Those in force in a file that may be lost, damaged, or older than holds are."""
    with contextlib.suppress(sqlite3.Error):
        uri = f"{kind.path(store).absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, factory=SqliteReading, isolation_level=None)
        with contextlib.closing(connection):
            return holds.listed(connection, "")
    return []
