"""Putting a backup in place of the two files of a store: both of them or none, whatever ends it on the way.

The copies are made and checked below `RESTORING` in the store's own directory, so that moving them is a matter of names. Then
a note says that they are to be put in place, and where what is there goes: from that moment on the restoration is
carried out, before it nothing has changed. A kill leaves a note and some of the moves; whoever opens the store next to
write it (a recorder, an upgrade, another restoration) does the rest, or removes what has no note.

A file goes before its write-ahead log, and the new one comes after both: at no moment does a log lie beside a file
that is not its own. A recorder that runs all the same finds another file in place of its own at its next commit, and
begins a new session: what it stores until then goes into the file that was put aside, and is asked for again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from tabard import failpoints
from tabard.consumers.store import backup_sqlite, schema
from tabard.consumers.store.backup import Progress, copy, quiet
from tabard.consumers.store.backup_manifest import Manifest
from tabard.consumers.store.carrying import carry_files
from tabard.consumers.store.layout import FILES, RESTORING, FileKind
from tabard.consumers.store.room import mib
from tabard.errors import StoreError
from tabard.files import read_json, sync, write_json
from tabard.locks import hold_directory

_NOTE: Final = "note.json"
_ASIDE: Final = "before-restore-"
_BESIDE: Final = ("", "-wal", "-shm")

RESTORINGD: Final = failpoints.declare(
    "restore.staged", "the copies of a backup are made, and nothing has changed"
)
DECIDED: Final = failpoints.declare("restore.decided", "a restoration is to be carried out")
MOVED: Final = failpoints.declare("restore.moved", "a file of the store was put aside or in place")


class Restored(NamedTuple):
    """What was done."""

    aside: str
    """Where the files are that were there before; "" when there were none."""
    upgraded: bool
    holds: int = 0
    """Legal holds that were in force and not in the backup: they are in force again."""


def restore(
    source: Path, manifest: Manifest, store: Path, told: Progress = quiet, *, upgrade: bool = False
) -> Restored:
    """Put a backup in place; what is there before is put aside, and stays.

    With `upgrade` the copies are brought to this program's schema first. Call it while no recorder runs.

    Raises:
        StoreError: the backup is not sound, or there is no room for it, or the directory cannot be written; nothing has changed.
        AlreadyRunning: another process does the same.
    """
    try:
        store.mkdir(mode=0o700, parents=True, exist_ok=True)
        with hold_directory(store, "the store"):
            _settle(store)
            _stage(source, manifest, store, told)
            try:
                upgraded = upgrade and _upgrade(store / RESTORING)
                carried = _carry(store)
                failpoints.hit(RESTORINGD)
                aside = _aside_of(store)
                _decide(store, aside)
            except BaseException:
                if not is_decided(store):
                    shutil.rmtree(store / RESTORING, ignore_errors=True)
                raise
            failpoints.hit(DECIDED)
            _carry_out(store, aside)
    except OSError as error:
        raise _unwritable(store, error) from error
    return Restored(str(store / aside) if (store / aside).exists() else "", upgraded, carried)


def settle(store: Path) -> str | None:
    """Finish a restoration that was interrupted, or remove what is left of one that has changed nothing yet.

    Returns where the files are that were there before; None when there was nothing to finish.

    Raises:
        StoreError: the directory cannot be written.
        AlreadyRunning: a restoration is going on.
    """
    if not (store / RESTORING).exists():
        return None
    try:
        with hold_directory(store, "the store"):
            return _settle(store)
    except OSError as error:
        raise _unwritable(store, error) from error


def is_decided(store: Path) -> bool:
    """Whether a restoration was interrupted that is to be finished."""
    return (store / RESTORING / _NOTE).exists()


def _settle(store: Path) -> str | None:
    stage = store / RESTORING
    note = read_json(stage / _NOTE)
    if note is None:
        shutil.rmtree(stage, ignore_errors=True)
        return None
    aside = str(note.get("aside", ""))
    if not aside.startswith(_ASIDE) or "/" in aside:
        raise StoreError(
            "a restoration was interrupted, and its note makes no sense",
            expected="the name of a directory",
            found=repr(aside),
            where=str(stage / _NOTE),
            hint=f"Put the files below {RESTORING} in place by hand, and remove it",
        )
    _carry_out(store, aside)
    return str(store / aside)


def _stage(source: Path, manifest: Manifest, store: Path, told: Progress) -> None:
    files = backup_sqlite.files_of(source, manifest)
    free = shutil.disk_usage(store).free
    if free < manifest.bytes:
        raise StoreError(
            "there is no room for the restored store beside the present one",
            expected=f"{mib(manifest.bytes)} free",
            found=mib(free),
            where=str(store),
        )
    stage = store / RESTORING
    stage.mkdir(mode=0o700)
    try:
        for kind, file in zip(backup_sqlite.ORDER, files, strict=True):
            copy(kind.path(source), kind.path(stage), file, told)
            backup_sqlite.check_rows(kind.path(stage), kind, manifest, told)
        sync(stage)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        raise


def _carry(store: Path) -> int:
    try:
        carried = carry_files(store, store / RESTORING)
    except sqlite3.Error as error:
        raise StoreError(
            "the legal holds in force cannot be carried over; nothing has changed",
            found=str(error),
            where=str(store),
        ) from error
    for kind in FILES:
        _sync_file(kind.path(store / RESTORING))
    return carried


def _upgrade(stage: Path) -> bool:
    done = schema.upgrade(stage)
    for kind in FILES:
        _sync_file(kind.path(stage))
    return any(before != after for before, after in done.values())


def _aside_of(store: Path) -> str:
    name = f"{_ASIDE}{datetime.fromtimestamp(time.time(), UTC):%Y%m%dT%H%M%SZ}"
    number = 1
    taken = name
    while (store / taken).exists():
        number += 1
        taken = f"{name}-{number}"
    return taken


def _decide(store: Path, aside: str) -> None:
    """The moment from which on it is carried out."""
    write_json(store / RESTORING / _NOTE, {"aside": aside})
    sync(store / RESTORING)
    sync(store)


def _carry_out(store: Path, aside: str) -> None:
    """Do what is not done yet; done twice it changes nothing."""
    stage, old = store / RESTORING, store / aside
    for kind in FILES:
        if kind.path(stage).exists():
            _replace(store, kind, old)
    sync(store)
    (stage / _NOTE).unlink(missing_ok=True)
    shutil.rmtree(stage)
    sync(store)


def _replace(store: Path, kind: FileKind, old: Path) -> None:
    path = kind.path(store)
    for suffix in _BESIDE:
        there = path.with_name(path.name + suffix)
        if there.exists():
            with contextlib.suppress(FileExistsError):
                old.mkdir(mode=0o700)
                sync(store)
            os.rename(there, old / there.name)
            failpoints.hit(MOVED)
    if old.exists():
        sync(old)
    sync(store)  # the old log must not come back beside the new file when the power goes
    os.rename(kind.path(store / RESTORING), path)
    failpoints.hit(MOVED)


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(store: Path, error: OSError) -> StoreError:
    return StoreError(
        "the store cannot be restored there",
        expected="a directory that this user may write to",
        found=error.strerror or str(error),
        where=str(store),
    )
