"""Backing up, verifying and restoring a store, whatever its engine; and the note of the last backup."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tabard.consumers.store.backup import Progress, quiet
from tabard.consumers.store.backup_manifest import POSTGRESQL, SQLITE, Manifest
from tabard.consumers.store.layout import VERSION, newer_store
from tabard.consumers.store.place import Place
from tabard.consumers.store.restoring import Restored
from tabard.errors import RefusedError
from tabard.files import read_json, write_json

if TYPE_CHECKING:
    from tabard.home import Home

_NOTE = "backup.json"


class Noted(NamedTuple):
    """The last backup that was made of a store from here."""

    target: str
    made: int
    """Nanoseconds since 1970 UTC."""
    bytes: int


def backup(place: Place, target: Path, sink: str, told: Progress = quiet) -> Manifest:
    """Back up a store to a directory that is not there yet; a recorder may write it meanwhile.

    Raises UsageError, RefusedError and StoreError.
    """
    if place.url:
        from tabard.consumers.store.postgresql import backup as served

        return served.backup(place.url, place.password(), target, sink, told)
    from tabard.consumers.store import backup_sqlite

    return backup_sqlite.backup(Path(place.directory), target, sink, told)


def verify(source: Path, told: Progress = quiet) -> Manifest:
    """See that a backup is whole and sound. Raises StoreError, RefusedError."""
    manifest = Manifest.read(source)
    if manifest.engine == POSTGRESQL:
        from tabard.consumers.store.postgresql import backup as served

        served.verify(source, manifest, told)
    else:
        from tabard.consumers.store import backup_sqlite

        backup_sqlite.verify(source, manifest, told)
    return manifest


def restore(
    place: Place, source: Path, manifest: Manifest, told: Progress = quiet, *, upgrade: bool = False
) -> Restored:
    """Put a backup in place of a store; what was there is put aside. Raises StoreError, AlreadyRunning."""
    if place.url:
        from tabard.consumers.store.postgresql import restore as served

        return served.restore(place.url, place.password(), source, manifest, told, upgrade=upgrade)
    from tabard.consumers.store import restoring

    return restoring.restore(source, manifest, Path(place.directory), told, upgrade=upgrade)


def refuse_unfit(place: Place, sink: str, source: Path, manifest: Manifest, *, upgrade: bool) -> None:
    """Raises RefusedError when a backup is not one for this store: of another engine, sink, or schema version."""
    engine = POSTGRESQL if place.url else SQLITE
    if manifest.engine != engine:
        raise RefusedError(
            "the backup is of another kind of store",
            expected=engine,
            found=manifest.engine,
            where=str(source),
            hint="Restore it where store.url is as it was then",
        )
    if manifest.sink != sink:
        raise RefusedError(
            "the backup is of another sink: its cursors say nothing of this one",
            expected=sink,
            found=manifest.sink,
            where=str(source),
            hint="Set recorder.sink, if this home is to go on in its place",
        )
    if any(part.schema > VERSION for part in manifest.parts):
        raise newer_store(max(part.schema for part in manifest.parts), str(source))
    if manifest.schema < VERSION and not upgrade:
        raise RefusedError(
            "the backup has an older schema",
            expected=f"version {VERSION}",
            found=f"version {manifest.schema}",
            where=str(source),
            hint="Pass --upgrade: what is restored is brought to this version, the backup stays as it is",
        )


def note(place: Place, home: Home, target: Path, manifest: Manifest) -> None:
    """Remember a backup, for `last`. Raises OSError."""
    noted = Noted(os.path.abspath(target), manifest.made, manifest.bytes)
    write_json(_note_path(place, home), noted._asdict())


def last(place: Place, home: Home) -> Noted | None:
    """The last backup that was made of the store: beside its files, or for one on a server from this home."""
    found = read_json(_note_path(place, home))
    try:
        return None if found is None else Noted(str(found["target"]), int(found["made"]), int(found["bytes"]))
    except (KeyError, TypeError, ValueError):
        return None


def _note_path(place: Place, home: Home) -> Path:
    return (Path(place.directory) if place.directory else home.path) / _NOTE
