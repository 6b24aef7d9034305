"""What one transaction asks of an engine: the few things that SQLite and PostgreSQL do in different ways.

`Commit` decides what is written and in which order, for every engine alike; a `Writer` knows the connection, the
driver's errors, and the fastest way of many rows into a table.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from tabard.brokers.delivery.leases import Lease
from tabard.brokers.delivery.ports import Entry
from tabard.consumers.store.lease_statements import LeaseStatements
from tabard.consumers.store.sink_statements import SinkStatements
from tabard.consumers.store.statements import DeploymentStatements, PresenceStatements, Statements


class Made(NamedTuple):
    """A batch made ready for its table."""

    rows: int
    """How many it becomes."""
    size: int
    """Bytes that count against the limit of their stream."""
    parts: Any
    """In whatever form the engine takes them."""
    configurations: Sequence[Any] = ()
    """Those of its log records that say with which configuration a service runs."""


class Locked(NamedTuple):
    """Rows of `lease`, kept as they are until the end of the transaction."""

    found: Mapping[int, Lease]
    """By part."""
    skipped: Collection[int]
    """Parts whose rows somebody else keeps just now."""


class Writer(Protocol):
    """The writing side of one file or schema. Its errors are the driver's own."""

    statements: Statements
    deployments: DeploymentStatements
    presence: PresenceStatements
    leases: LeaseStatements
    sinks: SinkStatements
    refusals: tuple[type[Exception], ...]
    """How driver and database refuse a row, as against failing themselves."""

    def begin(self) -> None:
        """Begin the transaction."""

    def commit(self) -> None:
        """End it; it is durable then."""

    def rollback(self) -> None:
        """End it without effect, if there is one."""

    def part(self) -> AbstractContextManager[None]:
        """A part of the transaction: what it wrote is undone when one of `refusals` leaves it."""

    def one(self, text: str, values: Sequence[Any]) -> Sequence[Any] | None:
        """The first row that a statement answers, None when it answers none."""

    def all(self, text: str, values: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """Every row that a statement answers."""

    def run(self, text: str, values: Sequence[Any]) -> int:
        """Run a statement; how many rows it changed."""

    def lock_leases(self, role: str, parts: Sequence[int], *, claiming: bool) -> Locked:
        """Keep leases as they are until the transaction ends.

        To write under them, with others who do, waiting for whoever takes one just then; or `claiming` them, alone,
        leaving out what somebody writes under.
        """

    def set_cursors(self, changed: Sequence[Sequence[Any]]) -> int:
        """Run `set_epoch` for each; how many cursors were the ones they had to be."""

    def make(
        self, stream: int, entry: Entry, node_id: int, epoch_id: int, arrived: int, *, careful: bool
    ) -> Made:
        """Make a batch ready; a careful one normalises every record first.

        Raises:
            Malformed: what it holds cannot become rows.
            Suspicious, or one of `refusals`: it has to be made carefully.
        """

    def insert(self, stream: int, made: Sequence[Made]) -> None:
        """Write batches in their order. Raises one of `refusals` when the database does not take a row."""

    def expect(self, stream: int, table: str) -> None:
        """Before rows of a stream are added to a table beside it, gap or quarantine: see to it that readers meet them all."""

    def add_batches(self, rows: Sequence[Sequence[Any]]) -> None:
        """Run `add_batch` for each."""

    def add_policed(self, attestations: Sequence[Sequence[Any]], stubs: Sequence[Sequence[Any]]) -> None:
        """Run `add_attestation` and `add_withheld` for each of their rows."""

    def count(self, stream: int, rows: int, size: int) -> None:
        """Keep the totals that retention and statistics would otherwise have to count."""
