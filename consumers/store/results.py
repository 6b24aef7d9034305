"""What is asked of the store and what it answers: plain values, the same for every engine.

All times are integers, nanoseconds since 1970-01-01 UTC. A `Key` is a place in the order of the log by event
time; gaps take part in it with ids beyond those of all records, so that every record and every gap has one
place, and a gap stands just after the record it follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tabard.records import INT_MAX, INT_MIN

Key = tuple[int, int]
"""Event time and id of a record; of a gap its time and `GAP_BASE` plus its id."""

GAP_BASE: Final = 2**62
"""What is added to a gap's id in its key: no record's id comes near it."""

QUARANTINE: Final = "quarantine"
QUARANTINE_BASE: Final = GAP_BASE + 2**61
"""What is added to the id of a batch in quarantine in its key: it stands after records and gaps of the same time."""
WITHHELD: Final = "withheld"
WITHHELD_BASE: Final = QUARANTINE_BASE + 2**60
_BASES: Final = {QUARANTINE: QUARANTINE_BASE, WITHHELD: WITHHELD_BASE}


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which log records are wanted, in which order, and from where on. None asks for nothing.

    Raises ValueError for an order or a limit that does not exist, and for a time or an id that no store can have.
    """

    node: str | None = None
    zone: str | None = None
    """A zone path; its sub-zones are included."""
    service: str | None = None
    product: str | None = None
    system: str | None = None
    subsystem: str | None = None
    subsubsystem: str | None = None
    user1: str | None = None
    user2: str | None = None
    package: str | None = None
    version: str | None = None
    logger: str | None = None
    module: str | None = None
    function: str | None = None
    level: str | None = None
    """The source's own word, compared without regard to case."""
    min_severity: int = 0
    """OpenTelemetry severity number; 0 asks for nothing, records that say no severity then count too."""
    text: str | None = None
    """A substring of message, function or module; letters are compared without regard to case.

    A text of ASCII alone finds what has it letter by letter; one with other letters is folded as Unicode says, and so
    is what it is compared with: ``ärger`` finds ``ÄRGER``, ``straße`` finds ``STRASSE``."""
    words: tuple[str, ...] = ()
    """Words that message or exception have, all of them: texts that no letter or digit adjoins, in any case of their
    letters, which are compared as those of `text` are. The separators are those of `tabard.consumers.store.words`."""
    since: int | None = None
    """Event time, inclusive."""
    until: int | None = None
    """Event time, exclusive."""
    order: str = "new"
    """``new``: newest first; ``old``: oldest first."""
    limit: int = 100
    before: Key | None = None
    """Only what is older than this place."""
    after: Key | None = None
    """Only what is newer than this place; without `before` the page that adjoins it."""

    def __post_init__(self) -> None:
        if self.order not in {"new", "old"}:
            raise ValueError(f"order is 'new' or 'old', not {self.order!r}")
        if not 1 <= self.limit <= MAX_LIMIT:
            raise ValueError(f"limit is 1 to {MAX_LIMIT}, not {self.limit!r}")
        given = {"since": (self.since,), "until": (self.until,), "before": self.before, "after": self.after}
        for name, numbers in given.items():
            for number in numbers or ():
                if number is not None and not INT_MIN <= number <= INT_MAX:
                    raise ValueError(f"{name} is of {INT_MIN} to {INT_MAX}, not {number!r}")

    @property
    def falls(self) -> bool:
        """Whether the search goes from new to old: a page adjoins the place that is given."""
        if self.before is not None and self.after is None:
            return True
        if self.after is not None and self.before is None:
            return False
        return self.order == "new"


MAX_LIMIT = 10_000
"""Records on one page."""

EQUAL_FIELDS = (
    "service",
    "product",
    "system",
    "subsystem",
    "subsubsystem",
    "user1",
    "user2",
    "package",
    "version",
    "logger",
    "module",
    "function",
)
"""Fields of a `LogQuery` that are compared for equality with the column of the same name."""

FACET_FIELDS = ("node", "zone", "level", "severity", *EQUAL_FIELDS)
"""What `Reader.facets` counts by."""


class LogRow(NamedTuple):
    """One stored log record, with the node it came from."""

    id: int
    node: str
    zone: str
    epoch_id: int
    seq: int
    arrived: int
    origin: str | None
    """What the intake knows about the source: ``uid 1000``, ``file /var/log/syslog``."""
    time: int
    severity: int
    level: str | None
    service: str | None
    product: str | None
    system: str | None
    subsystem: str | None
    subsubsystem: str | None
    user1: str | None
    user2: str | None
    package: str | None
    version: str | None
    logger: str | None
    module: str | None
    function: str | None
    line: int | None
    process: int | None
    thread: str | None
    message: str
    exception: str | None
    stack: str | None
    trace_id: str | None
    span_id: str | None
    attributes: str | None
    """A JSON object of everything else."""

    @property
    def is_gap(self) -> bool:
        """False: this is a record."""
        return False

    @property
    def key(self) -> Key:
        """Its place in the order by event time."""
        return (self.time, self.id)


class Stored(NamedTuple):
    """A stored record in so far as it is known again: another state of the store has another one of that id, or none."""

    id: int
    arrived: int
    epoch: str
    """In hexadecimal digits; empty where nothing is left of it."""
    seq: int


