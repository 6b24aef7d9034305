"""Hosts with ssh and nothing else, looked after from one terminal: installed, upgraded, put back, taken back, taken away; one of them is dead.

The terminal is hq1 of a lab of bare hosts. The releases differ as releases do: each is built from a source tree with another version in it, and the one that
is broken has an agent that ends as soon as it is started.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tabard import exits
from tabard._version import VERSION
from tabard.ops.hosts import bundle
from tabard.ops.lab import faults, needs
from tests.conftest import Need
from tests.integration.labbing import Tool, await_true
from tests.ports import free_port

SOURCE: Final = Path(__file__).parents[2]
PARTS: Final = ("src", "agents", "brokers", "consumers", "ops", "web")
NEXT: Final = "0.1.1"
WORSE: Final = "0.1.2"
OURS: Final = "/root/.tabard"
DEAD_AFTER: Final = 45.0
"""Seconds in which a dead host has to be given up: what the ways to it promise (10 s to connect, 3 times 5 s to be silent), and half as much."""


class Terminal:
    """hq1, and what is typed there."""

    def __init__(self, tool: Tool, hosts: list[str]) -> None:
        self.tool = tool
        self.hosts = hosts
        self.began = time.monotonic()

    def type(self, *words: str, code: int) -> list[dict[str, Any]]:
        """A command of `tabard host`, and its rows; it has to end with that exit code."""
        began = time.monotonic()
        ended = self.tool("exec", "hq1", "--", "tabard", "host", *words, "-o", "json")
        print(
            f"\n$ tabard host {' '.join(words)}   # {time.monotonic() - began:.1f} s, exit code {ended.returncode}",
            flush=True,
        )
        print(ended.stderr)
        assert ended.returncode == code, ended.stderr + ended.stdout
        rows: list[dict[str, Any]] = json.loads(ended.stdout)
        for row in rows:
            print("  ", {name: value for name, value in row.items() if value not in (None, [])})
        return rows

    def heard(self, *hosts: str) -> dict[str, str]:
        """The version that each of these was last heard with, as the store has it."""
        rows = json.loads(self.tool.done("exec", "hq1", "--", "tabard", "nodes", "-o", "json"))
        return {row["node"]: row["version"] for row in rows if row["node"] in hosts}

    def inside(self, host: str, *words: str) -> str:
        """What a program prints on a host, whatever its exit code is."""
        return self.tool("exec", host, "--", *words).stdout

    def carry(self, wheels: Path, to: str) -> str:
        """Put wheels where the terminal finds them."""
        shutil.copytree(wheels, self.tool.path("hq1", to))
        return to


def _wheels(folder: Path, version: str, *, broken: bool) -> Path:
    """A whole release, its Tabard built from a source tree with another version in it."""
    tree, out = folder / f"tree-{version}", folder / version
    tree.mkdir(parents=True)
    out.mkdir()
    for part in PARTS:
        shutil.copytree(
            SOURCE / part,
            tree / part,
            symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"),
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(SOURCE / name, tree / name)
    file = tree / "src/tabard/_version.py"
    text = file.read_text(encoding="utf-8")
    assert VERSION in text
    file.write_text(text.replace(VERSION, version), encoding="utf-8")
    if broken:
        agent = tree / "agents/role.py"
        agent.write_text(agent.read_text(encoding="utf-8") + "\nraise SystemExit(1)\n", encoding="utf-8")
    words = [
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--wheel-dir",
        str(out),
        str(tree),
    ]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True, capture_output=True)
    for each in bundle.made().wheels:
        if bundle.distribution(each.name) != "tabard":
            (out / each.name).write_bytes(each.data)
    return out


@pytest.fixture
def tool(tmp_path: Path, need: Need) -> Iterator[Tool]:
    """A home of the test's own; whatever becomes of the test, its lab is taken away."""
    lacking = needs.missing()
    need.that(not lacking, f"a machine that can build a lab, and this one is without {', '.join(lacking)}")
    found = Tool(tmp_path)
    yield found
    found("down")


def _of(rows: list[dict[str, Any]], key: str) -> dict[str, Any]:
    return {row["host"]: row[key] for row in rows}


def _acts(tool: Tool) -> set[str]:
    """What has been done, as the audit has it by now."""
    rows = json.loads(tool.done("exec", "hq1", "--", "tabard", "audit", "-o", "json"))
    return {row["kind"] for row in rows}


