"""`tabard nodes` while the recorder writes, and while it does not."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tabard.home import Home
from tabard.locks import hold
from tests.unit.ops_reading.conftest import run_on
from tests.unit.web.seed import SECOND, Seeder


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home in which web1 was heard until ten minutes ago, and old1 until an hour before that."""
    home = Home(tmp_path / "home").ensure()
    last = time.time_ns() - 600 * SECOND
    seeder = Seeder(home.store)
    seeder.beacon(heard=last)
    seeder.beacon(node="old1", heard=last - 3600 * SECOND)
    seeder.close()
    return home


def states(home: Home) -> dict[str, str]:
    """By node."""
    rows = json.loads(run_on(home.path, "nodes", "-o", "json").stdout)
    return {row["node"]: row["state"] for row in rows}


def test_while_the_recorder_does_not_run_a_node_that_was_heard_is_unknown(home: Home) -> None:
    """It is not the node that ended. Who was silent before stays so; the reason stands above the table."""
    with hold(home.lock("recorder")):
        pass
    assert states(home) == {"web1": "unknown", "old1": "silent"}
    shown = run_on(home.path, "nodes")
    assert (
        "the recorder does not run: nothing is known of the nodes but what it stored until 10 m"
        in shown.stderr
    )


def test_without_a_recorder_of_this_home_all_silent_at_once_is_the_recorder(home: Home) -> None:
    """Its store may be elsewhere; then the beacons themselves tell."""
    assert states(home) == {"web1": "unknown", "old1": "silent"}
    assert "the recorder says nothing" in run_on(home.path, "nodes").stderr


def test_while_the_recorder_runs_a_node_that_is_not_heard_is_silent(home: Home) -> None:
    """It says itself that it writes."""
    with hold(home.lock("recorder")):
        (home.run / "recorder.json").write_text(json.dumps({"pid": _holder(home)}))
        assert states(home) == {"web1": "silent", "old1": "silent"}
        assert run_on(home.path, "nodes").stderr == ""


def _holder(home: Home) -> int:
    return int(home.lock("recorder").read_text())
