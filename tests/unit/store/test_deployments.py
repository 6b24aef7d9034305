"""Configuration records become deployments: noted once, in the transaction of their rows, and found without a search."""

from __future__ import annotations

import contextlib
import itertools
import json
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
from tests.unit.web.seed import NOW, SECOND, Clock, Seeder, record

HOUR = 3600 * SECOND


def start(time: int = NOW, **said: Any) -> tuple[Any, ...]:
    """The record of a start."""
    given = {
        "service": "shop",
        "package": "shop",
        "version": "1.0",
        "stage": "TESTING",
        "reason": "start",
        "changed": [],
        "digest": "aa" * 16,
        "rule": "salted",
        "values": {"a.b": "1"},
        "secrets": {},
        "left_out": 0,
    }
    attributes = json.dumps({"configuration": {**given, **said}})
    return record(time=time, logger="tabard.config", message="shop starts", attributes=attributes)


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


@pytest.mark.parametrize("others", [0, 3, 40])
def test_a_start_is_noted_however_it_is_stored(seeder: Seeder, reader: Reader, others: int) -> None:
    """Alone, in a small batch, in a large one: the log has the record, and the deployment is there."""
    noise = [record(message=f"line {number}", logger="shop") for number in range(others)]
    seeder.logs([*noise, start(), *noise], node="web1", zone="hq")
    (found,) = reader.deployments()
    assert found._replace(configuration_id=0) == (
        "shop", "TESTING", "web1", "hq", "shop", "1.0", "aa" * 16, "salted", 0, NOW, NOW, 1, None,
    )  # fmt: skip
    assert reader.configuration(found) == ({"a.b": "1"}, {}, 0)
    assert reader.stats().streams["logs"].rows == 2 * others + 1


def test_starts_that_change_nothing_are_one_stretch(seeder: Seeder, reader: Reader) -> None:
    """A job that cron starts every minute is one row that counts."""
    for minute in range(5):
        seeder.logs([start(NOW + minute * SECOND)] * 3)
    (found,) = reader.deployments()
    assert (found.since, found.last, found.starts) == (NOW, NOW + 4 * SECOND, 15)
    assert len(reader.deployment_history()) == 1


def test_a_new_version_or_configuration_begins_a_stretch(seeder: Seeder, reader: Reader) -> None:
    """Going back to an old one as well; each place has its own history."""
    seeder.logs(
        [
            start(NOW, version="1.0"),
            start(NOW + 1 * HOUR, version="1.1"),
            start(NOW + 2 * HOUR, version="1.1", digest="bb" * 16),
            start(NOW + 3 * HOUR, version="1.0"),
            start(NOW + 3 * HOUR, version="9", stage="PRODUCTION"),
        ]
    )
    seeder.logs([start(NOW + 4 * HOUR, version="1.1")], node="web2")
    assert [(each.stage, each.node, each.version) for each in reader.deployments()] == [
        ("PRODUCTION", "web1", "9"),
        ("TESTING", "web1", "1.0"),
        ("TESTING", "web2", "1.1"),
    ]
    history = reader.deployment_history(stage="TESTING", node="web1")
    assert [(each.version, each.digest[:2], each.since, each.until) for each in history] == [
        ("1.0", "aa", NOW + 3 * HOUR, None),
        ("1.1", "bb", NOW + 2 * HOUR, NOW + 3 * HOUR),
        ("1.1", "aa", NOW + 1 * HOUR, NOW + 2 * HOUR),
        ("1.0", "aa", NOW, NOW + 1 * HOUR),
    ]
    assert reader.deployments(service="till") == []
    assert len(reader.deployments(service="shop", stage="TESTING")) == 2


