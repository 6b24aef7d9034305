"""Giving the free pages of a store's files back to the file system, while a recorder writes them.

In steps so short that a commit, which waits for a step to end, hardly notices, with pauses in which commits have the file to
themselves. Neither an analysis nor an index is made anew: the questions of readers say themselves which index they want.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tabard.consumers.store.backup import Progress, quiet
from tabard.consumers.store.layout import FILES, FileKind, check_version, schema_version
from tabard.consumers.store.room import give_back
from tabard.consumers.store.wal import SHORT
from tabard.errors import StoreError

STEP_SECONDS: Final = 0.004
"""What a step should take at most."""
FEWEST: Final = 8
"""Pages between two looks at the clock."""
PAUSE: Final = 2.0
"""Length of the pause behind a step, in steps."""
BUSY_SECONDS: Final = 5.0
LOG_BYTES: Final = 16 * 2**20
"""Moved pages after which the write-ahead log is moved into the file."""
TRIES: Final = 25
"""How often the log is tried to be cut."""
_WAIT_MS: Final = 50
"""For the end of a commit, each time."""
_INCREMENTAL: Final = 2


class Won(NamedTuple):
    """What became of one part."""

    part: str
    before: int
    """Bytes of the file, its log not included."""
    after: int
    log_before: int
    log_after: int
    complete: bool
    """Whether all free room was given back, as far as somebody else did not just need the file or the log."""


def vacuum(
    store: Path, told: Progress = quiet, *, full: bool = False, sleep: Callable[[float], None] = time.sleep
) -> list[Won]:
    """Shorten both files as far as pages are free, and their logs.

    With `full` each file is written anew: it is locked meanwhile, and takes its own size again beside it.

    Raises StoreError: a file is not there, of another schema version, cannot be changed, or is in use for longer than a few seconds.
    """
    return [_vacuum(store, kind, told, sleep, full=full) for kind in FILES]


def _vacuum(
    store: Path, kind: FileKind, told: Progress, sleep: Callable[[float], None], *, full: bool
) -> Won:
    path = kind.path(store)
    with _opened(path) as connection:
        before, log_before = _size(path), _size(_log(path))
        if full:
            told(f"writing {path.name} anew", 0, 0)
            connection.execute("VACUUM")
        else:
            _shorten(connection, path, told, sleep)
        cut = _cut_log(connection, sleep)
        left = _pragma(connection, "freelist_count")
        return Won(
            kind.name,
            before,
            _size(path),
            log_before,
            _size(_log(path)),
            cut and left * _page(connection) < SHORT,
        )


def _shorten(
    connection: sqlite3.Connection, path: Path, told: Progress, sleep: Callable[[float], None]
) -> None:
    if _pragma(connection, "auto_vacuum") != _INCREMENTAL:
        raise StoreError(
            "the file cannot be shortened in steps",
            expected="a file that Tabard made (auto_vacuum = INCREMENTAL)",
            where=str(path),
            hint="End the recorder and run `tabard store vacuum --full`",
        )
    page = _page(connection)
    total = _pragma(connection, "freelist_count")
    done = logged = 0
    # Not more than were free at the beginning: what is freed meanwhile, new records will use.
    while done < total:
        started = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        count = 0
        while count < total - done and time.perf_counter() - started < STEP_SECONDS:
            if not give_back(connection, FEWEST):
                total = 0
                break
            count += FEWEST
        connection.execute("COMMIT")
        took = time.perf_counter() - started
        done += count
        logged += count * page
        told(f"shortening {path.name}", done * page, max(total, done) * page)
        if logged >= LOG_BYTES:
            logged = 0
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        sleep(took * PAUSE)


def _cut_log(connection: sqlite3.Connection, sleep: Callable[[float], None]) -> bool:
    """Move the log into the file and cut it to nothing. False: a reader needs it, or commits leave no moment for it."""
    connection.execute(f"PRAGMA busy_timeout = {_WAIT_MS}").fetchall()
    for _ in range(TRIES):
        # Passive first, as long as it takes: cutting keeps writers out, and is to find next to nothing left to be moved.
        _busy, size, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if (size - moved) * _page(connection) <= SHORT:
            with contextlib.suppress(sqlite3.OperationalError):  # locked
                if not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                    return True
        sleep(0.02)
    return False


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.exists():
        raise StoreError(
            "store not found", expected=f"the file {path.name}", where=str(path.parent), hint="Pass --home"
        )
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS, isolation_level=None
        )
        with contextlib.closing(connection):
            if schema_version(connection) is None:
                raise StoreError(
                    "not a store of Tabard", found="a database without its tables", where=str(path)
                )
            check_version(connection, str(path), reading=True)
            for pragma in ("wal_autocheckpoint = 0", "synchronous = NORMAL", "secure_delete = OFF"):
                connection.execute(f"PRAGMA {pragma}").fetchall()
            yield connection
    except sqlite3.Error as error:
        raise StoreError(
            "the file cannot be shortened",
            found=str(error),
            where=str(path),
            hint="What was won so far stays won; try again",
        ) from error


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _page(connection: sqlite3.Connection) -> int:
    return _pragma(connection, "page_size")


def _log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
