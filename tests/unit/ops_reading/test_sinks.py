"""`tabard sink` where something does not run: the agent, or the server of the store."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tabard import exits
from tabard.agents.notes import Notes
from tabard.brokers.delivery.notes import BY_NODE, Retirement
from tabard.consumers.store.sqlite import SqliteStore
from tabard.home import Home
from tests.unit.ops_reading.conftest import run_on


@pytest.fixture
def host(tmp_path: Path) -> Home:
    """A home of an agent with two sinks that ran there and does not run now."""
    host = Home(tmp_path / "home").ensure()
    host.settings_file.write_text(
        '[node]\nname = "web1"\nzone = "hq"\n[agent]\nsinks = ["plant", "hq"]\n[recorder]\nsink = "plant"\n'
    )
    (host.journal / "logs").mkdir(parents=True)
    return host


def tabard(host: Home, *words: str) -> CompletedProcess[str]:
    """Run a command on it."""
    return run_on(host.path, *words)


def states(host: Home) -> dict[str, str]:
    """How the sinks stand, by the list."""
    done = tabard(host, "sink", "-o", "json")
    assert done.returncode == exits.DONE
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    assert {(row["node"], row["zone"]) for row in rows} == {("web1", "hq")}
    return {row["sink"]: row["state"] for row in rows}


def test_the_sinks_of_an_agent_that_does_not_run_are_listed(host: Home) -> None:
    """What its settings name, and which of them it has noted as retired."""
    assert states(host) == {"plant": "stopped", "hq": "stopped"}
    Notes.open(host.journal).retire("hq", Retirement(BY_NODE, "ada@web1", time.time_ns()))
    assert states(host) == {"plant": "stopped", "hq": "retired"}


def test_an_order_that_waits_for_an_agent_can_be_taken_back(host: Home) -> None:
    """It is not noted yet, and counts as if it were."""
    (row,) = json.loads(tabard(host, "sink", "retire", "hq", "-o", "json").stdout)
    assert row["done"] is False
    assert states(host) == {"plant": "stopped", "hq": "retired"}
    assert tabard(host, "sink", "retire", "hq", "--undo").returncode == exits.DONE
    assert states(host) == {"plant": "stopped", "hq": "stopped"}
    again = tabard(host, "sink", "retire", "hq", "--undo")
    assert (again.returncode, "not retired here" in again.stderr) == (exits.WRONG_USE, True)


def test_the_last_sink_is_told_by_orders_that_wait_as_well(host: Home) -> None:
    """Two words in a row do not leave a node without any sink."""
    assert tabard(host, "sink", "retire", "hq").returncode == exits.DONE
    last = tabard(host, "sink", "retire", "plant")
    assert (last.returncode, "only sink" in last.stderr) == (exits.REFUSED, True)


def test_a_server_that_is_away_is_not_taken_for_no_store(host: Home) -> None:
    """The word to all nodes of a sink does not become one to this node; what the agent knows is listed all the same."""
    with host.settings_file.open("a") as file:
        file.write(f'[store]\nurl = "postgresql://tabard@/tabard?host={host.path}"\n')
    for words in (["retire", "plant"], ["backfill"]):
        done = tabard(host, "sink", *words)
        assert (done.returncode, "cannot be reached" in done.stderr) == (exits.FAILED, True)
    assert not (host.journal / "orders").exists()
    listed = tabard(host, "sink", "list", "-o", "json")
    assert (listed.returncode, "cannot be reached" in listed.stderr) == (exits.PARTLY, True)
    assert {row["sink"] for row in json.loads(listed.stdout)} == {"plant", "hq"}
    shutil.rmtree(host.journal)
    assert tabard(host, "sink", "list").returncode == exits.FAILED


def test_what_the_store_of_another_sink_lacks_is_not_asked_for(host: Home) -> None:
    """As its recorder would not start either."""
    with SqliteStore.open(host.path / "store") as store:
        store.own("hq", 1, "here")
    done = tabard(host, "sink", "backfill")
    assert (done.returncode, "not that sink's" in done.stderr) == (exits.WRONG_USE, True)