def _look_after(tool: Tool, folder: Path, count: int, batch: int) -> None:
    tool.done("up", "--bare", str(count), "--port", str(free_port()))
    hosts = [f"bare{number}" for number in range(1, count + 1)]
    terminal = Terminal(tool, hosts)
    *living, dead = hosts
    sleepy = living[-1]
    faults.freeze(tool.place, dead, None)

    # All in one call; the dead one is named, within its time, and nobody waits for it for ever.
    aim = ("--zone", "hq", "--broker-at", "10.77.0.11", "--batch", str(count))
    began = time.monotonic()
    own = terminal.carry(_wheels(folder, VERSION, broken=False), "/var/tmp/own")
    rows = terminal.type(
        "install", *(f"root@{host}" for host in hosts), *aim, "--wheels", own, code=exits.PARTLY
    )
    assert _of(rows, "did") == {**dict.fromkeys(living, "installed"), f"root@{dead}": "unreachable"}
    assert time.monotonic() - began < DEAD_AFTER * count
    first = rows[0]["release"]
    assert terminal.heard(*hosts) == dict.fromkeys(living, VERSION)
    assert _of(terminal.type("list", code=exits.DONE), "release") == dict.fromkeys(living, first)

    # Another version, in batches behind a gate; one more falls silent, and is passed over.
    good = terminal.carry(_wheels(folder, NEXT, broken=False), "/var/tmp/good")
    faults.freeze(tool.place, sleepy, None)
    rows = terminal.type("upgrade", "--all", "--wheels", good, "--plan", code=exits.PARTLY)
    assert _of(rows, "does") == {**dict.fromkeys(living[:-1], "upgrade"), sleepy: "unreachable"}
    rows = terminal.type(
        "upgrade", "--all", "--wheels", good, "--batch", str(batch), "--gate", "90s", code=exits.PARTLY
    )
    assert _of(rows, "state") == {**dict.fromkeys(living[:-1], "done"), sleepy: "unreachable"}
    second = rows[0]["release"]
    assert second.startswith(f"{NEXT}-")
    assert terminal.heard(*living[:-1]) == dict.fromkeys(living[:-1], NEXT)

    # Both are back: the same commands again take them up, and touch no other.
    for host in (dead, sleepy):
        faults.thaw(tool.place, host, None)
    rows = terminal.type("upgrade", "--all", "--wheels", good, "--gate", "90s", code=exits.DONE)
    assert _of(rows, "state") == {**dict.fromkeys(living[:-1], "already"), sleepy: "done"}
    rows = terminal.type("install", f"root@{dead}", *aim, "--wheels", good, code=exits.DONE)
    assert (rows[0]["did"], rows[0]["release"]) == ("installed", second)
    assert terminal.heard(*hosts) == dict.fromkeys(hosts, NEXT)

    # A release that does not run stops at the canary, which is put back by itself.
    worse = terminal.carry(_wheels(folder, WORSE, broken=True), "/var/tmp/worse")
    rows = terminal.type("upgrade", "--all", "--wheels", worse, "--gate", "15s", code=exits.FAILED)
    assert _of(rows, "state") == {hosts[0]: "put back", **dict.fromkeys(hosts[1:], "held")}
    assert set(_of(terminal.type("list", "--ask", code=exits.DONE), "release").values()) == {second}
    assert terminal.heard(*hosts) == dict.fromkeys(hosts, NEXT)

    # What the good one brought is taken back; who was installed with it has nothing to go back to.
    rows = terminal.type("rollback", "--all", "--batch", str(count), "--gate", "90s", code=exits.DONE)
    assert _of(rows, "state") == {**dict.fromkeys(living, "done"), dead: "passed over"}
    assert terminal.heard(*hosts) == {**dict.fromkeys(living, VERSION), dead: NEXT}
    assert (
        terminal.inside(hosts[0], f"{OURS}/software/current/bin/tabard", "--version").split()[-1] == VERSION
    )

    # Nothing is left.
    assert f"{OURS}/software" in terminal.inside(hosts[0], "crontab", "-l")
    rows = terminal.type("uninstall", *hosts, "--yes", code=exits.DONE)
    assert _of(rows, "did") == dict.fromkeys(hosts, "uninstalled")
    for host in hosts:
        assert not tool.path(host, OURS).exists()
        assert "tabard" not in terminal.inside(host, "crontab", "-l")
        assert ".tabard" not in terminal.inside(host, "ps", "-e", "-o", "args")
    assert terminal.type("list", code=exits.DONE) == []
    wanted = {"host.install", "host.upgrade", "host.rollback", "host.uninstall"}
    await_true(lambda: wanted <= _acts(tool), "each of these commands in the audit")
    print(f"{count} hosts in {time.monotonic() - terminal.began:.0f} s", flush=True)


@pytest.mark.timeout(300)
def test_hosts_are_looked_after_from_one_terminal(tool: Tool, tmp_path: Path) -> None:
    """Three, one of them dead."""
    _look_after(tool, tmp_path / "releases", 3, batch=2)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_dozen_hosts_too(tool: Tool, tmp_path: Path) -> None:
    """Twelve, one of them dead."""
    _look_after(tool, tmp_path / "releases", 12, batch=4)
