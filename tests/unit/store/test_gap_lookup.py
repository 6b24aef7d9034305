"""Gaps of one node are found by an index: a chatty node does not make every other node's page slow."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import pytest

from tabard.brokers.delivery.ports import Gap
from tabard.consumers.store import fleet, pages, schema
from tabard.consumers.store.layout import RECORDS, STATE
from tabard.consumers.store.readonly import SqliteReading
from tabard.consumers.store.results import LogQuery
from tabard.consumers.store.sqlite import SqliteStore
from tests.contract.chain import MAIL, NOON, WEB, Chain, logs

CHATTY = 5_000
FEW = 40
"""Hundreds of steps of SQLite's machine: less than one for each gap of the chatty node."""


@pytest.fixture
def connection() -> SqliteReading:
    """Both files, as a reader sees them: thousands of gaps of one node, one of the other."""
    with SqliteStore.memory() as store:
        web, mail = Chain(WEB), Chain(MAIL)
        store.commit([web.work(logs(1)), mail.work(logs(1))], NOON)
        many = web.work(gaps=[Gap(web.epoch, 1, 1, 1, False, "gap", "quota")] * CHATTY)
        store.commit([mail.lose(3)], NOON - 1)
        store.commit([many], NOON)
        records = store.connection(RECORDS).serialize()
    connection = sqlite3.connect(":memory:", factory=SqliteReading)
    connection.execute("ATTACH ':memory:' AS state")
    connection.deserialize(records)
    connection.deserialize(schema.template(STATE), name="state")
    return connection


@pytest.mark.parametrize(
    "ask",
    [
        lambda connection: fleet.gaps(connection, "mail1", None, None, None, None, 20),
        lambda connection: fleet.gaps(connection, "mail1", "hq", "logs", 0, NOON + 1, 20),
        lambda connection: fleet.node(connection, "mail1", NOON, None),
        lambda connection: pages.page(connection, LogQuery(node="mail1"), 1.0),
    ],
    ids=["listing", "narrow listing", "node page", "log page"],
)
def test_gaps_of_one_node_do_not_cost_those_of_another(
    connection: SqliteReading, ask: Callable[[SqliteReading], object]
) -> None:
    """Whatever asks for one node reads its gaps only."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection.set_progress_handler(count, 100)
    ask(connection)
    assert steps < FEW


def test_a_listing_by_node_is_what_it_was(connection: SqliteReading) -> None:
    """Newest first over streams and files; an unknown stream or node has none."""
    assert [gap.node for gap in fleet.gaps(connection, "mail1", None, None, None, None, 20)] == ["mail1"]
    assert len(fleet.gaps(connection, None, None, "logs", None, None, 10_000)) == CHATTY + 1
    assert fleet.gaps(connection, "mail1", "else", None, None, None, 20) == []
    assert fleet.gaps(connection, None, None, "samples", None, None, 20) == []
    assert fleet.gaps(connection, "nobody", None, None, None, None, 20) == []
