"""What ``tabard up`` does with a store that an older version of Tabard left: it brings it up to date."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from tabard.consumers.store.layout import FILES, VERSION, newer_store, schema_version


def is_older(store: str | os.PathLike[str]) -> bool:
    """Whether a file of the store has an older schema. False for one that is not there or cannot be read.

    Costs no import of SQLAlchemy, which `tabard up` would keep for as long as it runs.
    """
    return any(version < VERSION for version in _versions(store).values())


def refuse_newer(store: str | os.PathLike[str]) -> None:
    """Raises NewerStore when a newer Tabard wrote a file of the store: no recorder could ever start on it."""
    for path, version in _versions(store).items():
        if version > VERSION:
            raise newer_store(version, str(path))


def _versions(store: str | os.PathLike[str]) -> dict[Path, str]:
    """The schema of each file that is there, can be read and has one."""
    found = {}
    for kind in FILES:
        path = kind.path(Path(store))
        with contextlib.suppress(sqlite3.Error):
            uri = f"{path.absolute().as_uri()}?mode=ro"
            with contextlib.closing(sqlite3.connect(uri, uri=True)) as file:
                version = schema_version(file)
            if version is not None:
                found[path] = version
    return found


def upgrade_older(store: str | os.PathLike[str]) -> list[str]:
    """Upgrade a store of an older version; a line for each file that was, none when there was nothing to do.

    Call it while no recorder runs. Raises StoreError.
    """
    if not is_older(store):
        return []
    from tabard.consumers.store.schema import upgrade

    return [
        f"{file}.db was brought from schema version {before} to {after}"
        for file, (before, after) in upgrade(store).items()
        if before != after
    ]
