"""What is asked of the stubs of withheld records: as cheap where there are millions of them."""

from __future__ import annotations

from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store.layout import RECORDS
from tabard.consumers.store.reading import SQLITE
from tabard.consumers.store.sqlite import SqliteStore
from tabard.consumers.store.withheld import newest_stubs


def test_the_newest_stub_of_each_node_is_found_by_an_index() -> None:
    """Of the table of stubs nothing is read but those."""
    connection = SqliteStore.memory().connection(RECORDS)
    text = newest_stubs(SQLITE, "main")
    plan = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", (LOGS, 0))]
    assert any("withheld_by_node" in line for line in plan)
    stubs = [line for line in plan if "stub" in line or "newest" in line]
    assert stubs and all(line.startswith("SEARCH") for line in stubs), plan
    assert not any("ORDER BY" in line for line in plan), plan
