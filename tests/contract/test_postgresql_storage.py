"""The contract on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard.brokers.delivery.leases import RECORDER, Lease
from tabard.brokers.delivery.ports import Claim, EpochWork
from tabard.clock import Clock
from tabard.consumers.store import holding, samples, walk
from tabard.consumers.store.holds import Hold
from tabard.consumers.store.layout import FILES, RECORDS, ROW_TABLES
from tabard.consumers.store.leases import hold
from tabard.consumers.store.limits import RetentionLimits
from tabard.consumers.store.place import Place
from tabard.consumers.store.postgresql.read import PostgresReader
from tabard.consumers.store.postgresql.server import schema_of
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.postgresql.upkeep import PostgresUpkeep
from tabard.ops.bench.postgres import Postgres
from tests.contract.chain import NOON
from tests.contract.holding import HoldContract
from tests.contract.leasing import ONE, TWO, SharingContract, free
from tests.contract.policing import PolicingContract
from tests.contract.reading import ReadingContract
from tests.contract.reading_samples import HOSTILE, Sampled
from tests.contract.retention import RetentionContract
from tests.contract.rules import RulesContract
from tests.contract.sinking import SinkContract
from tests.contract.storage import StorageContract


class PostgresEngine:
    """Stores in databases of their own, copied from one that was made once."""

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self._template = ""
        self._made: dict[PostgresStore, str] = {}
        self._numbers = 0

    def make(self) -> PostgresStore:
        """An empty store."""
        if not self._template:
            self._template = "template_store"
            self._server.execute(f"CREATE DATABASE {self._template}")
            PostgresStore.open(self._server.url(self._template)).close()
        self._numbers += 1
        name = f"store{self._numbers}"
        self._server.execute(f"CREATE DATABASE {name} TEMPLATE {self._template} STRATEGY file_copy")
        store = PostgresStore.open(self._server.url(name))
        for old in list(self._made)[:-10]:
            old.close()
        self._made[store] = name
        return store

    def arrive(self, store: PostgresStore, work: Sequence[EpochWork], arrived: int) -> None:
        """Every day gets its partition when something arrives on it."""
        store.commit(work, arrived)

    def upkeep(self, store: PostgresStore, limits: RetentionLimits, clock: Clock) -> PostgresUpkeep:
        """What drops days."""
        return PostgresUpkeep(store, limits, clock)

    def hold(self, store: PostgresStore, hold: Hold) -> None:
        """Over a connection of its own."""
        holding.add(Place(url=self._server.url(self._made[store])), hold)

    def release(self, store: PostgresStore, name: str) -> None:
        """Likewise."""
        holding.release(Place(url=self._server.url(self._made[store])), name, NOON, "judge", "closed")

    def close(self) -> None:
        """Close all stores."""
        for store in self._made:
            store.close()

    def rows(self, store: PostgresStore, stream: int, columns: str) -> list[tuple[Any, ...]]:
        """Columns of the records of a stream, in the order they were stored."""
        return self.table(store, stream, ROW_TABLES[stream], columns, "id")

    def table(
        self, store: PostgresStore, stream: int, table: str, columns: str, order: str
    ) -> list[tuple[Any, ...]]:
        """Columns of a table in the schema of that stream."""
        kind = next(kind for kind in FILES if stream in kind.streams)
        connection = psycopg2.connect(self._server.url(self._made[store]))
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT {columns} FROM {schema_of(kind)}.{table} ORDER BY {order}")
                return [
                    tuple(bytes(value) if isinstance(value, memoryview) else value for value in row)
                    for row in cursor.fetchall()
                ]
        finally:
            connection.close()

    def another(self, store: PostgresStore) -> PostgresStore:
        """Over connections of its own."""
        made = PostgresStore.open(self._server.url(self._made[store]))
        self._made[made] = self._made[store]
        return made

    def execute(self, store: PostgresStore, stream: int, text: str) -> None:
        """Run a statement in the schema of that stream."""
        kind = next(kind for kind in FILES if stream in kind.streams)
        self._server.execute(f"SET search_path TO {schema_of(kind)}; {text}", self._made[store])

    def reader(self, store: PostgresStore) -> PostgresReader:
        """What reads that database."""
        return PostgresReader(self._server.url(self._made[store]))

    def in_small_steps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """By windows that hold next to nothing."""
        monkeypatch.setattr(walk, "FIRST_WINDOW", 3)
        monkeypatch.setattr(walk, "LAST_WINDOW", 5)
        monkeypatch.setattr(samples, "READ_PER_POINT", 2)

    def forbid(self, store: PostgresStore, message: str) -> None:
        """Make the database refuse every log record with that message."""
        self._server.execute(
            f"ALTER TABLE tabard_records.log ADD CONSTRAINT forbid CHECK (message <> '{message}')",
            self._made[store],
        )


class TestPostgres(
    ReadingContract,
    StorageContract,
    RetentionContract,
    SharingContract,
    HoldContract,
    SinkContract,
    RulesContract,
    PolicingContract,
):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, postgres: Postgres) -> Iterator[PostgresEngine]:
        """One engine for all tests; each takes a store of its own."""
        engine = PostgresEngine(postgres)
        yield engine
        engine.close()

    def test_a_lease_is_not_taken_under_an_open_commit(
        self, engine: PostgresEngine, store: PostgresStore
    ) -> None:
        """Who wants it does not wait either, and takes what else there is; it has it once the commit is done."""
        leases, others = store.leases(RECORDER), engine.another(store).leases(RECORDER)
        (claim, _other) = leases.take(ONE, free(5, 6))
        with store.guarded(RECORDS) as writer:
            writer.begin()
            hold(writer, RECORDER.name, [claim])
            assert others.take(TWO, [Lease(5, "one", 1), Lease(6, "one", 1)]) == [Claim(6, "two", 2)]
            writer.commit()
        row = others.look(TWO, 6.0, joining=True).leases[5]
        assert row == Lease(5, "two", 2)
        assert others.take(TWO, [row]) == [Claim(5, "two", 3)]

    @settings(max_examples=15)
    @given(data=st.data())
    def test_any_history_matches_a_model(self, engine: PostgresEngine, data: st.DataObject) -> None:
        """The contract's property."""
        self.any_history_matches_a_model(engine, data)

    @settings(max_examples=25)
    @given(data=st.data())
    def test_any_way_of_paging_meets_every_row_once(
        self, engine: PostgresEngine, data: st.DataObject
    ) -> None:
        """The contract's property."""
        self.any_way_of_paging_meets_every_row_once(engine, data)

    @settings(max_examples=25)
    @given(samples=HOSTILE)
    def test_no_sample_breaks_a_page(self, shared: Sampled, samples: list[Any]) -> None:
        """The contract's property."""
        self.no_sample_breaks_a_page(shared, samples)

    @settings(max_examples=15)
    @given(data=st.data())
    def test_any_rows_limits_and_holds_match_a_model(
        self, engine: PostgresEngine, data: st.DataObject
    ) -> None:
        """The contract's property."""
        self.any_rows_limits_and_holds_match_a_model(engine, data, whole_days=True)
