"""What the tutorial has its reader type, typed: every role runs, and the command line is looked at as a user does."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tabard import exits
from tests.integration.brokering import wait_until
from tests.integration.upping import TABARD, Started, environment, tabard
from tests.ports import free_port
from tests.unit.ops_reading.test_json import described

ROLES = ("agent", "broker.b1", "recorder", "dispatcher", "herald")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """A whole Tabard that tails one file of its own and one that is not there."""
    home = tmp_path_factory.mktemp("journey") / "home"
    home.mkdir()
    shop = home.parent / "shop.log"
    shop.write_text("opened\n")
    (home / "tabard.toml").write_text(
        '[agent]\nbeacon = "1s"\n'
        f'[[intake.tail]]\npath = "{shop}"\nservice = "shop"\n'
        f'[[intake.tail]]\npath = "{home.parent}/nothing.log"\n'
    )
    with Started(home, "up", "--port", str(free_port())) as up:
        up.wait_for("Open http://127.0.0.1:")
        yield up


def until(up: Started, words: tuple[str, ...], holds: Callable[[Any], bool]) -> Any:
    """Ask a command for JSON until the answer holds; pytest's own timeout ends a wait in vain."""
    while True:
        done = tabard(up.home.path, *words, "-o", "json")
        answer = json.loads(done.stdout)
        if holds(answer):
            return answer


def count(service: str, number: int) -> Callable[[Any], bool]:
    """Whether so many records of a service are there."""
    return lambda rows: len([row for row in rows if row["service"] == service]) >= number


def test_what_is_said_is_found(up: Started) -> None:
    """A line into `tabard log` is a record of `tabard logs`, and so is a line of a tailed file."""
    assert tabard(up.home.path, "log", "--service", "tutorial", stdin="hello\n").returncode == exits.DONE
    (row,) = until(up, ("logs", "--service", "tutorial"), count("tutorial", 1))
    assert (row["message"], row["origin"].split()[0]) == ("hello", "uid")
    (row,) = until(up, ("logs", "--service", "shop"), count("shop", 1))
    assert (row["message"], row["origin"]) == ("opened", f"file {up.home.path.parent}/shop.log")


def test_a_follower_sees_it(up: Started) -> None:
    """`tabard logs -f` in one terminal shows what is said in another."""
    with Started(up.home.path, "logs", "-f", "--service", "spoken") as follower:
        number = 0
        while f"said {number - 1}" not in follower.said:
            tabard(up.home.path, "log", "--service", "spoken", f"said {number}")
            follower.wait_for("said")
            number += 1
        follower.signal(signal.SIGINT)
        assert follower.rest() == exits.DONE


def test_nothing_is_lost_when_the_recorder_is_killed(up: Started) -> None:
    """A thousand lines while the recorder is killed: a thousand records, in order, each once."""
    lines = "".join(f"line {number}\n" for number in range(1000))
    with subprocess.Popen(
        [*TABARD, "log", "--service", "numbered"],
        env=environment(up.home.path),
        stdin=subprocess.PIPE,
        text=True,
    ) as log:
        assert log.stdin is not None
        log.stdin.write(lines[: len(lines) // 2])
        log.stdin.flush()
        os.kill(up.pids(["recorder"])["recorder"], signal.SIGKILL)
        log.stdin.write(lines[len(lines) // 2 :])
        log.stdin.close()
        assert log.wait() == exits.DONE
    up.wait_for("recorder runs again")
    rows = until(up, ("logs", "--service", "numbered", "-n", "2000"), count("numbered", 1000))
    assert [row["message"] for row in rows] == lines.splitlines()


def test_status_when_all_is_well(up: Started) -> None:
    """Every role with its process, every address, every source, and exit code 0; all keys are on the page."""
    report = until(
        up, ("status",), lambda report: report["state"] == "well" and report["streams"] and report["counters"]
    )
    assert tabard(up.home.path, "status").returncode == exits.DONE
    assert {role["name"]: role["pid"] for role in report["roles"]} == up.pids(["up", *ROLES])
    assert report["intakes"] == [str(up.home.socket("intake.sock"))]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", report["page"])
    states = {Path(source["path"]).name: source["state"] for source in report["sources"]}
    assert states == {"shop.log": "reading", "nothing.log": "waiting"}
    for part in ("roles", "sources", "streams", "brokers", "links", "counters"):
        assert {tuple(row) for row in report[part]} == {tuple(described(f"status: {part}"))}
    assert list(report["recorder"]) == described("status: recorder")
    assert list(report["store"]) == described("status: store")


def test_status_for_a_person(up: Started) -> None:
    """The sections that a page promises, faults first; those of hops and rosters are there once there is something to tell."""
    promised = [
        *("Roles", "Addresses", "Sources", "Journal", "Brokers", "Links", "Hops", "Rosters"),
        *("Recorder", "Recorders", "Counters", "Store"),
    ]

    def titles() -> list[str]:
        said = tabard(up.home.path, "status").stdout
        lines = [line for line in said.splitlines() if line and not line.startswith(" ")]
        return [line.split()[0].rstrip(":,") for line in lines[2:]]

    wait_until(lambda: {"Hops", "Rosters"} <= set(titles()), "hops are numbered")
    assert titles() == promised


def test_a_frozen_role_is_a_fault(up: Started) -> None:
    """A broker that runs and does nothing is told from one that works, and status ends with 3."""
    pid = up.pids(["broker.b1"])["broker.b1"]
    os.kill(pid, signal.SIGSTOP)
    try:
        file = up.home.run / "broker.b1.json"
        os.utime(file, (0, 0))  # as if it had said nothing for years
        done = tabard(up.home.path, "status", "-o", "json")
    finally:
        os.kill(pid, signal.SIGCONT)
    report = json.loads(done.stdout)
    assert done.returncode == exits.PARTLY
    assert report["faults"] == [
        {"where": "broker.b1", "what": "has said nothing for over 15 s: is it frozen?"}
    ]
    assert list(report["faults"][0]) == described("status: faults")


def test_nodes_and_sinks(up: Started) -> None:
    """This machine is the one node, and up; its sink is the one of this home."""
    (node,) = until(up, ("nodes",), lambda nodes: nodes and nodes[0]["state"] == "up")
    assert list(node) == described("tabard nodes")
    sinks = until(up, ("sink", "list"), lambda rows: len(rows) > 1)
    assert {(row["sink"], row["node"], row["attached"]) for row in sinks} == {("main", node["node"], True)}
    assert {row["stream"] for row in sinks} >= {"logs", "samples"}
    assert {tuple(row) for row in sinks} == {tuple(described("tabard sink list"))}
