"""Reading SQLite: the files below the store, and what only this engine promises. The rest is `tests.contract.reading`."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tabard.brokers.wire.streams import CONTROL
from tabard.consumers.store import schema
from tabard.consumers.store.layout import FILES, RECORDS
from tabard.consumers.store.read import LogQuery, Reader
from tabard.consumers.store.sqlite import SqliteStore
from tabard.errors import StoreError
from tests.contract import reading_logs
from tests.contract.chain import MAIL, NOON, Chain, log, logs
from tests.contract.reading_logs import said


class Home(reading_logs.Home):
    """A store below a directory, with what writes it and what reads it."""

    store: SqliteStore
    reader: Reader

    def __init__(self, path: Path) -> None:
        super().__init__(SqliteStore.open(path, "normal"), Reader(path))
        self.path = path

    def close(self) -> None:
        """Close both."""
        self.reader.close()
        self.store.close()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """An empty store."""
    home = Home(tmp_path)
    yield home
    home.close()


def test_a_missing_store_is_named(tmp_path: Path) -> None:
    """With what to do about it, and without making one."""
    with Reader(tmp_path / "none") as reader, pytest.raises(StoreError) as error:
        reader.logs(LogQuery())
    assert "store not found" in str(error.value)
    assert "Start a recorder, or pass --home" in str(error.value)
    assert not (tmp_path / "none").exists()


def test_a_store_that_is_being_made_is_not_there_yet(tmp_path: Path) -> None:
    """Its files are empty for a moment; that is not a store of an older version."""
    for kind in FILES:
        kind.path(tmp_path).touch()
    with Reader(tmp_path) as reader:
        with pytest.raises(StoreError, match="store not found"):
            reader.last_id()
        schema.create(tmp_path)
        assert reader.last_id() == 0


def test_a_reader_follows_a_restored_backup(home: Home, tmp_path_factory: pytest.TempPathFactory) -> None:
    """It opens the file that lies there now, once the old one's write-ahead log is removed as the manual says."""
    other = Home(tmp_path_factory.mktemp("other"))
    other.put(log("from the backup"))
    other.close()
    home.put(log("before"))
    assert said(home.reader.logs(LogQuery()).rows) == ["before"]
    home.store.close()
    path = RECORDS.path(home.path)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink()
    os.replace(RECORDS.path(other.path), path)
    assert said(home.reader.logs(LogQuery()).rows) == ["from the backup"]


def test_a_reader_writes_nothing(home: Home) -> None:
    """Its connections refuse to."""
    with (
        home.reader._connections.use() as connection,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        connection.execute("DELETE FROM log")


def test_a_reader_reads_what_was_closed(home: Home, tmp_path: Path) -> None:
    """No recorder need run: neither write-ahead log nor shared memory is there then."""
    home.put(*logs(3))
    home.close()
    assert not RECORDS.path(tmp_path).with_name("records.db-wal").exists()
    with Reader(tmp_path) as reader:
        assert len(reader.logs(LogQuery()).rows) == 3


def test_reading_needs_no_sqlalchemy() -> None:
    """A listing on the command line must not pay for its import."""
    code = "import sys, tabard.consumers.store.read; print('sqlalchemy' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


@pytest.mark.parametrize("query", [{"order": "up"}, {"limit": 0}, {"limit": 10_001}])
def test_a_question_that_makes_no_sense_is_refused(query: dict[str, Any]) -> None:
    """Where it is made, not by the database."""
    with pytest.raises(ValueError, match="is "):
        LogQuery(**query)


def test_ids_are_counted_from_one(home: Home) -> None:
    """Whatever was rolled back: a tail passes no id that a record could still get."""
    home.put(*logs(3))
    home.put(log("another"), key=MAIL)
    assert [row.id for row in home.reader.tail(LogQuery(), 0)[0]] == [1, 2, 3, 4]
    assert home.reader.last_id() == 4
    assert home.reader.log(5) is None


def test_the_size_is_that_of_both_files(home: Home) -> None:
    """Write-ahead logs included; nothing of it is free before something was deleted."""
    home.put(*logs(3))
    home.store.commit([Chain(stream=CONTROL).work([(1, "answer", {})])], NOON)
    stats = home.reader.stats()
    assert stats.bytes > 100_000
    assert stats.free == 0
