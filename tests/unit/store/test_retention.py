"""Retention on SQLite, beyond what `tests.contract.retention` asks of every engine: totals, files, steps, faults."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tabard.brokers.delivery.ports import Entry, EpochWork
from tabard.brokers.wire.streams import SAMPLES
from tabard.consumers.store.layout import RECORDS
from tabard.consumers.store.limits import RetentionLimits
from tabard.consumers.store.retention import Retention
from tabard.consumers.store.sqlite import SqliteStore
from tests.contract.chain import MAIL, NOON, SECOND, WEB, Chain, log, logs
from tests.contract.retention import DAY, Wall
from tests.contract.retention import NEVER as NOTHING

NEVER = NOTHING._replace(
    quarantine_age=RetentionLimits._field_defaults["quarantine_age"],
    quarantine_bytes=RetentionLimits._field_defaults["quarantine_bytes"],
)
"""Limits that no record reaches; those of quarantine are the defaults."""


@pytest.fixture
def store() -> Iterator[SqliteStore]:
    """An empty store in memory."""
    with SqliteStore.memory() as store:
        yield store


@pytest.fixture
def wall() -> Wall:
    """The sink's clock, at noon."""
    return Wall()


def ask(store: SqliteStore, query: str) -> list[tuple[Any, ...]]:
    """Rows of the records file."""
    return store.connection(RECORDS).execute(query).fetchall()


def run(retention: Retention, now: float = 0.0) -> int:
    """Do a whole pass; returns its steps."""
    steps = 1
    while retention.step(now):
        steps += 1
        assert steps < 10_000
    return steps


def fill(store: SqliteStore, chain: Chain, days: int, count: int = 10) -> None:
    """Records that arrive once a day, the last of them at noon."""
    for day in range(days):
        store.commit([chain.work(logs(count, day * count))], NOON - (days - 1 - day) * DAY * SECOND)


def test_old_records_go_and_young_ones_stay(store: SqliteStore, wall: Wall) -> None:
    """Of all nodes; the totals follow."""
    chain, other = Chain(), Chain(MAIL)
    fill(store, chain, 5)
    store.commit([other.work(logs(1))], NOON)
    run(Retention(store, NEVER._replace(logs_age=2.5 * DAY), wall))
    assert ask(store, "SELECT node_id, min(seq), count(*) FROM log GROUP BY 1") == [(1, 21, 30), (2, 1, 1)]
    assert ask(store, "SELECT rows FROM usage") == ask(store, "SELECT count(*) FROM log")


def test_size_takes_a_gap_only_with_the_records_on_both_sides(store: SqliteStore, wall: Wall) -> None:
    """One whose next record is still there is shown before it; one among nothing but what is gone goes too."""
    chain = Chain(WEB, SAMPLES)
    data = {"blob": "x" * 1000}
    for number in range(20):
        if number in {5, 15}:
            store.commit([chain.lose(7)], NOON + number)
        store.commit([chain.work([(NOON, "host", data)])], NOON + number)
    chain_work = chain.work([(NOON, "host", data)])
    store.commit([chain_work], NOON + 20)
    ((last,),) = ask(store, f"SELECT id FROM sample WHERE arrived = {NOON + 15}")
    limit = (21 - last + 1) * 1150
    run(Retention(store, NEVER._replace(samples_bytes=limit, budget_rows=1), wall))
    assert ask(store, "SELECT min(id) FROM sample") == [(last,)]
    assert ask(store, "SELECT arrived FROM gap") == [(NOON + 15,)]


def spoil(store: SqliteStore, chain: Chain, arrived: int, size: int = 1000) -> None:
    """A batch that goes into quarantine."""
    batch, _groups = chain.cut(count=3, body=b"\xc1" + os.urandom(size - 1))
    chain.take(batch)
    store.commit([EpochWork(chain.key, chain.stream, chain.cursor, [Entry(batch, poison="no")])], arrived)


def test_quarantine_does_not_push_out_logs(tmp_path: Path, wall: Wall) -> None:
    """Megabytes of one node's spoilt samples, against a limit for the logs of all: no log goes."""
    with SqliteStore.open(tmp_path) as store:
        store.commit([Chain().work(logs(2000))], NOON)
        bad = Chain(MAIL, SAMPLES)
        for _ in range(30):
            spoil(store, bad, NOON, 200_000)
        retention = Retention(store, NEVER._replace(logs_bytes=2 * 2**20), wall)
        run(retention)
        assert ask(store, "SELECT count(*) FROM log") == [(2000,)]
        assert ask(store, "SELECT count(*) FROM quarantine") == [(30,)]
        assert retention.fault is None


