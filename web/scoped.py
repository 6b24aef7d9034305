"""A reader that shows one zone and those below it, and nothing of any other: what is handed to pages of who may see no more.

Every question of `StoreReader` is answered here in words of its own; none is passed on by default, so a new one shows
nothing until somebody has thought about it. A zone asked for is met with the one that may be seen, before the store is asked: the
store's own filter then does for counts, facets, bars, tails and exports what it does for rows.

What is not hidden: that there is a store, how its ids grow, when the recorder heard any node last, and how long an answer takes.
"""

# ruff: noqa: ARG002 -- what is refused is refused whatever is asked

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Final, Self, TypeVar

from tabard.brokers.delivery.leases import Role
from tabard.consumers.people.rights import inside
from tabard.consumers.store.accounts import ControlQuery, ControlRow
from tabard.consumers.store.arriving import PAGE, Beside
from tabard.consumers.store.attestation import Attestation, Withholding
from tabard.consumers.store.deployments import Configuration, Deployment
from tabard.consumers.store.holds import Hold
from tabard.consumers.store.ports import StoreReader
from tabard.consumers.store.reading import Reading
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
from tabard.errors import StoreError

T = TypeVar("T")

NOWHERE: Final = "//"
"""A zone that there cannot be: nothing lies in it."""
BUDGET: Final = 1.0


