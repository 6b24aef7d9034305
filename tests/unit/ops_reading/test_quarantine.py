"""What the store could not take, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

from tests.unit.ops_reading.conftest import run_on
from tests.unit.ops_reading.test_json import described
from tests.unit.web.seed import Seeder, record


def test_a_batch_in_quarantine_is_listed_and_stands_in_the_log(tmp_path: Path) -> None:
    """In each form of the list, of all nodes or one; in the log among its neighbours, in words and as an object."""
    home = tmp_path / "home"
    seeder = Seeder(home / "store")
    seeder.logs([record(message="before")])
    seeder.poison(5, reason="bytes are not valid msgpack")
    seeder.poison(2, node="db1", zone="hq/db")
    seeder.close()
    found = json.loads(run_on(home, "store", "quarantine", "list", "-o", "json").stdout)
    assert [list(row) for row in found] == [described("tabard store quarantine list")] * 2
    line = run_on(home, "store", "quarantine", "--node", "web1", "-o", "ndjson").stdout
    row = json.loads(line)
    assert [row[key] for key in ("node", "zone", "stream", "first", "last", "count")] == [
        "web1", "hq", "logs", 3, 7, 5,
    ]  # fmt: skip
    assert "not valid msgpack" in run_on(home, "store", "quarantine", "list").stdout
    assert "5 records kept apart, numbers 3 to 7: bytes are" in run_on(home, "logs").stdout
    rows = [
        json.loads(line)
        for line in run_on(home, "logs", "--node", "web1", "-o", "ndjson").stdout.splitlines()
    ]
    assert [row["kind"] for row in rows] == ["record", "quarantine"]
    assert list(rows[1]) == described("A gap or a doubt")
