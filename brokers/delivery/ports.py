"""What the delivery core asks of the store and of the journal.

The core is pure; these are its only ways to the outside. Each has production implementations
(`consumers.store`, `agents.journal`), and the simulation drives those same classes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from tabard.brokers.delivery.ranges import Ranges
from tabard.brokers.wire.batch import Batch

# --- the sink's side ---------------------------------------------------------------------------


class CursorConflict(Exception):
    """Raised when a cursor in the store is not the one the work was based on.

    Nothing was written. The caller drops what it holds, reads the cursors again and opens a new session.
    """


class StoreUnavailable(Exception):
    """Raised when the store cannot be written now (locked, full, read-only, away).

    Nothing was written, or it cannot be known: the caller reads the cursors again before it goes on.
    """


class LeaseLost(CursorConflict):
    """Raised when somebody else holds some of the shards that a commit writes.

    Of those nothing was written where they are lost, and everything of the others. The caller drops what it holds of
    the lost ones.
    """

    def __init__(self, parts: Collection[int]) -> None:
        super().__init__(f"shards {', '.join(map(str, sorted(parts)))} are held by another recorder")
        self.parts = frozenset(parts)


class Claim(NamedTuple):
    """A lease as its holder knows it. A commit under it counts only while the store's row says the same."""

    part: int
    """Of a recorder, a shard."""
    owner: str
    fence: int
    """One higher each time that the lease changes hands: whoever held it before is told apart by it."""


class NodeKey(NamedTuple):
    """Whose records: a node's name is a label within its zone path."""

    node: str
    zone: str


@dataclass(slots=True)
class EpochCursor:
    """What a sink has stored of one epoch of one stream of one node."""

    epoch: bytes
    version: int
    """Counts the commits of this cursor, for compare-and-set; 0 = not in the store yet."""
    ranges: Ranges
    previous: bytes | None = None
    """The epoch before it, None when its first record is not stored yet or names none."""
    previous_last: int = 0
    opened: bool = False
    """Whether its first record (OPEN) is stored, so that `previous` is known."""
    ended: int | None = None
    """The last sequence number it will ever have; None while that is not known."""


class Gap(NamedTuple):
    """A loss, or what cannot be decided, stored where the records would stand."""

    epoch: bytes | None
    first: int
    last: int | None
    """None: the end is unknown."""
    count: int  # type: ignore[assignment]  # the field, not tuple.count
    at_least: bool
    kind: str
    """``gap`` (records are lost), ``doubt`` (one side was rolled back; `detail` says what is undecided) or ``skipped``
    (no loss: the sink was to begin with what is new)."""
    reason: str
    detail: str = ""


class Attested(NamedTuple):
    """The word of a boundary that it withheld or redacted something of a batch, as its policy says."""

    zone: str
    """Whose boundary."""
    policy: str
    """ID@NUMBER."""
    broker: str
    document: bytes
    """The policy, signed by the authority of the zone."""
    proof: bytes
    """The attestation as it came: whoever has the header can verify it again."""


class Withheld(NamedTuple):
    """Records that a policy withheld: in their place nothing comes, and it is no loss."""

    first: int
    count: int  # type: ignore[assignment]  # the field, not tuple.count
    policy: str
    """ID@NUMBER."""


class Admitted(NamedTuple):
    """A batch that is believed, with what became of its body on the way."""

    batch: Batch
    body: bytes
    """What is left of its body: all of it, where nobody changed it."""
    attested: tuple[Attested, ...] = ()
    """By whom it was changed, outermost last."""
    withdrawn: bool = False
    """Whether its key was taken back since: it is to be set aside, if the key that its node has now vouches for it."""
    word: bytes = b""
    """What the key of now said to that, not verified; see `tabard.brokers.delivery.seal.signed`."""
    vouched: bool = False
    """Whether its key is not known, as after a root was lost: it is believed only if the key that its node has now vouches for it."""
    voucher: bytes = b""
    """The credentials of that key, once they do."""


@dataclass(slots=True)
class Entry:
    """One batch to store. `groups` is None when it is quarantined for `poison`, or carries no rows."""

    batch: Batch
    groups: Sequence[Any] | None = None
    """Decoded body groups ``(source, mark, origin, records)``: the records that are there."""
    poison: str | None = None
    lost: bool = False
    """Whether its records count as lost although its bytes are kept: a gap says so, and goes on saying it."""
    made: Any = None
    """What the store has made of the groups when the batch came in; None: it does that when it commits."""
    proof: bytes = b""
    """Of an opening by another key than the epoch before it had: the encoded `tabard.brokers.wire.rotation.Proof`."""
    signer: bytes = b""
    """Credentials of the key that signed it, when they are to be kept now; see `tabard.brokers.wire.credentials`."""
    signer_id: bytes = b""
    """Under which name: the id of that key, or of credentials of a key that vouched their digest."""
    voucher: bytes = b""
    """Credentials of the key that vouched for it, where its own is not known."""
    attested: tuple[Attested, ...] = ()
    """By whom the body was changed on the way, outermost last."""
    withheld: tuple[Withheld, ...] = ()
    """What of the range is not there, in order; neighbours under one policy are one."""
    seqs: tuple[int, ...] | None = None
    """The sequence numbers of the records that are there, in order; None: all of the header's range."""

    @property
    def count(self) -> int:
        """How many records are there."""
        return self.batch.header.count if self.seqs is None else len(self.seqs)

    def runs(self) -> Iterator[tuple[int, Any, Sequence[Any]]]:
        """First sequence number, origin and records of each group, which is parted where some were withheld."""
        at = 0
        for _source, _mark, origin, records in self.groups or ():
            if self.seqs is None:
                yield self.batch.header.first + at, origin, records
            else:
                start = 0
                for end in range(1, len(records) + 1):
                    if end == len(records) or self.seqs[at + end] != self.seqs[at + end - 1] + 1:
                        yield self.seqs[at + start], origin, records[start:end]
                        start = end
            at += len(records)