class Scoped:
    """Reads a store as far as one zone reaches."""

    def __init__(self, reader: StoreReader, zone: str) -> None:
        """`zone` is a zone path; who may see everything is handed the reader itself."""
        self._reader = reader
        self._zone = zone

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The reader behind it belongs to somebody else."""

    def close(self) -> None:
        """Nothing: the reader behind it belongs to somebody else."""

    def _meet(self, zone: str | None) -> str:
        """The zone of a question, as far as it may be asked."""
        if zone is None or inside(self._zone, zone):
            return self._zone
        return zone if inside(zone, self._zone) else NOWHERE

    def _narrow(self, query: LogQuery) -> LogQuery:
        return replace(query, zone=self._meet(query.zone))

    def _sees(self, zone: str) -> bool:
        return inside(zone, self._zone)

    # --- the log ----------------------------------------------------------------------------------

    def logs(self, query: LogQuery, budget: float = BUDGET) -> LogPage:
        """Of the zone."""
        return self._reader.logs(self._narrow(query), budget)

    def search(self, query: LogQuery, budget: float = BUDGET) -> Iterator[LogPage]:
        """Of the zone."""
        return self._reader.search(self._narrow(query), budget)

    def tail(self, query: LogQuery, after_id: int, budget: float = BUDGET) -> tuple[list[LogRow], int]:
        """Of the zone."""
        return self._reader.tail(self._narrow(query), after_id, budget)

    def beside(self, query: LogQuery, place: Beside, limit: int = PAGE) -> tuple[list[GapRow], Beside]:
        """Of the zone."""
        return self._reader.beside(self._narrow(query), place, limit)

    def beside_end(self, since: int | None = None) -> Beside:
        """Of the whole store: it is where a tail begins."""
        return self._reader.beside_end(since)

    def control(self, wanted: ControlQuery) -> list[ControlRow]:
        """Of the zone."""
        return self._reader.control(wanted._replace(zone=self._meet(wanted.zone)))

    def last_id(self) -> int:
        """Of the whole store: it is where a tail begins, whoever's record it is."""
        return self._reader.last_id()

    def which(self) -> str:
        """Of the whole store."""
        return self._reader.which()

    def stored(self, row_id: int) -> Stored | None:
        """By its id alone where it is of another zone."""
        found = self._reader.stored(row_id)
        if found is None or self.log(found.id) is not None:
            return found
        return Stored(found.id, 0, "", 0)

    def stored_before(self, low: int, high: int, arrived: int) -> Stored | None:
        """No page asks for it."""
        return None

    def epochs(self, ids: Sequence[int]) -> dict[int, str]:
        """No page asks for them."""
        return {}

    def oldest(self) -> int | None:
        """Of the zone; where the search took too long, of what was searched."""
        found = self._reader.logs(LogQuery(zone=self._zone, order="old", limit=1))
        records = [row.time for row in found.rows if isinstance(row, LogRow)]
        return records[0] if records else found.reached

    def log(self, row_id: int) -> LogRow | None:
        """None where it is of another zone, as if there were none."""
        row = self._reader.log(row_id)
        return row if row is not None and self._sees(row.zone) else None

    def context(self, row_id: int, count: int = 20) -> list[LogRow]:
        """Of the zone."""
        if self.log(row_id) is None:
            return []
        return [row for row in self._reader.context(row_id, count) if self._sees(row.zone)]

    def facets(self, query: LogQuery, field: str, limit: int = 20, budget: float = BUDGET) -> FacetCounts:
        """Of the zone."""
        return self._reader.facets(self._narrow(query), field, limit, budget)

    def facets_of(
        self, query: LogQuery, fields: Sequence[str], limit: int = 20, budget: float = BUDGET
    ) -> Mapping[str, FacetCounts]:
        """Of the zone."""
        return self._reader.facets_of(self._narrow(query), fields, limit, budget)

    def histogram(self, query: LogQuery, width: int, budget: float = BUDGET) -> Histogram:
        """Of the zone."""
        return self._reader.histogram(self._narrow(query), width, budget)

    def count(self, query: LogQuery, budget: float = BUDGET) -> Count:
        """Of the zone."""
        return self._reader.count(self._narrow(query), budget)

    def count_all(self, query: LogQuery, budget: float = BUDGET) -> int:
        """Of the zone."""
        return self._reader.count_all(self._narrow(query), budget)

    def indexes(self) -> list[IndexState]:
        """None: they count what is in the whole store."""
        return []

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
        """Of the zone."""
        met = self._meet(zone)
        return self._reader.gaps(node, zone=met, stream=stream, since=since, until=until, limit=limit)

    def signers(self) -> list[bytes]:
        """None: they are of all zones."""
        return []

    def signed(self, part: int, epoch: int, first: int) -> list[SignedBatch]:
        """None: they are of all zones."""
        return []

    def quarantine(
        self, node: str | None = None, *, zone: str | None = None, stream: str | None = None, limit: int = 100
    ) -> list[GapRow]:
        """Of the zone."""
        return self._reader.quarantine(node, zone=self._meet(zone), stream=stream, limit=limit)

    def quarantined(self) -> Mapping[tuple[str, str], int]:
        """Of the zone."""
        return {key: count for key, count in self._reader.quarantined().items() if self._sees(key[0])}

    def withheld(
        self, node: str | None = None, *, zone: str | None = None, stream: str | None = None, limit: int = 100
    ) -> list[GapRow]:
        """Of the zone."""
        return self._reader.withheld(node, zone=self._meet(zone), stream=stream, limit=limit)

    def withholding(self, stream: int, since: int) -> list[Withholding]:
        """Of the zone."""
        return [row for row in self._reader.withholding(stream, since) if self._sees(row.zone)]

    def attested(self, rows: Sequence[LogRow]) -> Mapping[int, Sequence[Attestation]]:
        """Of the zone."""
        return self._reader.attested([row for row in rows if self._sees(row.zone)])

    # --- nodes ------------------------------------------------------------------------------------

    def nodes(self, now: int) -> list[NodeRow]:
        """Of the zone."""
        return [row for row in self._reader.nodes(now) if self._sees(row.zone)]

    def node(self, name: str, now: int, zone: str | None = None) -> NodeRow | None:
        """Of several with that name in the zone the one heard last; of others it is as if there were none."""
        if zone is not None:
            return self._reader.node(name, now, zone) if self._sees(zone) else None
        found = [row for row in self.nodes(now) if row.name == name]
        return max(found, key=lambda row: (row.last_beacon is not None, row.last_beacon or 0), default=None)

    def newest_beacon(self) -> tuple[int, int] | None:
        """Of any node: it says whether the recorder writes, for which those of a zone cannot speak."""
        return self._reader.newest_beacon()

    def _zone_of(self, name: str, zone: str | None) -> str:
        if zone is not None:
            return zone if self._sees(zone) else NOWHERE
        found = self.node(name, 0)
        return NOWHERE if found is None else found.zone

    def heartbeats(self, name: str, since: int, until: int, zone: str | None = None) -> list[tuple[int, int]]:
        """Of a node of the zone."""
        return self._reader.heartbeats(name, since, until, self._zone_of(name, zone))

    def host_series(
        self, name: str, since: int, until: int, points: int = 300, zone: str | None = None
    ) -> Mapping[str, Sequence[tuple[int, float]]]:
        """Of a node of the zone."""
        return self._reader.host_series(name, since, until, points, self._zone_of(name, zone))

    def newest_links(self, now: int) -> list[Sampled]:
        """What nodes of the zone said."""
        return [each for each in self._reader.newest_links(now) if self._sees(each.zone)]

    def processes(self, name: str, at: int | None = None, zone: str | None = None) -> ProcessTable:
        """Of a node of the zone."""
        return self._reader.processes(name, at, self._zone_of(name, zone))

    # --- versions and configurations --------------------------------------------------------------

    def deployments(
        self, service: str | None = None, stage: str | None = None, node: str | None = None
    ) -> list[Deployment]:
        """On nodes of the zone."""
        return [each for each in self._reader.deployments(service, stage, node) if self._sees(each.zone)]

    def deployment_history(
        self, service: str | None = None, stage: str | None = None, node: str | None = None
    ) -> list[Deployment]:
        """On nodes of the zone."""
        found = self._reader.deployment_history(service, stage, node)
        return [each for each in found if self._sees(each.zone)]

    def configuration(self, deployment: Deployment) -> Configuration:
        """On nodes of the zone."""
        if not self._sees(deployment.zone):
            return Configuration({}, {}, 0)
        return self._reader.configuration(deployment)

    # --- the store itself -------------------------------------------------------------------------

    def ask(self, work: Callable[[Reading], T]) -> T:
        """Refused: nobody can tell what it would show. Raises StoreError."""
        raise StoreError("who may see one zone only cannot ask the store itself")

    def sharing(self, role: Role) -> Sharing:
        """Nobody: recorders are of all zones."""
        return Sharing(0, [], 0)

    def holds(self, *, released: bool = False) -> list[Hold]:
        """None: they are of all zones."""
        return []

    def levels(self) -> list[LevelRows]:
        """None: they count the whole store."""
        return []

    def stats(self) -> Stats:
        """What can be told of the zone: its nodes, what is missing of them, what is in quarantine."""
        nodes = self.nodes(0)
        missing, held = sum(row.gaps for row in nodes), sum(self.quarantined().values())
        return Stats({}, len(nodes), missing, held, withheld=0, bytes=0, free=0)

    def sink(self) -> SinkView:
        """Refused: it is of all zones. Raises StoreError."""
        raise StoreError("who may see one zone only cannot look at the sink")


def readable(reader: StoreReader, zone: str) -> StoreReader:
    """The reader for who may see a zone; the reader itself where that is everything."""
    return Scoped(reader, zone) if zone else reader
