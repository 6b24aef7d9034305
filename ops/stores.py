"""Opening the store of a home for a command that reads it, and its numbers as one object."""

from __future__ import annotations

import os
from typing import Any

from tabard.consumers.store import engines
from tabard.consumers.store.place import Place
from tabard.consumers.store.ports import StoreReader
from tabard.consumers.store.results import Stats
from tabard.home import Home
from tabard.settings import Settings, load


def open_reader(home: Home, settings: Settings | None = None) -> StoreReader:
    """A reader of the store that the home's settings name. Raises SettingsError; StoreError at its first use."""
    settings = settings or load(home)
    return engines.open_reader(Place.of(settings, home))


def there_is_one(home: Home, settings: Settings | None = None) -> bool:
    """Whether this home has a store, as far as can be told without opening one. Raises SettingsError."""
    settings = settings or load(home)
    place = settings.str("store.path") or str(home.store)
    return bool(settings.str("store.url")) or os.path.exists(os.path.join(place, "records.db"))


def path_of(home: Home, settings: Settings) -> str:
    """Where the store is: its directory, or its URL."""
    return str(Place.of(settings, home))


def numbers(stats: Stats, path: str) -> dict[str, Any]:
    """The store in numbers; times are nanoseconds since 1970 UTC."""
    return {
        "path": path,
        "bytes": stats.bytes,
        "free": stats.free,
        "nodes": stats.nodes,
        "gaps": stats.gaps,
        "quarantined": stats.quarantined,
        "withheld": stats.withheld,
        "holds": stats.holds,
        "held": dict(stats.held),
        "held_partial": stats.held_partial,
        "streams": {
            name: {"rows": stream.rows, "oldest": stream.oldest, "newest": stream.newest}
            for name, stream in stats.streams.items()
        },
    }
