"""How the contract's tests handle one kind of store: what an engine has to provide.

A new engine joins the contract by one file of tests with

* a class with the methods of `Engine`, and those of `ReadingEngine`, `RetentionEngine` and `leasing.LeasingEngine` as far as it goes;
* a class that inherits `StorageContract`, `ReadingContract`, `RetentionContract`, `PolicingContract` and `LeasingContract`, with a fixture `engine` of
  scope ``class`` that yields it and closes what it made. Every test takes a store of its own;
* in that class one property test for each method of the contract whose name does not begin with ``test``. They
  are no tests of their own because an engine knows how many examples it can afford, and because Hypothesis wants
  a function for each class.

Nothing in the contract asks how many files, transactions or connections there are, what ids records get beyond their
order, or in what order a table is read that nobody sorted. It does ask that the engine passes the fail-points
``store.before_cursor``, ``store.before_rows``, ``store.before_commit``, ``store.after_commit`` and
``store.retention_chunk`` and ``store.lease_taken`` where `tabard.consumers.store` declares them, and turns what they raise into
StoreUnavailable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import pytest

from tabard import failpoints
from tabard.brokers.delivery.ports import EpochWork, SinkStore
from tabard.clock import Clock
from tabard.consumers.store.holds import Hold
from tabard.consumers.store.limits import RetentionLimits
from tabard.consumers.store.ports import StoreReader, Upkeep

S = TypeVar("S", bound=SinkStore)


class Engine(Protocol[S]):
    """What writing is tested with. Values are as SQLite's driver gives them: int for what is yes or no, bytes, str."""

    def make(self) -> S:
        """An empty store. It is closed together with the engine."""

    def rows(self, store: S, stream: int, columns: str) -> list[tuple[Any, ...]]:
        """Columns of the records of a stream, by id: that is in the order they were stored."""

    def table(self, store: S, stream: int, table: str, columns: str, order: str) -> list[tuple[Any, ...]]:
        """Columns of a table beside the rows, in the file or partition of that stream, sorted by the columns `order`."""

    def forbid(self, store: S, message: str) -> None:
        """Make the database refuse every log record with that message."""


class ReadingEngine(Engine[S], Protocol[S]):
    """What reading is tested with."""

    def reader(self, store: S) -> StoreReader:
        """What reads that store while it is written."""

    def in_small_steps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have searches look at the clock after at most five rows, and long series read two samples for each point."""


class RetentionEngine(Engine[S], Protocol[S]):
    """What retention is tested with."""

    def arrive(self, store: S, work: Sequence[EpochWork], arrived: int) -> None:
        """Store work as if it had arrived at that time, with whatever rows of that age need here (a partition)."""

    def upkeep(self, store: S, limits: RetentionLimits, clock: Clock) -> Upkeep:
        """What keeps that store within `limits`, by that clock."""

    def hold(self, store: S, hold: Hold) -> None:
        """Put a hold in force, as somebody beside the recorder does."""

    def release(self, store: S, name: str) -> None:
        """End one."""


class Contract:
    """Fixtures of all parts of the contract."""

    @pytest.fixture
    def store(self, engine: Engine[Any]) -> SinkStore:
        """An empty store."""
        made: SinkStore = engine.make()
        return made

    @pytest.fixture
    def reader(self, engine: ReadingEngine[Any], store: SinkStore) -> Iterator[StoreReader]:
        """What reads it."""
        with engine.reader(store) as reader:
            yield reader

    @pytest.fixture
    def small_steps(self, engine: ReadingEngine[Any], monkeypatch: pytest.MonkeyPatch) -> None:
        """Searches stop early, so that few rows show what many would."""
        engine.in_small_steps(monkeypatch)

    @pytest.fixture
    def armed(self) -> Iterator[Callable[[str], None]]:
        """Arms fail-points for one test."""
        yield failpoints.arm
        failpoints.arm("")
