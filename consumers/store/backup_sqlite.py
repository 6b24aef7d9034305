"""Copies of the two files, taken while a recorder writes them.

SQLite's backup interface copies pages within one read transaction. Without it a change through another connection, the
recorder's, would begin the copy anew, for ever under load; with it the copy is one moment of the file. The recorder does
not wait for it, but its write-ahead log cannot begin anew until the copy is done. `VACUUM INTO` took twenty times the
processor time for a copy hardly smaller, and kept the log as much longer.

The state file is copied first. What it names in the other one, such as the record up to which a step's output is complete,
is stored before or soon after: the copy of the records is the later one. Each file has its own cursors, so nothing else
has to fit.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tabard import __version__, failpoints
from tabard.consumers.store.backup import COPIED, Progress, compare, digest_of, publish, quiet, staged
from tabard.consumers.store.backup_manifest import SQLITE, File, Manifest, Part
from tabard.consumers.store.layout import (
    NOT_IN_USE,
    RECORDS,
    RESTORING,
    STATE,
    FileKind,
    closed_store,
    moved_to,
    schema_version,
)
from tabard.errors import StoreError

ORDER: Final = (STATE, RECORDS)
PAGES: Final = 256
"""Copied at a time."""
SYNC_BYTES: Final = 32 * 2**20
"""Written to the disk at a time, so that a commit of the recorder never waits for gigabytes of the copy."""
BUSY_SECONDS: Final = 30.0
_MAPPED: Final = 2**40
"""Bytes: an index is compared with its table row by row, which without it is a call of the kernel each."""


def backup(store: Path, target: Path, sink: str, told: Progress = quiet) -> Manifest:
    """Back up the store in a directory; what is written there meanwhile may be in it or not.

    Raises:
        UsageError, RefusedError: the target will not do.
        ClosedStore: the store is being moved or has moved.
        StoreError: the store cannot be read, the target cannot be written, or the copy is not sound.
    """
    made = time.time_ns()
    _refuse_unsettled(store)
    need = sum(_size(store, kind) for kind in ORDER)
    with staged(target, store, need) as partial:
        for kind in ORDER:
            _copy(kind.path(store), kind.path(partial), told)
            failpoints.hit(COPIED)
        files = [digest_of(kind.path(partial), told) for kind in ORDER]
        parts = [examine(kind.path(partial), kind, told) for kind in ORDER]
        manifest = Manifest(SQLITE, sink, made, __version__, files, parts)
        publish(partial, target, manifest)
    return manifest


def _refuse_unsettled(store: Path) -> None:
    """Raises StoreError while a restoration is to be finished: one file may be the old one, the other the new one."""
    if (store / RESTORING).exists():
        raise StoreError(
            "a restoration was interrupted, or is going on",
            expected="a store that is whole",
            where=str(store / RESTORING),
            hint="Start the recorder, or run `tabard store upgrade`: that finishes it",
        )


def verify(source: Path, manifest: Manifest, told: Progress = quiet) -> None:
    """See that a backup is what its manifest says, and that its databases are sound to the last page.

    Raises StoreError.
    """
    for kind, wanted in zip(ORDER, files_of(source, manifest), strict=True):
        path = kind.path(source)
        try:
            compare(digest_of(path, told), wanted, path)
        except OSError as error:
            raise StoreError(
                "the backup cannot be read", found=error.strerror or str(error), where=str(path)
            ) from error
        check_rows(path, kind, manifest, told)


def check_rows(path: Path, kind: FileKind, manifest: Manifest, told: Progress = quiet) -> None:
    """Look into a copy as a whole, and compare what it holds with the manifest. Raises StoreError."""
    found = examine(path, kind, told, thorough=True)
    wanted = next(part for part in manifest.parts if part.name == kind.name)
    if found != wanted:
        raise StoreError(
            "the backup does not hold what it says",
            expected=f"schema {wanted.schema} with {wanted.rows}",
            found=f"schema {found.schema} with {found.rows}",
            where=str(path),
            hint="Take another backup",
        )


def files_of(source: Path, manifest: Manifest) -> list[File]:
    """The two files, in the order in which they are copied. Raises StoreError."""
    files = {file.name: file for file in manifest.files}
    parts = {part.name for part in manifest.parts}
    missing = [kind.name for kind in ORDER if f"{kind.name}.db" not in files or kind.name not in parts]
    if manifest.engine != SQLITE or missing:
        raise StoreError(
            "not a backup of a store on SQLite",
            expected="records.db and state.db",
            found=", ".join(files),
            where=str(source),
        )
    return [files[f"{kind.name}.db"] for kind in ORDER]


def examine(path: Path, kind: FileKind, told: Progress = quiet, *, thorough: bool = False) -> Part:
    """Read a copy that nobody writes: whether it is sound, its schema version, how many rows its tables have.

    Raises StoreError.
    """
    told(f"checking {path.name}", 0, 0)
    with _reading(path, "&immutable=1") as connection:
        connection.execute(f"PRAGMA mmap_size = {_MAPPED}").fetchall()
        check = "integrity_check" if thorough else "quick_check"
        found = [row[0] for row in connection.execute(f"PRAGMA {check}(1)")]
        if found != ["ok"]:
            raise StoreError(
                "the database is damaged",
                expected="a sound file",
                found=" ".join(str(found[0]).split()),
                where=str(path),
                hint="What can still be read of it: `sqlite3 FILE .recover`; restore an older backup",
            )
        version = schema_version(connection)
        if version is None:
            raise StoreError("not a store of Tabard", found="a database without its tables", where=str(path))
        return Part(kind.name, version, dict(_counts(connection)))


def _counts(connection: sqlite3.Connection) -> Iterator[tuple[str, int]]:
    tables = connection.execute("PRAGMA main.table_list").fetchall()
    for name in sorted(row[1] for row in tables if row[2] == "table"):
        if name.startswith(("sqlite_", "alembic_")):
            continue
        yield name, int(connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])  # noqa: S608


def _copy(source: Path, target: Path, told: Progress) -> None:
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with _reading(source) as connection, contextlib.closing(sqlite3.connect(target)) as made:
        connection.execute("BEGIN")
        size = int(connection.execute("PRAGMA page_size").fetchone()[0])
        version = schema_version(connection)
        if version is None:
            raise StoreError(
                "not a store of Tabard", found="a database without its tables", where=str(source)
            )
        if version in NOT_IN_USE:  # nobody could restore it, and what comes in now is elsewhere
            raise closed_store(version, str(source), moved_to(connection))
        made.execute("PRAGMA synchronous = OFF")
        made.execute("PRAGMA journal_mode = OFF")
        descriptor = os.open(target, os.O_RDWR | os.O_CLOEXEC)
        unsynced = 0

        def step(_status: int, left: int, total: int) -> None:
            nonlocal unsynced
            told(source.name, (total - left) * size, total * size)
            unsynced += PAGES * size
            if unsynced >= SYNC_BYTES:
                os.fdatasync(descriptor)
                unsynced = 0

        try:
            connection.backup(made, pages=PAGES, progress=step, sleep=0.0)
        except sqlite3.Error as error:
            raise StoreError("the backup cannot be written", found=str(error), where=str(target)) from error
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _reading(path: Path, more: str = "") -> Iterator[sqlite3.Connection]:
    try:
        if not path.exists():
            raise StoreError(
                "store not found",
                expected=f"the file {path.name}",
                where=str(path.parent),
                hint="Pass --home",
            )
        uri = f"{path.absolute().as_uri()}?mode=ro{more}"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StoreError("the database cannot be read", found=str(error), where=str(path)) from error


def _size(store: Path, kind: FileKind) -> int:
    path = kind.path(store)
    try:
        return path.stat().st_size
    except OSError:
        return 0  # copying it says what is wrong
