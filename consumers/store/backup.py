"""A backup: a directory with the store's files or a dump of its schemas, and a manifest that says what they hold.

What can happen to one, and what becomes of it:

* A kill, a power cut, a full disk, a server that goes away: it is made under another name (`PARTIAL`) and renamed when all of it
  is on the disk and was read again. Whatever has the target's name is whole; what a killed one left beside it is
  removed by the next.
* The target is there, or lies within the store: refused before anything is written. Nothing is ever overwritten.
* A file that was changed, cut or lost afterwards: `verify` compares size and digest with the manifest, reads the
  database, and counts its rows.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tabard import failpoints
from tabard.consumers.store.backup_manifest import MANIFEST, File, Manifest
from tabard.consumers.store.room import mib
from tabard.errors import AlreadyRunning, RefusedError, StoreError, UsageError
from tabard.files import sync
from tabard.locks import hold_directory

PARTIAL: Final = ".tabard-partial"
"""How the name of one ends that is not whole yet."""
CHUNK: Final = 1 << 20

COPIED: Final = failpoints.declare("backup.copied", "a backup has one of its files and not all")
CHECKED: Final = failpoints.declare("backup.checked", "a backup is complete and has not its name yet")
NAMED: Final = failpoints.declare("backup.named", "a backup has its name")

Progress = Callable[[str, int, int], None]
"""Hears what is being done (`records.db`), and how many bytes of how many are."""


def quiet(_what: str, _done: int, _total: int) -> None:
    """A progress that nobody wants to hear of."""


@contextlib.contextmanager
def staged(target: Path, within: Path | None = None, need: int = 0) -> Iterator[Path]:
    """An empty directory that `publish` makes the backup; it is removed when the body fails.

    `within` is the store's own directory, in which no backup may lie; `need` are the bytes that it will take.

    Raises:
        UsageError: the target lies within the store.
        RefusedError: it is there already.
        StoreError: it cannot be made, or there is no room for it.
    """
    target = target.absolute()
    _refuse(target, within)
    partial = target.with_name(f".{target.name}{PARTIAL}")
    try:
        _sweep(target.parent)
        partial.mkdir(mode=0o700)
    except FileExistsError as error:
        raise RefusedError(
            "another process makes a backup of that name", where=str(partial), hint="Wait for its end"
        ) from error
    except OSError as error:
        raise StoreError(
            "the backup cannot be made there",
            expected="a name in a directory that this user may write to",
            found=error.strerror or str(error),
            where=str(target),
        ) from error
    with hold_directory(partial, "a backup of this name"):
        try:
            _refuse_full(target, need)
            yield partial
        except BaseException as error:
            shutil.rmtree(partial, ignore_errors=True)
            if isinstance(error, OSError):
                raise unwritable(target, error) from error
            raise


def publish(partial: Path, target: Path, manifest: Manifest) -> None:
    """Give what was staged its name: all of it is on the disk before, and the name after. Raises OSError, RefusedError."""
    manifest.write(partial / MANIFEST)
    sync(partial)
    failpoints.hit(CHECKED)
    target = target.absolute()
    _refuse_existing(target)
    os.rename(partial, target)
    sync(target.parent)
    failpoints.hit(NAMED)


def digest_of(path: Path, told: Progress = quiet) -> File:
    """Name, size and SHA-256 of a file that is on the disk. Raises OSError."""
    digest = hashlib.sha256()
    done, total = 0, path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            told(f"reading {path.name}", done, total)
        os.fsync(file.fileno())
    return File(path.name, done, digest.hexdigest())


def copy(source: Path, target: Path, wanted: File, told: Progress = quiet) -> None:
    """Copy a file of a backup, durably, and see that it is what the manifest says. Raises OSError, StoreError."""
    digest = hashlib.sha256()
    done = 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with source.open("rb") as read, open(descriptor, "wb") as written:
        while chunk := read.read(CHUNK):
            digest.update(chunk)
            written.write(chunk)
            done += len(chunk)
            told(f"copying {source.name}", done, wanted.bytes)
        written.flush()
        os.fsync(written.fileno())
    compare(File(source.name, done, digest.hexdigest()), wanted, source)


def compare(found: File, wanted: File, path: Path) -> None:
    """Raises StoreError when a file of a backup is not what its manifest says."""
    if found != wanted:
        size = found.bytes != wanted.bytes
        raise StoreError(
            "the backup is damaged",
            expected=f"{wanted.bytes} bytes" if size else f"SHA-256 {wanted.sha256}",
            found=f"{found.bytes} bytes" if size else f"SHA-256 {found.sha256}",
            where=str(path),
            hint="Take another backup",
        )


def unwritable(target: Path, error: OSError) -> StoreError:
    """The error about a target that cannot be written any more."""
    return StoreError("the backup cannot be written", found=error.strerror or str(error), where=str(target))


def _refuse(target: Path, within: Path | None) -> None:
    if within is not None:
        store = within.resolve()
        place = target.parent.resolve() / target.name
        if place == store or store in place.parents:
            raise UsageError(
                "a backup within the store would be lost with it",
                expected="a directory elsewhere, best on another disk",
                where=str(target),
            )
    _refuse_existing(target)


def _refuse_existing(target: Path) -> None:
    if os.path.lexists(target):
        raise RefusedError(
            "the target is there already",
            expected="a name that is not taken: no backup is overwritten",
            where=str(target),
            hint="Put the date into the name",
        )


def _refuse_full(target: Path, need: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if free < need:
        raise StoreError(
            "there is no room for the backup",
            expected=f"{mib(need)} free",
            found=mib(free),
            where=str(target.parent),
        )


def _sweep(parent: Path) -> None:
    """Remove what killed backups have left; not what another process makes just now. Raises OSError."""
    for path in parent.glob(f".*{PARTIAL}"):
        with contextlib.suppress(AlreadyRunning), hold_directory(path, "a backup"):
            shutil.rmtree(path, ignore_errors=True)
