"""A store in parts, each with its own cursors and its own transactions: what the delivery core asks, for every engine.

Streams that lie in different parts are committed one after another; that one of them fails leaves the others stored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from tabard.brokers.delivery.leases import Role
from tabard.brokers.delivery.ports import (
    CursorConflict,
    Entry,
    EpochCursor,
    EpochWork,
    Heard,
    LeaseLost,
    NodeKey,
    Presence,
    StoreUnavailable,
)
from tabard.consumers.store import asking, backfills, sinks
from tabard.consumers.store.backfills import Backfill, Hole, Wanted
from tabard.consumers.store.commit import Commit, Ids
from tabard.consumers.store.layout import FILES, RECORDS, STATE, FileKind
from tabard.consumers.store.leases import StoreLeases
from tabard.consumers.store.presence import note_presence
from tabard.consumers.store.sink_results import Owned
from tabard.consumers.store.writing import Writer


class Part(Protocol):
    """One file or schema, and what is remembered of it."""

    @property
    def kind(self) -> FileKind:
        """Which one."""

    @property
    def ids(self) -> Ids:
        """Its numbers for nodes and epochs."""

    def writing(self, *, changes: bool = False) -> AbstractContextManager[Writer]:
        """What writes it; every failure ends its transaction, drops the numbers, and becomes a refusal to go on.

        Only a success that `changes` something ends a fault: a full disk can still be read.
        """

    def lightly(self) -> AbstractContextManager[Writer]:
        """A transaction of its own that a power cut may take back; otherwise as `writing`."""

    def refuse_replaced(self) -> None:
        """Raise CursorConflict, once, when another store was put in place of this one."""

    def before_commit(self, work: Sequence[EpochWork], arrived: int) -> None:
        """What has to be there first. Raises CursorConflict, and the driver's errors."""

    def after_commit(self, work: Sequence[EpochWork], stored: Counter[int]) -> None:
        """Note what was stored: rows by stream."""


P = TypeVar("P", bound=Part)


