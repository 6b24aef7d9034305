"""Where a store's engine is chosen: everybody else is handed protocols."""

from __future__ import annotations

import os
from typing import NamedTuple

from tabard.consumers.store.limits import RetentionLimits
from tabard.consumers.store.ports import RecorderStore, StoreReader, Upkeep


class Kept(NamedTuple):
    """A store open for writing, and what keeps it within its limits."""

    store: RecorderStore
    upkeep: Upkeep


def open_store(where: str | os.PathLike[str], synchronous: str, limits: RetentionLimits) -> Kept:
    """Open a store for its recorder, and make it if it is not there; `where` is its directory.

    `synchronous` is ``full`` or ``normal``: whether a commit survives a power cut. Raises StoreError.
    """
    from tabard.consumers.store.retention import Retention
    from tabard.consumers.store.sqlite import SqliteStore

    store = SqliteStore.open(where, synchronous)
    return Kept(store, Retention(store, limits))


def open_reader(where: str | os.PathLike[str]) -> StoreReader:
    """What reads a store; it is opened at the first question, and raises StoreError then."""
    from tabard.consumers.store.read import Reader

    return Reader(where)
