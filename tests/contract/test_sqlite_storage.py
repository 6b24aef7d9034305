"""The contract on SQLite: in files and in memory."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard.brokers.delivery.ports import CursorConflict, EpochWork, StoreUnavailable
from tabard.brokers.wire.streams import CONTROL, LOGS
from tabard.clock import Clock
from tabard.consumers.store import holding, samples, schema, walk
from tabard.consumers.store.holds import Hold
from tabard.consumers.store.layout import FILES, RECORDS, ROW_TABLES, FileKind
from tabard.consumers.store.limits import RetentionLimits
from tabard.consumers.store.place import Place
from tabard.consumers.store.read import Reader
from tabard.consumers.store.readonly import SqliteReading
from tabard.consumers.store.retention import Retention
from tabard.consumers.store.sqlite import SqliteStore
from tests.contract.chain import NOON, WEB, Chain, logs
from tests.contract.holding import HoldContract
from tests.contract.leasing import LeasingContract, SharingContract
from tests.contract.policing import PolicingContract
from tests.contract.reading import ReadingContract
from tests.contract.reading_samples import HOSTILE, Sampled
from tests.contract.retention import RetentionContract
from tests.contract.rules import RulesContract
from tests.contract.sinking import SinkContract
from tests.contract.storage import ARRIVED, StorageContract


def reading(store: SqliteStore, kind: FileKind) -> SqliteReading:
    """The one connection to a file in memory."""
    connection = store.connection(kind)
    assert isinstance(connection, SqliteReading)
    return connection


class SqliteEngine:
    """Stores in memory, or below a directory."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._numbers = itertools.count()
        self._made: list[SqliteStore] = []
        self._paths: dict[SqliteStore, Path] = {}

    def make(self) -> SqliteStore:
        """An empty store."""
        if self._directory is None:
            store = SqliteStore.memory()
        else:
            # A copy is faster than a new one, whose making the property test would trace line by line.
            path = self._directory / str(next(self._numbers))
            shutil.copytree(self._template(self._directory), path)
            store = SqliteStore.open(path, "normal")
            self._paths[store] = path
        self._made.append(store)
        return store

    def _template(self, directory: Path) -> Path:
        path = directory / "template"
        if not path.exists():
            schema.create(path)
        return path

    def close(self) -> None:
        """Close all stores."""
        for store in self._made:
            store.close()

    def rows(self, store: SqliteStore, stream: int, columns: str) -> list[tuple[Any, ...]]:
        """Columns of the records of a stream, in the order they were stored."""
        return self.table(store, stream, ROW_TABLES[stream], columns, "id")

    def table(
        self, store: SqliteStore, stream: int, table: str, columns: str, order: str
    ) -> list[tuple[Any, ...]]:
        """Columns of a table in the file of that stream."""
        kind = next(kind for kind in FILES if stream in kind.streams)
        return store.connection(kind).execute(f"SELECT {columns} FROM {table} ORDER BY {order}").fetchall()

    def another(self, store: SqliteStore) -> SqliteStore:
        """The same files, or the only store in memory that there is."""
        if store not in self._paths:
            return store
        made = SqliteStore.open(self._paths[store], "normal")
        self._made.append(made)
        return made

    def execute(self, store: SqliteStore, stream: int, text: str) -> None:
        """Run a statement on the file of that stream."""
        store.connection(next(kind for kind in FILES if stream in kind.streams)).execute(text)

    def reader(self, store: SqliteStore) -> Reader:
        """What reads the store in that directory."""
        return Reader(self._paths[store])

    def in_small_steps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """By windows that hold next to nothing."""
        monkeypatch.setattr(walk, "FIRST_WINDOW", 3)
        monkeypatch.setattr(walk, "LAST_WINDOW", 5)
        monkeypatch.setattr(samples, "READ_PER_POINT", 2)

    def arrive(self, store: SqliteStore, work: Sequence[EpochWork], arrived: int) -> None:
        """Rows of any age are stored like those of now."""
        store.commit(work, arrived)

    def upkeep(self, store: SqliteStore, limits: RetentionLimits, clock: Clock) -> Retention:
        """What deletes row by row."""
        return Retention(store, limits, clock)

    def hold(self, store: SqliteStore, hold: Hold) -> None:
        """Over connections of its own; of a store in memory there is only one."""
        if store in self._paths:
            holding.add(Place(str(self._paths[store])), hold)
        else:
            for kind in FILES:
                holding.put(reading(store, kind), hold)

    def release(self, store: SqliteStore, name: str) -> None:
        """Likewise."""
        if store in self._paths:
            holding.release(Place(str(self._paths[store])), name, NOON, "judge", "closed")
        else:
            for kind in FILES:
                holding.end(reading(store, kind), name, NOON, "judge", "closed")

    def forbid(self, store: SqliteStore, message: str) -> None:
        """Make the database refuse every log record with that message."""
        store.connection(RECORDS).execute(
            f"CREATE TRIGGER forbid BEFORE INSERT ON log WHEN new.message = '{message}'"
            " BEGIN SELECT RAISE(ABORT, 'forbidden'); END"
        )


