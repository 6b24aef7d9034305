"""What is asked of a store: by herald and the command line when they read, by the recorder when it keeps one.

The delivery core's own port is `SinkStore`. An engine is a class for each of the protocols here; the values of
`results` are the same for all of them, and `tests/contract` says what their methods must do. Nothing in here costs
an import of SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from tabard.brokers.delivery.leases import LeaseStore, Role
from tabard.brokers.delivery.ports import Entry, SinkStore
from tabard.consumers.store.accounts import ControlQuery, ControlRow
from tabard.consumers.store.arriving import Beside
from tabard.consumers.store.attestation import Attestation, Withholding
from tabard.consumers.store.deployments import Configuration, Deployment
from tabard.consumers.store.holds import Hold
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
from tabard.consumers.store.sink_results import Owned, SinkView

if TYPE_CHECKING:
    from tabard.consumers.store.backfills import Backfill, Hole, Wanted
    from tabard.consumers.store.limits import RetentionLimits
    from tabard.consumers.store.reading import Reading

T = TypeVar("T")


class StoreReader(Protocol):
    """Read-only access to one store, for any number of threads at once.

    Every method raises StoreError when the store is missing, unreadable, or of another schema version. Those with
    a `budget` look at the clock now and then, and hand back what they have once so many seconds are over.
    """

    def __enter__(self) -> Self:
        """The reader itself; it is closed at the end."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        ...

    def close(self) -> None:
        """Close the connections of all threads."""
        ...

    # --- the log ----------------------------------------------------------------------------------

    def logs(self, query: LogQuery, budget: float = ...) -> LogPage:
        """One page of records and gaps."""
        ...

    def search(self, query: LogQuery, budget: float = ...) -> Iterator[LogPage]:
        """The page that `logs` would find without a time box, in parts: one for each `budget` seconds."""
        ...

    def tail(self, query: LogQuery, after_id: int, budget: float = ...) -> tuple[list[LogRow], int]:
        """Records stored after `after_id` that fit the filters, in the order they were stored; the id to go on from.

        A record that becomes visible later than one with a higher id must still be met: a reader that went on
        from an id has seen every record up to it.
        """
        ...

    def last_id(self) -> int:
        """The id of the record stored last, 0 when there is none: where a tail begins."""
        ...

    def beside(self, query: LogQuery, place: Beside, limit: int = ...) -> tuple[list[GapRow], Beside]:
        """Gaps, batches in quarantine and stubs of the log stored after a place; the place to go on from.

        Those of the node and zone of the query, up to `limit` of each kind; the next ones come with the next question.
        As with `tail`, what becomes visible later than others with higher ids is still met.
        """
        ...

    def beside_end(self, since: int | None = None) -> Beside:
        """The place behind all that is there, or before all that arrived after the moment `since`."""
        ...

    def which(self) -> str:
        """What is read, by a name that is another one when something else was put in its place, as a backup is."""
        ...

    def stored(self, row_id: int) -> Stored | None:
        """The record with the highest id up to `row_id`, in so far as it is known again."""
        ...

    def stored_before(self, low: int, high: int, arrived: int) -> Stored | None:
        """The last record that came before a moment, of those with ids between two, which came in their order."""
        ...

    def epochs(self, ids: Sequence[int]) -> dict[int, str]:
        """The names of epochs, in hexadecimal digits, by their ids; those of which something is left."""
        ...

    def oldest(self) -> int | None:
        """The event time of the oldest record, None when there is none."""
        ...

    def log(self, row_id: int) -> LogRow | None:
        """The record with that id."""
        ...

    def context(self, row_id: int, count: int = ...) -> list[LogRow]:
        """The record with that id and up to `count` before and after it in its own stream and epoch."""
        ...

    def facets(self, query: LogQuery, field: str, limit: int = ..., budget: float = ...) -> FacetCounts:
        """The most frequent values of `field` among the newest matching records.

        Raises ValueError for a field that is not in `FACET_FIELDS`.
        """
        ...

    def facets_of(
        self, query: LogQuery, fields: Sequence[str], limit: int = ..., budget: float = ...
    ) -> Mapping[str, FacetCounts]:
        """`facets` of several fields, counted on one way through the log.

        Raises ValueError for a field that is not in `FACET_FIELDS`.
        """
        ...

    def histogram(self, query: LogQuery, width: int, budget: float = ...) -> Histogram:
        """How many matching records of which level fall into each `width` nanoseconds of event time.

        Raises ValueError for a width below 1.
        """
        ...

    def count(self, query: LogQuery, budget: float = ...) -> Count:
        """How many records fit the filters and times of a query, whatever its limit."""
        ...

    def count_all(self, query: LogQuery, budget: float = ...) -> int:
        """What `count` would find without a time box and exactly: in parts, one for each `budget` seconds."""
        ...

    def indexes(self) -> list[IndexState]:
        """The search indexes there are, and how far each reaches."""
        ...

    def gaps(
        self,
        node: str | None = None,
        *,
        zone: str | None = None,
        stream: str | None = None,
        since: int | None = None,
        until: int | None = None,
        limit: int = ...,
    ) -> list[GapRow]:
        """Gaps and doubts, newest first by event time; of all streams unless one is named."""
        ...

    def signers(self) -> list[bytes]:
        """The credentials of all keys that signed something stored."""
        ...

    def signed(self, part: int, epoch: int, first: int) -> list[SignedBatch]:
        """The next batches of a file behind that place, by epoch and first seq; none at its end."""
        ...

    def control(self, wanted: ControlQuery) -> list[ControlRow]:
        """Records of the control stream, those that arrived last first; with ``after`` the other way round."""
        ...

    def quarantine(
        self,
        node: str | None = None,
        *,
        zone: str | None = None,
        stream: str | None = None,
        limit: int = ...,
    ) -> list[GapRow]:
        """Batches that the store could not take, those that arrived last first; of all streams unless one is named."""
        ...

    def quarantined(self) -> Mapping[tuple[str, str], int]:
        """How many batches are in quarantine, by zone and name of the node; those without any are left out."""
        ...

    def withheld(
        self,
        node: str | None = None,
        *,
        zone: str | None = None,
        stream: str | None = None,
        limit: int = ...,
    ) -> list[GapRow]:
        """Records that policies withheld, those that arrived last first; of all streams unless one is named."""
        ...

    def withholding(self, stream: int, since: int) -> list[Withholding]:
        """By which policies records of a stream do not come here, by zone: of each node that by which the newest was withheld.

        Only what arrived at `since` or later counts, in nanoseconds.
        """
        ...

    def attested(self, rows: Sequence[LogRow]) -> Mapping[int, Sequence[Attestation]]:
        """By the id of a record, who attests its batch, innermost first; what its node signed as it is is left out."""
        ...

    # --- nodes ------------------------------------------------------------------------------------

    def nodes(self, now: int) -> list[NodeRow]:
        """Every node that ever spoke, by zone and name; `now` is the wall clock."""
        ...

    def node(self, name: str, now: int, zone: str | None = None) -> NodeRow | None:
        """One node; of several with that name in different zones the one heard last, unless `zone` is given."""
        ...

    def newest_beacon(self) -> tuple[int, int] | None:
        """When any node was heard last, and its interval, both in nanoseconds; None when none ever was."""
        ...

    def heartbeats(self, name: str, since: int, until: int, zone: str | None = None) -> list[tuple[int, int]]:
        """Minutes in which beacons were heard, oldest first, each with how many."""
        ...

    def host_series(
        self, name: str, since: int, until: int, points: int = ..., zone: str | None = None
    ) -> Mapping[str, Sequence[tuple[int, float]]]:
        """Series of the host samples between two event times, thinned to about `points` each."""
        ...

    def newest_links(self, now: int) -> list[Sampled]:
        """What each node said last of its brokers and tunnels, if that arrived within a day of `now`; by zone and name."""
        ...

    def processes(self, name: str, at: int | None = None, zone: str | None = None) -> ProcessTable:
        """The processes of a node as of event time `at` (default: now), by CPU, then memory."""
        ...

    # --- versions and configurations --------------------------------------------------------------

    def deployments(
        self, service: str | None = None, stage: str | None = None, node: str | None = None
    ) -> list[Deployment]:
        """What runs, or ran last, of each service on each stage and node; by service, stage, zone and node."""
        ...

    def deployment_history(
        self, service: str | None = None, stage: str | None = None, node: str | None = None
    ) -> list[Deployment]:
        """Every version and configuration that was noted, newest first."""
        ...

    def configuration(self, deployment: Deployment) -> Configuration:
        """What it runs with, secrets masked."""
        ...

    def sharing(self, role: Role) -> Sharing:
        """Who shares the work of a role, and what of it is held by nobody."""
        ...

    def ask(self, work: Callable[[Reading], T]) -> T:
        """What `work` finds over one connection, in one view of the data: for those who keep tables of their own in the store."""
        ...

    # --- the store itself -------------------------------------------------------------------------

    def holds(self, *, released: bool = ...) -> list[Hold]:
        """The legal holds in force, by name and age; those that were released too if `released`."""
        ...

    def levels(self) -> list[LevelRows]:
        """Log records of each level that there is, the lowest first; of many records an estimate."""
        ...

    def stats(self) -> Stats:
        """The store in numbers."""
        ...

    def sink(self) -> SinkView:
        """Whose store it is, who works for that sink by the clock of the store, what it skipped, and what was asked for again."""
        ...


