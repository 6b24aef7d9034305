"""What a sink holds in memory of each node, stream and epoch between two commits.

A node that was restored to an older state while it ran writes an epoch a second time: one name, two
histories. The store keeps each as an epoch of its own, the first under the name that the node gave it,
the next under a name derived from that (`forked_id`). What both begin with stays where it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from tabard.brokers.delivery.credit import Account
from tabard.brokers.delivery.ports import Claim, Entry, EpochCursor, EpochWork, Gap, Heard, NodeKey
from tabard.brokers.delivery.ranges import UNKNOWN, Range, Ranges
from tabard.brokers.wire.batch import EPOCH_BYTES
from tabard.brokers.wire.messages import Beacon, Envelope
from tabard.brokers.wire.topics import shard_of
from tabard.digests import digest

MOST_IGNORED = 3
"""Beacons of a node that was answered and does not use the session, after which it gets another one."""


def forked_id(stored_as: bytes) -> bytes:
    """The name under which the store keeps the next history of the epoch that it knows as `stored_as`."""
    return digest(b"fork" + stored_as)[:EPOCH_BYTES]


@dataclass(eq=False)
class EpochBook:
    """One epoch: what is stored, what is received and not yet committed, what the node says it keeps."""

    epoch: bytes
    """The name that the node gave it; `cursor.epoch` is the one it is stored under."""
    cursor: EpochCursor
    """As committed."""
    seen: Ranges
    """Committed or pending."""
    entries: list[Entry] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    previous: bytes | None = None
    previous_last: int = 0
    opened: bool = False
    ended: int | None = None
    changed: bool = False
    oldest: int = 1
    """The first sequence number the node still keeps, by its last beacon."""
    last: int = 0
    """The last one it has, by its last beacon."""
    said: list[tuple[int, int]] = field(default_factory=list)
    """Of an epoch with holes, what the store says already to be lost or skipped: asked for again, it may still come."""
    past: tuple[EpochBook, ...] = ()
    """Earlier histories of the epoch, the first one first; nothing more is stored there."""
    committing: tuple[Entry, ...] = ()
    """What a commit is writing just now."""
    aside: int = 0
    """Bytes that went to quarantine because their key was taken back."""

    @classmethod
    def of(cls, epoch: bytes, cursor: EpochCursor, past: tuple[EpochBook, ...] = ()) -> EpochBook:
        """A book on what the store holds of `epoch`."""
        return cls(
            epoch,
            cursor,
            cursor.ranges.copy(),
            previous=cursor.previous,
            previous_last=cursor.previous_last,
            opened=cursor.opened,
            ended=cursor.ended,
            past=past,
        )

    @property
    def stored_as(self) -> bytes:
        """The name it is stored under."""
        return self.cursor.epoch

    def fork(self) -> EpochBook:
        """The book on the epoch's next history: nothing is stored of what the node keeps.

        This one ends, with what is pending in it.
        """
        self.ended = self.seen.solid
        self.changed = True
        below = self.oldest - 1
        kept = [
            Range(item.lo, min(item.hi, below), UNKNOWN, UNKNOWN) for item in self.seen if item.lo <= below
        ]
        return EpochBook(
            self.epoch,
            EpochCursor(forked_id(self.stored_as), 0, Ranges()),
            Ranges(kept),
            previous=self.stored_as,
            previous_last=below,
            opened=self.opened,
            changed=True,
            oldest=self.oldest,
            last=self.last,
            past=(*self.past, self),
            aside=self.aside,
        )

    def unsaid(self, lo: int, hi: int) -> list[tuple[int, int]]:
        """The parts of `lo` to `hi` that are missing, that no earlier history holds either, and of which nothing is said."""
        holes = (
            Ranges(Range(a, b, UNKNOWN, UNKNOWN) for a, b in self.said).holes(hi, lo)
            if self.said
            else [(lo, hi)]
        )
        holes = [part for start, end in holes for part in self.seen.holes(end, start)]
        for book in self.past:
            holes = [part for start, end in holes for part in book.seen.holes(end, start)]
        return holes

    @property
    def finished(self) -> bool:
        """Whether nothing more can come of it."""
        return self.ended is not None and not self.seen.holes(self.ended)

    def known_digest(self, last: int) -> bytes | None:
        """The digest of the batch that ends at `last`, as far as it is known without the store."""
        around = self.seen.covering(last)
        if around is not None and around.hi == last and around.after:
            return around.after
        pending = (*self.committing, *self.entries)
        return next((entry.batch.digest for entry in pending if entry.batch.header.last == last), None)

    @property
    def dirty(self) -> bool:
        """Whether there is something for the next commit."""
        return bool(self.entries or self.gaps or self.changed)

    def begin(self, key: NodeKey, stream: int, claim: Claim | None) -> EpochWork:
        """Hand out what the next commit writes for this epoch; what is received from now on is for the one after."""
        after = EpochCursor(
            self.cursor.epoch,
            self.cursor.version,
            self.seen.copy(),
            self.previous,
            self.previous_last,
            self.opened,
            self.ended,
        )
        work = EpochWork(key, stream, after, self.entries, self.gaps, fills=bool(self.said), claim=claim)
        self.committing = tuple(self.entries)
        self.entries = []
        self.gaps = []
        self.changed = False
        return work

    def committed(self, work: EpochWork) -> None:
        """The commit of `work` is durable."""
        self.cursor = work.cursor
        self.committing = ()


@dataclass(eq=False)
class StreamBook:
    """One stream of a node within the current session."""

    stream: int
    account: Account
    epochs: dict[bytes, EpochBook] = field(default_factory=dict)
    newest: bytes | None = None
    """The epoch the node writes now."""
    listed: tuple[bytes, ...] = ()
    """The epochs that the last beacon named."""
    live: tuple[bytes, int] | None = None
    node_live: int = 0
    """The next sequence number the node sends unasked, by its last beacon."""
    heard: Heard | None = None
    """What the store knew of it at the beginning of the session; None in a sink that wants all there is."""
    begins: bool = False
    """Whether the sink heard of it for the first time in this session, and wants what is new only."""
    own: Collection[bytes] = ()
    """Digests of which the node says that they are of batches of its own; see `tabard.brokers.delivery.lately`."""
    asked: dict[tuple[bytes, int, int], int] = field(default_factory=dict)
    """Ranges asked for, with the number of the cursor message that asked."""
    unacked: int = 0
    """Batches committed since the last cursor message."""

    @property
    def newest_book(self) -> EpochBook | None:
        """The book of the epoch the node writes now."""
        return self.epochs.get(self.newest) if self.newest is not None else None

    def answered(self, envelope: Envelope) -> None:
        """Where nothing is left to be sent, all that was asked for in what the node heard so far was."""
        if envelope.wants or not self.asked:
            return
        self.asked = {want: number for want, number in self.asked.items() if number > envelope.heard}

    def books(self) -> Iterator[EpochBook]:
        """Every history of every epoch, an earlier one before a later one."""
        for book in self.epochs.values():
            yield from book.past
            yield book

    def dirty(self) -> list[EpochBook]:
        """What a commit must write."""
        return [book for book in self.books() if book.dirty]


@dataclass(eq=False)
class NodeBook:
    """One node within the current session."""

    key: NodeKey
    session: bytes
    beacon: Beacon
    disputed: frozenset[tuple[int, bytes]] = frozenset()
    """(stream, epoch) whose other history the session before this one ran into: each forks at the first beacon."""
    number: int = 0
    confirmed: bool = False
    """Whether the node was seen to use this session."""
    ignored: int = 0
    """Beacons in which it still did not use this session."""
    tries: int = 0
    streams: dict[int, StreamBook] = field(default_factory=dict)
    due: float = float("inf")
    """When the next cursor message is to be sent."""
    credentials: bytes = b""
    """What its beacons are believed by."""
    shard: int = 0

    def __post_init__(self) -> None:
        self.shard = shard_of(self.key.node)

    def heard_more(self, envelope: Envelope) -> bool:
        """Whether the node heard, in this session, what this sink has not said: it is the sink that was put back."""
        return envelope.heard > self.number

    def restarted(self, beacon: Beacon) -> bool:
        """Whether the node does not use this session any more, or never will.

        One that used it is another process now. One that still does not, after so many answers, may have heard
        another recorder of this sink in between, and refuses what came before that for ever.
        """
        if all(part.envelope.session == self.session for part in beacon.streams):
            return False
        self.ignored += bool(self.number)
        return self.confirmed or self.ignored > MOST_IGNORED
