"""What a store of an older version holds is there after the upgrade, in its new form."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from tabard.consumers.store import schema
from tabard.consumers.store.layout import FILES, RECORDS, STATE
from tabard.consumers.store.read import Reader
from tabard.consumers.store.results import LogQuery
from tests.contract.chain import NOON

LOG = "INSERT INTO log (node_id, epoch_id, seq, arrived, time, severity, message) VALUES (1, 1, ?, ?, ?, 9, 'm')"
HELD = "INSERT INTO quarantine VALUES (?, 1, ?, ?, ?, 1, 'why', x'0000', x'00', x'0000', ?)"


def old(store: Path, revision: str) -> list[sqlite3.Connection]:
    """The two files of a store as they were at a step, open."""
    made = []
    for kind in FILES:
        connection = sqlite3.connect(kind.path(store), isolation_level=None)
        engine = create_engine("sqlite://", creator=lambda c=connection: c, poolclass=StaticPool)
        with engine.begin() as core:
            command.upgrade(schema.config(connection=core, database=kind.name), revision)
        connection.execute("INSERT INTO node VALUES (1, 'hq', 'web1', 1)")
        made.append(connection)
    return made


@pytest.mark.parametrize("revision", ["0002", "0003"])
def test_what_is_in_quarantine_is_counted_and_has_its_place(tmp_path: Path, revision: str) -> None:
    """Just after the log record before it in its epoch, or before the one after it, or at its arrival."""
    records, state = old(tmp_path, revision)
    for seq in (5, 9):
        records.execute(LOG, (seq, NOON, NOON + seq))
    for row_id, stream, epoch, first in ((1, 2, 1, 7), (2, 2, 1, 1), (3, 2, 8, 1), (4, 3, 1, 7)):
        records.execute(HELD, (row_id, stream, epoch, first, NOON + 100 + row_id))
    state.execute(HELD, (1, 1, 1, 1, NOON))
    if revision == "0003":
        records.execute("INSERT INTO usage VALUES (0, 4, 20)")
    for connection in (records, state):
        connection.close()
    schema.upgrade(tmp_path)
    with Reader(tmp_path) as reader:
        page = reader.logs(LogQuery(order="old"))
        places = [(row.is_gap, row.id, row.time - NOON) for row in page.rows]
        assert places == [(True, 2, 4), (False, 1, 5), (True, 1, 5), (False, 2, 9), (True, 3, 103)]
        assert [(row.stream, row.time - NOON) for row in reader.quarantine(stream="samples")] == [
            ("samples", 104)
        ]
        assert [row.time for row in reader.quarantine(stream="control")] == [NOON]
        assert reader.quarantined() == {("hq", "web1"): 5}
    connection = sqlite3.connect(RECORDS.path(tmp_path))
    assert connection.execute("SELECT rows, bytes FROM usage WHERE stream = 0").fetchall() == [(4, 20)]
    connection.close()


def test_names_of_forgotten_epochs_stay(tmp_path: Path) -> None:
    """In both files."""
    for connection in old(tmp_path, "0003"):
        connection.execute("INSERT INTO past_epoch VALUES (1, 2, x'01', 7), (1, 2, x'02', 8)")
        connection.close()
    schema.upgrade(tmp_path)
    for kind in (RECORDS, STATE):
        connection = sqlite3.connect(kind.path(tmp_path))
        found = connection.execute("SELECT node_id, stream, hex(uid), ended FROM past_epoch ORDER BY uid")
        assert found.fetchall() == [(1, 2, "01", 7), (1, 2, "02", 8)]
        connection.close()
