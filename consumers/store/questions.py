"""The questions of herald and the command line, the same for every engine: each over one connection, in one view."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Final, Self, TypeVar

from tabard.brokers.delivery.leases import Role
from tabard.consumers.store import (
    accounts,
    counts,
    deployments,
    fleet,
    holders,
    holds,
    levels,
    pages,
    quarantine,
    samples,
    signed,
    sinkview,
    withheld,
)
from tabard.consumers.store.accounts import ControlQuery, ControlRow
from tabard.consumers.store.arriving import PAGE, Beside
from tabard.consumers.store.attestation import Attestation, Withholding
from tabard.consumers.store.deployments import Configuration, Deployment
from tabard.consumers.store.holds import Hold
from tabard.consumers.store.reading import DayGone, Pool, Reading
from tabard.consumers.store.results import (
    Count,
    FacetCounts,
    GapRow,
    Histogram,
    IndexState,
    LevelRows,
    LogPage,
    LogQuery,
    LogRow,
    NodeRow,
    ProcessTable,
    Sampled,
    Sharing,
    Stats,
    Stored,
)
from tabard.consumers.store.signed import SignedBatch
from tabard.consumers.store.sink_results import SinkView

BUDGET: Final = 1.0
"""Seconds that a search may take before it hands back what it has."""


T = TypeVar("T")


class Questions(ABC):
    """Read-only access to one store. Safe to share between threads; each gets its own connection.

    An engine gives the pool, and answers what engines answer in ways of their own. Every method raises StoreError
    when the store is missing, unreadable, or of another schema version.
    """

    _connections: Pool

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections of all threads."""
        self._connections.close()

    def logs(self, query: LogQuery, budget: float = BUDGET) -> LogPage:
        """One page of records and gaps, searched for at most about `budget` seconds."""
        return self._searched(query, lambda connection: pages.page(connection, query, budget))

    def search(self, query: LogQuery, budget: float = BUDGET) -> Iterator[LogPage]:
        """The page that `logs` would find without a time box, in parts: one for each `budget` seconds.

        The parts come in the order of the search, from `query.falls`; each has its rows in the order asked for.
        The last one is not partial. Ends with what was found last when the caller goes on no more.
        """
        left = query.limit
        give_way = self._courtesy()
        while True:
            page = self.logs(replace(query, limit=left), budget)
            yield page
            left -= len(page.rows)
            if not page.partial or left <= 0:
                return
            query = replace(query, before=page.older) if query.falls else replace(query, after=page.newer)
            give_way()

    def oldest(self) -> int | None:
        """Event time of the record that was said first, None when there is none."""
        with self._connections.use() as connection:
            return pages.oldest(connection)

    def log(self, row_id: int) -> LogRow | None:
        """The record with that id."""
        with self._connections.use() as connection:
            return pages.one(connection, row_id)

    def context(self, row_id: int, count: int = 20) -> list[LogRow]:
        """The record with that id and up to `count` before and after it in its own stream and epoch."""
        with self._connections.use() as connection:
            return pages.context(connection, row_id, count)

    def facets(self, query: LogQuery, field: str, limit: int = 20, budget: float = BUDGET) -> FacetCounts:
        """The most frequent values of `field` among the newest matching records, with their counts.

        When the time box ends first, only the records searched so far are counted, and the answer says so.
        Raises ValueError for a field that is not in `FACET_FIELDS`.
        """
        return self.facets_of(query, [field], limit, budget)[field]

    def facets_of(
        self, query: LogQuery, fields: Sequence[str], limit: int = 20, budget: float = BUDGET
    ) -> Mapping[str, FacetCounts]:
        """`facets` of several fields, counted on one way through the log: a filter that few records pass is searched once.

        Raises ValueError for a field that is not in `FACET_FIELDS`.
        """
        return self._searched(
            query, lambda connection: counts.facets(connection, query, fields, limit, budget)
        )

    def histogram(self, query: LogQuery, width: int, budget: float = BUDGET) -> Histogram:
        """How many matching records of which level fall into each `width` nanoseconds of event time.

        Counts from the newest on for at most about `budget` seconds; the answer says which buckets that
        left out. Raises ValueError for a width below 1.
        """
        return self._searched(query, lambda connection: counts.histogram(connection, query, width, budget))

    def count(self, query: LogQuery, budget: float = BUDGET) -> Count:
        """How many records fit the filters and times of a query, whatever its limit; counted from the newest on."""
        return self._searched(query, lambda connection: counts.count(connection, query, budget))

    def _searched(self, query: LogQuery, work: Callable[[Reading], T]) -> T:
        """What `work` finds of what a query can meet."""
        with suppress(DayGone), self._connections.use(query) as connection:
            return work(connection)
        with self._connections.use() as connection:
            return work(connection)

    def count_all(self, query: LogQuery, budget: float = BUDGET) -> int:
        """What `count` would find without a time box and exactly: in parts, one for each `budget` seconds."""
        found, give_way = 0, self._courtesy()
        while True:
            with self._connections.use() as connection:
                more, edge = counts.part(connection, query, budget)
            found += more
            if edge is None:
                return found
            query = replace(query, before=edge)
            give_way()

    def indexes(self) -> list[IndexState]:
        """The search indexes there are, and how far each reaches."""
        with self._connections.use() as connection:
            return connection.indexes()

    def gaps(
        self,
        node: str | None = None,
        *,
        zone: str | None = None,
        stream: str | None = None,
        since: int | None = None,
        until: int | None = None,
        limit: int = 100,
    ) -> list[GapRow]:
        """Gaps and doubts, newest first by event time; of all streams unless one is named.

        The sub-zones of `zone` are included, as in `logs`.
        """
        with self._connections.use() as connection:
            return fleet.gaps(connection, node, zone, stream, since, until, limit)

    def quarantine(
        self, node: str | None = None, *, zone: str | None = None, stream: str | None = None, limit: int = 100
    ) -> list[GapRow]:
        """Batches that the store could not take, those that arrived last first; of all streams unless one is named."""
        with self._connections.use() as connection:
            return pages.quarantined(connection, node, zone, stream, limit)

    def withheld(
        self, node: str | None = None, *, zone: str | None = None, stream: str | None = None, limit: int = 100
    ) -> list[GapRow]:
        """Records that policies withheld, those that arrived last first; of all streams unless one is named."""
        with self._connections.use() as connection:
            return withheld.listed(connection, node, zone, stream, limit)

    def withholding(self, stream: int, since: int) -> list[Withholding]:
        """By which policies records of a stream do not come here, by zone; `since` is in nanoseconds, of arrival."""
        with self._connections.use() as connection:
            return withheld.withholding(connection, stream, since)

    def attested(self, rows: Sequence[LogRow]) -> Mapping[int, Sequence[Attestation]]:
        """By the id of a record, who attests its batch, innermost first; what its node signed as it is is left out."""
        if not rows:
            return {}
        with self._connections.use() as connection:
            return withheld.attested(connection, rows)

    def quarantined(self) -> Mapping[tuple[str, str], int]:
        """How many batches are in quarantine, by zone and name of the node; those without any are left out."""
        with self._connections.use() as connection:
            return quarantine.counts(connection)

    def signers(self) -> list[bytes]:
        """The credentials of all keys that signed something stored."""
        with self._connections.use() as connection:
            return signed.signers(connection)

    def signed(self, part: int, epoch: int, first: int) -> list[SignedBatch]:
        """The next batches of a file behind that place, by epoch and first seq; none at its end."""
        with self._connections.use() as connection:
            return signed.batches(connection, part, epoch, first)

    def control(self, wanted: ControlQuery) -> list[ControlRow]:
        """Records of the control stream, those that arrived last first; with ``after`` the other way round."""
        with self._connections.use() as connection:
            return accounts.records(connection, wanted)

    def nodes(self, now: int) -> list[NodeRow]:
        """Every node that ever spoke, by zone and name; `now` is the wall clock."""
        with self._connections.use() as connection:
            return fleet.nodes(connection, now)

    def node(self, name: str, now: int, zone: str | None = None) -> NodeRow | None:
        """One node; of several with that name in different zones the one heard last, unless `zone` is given."""
        with self._connections.use() as connection:
            return fleet.node(connection, name, now, zone)

    def newest_beacon(self) -> tuple[int, int] | None:
        """When the last beacon of any node was heard, and nanoseconds between beacons of that node; None: never."""
        with self._connections.use() as connection:
            return fleet.newest_beacon(connection)

    def heartbeats(self, name: str, since: int, until: int, zone: str | None = None) -> list[tuple[int, int]]:
        """Minutes in which beacons were heard, oldest first, each with how many."""
        with self._connections.use() as connection:
            return fleet.heartbeats(connection, name, since, until, zone)

    def host_series(
        self, name: str, since: int, until: int, points: int = 300, zone: str | None = None
    ) -> Mapping[str, Sequence[tuple[int, float]]]:
        """Series of the host samples between two event times, thinned to about `points` each.

        Keys: ``cpu`` (percent), ``load``, ``mem_used``, ``mem_total``, ``swap_used`` (bytes), ``procs``;
        rates in bytes per second ``disk_read``, ``disk_write``, ``net_rx``, ``net_tx`` (all devices together);
        ``disk:<mount>`` (percent used).
        """
        with self._connections.use() as connection:
            return samples.host_series(connection, name, since, until, points, zone)

    def newest_links(self, now: int) -> list[Sampled]:
        """What each node said last of its brokers and tunnels, if that arrived within a day of `now`; by zone and name."""
        with self._connections.use() as connection:
            return samples.newest_links(connection, now)

    def processes(self, name: str, at: int | None = None, zone: str | None = None) -> ProcessTable:
        """The processes of a node as of event time `at` (default: now), by CPU, then memory."""
        with self._connections.use() as connection:
            return samples.processes(connection, name, at, zone)

    def deployments(
        self, service: str | None = None, stage: str | None = None, node: str | None = None
    ) -> list[Deployment]:
        """What runs, or ran last, of each service on each stage and node; by service, stage, zone and node."""
        with self._connections.use() as connection:
            return deployments.current(connection, service, stage, node)

    def deployment_history(
        self, service: str | None = None, stage: str | None = None, node: str | None = None
    ) -> list[Deployment]:
        """Every version and configuration that was noted, newest first."""
        with self._connections.use() as connection:
            return deployments.history(connection, service, stage, node)

    def configuration(self, deployment: Deployment) -> Configuration:
        """What it runs with, secrets masked."""
        with self._connections.use() as connection:
            return deployments.configuration(connection, deployment.configuration_id)

    def sink(self) -> SinkView:
        """Whose store it is, who works for that sink by the clock of the store, what it skipped, and what was asked for again."""
        with self._connections.use() as connection:
            return sinkview.look(connection)

    def sharing(self, role: Role) -> Sharing:
        """Who shares the work of a role, and what of it is held by nobody."""
        with self._connections.use() as connection:
            return holders.sharing(connection, role)

    def ask(self, work: Callable[[Reading], T]) -> T:
        """What `work` finds over one connection, in one view of the data."""
        with self._connections.use() as connection:
            return work(connection)

    # --- what engines answer in ways of their own -----------------------------------------------------

    @abstractmethod
    def tail(self, query: LogQuery, after_id: int, budget: float = BUDGET) -> tuple[list[LogRow], int]:
        """Records stored after `after_id` that fit the filters, in the order they were stored.

        The second value is the id to go on from, also when nothing fitted. Order, keys and times of the
        query are ignored; at most `query.limit` records are returned.
        """

    @abstractmethod
    def last_id(self) -> int:
        """The id of the record stored last, 0 when there is none: where a tail begins."""

    @abstractmethod
    def beside(self, query: LogQuery, place: Beside, limit: int = PAGE) -> tuple[list[GapRow], Beside]:
        """Gaps, batches in quarantine and stubs of the log stored after a place; the place to go on from.

        Those of the node and zone of the query, up to `limit` of each kind; the next ones come with the next question.
        """

    @abstractmethod
    def beside_end(self, since: int | None = None) -> Beside:
        """The place behind all that is there, or before all that arrived after the moment `since`."""

    @abstractmethod
    def which(self) -> str:
        """What is read, by a name that is another one when something else was put in its place, as a backup is."""

    def stored(self, row_id: int) -> Stored | None:
        """The record with the highest id up to `row_id`, in so far as it is known again."""
        with self._connections.use() as connection:
            return pages.stored(connection, row_id)

    def stored_before(self, low: int, high: int, arrived: int) -> Stored | None:
        """The last record that came before a moment, of those with ids between two, which came in their order."""
        with self._connections.use() as connection:
            return pages.stored_before(connection, low, high, arrived)

    def epochs(self, ids: Sequence[int]) -> dict[int, str]:
        """The names of epochs, in hexadecimal digits, by their ids; those of which something is left."""
        with self._connections.use() as connection:
            return pages.epochs(connection, ids)

    def holds(self, *, released: bool = False) -> list[Hold]:
        """The legal holds in force, by name and age; those that were released too if `released`."""
        found: dict[tuple[str, int], Hold] = {}
        with self._connections.use() as connection:
            for part in connection.sql.parts:
                for hold in holds.listed(connection, part, released=True):
                    place = (hold.name, hold.made)
                    if place not in found or found[place].released is not None:
                        found[place] = hold
        return [found[place] for place in sorted(found) if released or found[place].released is None]

    def levels(self) -> list[LevelRows]:
        """Log records of each level that there is, the lowest first; of many records an estimate."""
        with self._connections.use() as connection:
            return levels.levels(connection)

    @abstractmethod
    def stats(self) -> Stats:
        """The store in numbers."""

    @abstractmethod
    def _courtesy(self) -> Callable[[], None]:
        """What a search does between two of its parts, for whoever writes the store."""
