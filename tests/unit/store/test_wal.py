"""The write-ahead log is moved beside the commits, stays short, and says when a reader keeps it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from tabard.consumers.store import wal
from tabard.consumers.store.layout import RECORDS
from tabard.consumers.store.sqlite import SqliteStore
from tests.contract.chain import NOON, Chain, log, logs


def reader(path: Path) -> sqlite3.Connection:
    """A connection that stays within one view of the data."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM node").fetchall()
    return connection


def movers(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the threads that move the log of the records, as they begin to."""
    log_of_records = store._of_kind(RECORDS).database.wal
    names: list[str] = []
    move = log_of_records._checkpoint

    def noted(connection: sqlite3.Connection) -> None:
        names.append(threading.current_thread().name)
        move(connection)

    monkeypatch.setattr(log_of_records, "_checkpoint", noted)
    return names


def joined(store: SqliteStore) -> None:
    """Wait for the thread without taking note of its end, as between two commits."""
    thread = store._of_kind(RECORDS).database.wal._thread
    assert thread is not None
    thread.join()


def commit(store: SqliteStore, chain: Chain, times: int) -> None:
    """Ten thousand records of 500 bytes in each, as the recorder does it."""
    for _ in range(times):
        store.commit([chain.work(*[[log("x" * 500)] * 250] * 8)], NOON)
        store.after_commit()


def test_no_commit_moves_what_a_reader_had_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit after the reader's end costs what every commit costs; the log is moved in the background."""
    monkeypatch.setattr(wal, "LONG", 10 * 2**20)
    path = RECORDS.path(tmp_path)
    with SqliteStore.open(tmp_path, "normal") as store:
        chain = Chain()
        store.commit([chain.work(logs(1))], NOON)
        other = reader(path)
        before = path.stat().st_size
        commit(store, chain, 20)
        store.idle()
        store.settle()
        assert "a reader keeps it" in (store.fault or "")
        assert path.stat().st_size < before + 2**20
        other.close()
        size = path.stat().st_size
        store.commit([chain.work(logs(1))], NOON)
        assert path.stat().st_size == size
        for _ in range(3):
            store.idle()
            store.settle()
        assert store.fault is None
        shutil.copy(path, tmp_path / "copy.db")
        copy = sqlite3.connect(tmp_path / "copy.db")
        assert copy.execute("SELECT count(*) FROM log").fetchone() == (20 * 2000 + 2,)
        copy.close()


def test_without_an_idle_moment_the_log_is_bounded(tmp_path: Path) -> None:
    """Flat out, the thread moves it and it begins anew."""
    with SqliteStore.open(tmp_path, "normal") as store:
        chain = Chain()
        for _ in range(30):
            commit(store, chain, 3)
            store.settle()
        log_size = (tmp_path / "records.db-wal").stat().st_size
        assert log_size < 40 * 2**20
        assert RECORDS.path(tmp_path).stat().st_size > 2 * log_size
        assert store.connection(RECORDS).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_file_that_was_replaced_is_left_alone(tmp_path: Path) -> None:
    """The connection that moves the log is closed with the writer's; the next one is of the new file."""
    with SqliteStore.open(tmp_path / "a", "normal") as store:
        chain = Chain()
        commit(store, chain, 10)
        store.settle()
        SqliteStore.open(tmp_path / "b").close()
        RECORDS.path(tmp_path / "b").rename(RECORDS.path(tmp_path / "a"))
        for _ in range(3):
            store.idle()
            store.settle()
        assert store.connection(RECORDS).execute("SELECT count(*) FROM log").fetchone() == (0,)


def test_the_file_of_a_long_log_is_cut_in_small_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit that begins the log anew waits for the file system to free what is cut off: never for all at once."""
    monkeypatch.setattr(wal, "KEPT", 4 * 2**20)
    monkeypatch.setattr(wal, "CUT", 2 * 2**20)
    log_path = tmp_path / "records.db-wal"
    with SqliteStore.open(tmp_path, "normal") as store:
        chain = Chain()
        store.commit([chain.work(logs(1))], NOON)
        other = reader(RECORDS.path(tmp_path))
        commit(store, chain, 12)
        store.settle()
        other.close()
        sizes = [log_path.stat().st_size]
        assert sizes[0] > 12 * 2**20
        for _ in range(60):
            store.idle()
            store.settle()
            commit(store, chain, 1)
            sizes.append(log_path.stat().st_size)
            if sizes[-1] <= wal.KEPT:
                break
        assert sizes[-1] <= wal.KEPT
        assert max(before - after for before, after in pairwise(sizes)) <= wal.CUT


def test_a_log_left_by_a_kill_is_moved_by_the_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorder that was killed under a reader starts with a long log: its first idle moment is not spent on moving it."""
    with SqliteStore.open(tmp_path / "killed", "normal") as store:
        chain = Chain()
        other = reader(RECORDS.path(tmp_path / "killed"))
        commit(store, chain, 5)
        store.settle()
        shutil.copytree(tmp_path / "killed", tmp_path / "left")
        other.close()
    path = RECORDS.path(tmp_path / "left")
    with SqliteStore.open(tmp_path / "left", "normal") as store:
        moved = movers(store, monkeypatch)
        before = path.stat().st_size
        store.idle()
        store.settle()
        assert moved == ["checkpoint"]
        assert path.stat().st_size > before + 2**20


def test_the_writer_stops_only_when_the_thread_loses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came while a long log was moved is less than that was: another turn of the thread, however long the log is."""
    monkeypatch.setattr(wal, "MOST", 2**20)
    monkeypatch.setattr(wal, "DUE", 2**20)
    monkeypatch.setattr(wal, "SHORT", 2**19)
    with SqliteStore.open(tmp_path, "normal") as store:
        moved = movers(store, monkeypatch)
        chain = Chain()
        store.commit([chain.work(*[[log("x" * 500)] * 250] * 32)], NOON)
        store.after_commit()
        joined(store)
        commit(store, chain, 1)
        joined(store)
        commit(store, chain, 1)
        store.settle()
        writer = threading.current_thread().name
        assert moved == ["checkpoint", "checkpoint", writer]


def test_asking_for_the_length_gives_up_no_lock(tmp_path: Path) -> None:
    """Closing a file gives up all locks that a process has on it; the next opener would cut the shared index short."""
    with SqliteStore.open(tmp_path) as store:
        chain = Chain()
        for _ in range(3):
            store.commit([chain.work(logs(50))], NOON)
        before = _locks_on(tmp_path / "records.db-shm")
        assert before
        grown = store._of_kind(RECORDS).database.wal.length
        assert 0 < grown <= (tmp_path / "records.db-wal").stat().st_size
        assert _locks_on(tmp_path / "records.db-shm") == before


def _locks_on(path: Path) -> list[str]:
    """The locks of this process on a file."""
    inode, pid = path.stat().st_ino, str(os.getpid())
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return sorted(" ".join(line[1:]) for line in lines if line[4] == pid and line[5].endswith(f":{inode}"))
