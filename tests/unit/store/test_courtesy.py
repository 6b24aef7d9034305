"""A search in parts lets the write-ahead log begin anew, and never waits for long."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from tabard.consumers.store import courtesy, walk
from tabard.consumers.store.layout import RECORDS
from tabard.consumers.store.read import Reader
from tabard.consumers.store.results import LogPage, LogQuery
from tabard.consumers.store.sqlite import SqliteStore
from tests.contract.chain import NOON, Chain, log
from tests.unit.store.test_wal import reader as held


def grow(store: SqliteStore, chain: Chain) -> None:
    """Two megabytes of records."""
    store.commit([chain.work(*[[log("x" * 500)] * 250] * 8)], NOON)


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> Chain:
    """Of a node whose records make the log long at once; a search looks at its time box often."""
    monkeypatch.setattr(courtesy, "KEPT", 2**20)
    for name in ("FIRST_WINDOW", "LAST_WINDOW"):
        monkeypatch.setattr(walk, name, 50)
    return Chain()


def parts(path: Path) -> Generator[LogPage, None, None]:
    """A search that ends each part at once."""
    with Reader(path) as reader:
        yield from reader.search(LogQuery(text="nothing like it"), budget=0.0)


def waits(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None]) -> list[float]:
    """The waiting of searches: what is done during each, and how often there was one."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        meanwhile()

    monkeypatch.setattr(courtesy, "sleep", sleep)
    return slept


def test_the_log_begins_anew_between_two_parts(
    tmp_path: Path, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search waits until the writer has moved the log and committed again, and then goes on."""
    with SqliteStore.open(tmp_path, "normal") as store:
        grow(store, chain)
        search = parts(tmp_path)
        next(search)
        grow(store, chain)
        log_path = tmp_path / "records.db-wal"
        before = log_path.read_bytes()[:32]

        def write() -> None:
            store.idle()
            store.settle()
            store.commit([chain.work([log("more")])], NOON)

        slept = waits(monkeypatch, write)
        next(search)
        assert slept
        assert log_path.read_bytes()[:32] != before
        slept.clear()
        next(search)
        assert not slept
        search.close()


def test_waiting_in_vain_happens_once(tmp_path: Path, chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else stays within one view: the search goes on, and does not wait for this log again."""
    with SqliteStore.open(tmp_path, "normal") as store:
        grow(store, chain)
        other = held(RECORDS.path(tmp_path))
        search = parts(tmp_path)
        next(search)
        monkeypatch.setattr(courtesy, "PATIENCE", 0.0)
        slept = waits(monkeypatch, lambda: None)
        for _ in range(3):
            grow(store, chain)
            next(search)
        assert not slept
        monkeypatch.setattr(courtesy, "PATIENCE", 60.0)
        grow(store, chain)
        next(search)
        assert not slept
        search.close()
        other.close()


def test_a_search_of_what_nobody_writes_never_waits(
    tmp_path: Path, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the log is that the last writer left."""
    with SqliteStore.open(tmp_path, "normal") as store:
        grow(store, chain)
        slept = waits(monkeypatch, lambda: None)
        assert len(list(parts(tmp_path))) > 10
        assert not slept