@dataclass(slots=True)
class EpochWork:
    """All that one commit changes for one epoch; `cursor.version` is the version it is based on."""

    key: NodeKey
    stream: int
    cursor: EpochCursor
    """The state to be written (its `ranges` are those after the commit)."""
    entries: list[Entry] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    fills: bool = False
    """Whether records may come in the place of what is said to be lost or skipped, which is then said no more."""
    claim: Claim | None = None
    """The lease it is written under; None for whoever needs none, as a migration or a test."""


class Presence(NamedTuple):
    """What a beacon says, for the nodes page; coalesced, never part of the delivery guarantee."""

    key: NodeKey
    heard: int
    """Wall clock of the sink, nanoseconds."""
    wall: int
    """Wall clock of the node, nanoseconds."""
    interval: float
    """Seconds between beacons."""
    state: Mapping[str, Any]
    """Per stream name: `oldest` and `last` of the newest epoch, `behind` (records not stored yet), `epochs` kept;
    of the control stream `epoch` and `head` (digest of its last batch) too, hexadecimal."""
    facts: Mapping[str, Any]
    nonce: bytes | None = None
    """By which a message to the node shows that it is no old one."""


class Heard(NamedTuple):
    """What a store knows of one stream of a node before anything of it is looked up."""

    ever: bool
    """Whether any epoch of it was ever heard of."""
    skipped: Collection[bytes]
    """The epochs of which something was skipped, since the sink began with what was new."""


class SinkStore(Protocol):
    """A sink's database, as the delivery core needs it. One stream belongs to one file or partition."""

    def load(self, key: NodeKey, stream: int, epochs: Sequence[bytes]) -> dict[bytes, EpochCursor]:
        """The cursors of those `epochs` that the store knows. Raises StoreUnavailable."""
        ...

    def unfinished(self, key: NodeKey, stream: int) -> list[EpochCursor]:
        """The cursors whose end is unknown or not reached, oldest first. Raises StoreUnavailable."""
        ...

    def digest(self, key: NodeKey, stream: int, epoch: bytes, last: int) -> bytes | None:
        """The digest of the stored batch that ends at `last`, None when there is none. Raises StoreUnavailable."""
        ...

    def spans(self, key: NodeKey, stream: int, epoch: bytes, seq: int) -> bool:
        """Whether one stored batch is known to hold both `seq` and what follows it. Raises StoreUnavailable."""
        ...

    def heard(self, key: NodeKey, stream: int) -> Heard:
        """Whether a stream of a node was ever heard of, and what of it was skipped. Raises StoreUnavailable."""
        ...

    def said(self, key: NodeKey, stream: int, epoch: bytes) -> list[tuple[int, int]]:
        """Closed ranges of an epoch that are said to be lost, exactly, or were skipped: they need not be said again.

        Raises StoreUnavailable.
        """
        ...

    def commit(self, work: Sequence[EpochWork], arrived: int) -> None:
        """Write rows, batch headers, gaps, quarantine and cursors in one durable transaction.

        Each cursor is compared and set by its version; on success every ``cursor.version`` is one higher.
        Streams that live in different files are committed in separate transactions, each with its own
        cursors; a failure of one leaves the versions of its cursors untouched and raises after the
        others are done. Rows that the database refuses are normalised, then bisected, then quarantined.

        Raises:
            LeaseLost: somebody else holds some of the shards; what is of others is written, each file's in its transaction.
            CursorConflict: a cursor was changed by somebody else.
            StoreUnavailable: try again later, after reading the cursors.
        """
        ...

    def presence(self, beacons: Sequence[Presence]) -> None:
        """Note who was heard. Losing this loses no record.

        Raises StoreUnavailable; CursorConflict when another store is found in place of the one that was written.
        """
        ...


# --- the node's side ---------------------------------------------------------------------------


class EpochSpan(NamedTuple):
    """What a journal keeps of one epoch."""

    epoch: bytes
    oldest: int
    """The first sequence number still kept (as a record or inside a gap frame)."""
    last: int
    digest: bytes
    """Digest of the last batch."""


class StreamJournal(Protocol):
    """One stream's journal, as the publisher needs it."""

    stream: int

    def spans(self) -> Sequence[EpochSpan]:
        """The epochs kept, oldest first; the last one is the epoch being written, as of the last sync.

        Only what a power cut would leave is named here, and only that is published: a sink never holds
        what its node can lose. Cheap: called for every batch sent.
        """
        ...

    def read(self, epoch: bytes, seq: int) -> Batch | None:
        """The batch that holds `seq`, None when it is not kept (any more) or cannot be read."""
        ...

    def release(
        self, cursors: Mapping[bytes, Ranges], stops: Mapping[bytes, Collection[int]] | None = None
    ) -> None:
        """What every required sink has stored of each epoch kept; that may be dropped, oldest first.

        It may be less than the call before said, down to nothing: a sink can be restored or replaced.
        `stops` are the last sequence numbers of what any of them has stored: near them it may have more by now.
        """
        ...

    def renew(self, doubt: str) -> None:
        """End the epoch being written and begin another, whose first record says `doubt`.

        Raises JournalError; the next call tries again.
        """
        ...