class PartedStore(ABC, Generic[P]):
    """A sink's database, as `SinkStore` asks for it; `parts` are in the order of `layout.FILES`.

    Not for several threads at once.
    """

    def __init__(self, parts: Sequence[P]) -> None:
        self._parts = list(parts)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Close all parts."""

    def load(self, key: NodeKey, stream: int, epochs: Sequence[bytes]) -> dict[bytes, EpochCursor]:
        """The cursors of those `epochs` that the store knows. Raises StoreUnavailable."""
        with self._of(stream).writing() as writer:
            return asking.load(writer, key, stream, epochs)

    def unfinished(self, key: NodeKey, stream: int) -> list[EpochCursor]:
        """The cursors whose end is unknown or not reached, oldest first. Raises StoreUnavailable."""
        with self._of(stream).writing() as writer:
            return asking.unfinished(writer, key, stream)

    def digest(self, key: NodeKey, stream: int, epoch: bytes, last: int) -> bytes | None:
        """The digest of the stored or quarantined batch that ends at `last`. Raises StoreUnavailable.

        None when there is none, or retention has removed its header.
        """
        with self._of(stream).writing() as writer:
            return asking.batch_digest(writer, key, stream, epoch, last)

    def spans(self, key: NodeKey, stream: int, epoch: bytes, seq: int) -> bool:
        """Whether one batch whose header is kept holds both `seq` and what follows it. Raises StoreUnavailable."""
        with self._of(stream).writing() as writer:
            return asking.spans(writer, key, stream, epoch, seq)

    def commit(self, work: Sequence[EpochWork], arrived: int) -> None:
        """Write `work`: one transaction for each part, as `SinkStore.commit` says.

        Raises:
            LeaseLost: somebody else holds some of the shards; what is of others is written.
            CursorConflict: a cursor was changed by somebody else.
            StoreUnavailable: try again later, after reading the cursors.
        """
        self._refuse_writing()
        failure: CursorConflict | StoreUnavailable | None = None
        lost: frozenset[int] = frozenset()
        for part in self._parts:
            try:
                lost |= self._commit(
                    part, [item for item in work if item.stream in part.kind.streams], arrived
                )
            except (CursorConflict, StoreUnavailable) as error:
                failure = failure or error
        if failure is not None:
            raise failure
        if lost:
            raise LeaseLost(lost)

    @staticmethod
    def _commit(part: P, items: Sequence[EpochWork], arrived: int) -> frozenset[int]:
        """One transaction of a part; where shards are lost, another one without them. Which ones are."""
        lost: frozenset[int] = frozenset()
        while items:
            try:
                with part.writing(changes=True) as writer:
                    part.before_commit(items, arrived)
                    commit = Commit(writer, part.ids, arrived)
                    commit.run(items)
                    part.after_commit(items, commit.stored)
            except LeaseLost as refused:
                lost |= refused.parts
                items = [item for item in items if item.claim is None or item.claim.part not in lost]
            else:
                for item in items:
                    item.cursor.version += 1
                break
        return lost

    def heard(self, key: NodeKey, stream: int) -> Heard:
        """Whether a stream of a node was ever heard of, and what of it was skipped. Raises StoreUnavailable."""
        with self._of(stream).writing() as writer:
            return sinks.heard(writer, key, stream)

    def said(self, key: NodeKey, stream: int, epoch: bytes) -> list[tuple[int, int]]:
        """What of an epoch is said to be lost, exactly, or was skipped. Raises StoreUnavailable."""
        with self._of(stream).writing() as writer:
            return sinks.said(writer, key, stream, epoch)

    def own(self, sink: str, began: int, where: str) -> Owned:
        """Say whose store it is, unless somebody did. Raises ForeignStore, StoreUnavailable."""
        owned = []
        for part in self._parts:
            with part.writing(changes=True) as writer:
                owned.append(sinks.own(writer, sink, began, where))
        return owned[FILES.index(STATE)]

    def owned(self) -> Owned | None:
        """What it says of its sink; None when no recorder has opened it. Raises StoreUnavailable."""
        with self._of_kind(STATE).writing() as writer:
            return sinks.find(writer)

    def signed(self) -> bool:
        """Whether something that is stored was signed. Raises StoreUnavailable."""
        for part in self._parts:
            with part.writing() as writer:
                if writer.one(writer.statements.any_signer, ()) is not None:
                    return True
        return False

    def ask_again(self, node: str | None, zone: str | None, who: str, now: int) -> list[Wanted]:
        """Ask for what was lost or skipped, of one node, a zone or all; see `backfills.ask`. Raises StoreUnavailable."""
        wanted = []
        for part in self._parts:
            with part.writing(changes=True) as writer:
                wanted += backfills.ask(writer, node, zone, who, now)
        return wanted

    def backfills(self) -> list[Backfill]:
        """What is asked for and not over. Raises StoreUnavailable."""
        found = []
        for part in self._parts:
            with part.writing() as writer:
                found += backfills.waiting(writer)
        return found

    def opened(self, backfill: Backfill) -> list[Hole]:
        """What of a backfill was opened and is neither filled nor closed again. Raises StoreUnavailable, CursorConflict."""
        with self._of(backfill.stream).writing() as writer:
            return backfills.opened(writer, backfill)

    def reopen(self, backfill: Backfill) -> int | None:
        """Open the next few ranges; how many, None when all were asked for. Raises StoreUnavailable, CursorConflict."""
        self._refuse_writing()
        with self._of(backfill.stream).writing(changes=True) as writer:
            return backfills.reopen(writer, backfill)

    def settle_backfill(self, backfill: Backfill, ended: int | None) -> None:
        """Count what has come by now; with `ended` it is over. Raises StoreUnavailable."""
        with self._of(backfill.stream).writing(changes=True) as writer:
            backfills.settle(writer, backfill, ended)

    def retire(self, who: str | None, when: int | None) -> None:
        """Note that its sink is retired, or with None that it is not any more. Raises StoreUnavailable."""
        for part in self._parts:
            with part.writing(changes=True) as writer:
                sinks.retire(writer, who, when)

    def leases(self, role: Role) -> StoreLeases:
        """The leases of a role."""
        state = self._of_kind(STATE)
        return StoreLeases(role, state, [part for part in self._parts if part is not state], self._now)

    @abstractmethod
    def _now(self, writer: Writer) -> int:
        """The store's clock, nanoseconds since 1970: one for all who share it."""

    def prepare(self, stream: int, entry: Entry) -> None:
        """Make a batch that has come in ready for its commit, where that is worth something."""

    def presence(self, beacons: Sequence[Presence]) -> None:
        """Note who was heard, and count beacons per minute.

        Also how a part that is seldom written is found to be replaced. Raises StoreUnavailable, CursorConflict.
        """
        if not beacons:
            return
        self._refuse_writing()
        for each in self._parts:
            each.refuse_replaced()
        part = self._of_kind(RECORDS)
        with part.writing() as writer:
            note_presence(writer, part.ids, beacons)

    def _refuse_writing(self) -> None:
        """Raise StoreUnavailable while nothing but deletions may be written."""

    def _of(self, stream: int) -> P:
        return next(part for part in self._parts if stream in part.kind.streams)

    def _of_kind(self, kind: FileKind) -> P:
        return self._parts[FILES.index(kind)]
