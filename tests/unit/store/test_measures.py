"""What `tabard store stats` measures, on both engines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tabard import exits
from tabard.brokers.wire.streams import CONTROL, SAMPLES
from tabard.consumers.store.layout import RECORDS, VERSION
from tabard.consumers.store.measures import measures
from tabard.consumers.store.place import Place
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.room import ROW_OVERHEAD
from tabard.consumers.store.sqlite import SqliteStore
from tabard.errors import StoreError
from tabard.ops.bench.postgres import Postgres
from tests.contract.chain import NOON, Chain, logs
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