class RecorderStore(SinkStore, Protocol):
    """What the recorder asks of its store beyond the delivery core's port. Not for several threads at once."""

    @property
    def fault(self) -> str | None:
        """Why it cannot be written, as of the last try; None when all is well."""
        ...

    def own(self, sink: str, began: int, where: str) -> Owned:
        """Say whose store it is, unless somebody did; `where` is for the error. Raises ForeignStore, StoreUnavailable."""
        ...

    def owned(self) -> Owned | None:
        """What it says of its sink; None when no recorder has opened it. Raises StoreUnavailable."""
        ...

    def signed(self) -> bool:
        """Whether something that is stored was signed. Raises StoreUnavailable."""
        ...

    def retire(self, who: str | None, when: int | None) -> None:
        """Note that its sink is retired, or with None that it is not any more. Raises StoreUnavailable."""
        ...

    def ask_again(self, node: str | None, zone: str | None, who: str, now: int) -> list[Wanted]:
        """Ask for what was lost or skipped, of one node, a zone or all. Raises StoreUnavailable."""
        ...

    def backfills(self) -> list[Backfill]:
        """What is asked for and not over. Raises StoreUnavailable."""
        ...

    def opened(self, backfill: Backfill) -> list[Hole]:
        """What of a backfill was opened and is neither filled nor closed again. Raises StoreUnavailable, CursorConflict."""
        ...

    def reopen(self, backfill: Backfill) -> int | None:
        """Open the next few ranges; how many, None when all were asked for. Raises StoreUnavailable, CursorConflict."""
        ...

    def settle_backfill(self, backfill: Backfill, ended: int | None) -> None:
        """Count what has come by now; with `ended` it is over. Raises StoreUnavailable."""
        ...

    def leases(self, role: Role) -> LeaseStore:
        """Who shares a role's work with whom."""
        ...

    def prepare(self, stream: int, entry: Entry) -> None:
        """Make a batch that has come in ready for its commit, as far as that can be done by then. Never raises."""
        ...

    def idle(self) -> None:
        """A moment without work: checkpoints and other upkeep of a few milliseconds. Never raises."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class Upkeep(Protocol):
    """Keeps one store within its limits, in steps between two commits. `limits` may be replaced at any time."""

    limits: RetentionLimits

    @property
    def fault(self) -> str | None:
        """Which limit is not held, and by how much; None while all are."""
        ...

    def step(self, now: float) -> bool:
        """Do a few milliseconds of work; `now` is monotonic seconds. True: call again soon, there is more.

        Never raises for the store's sake: when it cannot be written the pass ends, and the next one tries again.
        """
        ...

    def follow(self) -> None:
        """After a commit: what its rows make necessary. Never raises for the store's sake."""
        ...
