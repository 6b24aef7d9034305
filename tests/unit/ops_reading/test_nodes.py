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


def _with_clocks(home: Home, off: dict[str, int]) -> None:
    """A home in which these nodes were heard just now, their clocks wrong by so many seconds."""
    now = time.time_ns()
    seeder = Seeder(home.ensure().store)
    for node, seconds in off.items():
        seeder.beacon(node=node, heard=now, wall=now + seconds * SECOND)
    seeder.close()


def faults(home: Home) -> list[str]:
    """What the status says of the store."""
    said = json.loads(run_on(home.path, "status", "-o", "json").stdout)
    return [fault["what"] for fault in said["faults"] if fault["where"] == "store"]


def test_a_clock_that_is_far_off_is_a_fault(tmp_path: Path) -> None:
    """Of the node, with how far; a few seconds are none. The table shows both."""
    home = Home(tmp_path / "home")
    _with_clocks(home, {"web1": 2 * 86_400, "web2": -90, "web3": 5, "web4": 0})
    shown = {line.split()[0]: line for line in run_on(home.path, "nodes").stdout.splitlines()[1:]}
    assert "2 d ahead" in shown["web1"]
    assert "behind" in shown["web2"]
    assert "5 s ahead" in shown["web3"]
    assert "in step" in shown["web4"]
    assert faults(home) == [
        f"the clock of node {node} (hq) is {how} the recorder's: its records stand at a wrong time. Set it"
        for node, how in (("web1", "2.0 d ahead of"), ("web2", "2 min behind"))
    ]


def test_many_clocks_that_are_far_off_are_one_fault(tmp_path: Path) -> None:
    """It may as well be the clock of who heard them."""
    home = Home(tmp_path / "home")
    _with_clocks(home, {f"web{number}": 86_400 for number in range(1, 6)})
    (what,) = faults(home)
    assert what.startswith(
        "the clocks of 5 nodes, such as web1, web2, web3, are far from the recorder's, or that one is wrong"
    )
