"""A full disk is left through retention: the reserve is enough to delete, and what was deleted is room."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tabard.brokers.delivery.ports import EpochWork, StoreUnavailable
from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store import indexing
from tabard.consumers.store.indexer import Indexer
from tabard.consumers.store.layout import RECORDS
from tabard.consumers.store.retention import Retention
from tabard.consumers.store.sqlite import SqliteStore
from tests.conftest import Need
from tests.contract.chain import NOON, WEB, Chain, log
from tests.contract.retention import Wall
from tests.unit.store.test_retention import NEVER, ask

COMMITS = 1_000
STEPS = 20_000


@pytest.fixture
def disk(tmp_path: Path, need: Need) -> Iterator[Path]:
    """A file system of 64 megabytes."""
    place = tmp_path / "small"
    place.mkdir()
    mount = [need("mount"), "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True)
    need.that(done.returncode == 0, f"the right to mount a tmpfs ({done.stderr.strip()})")
    yield place
    subprocess.run([need("umount"), str(place)], check=False)


def said(number: int) -> str:
    """A message of 500 characters, each unlike the others."""
    return " ".join(f"{number * place * 2_654_435_761 % 10**9:09d}" for place in range(1, 51))


def fill(store: SqliteStore, chain: Chain) -> EpochWork:
    """Store until the disk takes no more; returns what it did not take."""
    for _ in range(COMMITS):
        work = chain.work([log(said(chain.next + number)) for number in range(256)])
        try:
            store.commit([work], NOON)
        except StoreUnavailable:
            return work
        store.idle()
    pytest.fail("the disk is not full")


def passes(retention: Retention, count: int = 3) -> None:
    """Whole passes."""
    for number in range(count):
        for _ in range(STEPS):
            if not retention.step(1e6 + 100.0 * number):
                break
        else:
            pytest.fail("a pass does not end")


@pytest.mark.parametrize("index", ["none", "words", "trigram"])
def test_a_lowered_limit_frees_a_full_disk(disk: Path, index: str) -> None:
    """Nothing has to be moved away by hand; then records come in again, and there is a reserve for the next time.

    What a search index writes to forget the records that go has room in the reserve too.
    """
    with SqliteStore.open(disk, "normal") as store:
        store.index_by(index)
        indexer = Indexer(store, index)
        indexer.step(0.0)
        retention, chain = Retention(store, NEVER, Wall()), Chain()
        passes(retention, 1)
        assert (disk / "reserve").exists()
        work = fill(store, chain)
        with contextlib.suppress(OSError), (disk / "the rest").open("wb", buffering=0) as rest:
            while True:
                rest.write(bytes(4096))
        assert "the disk is full" in str(store.fault)
        retention.limits = NEVER._replace(logs_bytes=10 * 2**20)
        passes(retention)
        assert ask(store, "SELECT count(*) FROM log")[0][0] < 25_000
        for number in range(STEPS):
            if not indexer.step(1e6 + 100.0 * number):
                break
        connection = store.connection(RECORDS)
        assert all(indexing.agrees(connection, note) for note in indexing.notes(connection))
        assert len(indexing.notes(connection)) == (index != "none")
        assert (disk / "reserve").exists()
        store.commit([work], NOON)
        for _ in range(20):
            store.commit([chain.work([log("y" * 500) for _ in range(256)])], NOON)
            retention.follow()
            store.idle()
        assert ask(store, "PRAGMA integrity_check") == [("ok",)]
        assert store.load(WEB, LOGS, [chain.epoch])[chain.epoch].ranges.high == chain.next - 1


def test_nothing_within_the_limits_is_deleted_for_a_full_disk(disk: Path) -> None:
    """Whoever filled it: what may stay stays, and the reserve is not spent on what would not help."""
    with SqliteStore.open(disk, "normal") as store:
        retention = Retention(store, NEVER, Wall())
        passes(retention, 1)
        fill(store, Chain())
        before = ask(store, "SELECT count(*) FROM log")
        passes(retention)
        assert ask(store, "SELECT count(*) FROM log") == before
        assert (disk / "reserve").exists()
    assert RECORDS.path(disk).exists()