class SqliteContract(StorageContract, RetentionContract, LeasingContract, HoldContract, RulesContract):
    """What this engine promises beyond the contract."""

    def test_a_failing_stream_does_not_hold_up_another_file(
        self, engine: SqliteEngine, store: SqliteStore
    ) -> None:
        """Control records have a transaction of their own: its conflict is raised after the logs are stored."""
        web, control = Chain(WEB), Chain(WEB, CONTROL)
        control.cursor.version = 3
        with pytest.raises(CursorConflict):
            store.commit([control.work([(NOON, "answer", {})]), web.work(logs(2))], ARRIVED)
        assert (web.cursor.version, control.cursor.version) == (1, 3)
        assert len(engine.rows(store, LOGS, "seq")) == 2
        assert engine.rows(store, CONTROL, "seq") == []

    def test_a_failure_in_one_file_leaves_the_other_one_committed(
        self, engine: SqliteEngine, store: SqliteStore, armed: Callable[[str], None]
    ) -> None:
        """The first file meets it; the second has its own transaction."""
        web, control = Chain(WEB), Chain(WEB, CONTROL)
        works = [control.work([(NOON, "answer", {})]), web.work(logs(2))]
        armed("store.before_commit=error")
        with pytest.raises(StoreUnavailable):
            store.commit(works, ARRIVED)
        assert (web.cursor.version, control.cursor.version) == (0, 1)
        store.commit(works[1:], ARRIVED)
        assert len(engine.rows(store, LOGS, "seq")) == 2
        assert len(engine.rows(store, CONTROL, "seq")) == 1


class TestSqliteInMemory(SqliteContract):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> Iterator[SqliteEngine]:
        """One engine for all tests; each takes a store of its own."""
        engine = SqliteEngine()
        yield engine
        engine.close()

    @given(data=st.data())
    def test_any_history_matches_a_model(self, engine: SqliteEngine, data: st.DataObject) -> None:
        """The contract's property."""
        self.any_history_matches_a_model(engine, data)

    @given(data=st.data())
    def test_any_rows_limits_and_holds_match_a_model(self, engine: SqliteEngine, data: st.DataObject) -> None:
        """The contract's property."""
        self.any_rows_limits_and_holds_match_a_model(engine, data)


class TestSqliteInFiles(ReadingContract, SharingContract, SqliteContract, SinkContract, PolicingContract):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteEngine]:
        """One engine for all tests; each takes a store of its own."""
        engine = SqliteEngine(tmp_path_factory.mktemp("stores"))
        yield engine
        engine.close()

    @settings(max_examples=10)
    @given(data=st.data())
    def test_any_history_matches_a_model(self, engine: SqliteEngine, data: st.DataObject) -> None:
        """The contract's property."""
        self.any_history_matches_a_model(engine, data)

    @settings(max_examples=50)
    @given(data=st.data())
    def test_any_way_of_paging_meets_every_row_once(self, engine: SqliteEngine, data: st.DataObject) -> None:
        """The contract's property."""
        self.any_way_of_paging_meets_every_row_once(engine, data)

    @given(samples=HOSTILE)
    def test_no_sample_breaks_a_page(self, shared: Sampled, samples: list[Any]) -> None:
        """The contract's property."""
        self.no_sample_breaks_a_page(shared, samples)

    @settings(max_examples=15)
    @given(data=st.data())
    def test_any_rows_limits_and_holds_match_a_model(self, engine: SqliteEngine, data: st.DataObject) -> None:
        """The contract's property."""
        self.any_rows_limits_and_holds_match_a_model(engine, data)
