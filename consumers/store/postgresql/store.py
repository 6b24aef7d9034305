"""The store on PostgreSQL: two schemas, each with its own cursors and its own connection.

Several recorders may write one store. What keeps them apart is each cursor's compare-and-set, in the transaction of
its rows; the places of records are unique within a day only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

import psycopg2

from tabard.brokers.delivery.ports import (
    CursorConflict,
    EpochCursor,
    EpochWork,
    NodeKey,
    Presence,
    StoreUnavailable,
)
from tabard.consumers.store import asking
from tabard.consumers.store.commit import Commit, Ids
from tabard.consumers.store.layout import FILES, RECORDS, ROW_TABLES, FileKind
from tabard.consumers.store.postgresql import partitions, schema
from tabard.consumers.store.postgresql.server import Server
from tabard.consumers.store.postgresql.texts import texts
from tabard.consumers.store.postgresql.writer import PostgresWriter
from tabard.consumers.store.presence import note_presence
from tabard.errors import WireError


class _Part:
    """One schema with what is remembered of it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.ids = Ids()
        self.days: set[tuple[str, int]] = set()
        """Partitions known to be there: table and day."""

    @contextlib.contextmanager
    def guarded(self, *, writes: bool = False) -> Iterator[PostgresWriter]:
        """What writes it; every failure ends its transaction, drops the numbers, and becomes a refusal to go on.

        Only a success that `writes` ends a fault: a full disk can still be read.
        """
        try:
            yield PostgresWriter(self.server, texts(self.server.kind))
            if writes:
                self.server.fault = None
        except (psycopg2.Error, OSError, WireError) as error:
            self._forget()
            raise self.server.failed(error) from error
        except BaseException:
            self._forget()
            self.server.rollback()
            raise

    def ensure(self, streams: set[int], arrived: int) -> None:
        """See that rows of these streams that arrive now have a partition. Raises psycopg2.Error."""
        day = partitions.day_of(arrived)
        for stream in sorted(streams):
            place = (ROW_TABLES[stream], day)
            if place not in self.days:
                partitions.ensure(self.server.connection, *place)
                self.days.add(place)

    def _forget(self) -> None:
        self.ids.forget()
        self.days.clear()


class PostgresStore:
    """A sink's database, as `SinkStore` asks for it. Not for several threads at once."""

    def __init__(self, url: str, synchronous: str = "full", password: str = "") -> None:
        self._parts = [_Part(Server(kind, url, synchronous, password)) for kind in FILES]

    @classmethod
    def open(cls, url: str, synchronous: str = "full", password: str = "") -> Self:
        """Open the store at `url`, and make its tables if there are none.

        `synchronous` is ``full`` (a commit survives a power cut of the server) or ``normal``.

        Raises:
            StoreError: the server cannot be reached or refuses, or the tables are of another version.
        """
        schema.upgrade(url, password, only_new=True)
        store = cls(url, synchronous, password)
        try:
            for part in store._parts:
                part.server.open()
        except BaseException:
            store.close()
            raise
        return store

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        for part in self._parts:
            part.server.close()

    @property
    def fault(self) -> str | None:
        """Why the store cannot be written, as of the last try; None when all is well."""
        return next((part.server.fault for part in self._parts if part.server.fault), None)

    def idle(self) -> None:
        """Nothing: the server looks after itself."""

    @contextlib.contextmanager
    def guarded(self, kind: FileKind) -> Iterator[PostgresWriter]:
        """What writes one part, between two commits. Raises StoreUnavailable."""
        with self._of_kind(kind).guarded(writes=True) as writer:
            yield writer

    def forget_days(self, kind: FileKind) -> None:
        """Look anew which partitions there are: some are not there any more."""
        self._of_kind(kind).days.clear()

    # --- what the delivery core asks ------------------------------------------------------------------

    def load(self, key: NodeKey, stream: int, epochs: Sequence[bytes]) -> dict[bytes, EpochCursor]:
        """The cursors of those `epochs` that the store knows. Raises StoreUnavailable."""
        with self._of(stream).guarded() as writer:
            return asking.load(writer, key, stream, epochs)

    def unfinished(self, key: NodeKey, stream: int) -> list[EpochCursor]:
        """The cursors whose end is unknown or not reached, oldest first. Raises StoreUnavailable."""
        with self._of(stream).guarded() as writer:
            return asking.unfinished(writer, key, stream)

    def digest(self, key: NodeKey, stream: int, epoch: bytes, last: int) -> bytes | None:
        """The digest of the stored or quarantined batch that ends at `last`. Raises StoreUnavailable.

        None when there is none, or retention has removed its header.
        """
        with self._of(stream).guarded() as writer:
            return asking.batch_digest(writer, key, stream, epoch, last)

    def commit(self, work: Sequence[EpochWork], arrived: int) -> None:
        """Write `work`: one transaction for each schema, as `SinkStore.commit` says.

        Raises:
            CursorConflict: a cursor was changed by somebody else.
            StoreUnavailable: try again later, after reading the cursors.
        """
        failure: CursorConflict | StoreUnavailable | None = None
        for part in self._parts:
            items = [item for item in work if item.stream in part.server.kind.streams]
            if not items:
                continue
            try:
                with part.guarded(writes=True) as writer:
                    part.ensure({item.stream for item in items}, arrived)
                    Commit(writer, part.ids, arrived).run(items)
            except (CursorConflict, StoreUnavailable) as error:
                failure = failure or error
            else:
                for item in items:
                    item.cursor.version += 1
        if failure is not None:
            raise failure

    def presence(self, beacons: Sequence[Presence]) -> None:
        """Note who was heard, and count beacons per minute. Raises StoreUnavailable."""
        if not beacons:
            return
        part = self._of_kind(RECORDS)
        with part.guarded() as writer:
            note_presence(writer, part.ids, beacons)

    def _of(self, stream: int) -> _Part:
        return next(part for part in self._parts if stream in part.server.kind.streams)

    def _of_kind(self, kind: FileKind) -> _Part:
        return self._parts[FILES.index(kind)]
