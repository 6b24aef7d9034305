"""What ``tabard up`` does with a store that an older version of Tabard left: it brings it up to date."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from tabard.consumers.store.layout import FILES, VERSION, schema_version


def is_older(store: str | os.PathLike[str]) -> bool:
    """Whether a file of the store has an older schema. False for one that is not there or cannot be read.

    Costs no import of SQLAlchemy, which `tabard up` would keep for as long as it runs.
    """
    for kind in FILES:
        path = kind.path(Path(store))
        try:
            with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as file:
                found = schema_version(file)
        except sqlite3.Error:
            continue
        if found is not None and found < VERSION:
            return True
    return False


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
