"""The store on PostgreSQL: two schemas, each with its own cursors and its own connection.

Several recorders may write one store. What keeps them apart is each cursor's compare-and-set, in the transaction of
its rows; the places of records are unique within a day only.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Self

import psycopg2

from tabard.brokers.delivery.ports import CursorConflict, Entry, EpochWork
from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store.commit import Ids
from tabard.consumers.store.layout import FILES, ROW_TABLES, FileKind
from tabard.consumers.store.parts import PartedStore
from tabard.consumers.store.postgresql import lines, partitions, schema
from tabard.consumers.store.postgresql.packing import REFUSALS
from tabard.consumers.store.postgresql.server import Password, Server
from tabard.consumers.store.postgresql.texts import texts
from tabard.consumers.store.postgresql.writer import PostgresWriter
from tabard.consumers.store.rows import Malformed, Suspicious
from tabard.consumers.store.writing import Writer
from tabard.errors import WireError


class _Part:
    """One schema with what is remembered of it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.ids = Ids()
        self.days: set[tuple[str, int]] = set()
        """Partitions known to be there: table and day."""

    @contextlib.contextmanager
    def writing(self, *, changes: bool = False) -> Iterator[PostgresWriter]:
        """What writes it; every failure ends its transaction, drops the numbers, and becomes a refusal to go on.

        Only a success that `changes` something ends a fault: a full disk can still be read.
        """
        try:
            yield PostgresWriter(self.server, texts(self.server.kind))
            if changes:
                self.server.fault = None
        except (psycopg2.Error, OSError, WireError) as error:
            self._forget()
            raise self.server.failed(error) from error
        except BaseException:
            self._forget()
            self.server.rollback()
            raise

    @contextlib.contextmanager
    def lightly(self) -> Iterator[PostgresWriter]:
        """Without a wait for the server's disk."""
        with self.writing() as writer:
            writer.begin()
            writer.run("SET LOCAL synchronous_commit = off", ())
            yield writer
            writer.commit()

    @property
    def kind(self) -> FileKind:
        """Which of the two."""
        return self.server.kind

    def before_commit(self, work: Sequence[EpochWork], arrived: int) -> None:
        """See that rows that arrive now have a partition, and are ready.

        A recorder that makes rows within its transaction is idle to the server, and may not be for `IDLE_SECONDS`.
        Raises CursorConflict as `refuse_replaced`, psycopg2.Error.
        """
        self._refuse_noticed()
        for item in work:
            for entry in item.entries:
                prepare(item.stream, entry, arrived)
        day = partitions.day_of(arrived)
        for stream in sorted({item.stream for item in work}):
            place = (ROW_TABLES[stream], day)
            if place not in self.days:
                partitions.ensure(self.server.connection, *place)
                self.days.add(place)

    def refuse_replaced(self) -> None:
        """Raise CursorConflict, once, when other tables were put in place of these."""
        with self.writing():
            self.server.look()
            self._refuse_noticed()

    def _refuse_noticed(self) -> None:
        if self.server.replaced:
            self.server.replaced = False
            raise CursorConflict(f"{self.server.where} was replaced by other tables")

    def after_commit(self, _work: Sequence[EpochWork], _stored: Counter[int]) -> None:
        """Nothing: the server counts."""

    def _forget(self) -> None:
        self.ids.forget()
        self.days.clear()


def prepare(stream: int, entry: Entry, arrived: int | None = None) -> None:
    """Make a batch ready for COPY as far as it can be by now; one that has to be looked at closely stays as it is."""
    if stream == LOGS and entry.made is None and entry.groups:
        with contextlib.suppress(lines.Undated, Malformed, Suspicious, *REFUSALS):
            entry.made = lines.prepare(entry, arrived)


class PostgresStore(PartedStore[_Part]):
    """A sink's database on a server. Not for several threads at once."""

    def __init__(self, url: str, synchronous: str = "full", password: Password = "") -> None:
        super().__init__([_Part(Server(kind, url, synchronous, password)) for kind in FILES])

    @classmethod
    def open(cls, url: str, synchronous: str = "full", password: Password = "") -> Self:
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

    def close(self) -> None:
        """Close the connections."""
        for part in self._parts:
            part.server.close()

    def prepare(self, stream: int, entry: Entry) -> None:
        """Make a batch ready that has come in."""
        prepare(stream, entry)

    @property
    def fault(self) -> str | None:
        """Why the store cannot be written, as of the last try; None when all is well."""
        return next((part.server.fault for part in self._parts if part.server.fault), None)

    def _now(self, writer: Writer) -> int:
        """The server's: those of two recorders' hosts differ."""
        row = writer.one("SELECT (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint", ())
        return int(row[0]) if row else 0

    def idle(self) -> None:
        """Nothing: the server looks after itself."""

    @contextlib.contextmanager
    def guarded(self, kind: FileKind) -> Iterator[PostgresWriter]:
        """What writes one part, between two commits. Raises StoreUnavailable."""
        with self._of_kind(kind).writing(changes=True) as writer:
            yield writer

    def forget_numbers(self, kind: FileKind) -> None:
        """Look numbers up anew: some epochs are not there any more."""
        self._of_kind(kind).ids.forget()

    def forget_days(self, kind: FileKind) -> None:
        """Look anew which partitions there are: some are not there any more."""
        self._of_kind(kind).days.clear()