@dataclass(frozen=True, slots=True)
class GapRow:
    """A loss, or another reason for which records are not here, where they would stand."""

    id: int
    node: str
    zone: str
    stream: str
    epoch: str | None
    """Hexadecimal; None when the epoch is not known."""
    first: int
    last: int | None
    count: int
    at_least: bool
    kind: str
    """``gap``, ``doubt``, ``quarantine`` (a batch that could not be stored), or ``withheld`` (by the policy `reason` of zone `detail`)."""
    reason: str
    detail: str
    time: int
    """Event time of the record before it."""
    arrived: int

    @property
    def is_gap(self) -> bool:
        """True: this stands for records that are not there."""
        return True

    @property
    def key(self) -> Key:
        """Its place in the order by event time: just after the records of the same time."""
        return (self.time, _BASES.get(self.kind, GAP_BASE) + self.id)


@dataclass(frozen=True, slots=True)
class LogPage:
    """One page of the log, in the order asked for."""

    rows: Sequence[LogRow | GapRow]
    older: Key | None
    """Ask with ``before=older`` for the page of older rows; None when there are none."""
    newer: Key | None
    """Ask with ``after=newer`` for the page of newer rows; None when there are none."""
    partial: bool = False
    """The search was stopped by its time box: the page is right, but not full, and goes on at `reached`."""
    reached: int | None = None
    """Event time up to which was searched, when `partial`."""
    index: str = ""
    """How a search for a text or words went: by an ``index``, ``partly`` by one, or as a ``scan``; "" was none."""


class FacetCounts(NamedTuple):
    """The most frequent values of one field."""

    counts: list[tuple[str | int | None, int]]
    """Value and how many records have it, most frequent first."""
    partial: bool
    """The time box ended first: only the newest of the matching records were counted."""


class IndexState(NamedTuple):
    """A search index of the log, and how far it reaches."""

    kind: str
    """``words`` or ``trigram``."""
    state: str
    """``whole``, ``building``, or ``broken``: it is being removed, or made anew."""
    covered: int
    """Log records that it has."""
    rows: int
    """Log records in all."""
    bytes: int
    """Room it takes."""


class Count(NamedTuple):
    """How many records there are."""

    records: int
    how: str
    """``exactly``; ``at least``, when the time box ended first; ``about``, when the engine only estimates it."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many records of which level when."""

    width: int
    """Nanoseconds of one bucket; a bucket starts at a multiple of it."""
    counts: Mapping[int, Mapping[str, int]]
    """By the start of a bucket, then by level as `tabard.records.severity_name` says it (``""``: not said).
    Buckets without records are left out."""
    counted_from: int | None
    """Start of the oldest bucket that was counted, when the time box ended first; None: all were."""
    seen: int
    """Records that were counted, with those of the bucket at which the time box ended."""

    @property
    def partial(self) -> bool:
        """Whether older buckets were not counted."""
        return self.counted_from is not None


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One node, as its last beacon and its cursors show it."""

    name: str
    zone: str
    state: str
    """By the age of the last beacon: ``up``, ``late`` (over two intervals), ``silent`` (over three), ``never``."""
    last_beacon: int | None
    """Wall clock of the sink when it was heard."""
    interval: float | None
    """Seconds between beacons."""
    clock: int | None
    """Nanoseconds by which the node's clock was ahead of the sink's at the last beacon."""
    version: str | None
    lag: Mapping[str, int]
    """Per stream: records that the node has and the store has not, by the last beacon."""
    gaps: int
    """Gaps and doubts of all streams that are kept."""
    facts: Mapping[str, Any]
    """What the node says of itself (host, system, versions)."""


class Sampled(NamedTuple):
    """The newest sample of a kind of one node."""

    node: str
    zone: str
    time: int
    """By the node's clock."""
    now: int
    """When the store was asked, by the asker's clock."""
    data: Mapping[str, Any]


class Process(NamedTuple):
    """One process at the time of its table."""

    pid: int
    started: int
    parent: int
    user: str
    name: str
    command: str
    state: str
    cpu: float
    """Percent of one core since the scan before."""
    memory: int
    """Resident bytes."""
    threads: int


@dataclass(frozen=True, slots=True)
class ProcessTable:
    """The processes of a node at one time."""

    time: int | None
    """Event time of the last sample in it; None: there is no full scan to start from."""
    rows: Sequence[Process]


class StreamStats(NamedTuple):
    """How much of one stream is stored."""

    rows: int
    oldest: int | None
    """Arrival time of the oldest row."""
    newest: int | None
    """Arrival time of the newest row."""


class LevelRows(NamedTuple):
    """How many log records of one level are stored."""

    level: str
    """The usual word of their severity; "" where the source said none."""
    rows: int
    estimated: bool


class Holder(NamedTuple):
    """A member of a role: who shares its work."""

    owner: str
    name: str
    """On which node, in which home."""
    parts: int
    """How many it holds, or held."""
    until: int
    """When its leases end unless it renews them, by the store's clock."""
    over: bool
    """Whether they have ended."""


class Sharing(NamedTuple):
    """Who has which part of a role's work."""

    parts: int
    holders: Sequence[Holder]
    unheld: int
    """Parts that nobody holds."""


@dataclass(frozen=True, slots=True)
class Stats:
    """The store in numbers."""

    streams: Mapping[str, StreamStats]
    nodes: int
    gaps: int
    quarantined: int
    """Batches in quarantine."""
    withheld: int
    bytes: int
    """Size of the files, write-ahead logs included."""
    free: int
    """Bytes of it that deleted rows left and new ones will use."""
    holds: int = 0
    held: Mapping[str, int] = field(default_factory=dict)
    """Records under a hold, by stream: of those looked at."""
    held_partial: bool = False