def test_what_arrives_late_finds_its_place(seeder: Seeder, reader: Reader) -> None:
    """After an outage old starts come behind new ones: the present stays, the past is filled in."""
    seeder.logs([start(NOW + 5 * HOUR, version="2")])
    seeder.logs(
        [start(NOW + 3 * HOUR, version="2"), start(NOW + 4 * HOUR, version="2"), start(NOW, version="1")]
    )
    (found,) = reader.deployments()
    assert found.version == "2"
    history = reader.deployment_history()
    assert [(each.version, each.since, each.until, each.starts) for each in history] == [
        ("2", NOW + 3 * HOUR, None, 3),
        ("1", NOW, NOW + 3 * HOUR, 1),
    ]


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
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.deserialize(schema.template(RECORDS))
        connection.execute("INSERT INTO node (id, zone, name, first_seen) VALUES (1, 'hq', 'web1', 1)")
        while shuffled:
            size = rng.randint(1, 3)
            part = [
                start(moment, version=version, digest=digest.translate(HEX))
                for moment, version, digest in shuffled[:size]
            ]
            del shuffled[:size]
            for text, parameters in deployed.steps(["tabard.config"], part, 1, 99):
                connection.execute(text, parameters)
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


HOSTILE: list[Any] = [
    None,
    "text",
    "[1, 2]",
    '{"configuration": 7}',
    '{"configuration": {"digest": "zz"}}',
    '{"configuration": "{"}',
    json.dumps({"configuration": {"service": "", "digest": "ab" * 8, "values": {}}}),
    json.dumps({"configuration": {"service": "x", "digest": "ab" * 8, "values": 3}}),
    json.dumps({"configuration": {"service": ["x"], "digest": "ab" * 8, "values": {}}}),
    '{"configuration": ' * 5000,
]


@pytest.mark.parametrize("attributes", HOSTILE)
def test_what_is_not_in_the_form_stays_in_the_log(seeder: Seeder, reader: Reader, attributes: Any) -> None:
    """Nothing of it is noted, and nothing is refused for it."""
    seeder.logs([record(logger="tabard.config", attributes=attributes)] * 10)
    assert reader.deployments() == []
    assert reader.stats().streams["logs"].rows == 10
    assert reader.stats().quarantined == 0


def test_what_no_column_takes_is_cleaned_and_bounded(seeder: Seeder, reader: Reader) -> None:
    """Escapes of JSON can say what no text may hold; sizes are cut; a way that makes text of extras is understood."""
    odd = {"a\0": "\ud800", **{f"k{n}": "v" * 10_000 for n in range(3000)}}
    seeder.logs([start(service="s" * 500, version="1\0\ud800", values=odd, left_out=-3, digest="ab" * 8)] * 9)
    plain = json.loads(start()[-1])["configuration"]
    seeder.logs([record(logger="tabard.config", attributes=json.dumps({"configuration": json.dumps(plain)}))])
    assert reader.stats().quarantined == 0
    shop, long = sorted(reader.deployments(), key=lambda each: len(each.service))
    assert (shop.service, len(long.service), long.version) == ("shop", 128, "1␀\ufffd")
    assert len(json.dumps(reader.configuration(long))) <= 65_536


def test_a_batch_of_inventions_costs_a_bounded_number_of_notes(seeder: Seeder, reader: Reader) -> None:
    """Who invents services fills no table; the log has every record."""
    seeder.logs([start(service=f"s{number}") for number in range(200)])
    assert len(reader.deployments()) == deployed.MOST_IN_A_BATCH
    assert reader.stats().streams["logs"].rows == 200


def test_a_service_that_changes_all_the_time_has_a_bounded_history(seeder: Seeder, reader: Reader) -> None:
    """The oldest stretches go first."""
    for number in range(deployed.HISTORY + 30):
        seeder.logs([start(NOW + number, version=str(number))])
    history = reader.deployment_history()
    assert len(history) == deployed.HISTORY
    assert (history[0].version, history[-1].version) == (str(deployed.HISTORY + 29), "30")


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
    connection = seeder.store.connection(RECORDS)
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
            command.upgrade(schema._config(connection=core, database=kind.name), "0001")
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
