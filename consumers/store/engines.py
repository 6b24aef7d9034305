"""Where a store's engine is chosen: everybody else is handed protocols."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from tabard.consumers.store.limits import RetentionLimits
from tabard.consumers.store.place import Place
from tabard.consumers.store.ports import RecorderStore, StoreReader, Upkeep
from tabard.consumers.store.together import Together
from tabard.errors import StoreError

if TYPE_CHECKING:
    from tabard.consumers.store.schema import Step, Told


class Kept(NamedTuple):
    """A store open for writing, and what keeps it within its limits."""

    store: RecorderStore
    upkeep: Upkeep
    apart: bool
    """Whether the database works in other processes, so that a commit leaves the recorder time for the next one."""

    def close(self) -> None:
        """End what goes on in the background, and close the store."""
        if isinstance(self.upkeep, Together):
            self.upkeep.close()
        self.store.close()


def open_store(place: Place, synchronous: str, limits: RetentionLimits, index: str = "none") -> Kept:
    """Open a store for its recorder, and make it if it is not there.

    `synchronous` is ``full`` or ``normal``: whether a commit survives a power cut. `index` is the search index that it
    is to have: ``none``, ``words`` or ``trigram``. Raises StoreError.
    """
    if place.url:
        from tabard.consumers.store.postgresql.indexer import PostgresIndexer
        from tabard.consumers.store.postgresql.store import PostgresStore
        from tabard.consumers.store.postgresql.upkeep import PostgresUpkeep

        served = PostgresStore.open(place.url, synchronous, place.password)
        indexer = PostgresIndexer(place.url, place.password, index)
        return Kept(served, Together(PostgresUpkeep(served, limits), indexer), apart=True)
    from tabard.consumers.store.indexer import Indexer
    from tabard.consumers.store.retention import Retention
    from tabard.consumers.store.sqlite import SqliteStore

    store = SqliteStore.open(place.directory, synchronous)
    try:
        store.index_by(index)
    except BaseException:
        store.close()
        raise
    return Kept(store, Together(Retention(store, limits), Indexer(store, index)), apart=False)


def make_index(place: Place, index: str, told: Callable[[str], None]) -> None:
    """Make a store have that search index and no other, all of it; `told` hears how far it is. Raises StoreError."""
    if place.url:
        from tabard.consumers.store.postgresql.indexer import make

        make(place.url, place.password(), index, told)
        return
    from tabard.consumers.store.indexer import make_whole

    make_whole(place.directory, index, told)


def open_reader(place: Place) -> StoreReader:
    """What reads a store; it is opened at the first question, and raises StoreError then.

    Raises StoreError when its password cannot be read.
    """
    if place.url:
        from tabard.consumers.store.postgresql.read import PostgresReader

        place.password()  # one that cannot be read is said now
        return PostgresReader(place.url, place.password)
    from tabard.consumers.store.read import Reader

    return Reader(place.directory)


def upgrade(place: Place, told: Told | None = None) -> dict[str, tuple[str | None, str]]:
    """Bring a store to this program's schema; per file or schema the version before and after.

    `told` hears of each step. Raises StoreError.
    """
    if place.url:
        from tabard.consumers.store.postgresql import schema as served

        return served.upgrade(place.url, place.password(), told=told)
    from pathlib import Path

    from tabard.consumers.store import schema
    from tabard.consumers.store.sqlite import settle

    settle(Path(place.directory))
    return schema.upgrade(place.directory, told)


class Planned(NamedTuple):
    """What an upgrade of one part would do."""

    part: str
    before: str
    steps: list[Step]


def plan(place: Place) -> list[Planned]:
    """What `upgrade` would do to a store that is there; changes nothing.

    Raises StoreError: it is not there or cannot be read, or is newer than this program.
    """
    from tabard.consumers.store.layout import FILES, VERSION, newer_store
    from tabard.consumers.store.schema import steps_after

    found = versions(place)
    if len(found) != len(FILES):
        raise StoreError(
            "store not found",
            expected="its parts " + " and ".join(kind.name for kind in FILES),
            found=", ".join(found) or "none that can be read",
            where=str(place),
            hint="Start a recorder, or pass --home",
        )
    for where, version in found.items():
        if version > VERSION:
            raise newer_store(version, where)
    return [
        Planned(kind.name, version, steps_after(version))
        for kind, version in zip(FILES, found.values(), strict=True)
    ]


def versions(place: Place) -> dict[str, str]:
    """The schema versions of what is there and can be read, by where it is. Costs no import of SQLAlchemy."""
    if place.url:
        from tabard.consumers.store.postgresql.server import versions_of

        return versions_of(place.url, place.password())
    from tabard.consumers.store.layout import versions_in

    return versions_in(place.directory)


def reach(place: Place) -> None:
    """See that the server of a store answers, where it is on one. Raises StoreError."""
    if place.url:
        from tabard.consumers.store.postgresql.server import connect

        connect(place.url, place.password(), "public", "tabard").close()