def test_quarantine_has_an_age_and_a_size_of_its_own(store: SqliteStore, wall: Wall) -> None:
    """Oldest first by arrival, and no record is needed for it; the totals follow."""
    chain = Chain()
    for day in (9, 5, 3, 1):
        spoil(store, chain, NOON - day * DAY * SECOND)
    retention = Retention(store, NEVER._replace(quarantine_age=6.0 * DAY), wall)
    run(retention)
    assert ask(store, "SELECT count(*) FROM quarantine") == [(3,)]
    retention.limits = NEVER._replace(quarantine_bytes=2000)
    run(retention, 100.0)
    assert ask(store, "SELECT arrived FROM quarantine") == [(NOON - DAY * SECOND,)]
    kept = "SELECT count(*), sum(length(header) + length(signature) + length(body)) FROM quarantine"
    assert ask(store, "SELECT rows, bytes FROM usage WHERE stream = 0") == ask(store, kept)
    wall.now += 100 * DAY * SECOND
    retention.limits = NEVER
    run(retention, 200.0)
    assert ask(store, "SELECT count(*) FROM quarantine") == [(0,)]


def used(store: SqliteStore) -> int:
    """Bytes of the records file that hold something."""
    ((pages,),), ((free,),) = ask(store, "PRAGMA page_count"), ask(store, "PRAGMA freelist_count")
    return int(pages - free) * 4096


def whole(store: SqliteStore) -> int:
    """Bytes of the records file."""
    return int(ask(store, "PRAGMA page_count")[0][0]) * 4096


def test_the_size_is_held_while_records_come_in(tmp_path: Path, wall: Wall) -> None:
    """Flat out, with never a moment for a pass: the file stays near its limit, and free pages are used again."""
    limit = 3 * 2**20
    with SqliteStore.open(tmp_path, "normal") as store:
        chain, retention = Chain(), Retention(store, NEVER._replace(logs_bytes=limit), wall)
        for number in range(60):
            batches = [[log("x" * 200) for _ in range(250)] for _ in range(4)]
            store.commit([chain.work(*batches)], NOON + number)
            retention.follow()
            assert whole(store) <= limit * 1.4
            assert retention.fault is None
        run(retention)
        assert used(store) <= limit
        assert whole(store) <= limit * 1.2 + 1000 * 600
        assert ask(store, "SELECT count(*) FROM log")[0][0] > 4000


def test_records_that_grow_do_not_outrun_deletion(tmp_path: Path, wall: Wall) -> None:
    """Ten times as large as the old ones: more of those go than come in."""
    limit = 3 * 2**20
    with SqliteStore.open(tmp_path, "normal") as store:
        chain, retention = Chain(), Retention(store, NEVER._replace(logs_bytes=limit), wall)
        for number in range(12):
            store.commit([chain.work(*[[log("x" * 40)] * 250] * 4)], NOON + number)
            retention.follow()
        for number in range(12, 30):
            store.commit([chain.work([log("x" * 2000)] * 300)], NOON + number)
            retention.follow()
            assert used(store) <= limit * 1.5
        assert retention.fault is None


def test_a_commit_is_followed_by_a_bounded_deletion(store: SqliteStore, wall: Wall) -> None:
    """A limit that was lowered far costs a commit some rows, not all; the fault says by how much it is exceeded."""
    chain = Chain(WEB, SAMPLES)
    sample = (NOON, "host", {"blob": "x" * 100})
    for _ in range(20):
        store.commit([chain.work([sample] * 1000)], NOON)
    retention = Retention(store, NEVER, wall)
    retention.follow()
    retention.limits = NEVER._replace(samples_bytes=100_000)
    store.commit([chain.work([sample] * 300)], NOON)
    ((before,),) = ask(store, "SELECT count(*) FROM sample")
    retention.follow()
    ((after,),) = ask(store, "SELECT count(*) FROM sample")
    assert 450 <= before - after <= 300 * 16 + 2000
    assert "over the limit retention.samples_bytes" in (retention.fault or "")
    run(retention)
    assert retention.fault is None


def test_a_limit_that_cannot_be_held_is_a_fault(tmp_path: Path, wall: Wall) -> None:
    """What is not logs and must not go takes the room: it is said, with how much it is."""
    with SqliteStore.open(tmp_path) as store:
        store.commit([Chain().work([log("x")])], NOON)
        big = f"INSERT INTO configuration VALUES (1, '', '', '', '{'x' * 3 * 2**20}', 1)"
        store.connection(RECORDS).execute(big)
        store.connection(RECORDS).execute(
            "INSERT INTO deployment VALUES (1, 1, '', '', '', '', 1, 1, 1, 1, 1)"
        )
        retention = Retention(store, NEVER._replace(logs_bytes=2**20), wall)
        run(retention)
        assert retention.fault is not None
        assert re.search(
            r"logs take 3\.\d MiB: 2\.\d MiB over the limit retention\.logs_bytes", retention.fault
        )


def test_a_pass_that_ingest_keeps_busy_starves_nothing(store: SqliteStore, wall: Wall) -> None:
    """Rows that have to go without end do not keep what is old elsewhere."""
    chain = Chain()
    spoil(store, Chain(MAIL), NOON - 100 * DAY * SECOND)
    store.commit([chain.work(logs(10))], NOON)
    retention = Retention(store, NEVER._replace(logs_bytes=1), wall)
    for _ in range(50):
        store.commit([chain.work(logs(100))], NOON)
        retention.step(0.0)
    assert ask(store, "SELECT count(*) FROM quarantine") == [(0,)]


