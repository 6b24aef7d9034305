"""What ``tabard up`` does with a store that an older version of Tabard left: it brings it up to date."""

from __future__ import annotations

from tabard.consumers.store import engines
from tabard.consumers.store.layout import VERSION, newer_store
from tabard.consumers.store.place import Place


def is_older(place: Place) -> bool:
    """Whether a part of the store has an older schema. False for one that is not there or cannot be read.

    Costs no import of SQLAlchemy, which `tabard up` would keep for as long as it runs.
    """
    return any(version < VERSION for version in engines.versions(place).values())


def refuse_newer(place: Place) -> None:
    """Raises NewerStore when a newer Tabard wrote a part of the store: no recorder could ever start on it."""
    for where, version in engines.versions(place).items():
        if version > VERSION:
            raise newer_store(version, where)


def upgrade_older(place: Place) -> list[str]:
    """Upgrade a store of an older version; a line for each part that was, none when there was nothing to do.

    Call it while no recorder runs. Raises StoreError.
    """
    if not is_older(place):
        return []
    return [
        f"the part {part} of the store was brought from schema version {before} to {after}"
        for part, (before, after) in engines.upgrade(place).items()
        if before != after
    ]
