"""Holds against a deletion that is under way, and against kills: what a hold covers is never deleted once it is in force."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from tabard import failpoints
from tabard.consumers.store import holding
from tabard.consumers.store.holds import LOCK
from tabard.consumers.store.layout import RECORDS
from tabard.consumers.store.limits import Level
from tabard.consumers.store.place import Place
from tabard.consumers.store.postgresql.deleting import deleting
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.postgresql.upkeep import PostgresUpkeep
from tabard.consumers.store.read import Reader
from tabard.consumers.store.retention import Retention
from tabard.consumers.store.sqlite import SqliteStore
from tabard.ops.bench.postgres import Postgres
from tests.contract.chain import NOON, Chain, log
from tests.contract.holding import hold
from tests.contract.retention import DAY, NEVER, Wall, ago, run

OLD = NEVER._replace(logs_age=1.5 * DAY)


@pytest.fixture
def served(postgres: Postgres) -> Iterator[tuple[PostgresStore, str]]:
    """A store with records of three days, and its URL."""
    url = postgres.database()
    store = PostgresStore.open(url)
    chain = Chain()
    for day in (3, 2, 0):
        store.commit([chain.work([log(f"day {day}", time=ago(day))])], ago(day))
    yield store, url
    store.close()


def messages(url: str) -> list[str]:
    """Of the log."""
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT message FROM tabard_records.log ORDER BY id")
            return [row[0] for row in cursor.fetchall()]
    finally:
        connection.close()


def waiting(url: str) -> bool:
    """Whether somebody waits for an advisory lock."""
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
            )
            row = cursor.fetchone()
            return bool(row and row[0])
    finally:
        connection.close()


def test_a_hold_waits_for_a_deletion_that_does_not_know_of_it(served: tuple[PostgresStore, str]) -> None:
    """It is in force only once that has ended: the one that says it is added is never wrong."""
    store, url = served
    added = threading.Event()

    def add() -> None:
        holding.add(Place(url=url), hold())
        added.set()

    adding = threading.Thread(target=add)
    with deleting(store, RECORDS, 5.0) as work:
        assert work is not None
        assert work.holds == []
        adding.start()
        while not waiting(url):
            pass
        assert not added.is_set()
        work.run("DELETE FROM log WHERE message = 'day 3'")
    adding.join(30)
    assert added.is_set()
    run(PostgresUpkeep(store, OLD, Wall()))
    assert messages(url) == ["day 2", "day 0"]


def test_a_deletion_does_not_wait_for_who_adds_a_hold(served: tuple[PostgresStore, str]) -> None:
    """It is left for the next pass; by then the hold is known."""
    store, url = served
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET search_path = tabard_records")
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        upkeep = PostgresUpkeep(store, OLD, Wall())
        run(upkeep)
        assert messages(url) == ["day 3", "day 2", "day 0"]
        assert store.fault is None
        connection.rollback()
    finally:
        connection.close()
    run(upkeep, 100.0)
    assert messages(url) == ["day 0"]


def test_two_recorders_do_not_delete_at_once(served: tuple[PostgresStore, str]) -> None:
    """Whoever comes second leaves it to the first, and takes nothing that the first one has left by count."""
    store, url = served
    other = PostgresStore.open(url)
    try:
        with deleting(store, RECORDS, 5.0) as work:
            assert work is not None
            with deleting(other, RECORDS, 5.0) as second:
                assert second is None
        for upkeep in (PostgresUpkeep(each, NEVER._replace(logs_count=2), Wall()) for each in (store, other)):
            run(upkeep)
            assert messages(url) == ["day 2", "day 0"]
    finally:
        other.close()


def test_a_hold_that_a_kill_left_in_one_part_is_listed_and_done_again(tmp_path: Path) -> None:
    """In the part of the control stream it is in force already; the same command completes it."""
    SqliteStore.open(tmp_path).close()
    program = (
        "import sys; from tabard.consumers.store import holding; from tabard.consumers.store.place import Place;"
        "from tests.contract.holding import hold; holding.add(Place(sys.argv[1]), hold(node='web1'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "TABARD_FAILPOINTS": "store.hold_between=kill"},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    with Reader(tmp_path) as reader:
        assert [each.name for each in reader.holds()] == ["case"]
        holding.add(Place(str(tmp_path)), hold(node="web1"))
        assert [each.name for each in reader.holds()] == ["case"]
        holding.release(Place(str(tmp_path)), "case", NOON, "judge", "closed")
        assert reader.holds() == []
        assert [each.released_by for each in reader.holds(released=True)] == ["judge"]


def test_a_kill_between_deletions_leaves_what_is_held(tmp_path: Path) -> None:
    """The hold is there after it, the deletion that was not committed is undone, and the rest goes the next time."""
    with SqliteStore.open(tmp_path) as store:
        chain = Chain()
        for day in range(30, 0, -1):
            store.commit([chain.work([log(f"day {day}", time=ago(day))])], ago(day))
        store.commit([chain.work([log("now")])], NOON)
    holding.add(Place(str(tmp_path)), hold(since=ago(20.5), until=ago(18.5)))
    program = (
        "import sys; from tabard.consumers.store.retention import Retention;"
        "from tabard.consumers.store.sqlite import SqliteStore; from tests.contract.retention import *;"
        "run(Retention(SqliteStore.open(sys.argv[1]), NEVER._replace(logs_age=1.5 * DAY, budget_rows=4), Wall()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "TABARD_FAILPOINTS": "store.retention_chunk=kill@3"},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    with SqliteStore.open(tmp_path) as store:
        left = store.connection(RECORDS).execute("SELECT message FROM log ORDER BY id").fetchall()
        assert ("day 20",) in left
        assert ("day 19",) in left
        assert len(left) == 31 - 8
        run(Retention(store, OLD, Wall()))
        left = store.connection(RECORDS).execute("SELECT message FROM log ORDER BY id").fetchall()
        assert left == [("day 20",), ("day 19",), ("day 1",), ("now",)]


def test_a_deletion_that_fails_leaves_its_mark_where_it_was(tmp_path: Path) -> None:
    """The mark of a level moves with the rows, or not at all."""
    with SqliteStore.open(tmp_path) as store:
        chain = Chain()
        store.commit([chain.work([log(f"{number}", severity=5) for number in range(10)])], ago(3))
        store.commit([chain.work([log("now")])], NOON)
        retention = Retention(store, NEVER._replace(levels=(Level(1, 8, DAY),)), Wall())
        failpoints.arm("store.retention_chunk=error")
        try:
            run(retention)
        finally:
            failpoints.arm("")
        connection = store.connection(RECORDS)
        assert connection.execute("SELECT * FROM retention_mark").fetchall() == []
        assert connection.execute("SELECT count(*) FROM log").fetchall() == [(11,)]
        run(retention, 100.0)
        assert connection.execute("SELECT message FROM log").fetchall() == [("now",)]
