"""What herald and the command line ask of a store on SQLite.

`Reader` needs the standard library only: a listing must not pay for the import of SQLAlchemy. Another engine
comes as another class of `Questions`; the values of `results` are the contract.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from tabard.consumers.store import arriving, fleet, pages
from tabard.consumers.store.arriving import PAGE, Beside
from tabard.consumers.store.courtesy import Courtesy
from tabard.consumers.store.deployments import Configuration, Deployment
from tabard.consumers.store.layout import RECORDS
from tabard.consumers.store.questions import BUDGET, Questions
from tabard.consumers.store.readonly import Connections
from tabard.consumers.store.results import (
    FACET_FIELDS,
    MAX_LIMIT,
    FacetCounts,
    GapRow,
    Histogram,
    Key,
    LogPage,
    LogQuery,
    LogRow,
    NodeRow,
    Process,
    ProcessTable,
    Stats,
    StreamStats,
)

__all__ = [
    "FACET_FIELDS",
    "MAX_LIMIT",
    "Configuration",
    "Deployment",
    "FacetCounts",
    "GapRow",
    "Histogram",
    "Key",
    "LogPage",
    "LogQuery",
    "LogRow",
    "NodeRow",
    "Process",
    "ProcessTable",
    "Reader",
    "Stats",
    "StreamStats",
]


class Reader(Questions):
    """Read-only access to the two files of a store."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """`path` is the store's directory; it is opened at the first question."""
        self._files = Connections(path)
        self._connections = self._files
        self._store = self._files.store

    def tail(self, query: LogQuery, after_id: int, budget: float = BUDGET) -> tuple[list[LogRow], int]:
        """Records stored after `after_id` that fit the filters, in the order they were stored.

        The second value is the id to go on from, also when nothing fitted. Order, keys and times of the
        query are ignored; at most `query.limit` records are returned.
        """
        with self._connections.use() as connection:
            return pages.tail(connection, query, after_id, budget, pages.last_id(connection))

    def last_id(self) -> int:
        """The id of the record stored last, 0 when there is none: where a tail begins."""
        with self._connections.use() as connection:
            return pages.last_id(connection)

    def beside(self, query: LogQuery, place: Beside, limit: int = PAGE) -> tuple[list[GapRow], Beside]:
        """Gaps, batches in quarantine and stubs of the log stored after a place; the place to go on from."""
        with self._connections.use() as connection:
            return arriving.after(connection, query, place, arriving.end(connection), limit, again=True)

    def beside_end(self, since: int | None = None) -> Beside:
        """The place behind all that is there, or before all that arrived after the moment `since`."""
        with self._connections.use() as connection:
            last = arriving.end(connection)
            return last if since is None else arriving.since(connection, since, last)

    def which(self) -> str:
        """The file of the records: a restoration puts another one in its place."""
        return self._files.which()

    def stats(self) -> Stats:
        """The store in numbers."""
        with self._connections.use() as connection:
            return fleet.stats(connection, self._store)

    def _courtesy(self) -> Callable[[], None]:
        return Courtesy(RECORDS.path(self._store)).give_way