def test_a_jump_of_the_sinks_clock_does_not_keep_old_records(store: SqliteStore, wall: Wall) -> None:
    """Rows stamped in the future by a clock that was wrong for a while go with those around them."""
    chain = Chain()
    for number in range(40):
        wrong = 3650 * DAY * SECOND if number in {3, 4} else 0
        store.commit([chain.work(logs(1, number))], NOON - (40 - number) * DAY * SECOND + wrong)
    run(Retention(store, NEVER._replace(logs_age=5.5 * DAY), wall))
    assert ask(store, "SELECT min(seq), count(*) FROM log") == [(36, 5)]


def test_the_newest_record_always_stays(store: SqliteStore, wall: Wall) -> None:
    """Its id must not be given again: a tail that follows ids would miss what comes next."""
    chain = Chain()
    fill(store, chain, 2)
    wall.now += 100 * DAY * SECOND
    run(Retention(store, NEVER._replace(logs_age=1.0 * DAY), wall))
    assert ask(store, "SELECT id FROM log") == [(20,)]
    store.commit([chain.work(logs(1))], wall.now)
    assert ask(store, "SELECT id FROM log ORDER BY id") == [(20,), (21,)]


def test_records_beyond_the_size_go_oldest_first(tmp_path: Path, wall: Wall) -> None:
    """Until the used part of the file is within the limit, and no further than a step beyond it."""
    with SqliteStore.open(tmp_path) as store:
        chain = Chain()
        for start in range(0, 20_000, 1000):
            store.commit([chain.work([log("x" * 200) for _ in range(1000)])], NOON + start)
        limit = 2 * 2**20
        run(Retention(store, NEVER._replace(logs_bytes=limit, budget_rows=500), wall))
        (pages,), (free,) = ask(store, "PRAGMA page_count")[0], ask(store, "PRAGMA freelist_count")[0]
        assert limit * 0.8 < (pages - free) * 4096 <= limit
        ((first, last, count),) = ask(store, "SELECT min(seq), max(seq), count(*) FROM log")
        assert (last, count) == (20_000, 20_000 - first + 1)
        assert ask(store, "PRAGMA integrity_check") == [("ok",)]


def test_samples_have_limits_of_their_own(store: SqliteStore, wall: Wall) -> None:
    """Their size is that of their data: logs stay when samples are too much, and the other way round."""
    web, samples = Chain(WEB), Chain(WEB, SAMPLES)
    store.commit([web.work(logs(10))], NOON)
    for number in range(20):
        data = {"scan": number, "blob": os.urandom(50_000)}
        store.commit([samples.work([(NOON, "processes", data)])], NOON + number)
    run(Retention(store, NEVER._replace(samples_bytes=500_000, budget_rows=1), wall))
    ((count,),) = ask(store, "SELECT count(*) FROM sample")
    assert 8 <= count <= 10
    assert ask(store, "SELECT count(*) FROM log") == [(10,)]
    assert ask(store, f"SELECT rows, bytes FROM usage WHERE stream = {SAMPLES}") == ask(
        store, "SELECT count(*), sum(length(data)) FROM sample"
    )
    run(Retention(store, NEVER._replace(samples_age=0.0), wall))
    assert ask(store, "SELECT count(*) FROM log") == [(10,)]


def test_work_is_done_in_steps(store: SqliteStore, wall: Wall) -> None:
    """No step deletes more than the budget, and commits come between them."""
    chain = Chain()
    fill(store, chain, 30, 100)
    retention = Retention(store, NEVER._replace(logs_age=1.0 * DAY, budget_rows=70), wall)
    before = 3000
    while retention.step(0.0):
        ((count,),) = ask(store, "SELECT count(*) FROM log")
        assert before - count <= 70
        before = count
        store.commit([chain.work(logs(1))], NOON)
        before += 1
    assert before < 400


def test_a_file_that_is_mostly_free_is_shortened(
    tmp_path: Path, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a limit was lowered the disk gets its space back."""
    monkeypatch.setattr("tabard.consumers.store.retention.FREE_BYTES", 100_000)
    with SqliteStore.open(tmp_path) as store:
        chain = Chain()
        for _ in range(10):
            store.commit([chain.work([log("x" * 500) for _ in range(1000)])], NOON)
        store.idle()
        store.settle()
        size = RECORDS.path(tmp_path).stat().st_size
        run(Retention(store, NEVER._replace(logs_bytes=2**20), wall))
        store.commit([chain.work(logs(1000))], NOON)
        for _ in range(100):  # each moves a part, as long as it takes to be no hindrance
            store.idle()
            store.settle()
        assert RECORDS.path(tmp_path).stat().st_size < size / 2
        assert ask(store, "PRAGMA integrity_check") == [("ok",)]
