"""Deployments on SQLite: how they are found, what outlives what. The rest is `tests.contract.reading_deployments`."""

from __future__ import annotations

import itertools
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from tabard.consumers.store import deployed, deployments, schema
from tabard.consumers.store.layout import FILES, RECORDS, VERSION, schema_version
from tabard.consumers.store.limits import RetentionLimits
from tabard.consumers.store.read import Reader
from tabard.consumers.store.retention import Retention
from tabard.consumers.store.sqlite import SqliteStore
from tests.contract.reading_deployments import start
from tests.unit.web.seed import NOW, SECOND, Clock, Seeder, record

HOUR = 3600 * SECOND


@pytest.fixture
def seeder(tmp_path: Path):
    """Fills a store as a recorder does."""
    seeder = Seeder(tmp_path)
    yield seeder
    seeder.close()


@pytest.fixture
def reader(tmp_path: Path):
    """Reads it as herald does."""
    with Reader(tmp_path) as reader:
        yield reader


@given(
    st.lists(
        st.tuples(st.integers(1, 30), st.sampled_from("ab"), st.sampled_from("xy")), min_size=1, max_size=12
    ),
    st.randoms(use_true_random=False),
)
def test_whatever_the_order_of_arrival_the_present_is_right(said, rng) -> None:
    """The newest start says what runs; every start is counted; nothing is in the history that was never said."""
    unique = list({moment: (moment, version, digest * 8) for moment, version, digest in said}.values())
    shuffled = rng.sample(unique, len(unique))
    with SqliteStore.memory() as store:
        connection: Any = store.connection(RECORDS)
        connection.execute("INSERT INTO node (id, zone, name, first_seen) VALUES (1, 'hq', 'web1', 1)")
        while shuffled:
            size = rng.randint(1, 3)
            part = [
                start(moment, version=version, digest=digest.translate(HEX))
                for moment, version, digest in shuffled[:size]
            ]
            del shuffled[:size]
            deployed.note(store.writer(RECORDS), part, 1, 99)
        (current,) = deployments.current(connection, None, None, None)
        history = deployments.history(connection, None, None, None)
    forms = {moment: (version, digest.translate(HEX)) for moment, version, digest in unique}
    assert (current.version, current.digest) == forms[max(forms)]
    assert current.form == history[0].form
    assert history[0].until is None
    assert sum(each.starts for each in history) == len(unique)
    assert all(forms[each.since] == (each.version, each.digest) for each in history)
    assert [each.until for each in history[1:]] == [each.since for each in history[:-1]]
    assert all(one.form != other.form for one, other in itertools.pairwise(history))


HEX = str.maketrans("xy", "cd")


def test_history_outlives_the_log_and_ends_by_its_own_age(seeder: Seeder, reader: Reader) -> None:
    """A service that has run for months is still known when its start has left the log."""
    seeder.logs([start(NOW - 900 * HOUR, version="1"), start(NOW - 100 * HOUR, version="2", digest="bb" * 8)])
    seeder.logs([record()] * 20)
    limits = RetentionLimits(
        logs_age=1.0,
        logs_bytes=2**40,
        samples_age=1e9,
        samples_bytes=2**40,
        every=1.0,
        budget_rows=1000,
        versions_age=500 * 3600.0,
    )
    retention = Retention(seeder.store, limits, Clock(NOW + 3600 * SECOND))
    while retention.step(1.0):
        pass
    assert reader.stats().streams["logs"].rows == 1
    assert [each.version for each in reader.deployment_history()] == ["2"]
    contents = seeder.store.connection(RECORDS).execute("SELECT digest FROM configuration").fetchall()
    assert contents == [("bb" * 8,)]


def test_nothing_is_searched_and_no_row_of_the_log_is_read(seeder: Seeder) -> None:
    """The answers come from the two small tables, by their indexes."""
    seeder.logs([start()])
    connection: Any = seeder.store.connection(RECORDS)
    texts: list[str] = []
    connection.set_trace_callback(texts.append)
    deployments.current(connection, "shop", "TESTING", None)
    deployments.history(connection, "shop", None, "web1")
    connection.set_trace_callback(None)
    for text in texts:
        plan = " ".join(str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {text}"))
        assert "deployment_by_place" in plan
        assert " log" not in plan
        assert "SCAN deployment" not in plan


def test_noting_is_part_of_the_transaction_of_the_rows(seeder: Seeder, reader: Reader) -> None:
    """When the rows are rolled back, so is what was noted of them."""
    connection = seeder.store.connection(RECORDS)
    connection.execute("CREATE TRIGGER refuse BEFORE INSERT ON batch BEGIN SELECT RAISE(ABORT, 'no'); END")
    seeder.logs([start()] * 9)
    connection.execute("DROP TRIGGER refuse")
    assert reader.deployments() == []
    seeder.logs([start()] * 9)
    assert [each.starts for each in reader.deployments()] == [9]


def test_a_store_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    """Its records stay, and from then on starts are noted."""
    for kind in FILES:
        connection = sqlite3.connect(kind.path(tmp_path), isolation_level=None)
        schema._prepare(connection)
        engine = create_engine("sqlite://", creator=lambda made=connection: made, poolclass=StaticPool)
        connection.execute("BEGIN IMMEDIATE")
        with engine.begin() as core:
            command.upgrade(schema.config(connection=core, database=kind.name), "0001")
        assert schema_version(connection) == "0001"
        connection.execute("INSERT INTO node (zone, name, first_seen) VALUES ('hq', 'old', 1)")
        connection.close()
    assert schema.upgrade(tmp_path) == {"records": ("0001", VERSION), "state": ("0001", VERSION)}
    seeder = Seeder(tmp_path)
    seeder.logs([start()], node="old")
    seeder.close()
    with Reader(tmp_path) as reader:
        assert [each.node for each in reader.deployments()] == ["old"]
        assert [node.name for node in reader.nodes(NOW)] == ["old"]
    SqliteStore.open(tmp_path).close()
