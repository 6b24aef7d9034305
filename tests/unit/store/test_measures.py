"""What `tabard store stats` measures, on both engines."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tabard import exits
from tabard.brokers.wire.streams import CONTROL, SAMPLES
from tabard.consumers.store import levels
from tabard.consumers.store.layout import RECORDS, VERSION
from tabard.consumers.store.measures import measures
from tabard.consumers.store.place import Place
from tabard.consumers.store.postgresql.read import PostgresReader
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.read import Reader
from tabard.consumers.store.results import LevelRows
from tabard.consumers.store.room import ROW_OVERHEAD
from tabard.consumers.store.sqlite import SqliteStore
from tabard.errors import StoreError
from tabard.ops.bench.postgres import Postgres
from tabard.records import severity_name
from tests.contract.chain import NOON, Chain, log, logs
from tests.integration.upping import tabard

DAY = 86_400_000_000_000


def fill(store: SqliteStore | PostgresStore) -> None:
    """Ten log records, three of them on the next day, two samples, one answer."""
    chain = Chain()
    store.commit([chain.work(logs(7))], NOON)
    store.commit([chain.work(logs(3, start=7))], NOON + DAY)
    store.commit([Chain(stream=SAMPLES).work([(NOON, "host", {}), (NOON, "host", {})])], NOON)
    store.commit([Chain(stream=CONTROL).work([(NOON, "answer", {})])], NOON)


def test_files_are_measured(tmp_path: Path) -> None:
    """With what is free in them; what a stream takes is what retention compares with its limit."""
    with SqliteStore.open(tmp_path) as store:
        fill(store)
        store.connection(RECORDS).execute("CREATE TABLE big AS SELECT zeroblob(400000) AS x")
        store.connection(RECORDS).execute("DROP TABLE big")
        found = measures(Place(str(tmp_path)))
    records, state = found.parts
    assert (records.part, state.part) == ("records", "state")
    assert {records.schema, state.schema} == {VERSION}
    assert records.free >= 400_000
    assert records.log > 0
    assert found.days == []
    assert found.used["samples"] == 2 * (ROW_OVERHEAD + 1)
    assert found.used["logs"] == records.bytes - records.free - found.used["samples"]
    assert found.used["control"] == ROW_OVERHEAD + 1


def test_schemas_are_measured(tmp_path: Path, postgres: Postgres) -> None:
    """Day by day."""
    url = postgres.database()
    with PostgresStore.open(url) as store:
        fill(store)
    (tmp_path / "tabard.toml").write_text(f'[store]\nurl = "{url}"\n')
    done = tabard(tmp_path, "store", "stats", "-o", "json")
    assert done.returncode == exits.DONE, done.stderr
    found = json.loads(done.stdout)
    days = [(day["stream"], day["day"], day["rows"], day["estimated"]) for day in found["days"]]
    assert days == [
        ("logs", "2026-11-03", 7, False),
        ("logs", "2026-11-04", 3, False),
        ("samples", "2026-11-03", 2, False),
        ("control", "2026-11-03", 1, False),
    ]
    used = {limit["stream"]: limit["bytes"] for limit in found["limits"]}
    assert used["logs"] == sum(day["bytes"] for day in found["days"] if day["stream"] == "logs")
    assert [part["bytes"] > 0 for part in found["parts"]] == [True, True]
    assert (found["engine"], found["backup"]) == ("postgresql", None)
    assert "No backup was made" in tabard(tmp_path, "store", "stats").stdout


def severities(number: int) -> int:
    """Of a record: one in ten is an error, one in four of the others a warning, one in a hundred says nothing."""
    return 0 if number % 100 == 50 else 17 if number % 10 == 0 else 13 if number % 4 == 1 else 9


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_levels_are_counted_where_they_are_few_and_estimated_where_they_are_many(
    engine: str, tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them add up to what there is; what is estimated says so, and is near."""
    url = postgres.database()
    chain, count = Chain(), 4_000
    with (
        PostgresStore.open(url) if engine == "postgresql" else SqliteStore.open(tmp_path) as store,
        PostgresReader(url) if engine == "postgresql" else Reader(tmp_path) as reader,
    ):
        assert reader.levels() == []
        for start in range(0, count, 200):
            store.commit(
                [chain.work([log(severity=severities(number)) for number in range(start, start + 200)])],
                NOON + start // 2000 * DAY,
            )
        exact = reader.levels()
        wanted = Counter(severity_name(severities(number)) for number in range(count))
        assert exact == [LevelRows(level, wanted[level], False) for level in ("", "INFO", "WARNING", "ERROR")]
        monkeypatch.setattr(levels, "FEW", 1_000)
        monkeypatch.setattr(levels, "STRETCHES", 20)
        monkeypatch.setattr(levels, "STRETCH", 37)
        about = reader.levels()
    assert [(level, estimated) for level, _rows, estimated in about] == [
        (level, True) for level, _rows, _estimated in exact
    ]
    assert abs(sum(each.rows for each in about) - count) <= len(about)
    for found, true in zip(about[1:], exact[1:], strict=True):
        assert abs(found.rows - true.rows) < true.rows / 5


def test_levels_are_shown(tmp_path: Path) -> None:
    """As a table, and none where there is no record."""
    with SqliteStore.open(tmp_path / "store") as store:
        assert "Levels" not in tabard(tmp_path, "store", "stats").stdout
        store.commit([Chain().work([log(), log(severity=17), log(severity=0)])], NOON)
    said = tabard(tmp_path, "store", "stats").stdout.partition("Levels\n")[2].partition("\n\n")[0]
    assert [line.split() for line in said.splitlines()][1:] == [["none", "1"], ["INFO", "1"], ["ERROR", "1"]]


def test_the_last_backup_is_shown(tmp_path: Path) -> None:
    """Where it is, and when it was begun."""
    with SqliteStore.open(tmp_path / "store") as store:
        fill(store)
    assert tabard(tmp_path, "store", "backup", str(tmp_path / "b")).returncode == exits.DONE
    found = json.loads(tabard(tmp_path, "store", "stats", "-o", "json").stdout)
    assert found["backup"]["target"] == str(tmp_path / "b")
    assert found["backup"]["made"].endswith("Z")
    assert "Last backup 20" in tabard(tmp_path, "store", "stats").stdout


def test_a_store_that_is_not_there_is_said(tmp_path: Path) -> None:
    """As by every command that reads it."""
    with pytest.raises(StoreError, match="cannot be read"):
        measures(Place(str(tmp_path)))
    assert tabard(tmp_path, "store", "stats").returncode == exits.FAILED
