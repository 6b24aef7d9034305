"""The storage contract on SQLite: in files and in memory."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard import failpoints
from tabard.consumers.store import schema
from tabard.consumers.store.layout import FILES, RECORDS, ROW_TABLES
from tabard.consumers.store.sqlite import SqliteStore
from tests.contract.storage import StorageContract


class SqliteEngine:
    """Stores in memory, or below a directory."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._numbers = itertools.count()
        self._made: list[SqliteStore] = []

    def make(self) -> SqliteStore:
        """An empty store."""
        if self._directory is None:
            store = SqliteStore.memory()
        else:
            # A copy is faster than a new one, whose making the property test would trace line by line.
            path = self._directory / str(next(self._numbers))
            shutil.copytree(self._template(self._directory), path)
            store = SqliteStore.open(path, "normal")
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
        return self.table(store, stream, f"{ROW_TABLES[stream]} ORDER BY id", columns)

    def table(self, store: SqliteStore, stream: int, table: str, columns: str) -> list[tuple[Any, ...]]:
        """Columns of a table in the file of that stream."""
        kind = next(kind for kind in FILES if stream in kind.streams)
        return store.connection(kind).execute(f"SELECT {columns} FROM {table}").fetchall()

    def forbid(self, store: SqliteStore, message: str) -> None:
        """Make the database refuse every log record with that message."""
        store.connection(RECORDS).execute(
            f"CREATE TRIGGER forbid BEFORE INSERT ON log WHEN new.message = '{message}'"
            " BEGIN SELECT RAISE(ABORT, 'forbidden'); END"
        )


@pytest.fixture
def store(engine: SqliteEngine) -> SqliteStore:
    return engine.make()


@pytest.fixture
def armed() -> Iterator[Callable[[str], None]]:
    """Arms fail-points for one test."""
    yield failpoints.arm
    failpoints.arm("")


class TestSqliteInMemory(StorageContract):
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


class TestSqliteInFiles(StorageContract):
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
