"""What a sink holds in memory of each node, stream and epoch between two commits."""

from __future__ import annotations

from dataclasses import dataclass, field

from tabard.brokers.delivery.credit import Account
from tabard.brokers.delivery.ports import Entry, EpochCursor, EpochWork, Gap, NodeKey
from tabard.brokers.delivery.ranges import Ranges
from tabard.brokers.wire.messages import Beacon, Conflict, Want


@dataclass(eq=False)
class EpochBook:
    """One epoch: what is stored, what is received and not yet committed, what the node says it keeps."""

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
    agreed: int = 0
    """The highest sequence number of which node and store were seen to agree, while a conflict is sought."""

    @classmethod
    def of(cls, cursor: EpochCursor) -> EpochBook:
        """A book on what the store holds."""
        return cls(
            cursor,
            cursor.ranges.copy(),
            previous=cursor.previous,
            previous_last=cursor.previous_last,
            opened=cursor.opened,
            ended=cursor.ended,
        )

    @property
    def epoch(self) -> bytes:
        """The epoch's id."""
        return self.cursor.epoch

    @property
    def finished(self) -> bool:
        """Whether nothing more can come of it."""
        return self.ended is not None and not self.seen.holes(self.ended)

    def pending_digest(self, first: int) -> bytes | None:
        """The digest of the uncommitted batch that starts at `first`."""
        for entry in self.entries:
            if entry.batch.header.first == first:
                return entry.batch.digest
        return None

    def work(self, key: NodeKey, stream: int) -> EpochWork:
        """What the next commit writes for this epoch."""
        after = EpochCursor(
            self.cursor.epoch,
            self.cursor.version,
            self.seen.copy(),
            self.previous,
            self.previous_last,
            self.opened,
            self.ended,
        )
        return EpochWork(key, stream, after, self.entries, self.gaps)

    def committed(self, work: EpochWork) -> None:
        """The commit of `work` is durable."""
        self.cursor = work.cursor
        self.entries = []
        self.gaps = []
        self.changed = False


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
    heard: int = 0
    wants_left: int = 0
    asked: dict[tuple[bytes, int, int], int] = field(default_factory=dict)
    """Ranges asked for, with the number of the cursor message that asked."""
    searching: Want | None = None
    conflict: Conflict | None = None
    unacked: int = 0
    """Batches committed since the last cursor message."""

    @property
    def newest_book(self) -> EpochBook | None:
        """The book of the epoch the node writes now."""
        return self.epochs.get(self.newest) if self.newest is not None else None

    def dirty(self) -> list[EpochBook]:
        """The epochs that a commit must write."""
        return [book for book in self.epochs.values() if book.entries or book.gaps or book.changed]


@dataclass(eq=False)
class NodeBook:
    """One node within the current session."""

    key: NodeKey
    session: bytes
    beacon: Beacon
    heard: float
    number: int = 0
    confirmed: bool = False
    """Whether the node was seen to use this session."""
    tries: int = 0
    streams: dict[int, StreamBook] = field(default_factory=dict)
    due: float = float("inf")
    """When the next cursor message is to be sent."""
