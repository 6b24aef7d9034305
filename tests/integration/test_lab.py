"""The lab as a user builds it: namespaces, a real ssh server in each host, three zones, and nothing left of it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.request import urlopen

import pytest

from tabard.ops.lab import marks, needs
from tabard.ops.lab.plan import planned
from tests.conftest import Need
from tests.integration.labbing import Tool as LabTool
from tests.integration.upping import TABARD, environment
from tests.numbering import differences
from tests.ports import free_port

EACH: Final = 40
"""Records that each node says at a time."""
PATIENCE: Final = 60.0
NODES: Final = [host.name for host in planned().hosts]
PLANT: Final = [host.name for host in planned().hosts if host.zone == "hq/dmz/plant"]
OTHERS: Final = [name for name in NODES if name not in PLANT]
LINKS: Final = ("plant1-dmz1", "plant1-dmz2")


class Tool(LabTool):
    """With numbered records of all nodes."""

    def say(self, nodes: list[str], first: int) -> None:
        """Have each of the nodes accept so many numbered records."""
        for node in nodes:
            lines = "".join(f"n {number}\n" for number in range(first, first + EACH))
            self.done("exec", node, "--", "tabard", "log", "--service", "numbered", stdin=lines)

    def stored(self) -> dict[str, list[int]]:
        """The numbers that are in the store, by node."""
        text = self.done(
            "exec", "hq1", "--", "tabard", "logs", "--service", "numbered", "-n", "9999", "-o", "ndjson"
        )
        found: dict[str, list[int]] = {}
        for row in sorted(map(json.loads, text.splitlines()), key=lambda row: (row["node"], row["seq"])):
            found.setdefault(row["node"], []).append(int(row["message"].removeprefix("n ")))
        return found

    def await_stored(self, expected: dict[str, list[int]]) -> None:
        """Wait until the store has exactly these numbers."""
        end = time.monotonic() + PATIENCE
        while wrong := differences(self.stored(), expected):
            assert time.monotonic() < end, wrong


def _machine() -> tuple[list[str], list[str]]:
    """What of the machine a lab could leave something in: its interfaces, and mounts of labs."""
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    return sorted(name for _, name in socket.if_nameindex()), [line for line in mounts if "lab" in line]


@pytest.fixture
def tool(tmp_path: Path, need: Need) -> Iterator[Tool]:
    """A home of the test's own; whatever becomes of the test, its lab is taken away."""
    lacking = needs.missing()
    need.that(not lacking, f"a machine that can build a lab, and this one is without {', '.join(lacking)}")
    found = Tool(tmp_path)
    yield found
    found("down")


def _wait(holds: Callable[[], object], what: str) -> None:
    """It is another process's state, so there is no event to wait for."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f"not seen in {PATIENCE:.0f} s: {what}"
        time.sleep(0.02)


def test_a_lab_is_built_broken_healed_and_taken_away(tool: Tool) -> None:
    """Records of twelve nodes in three zones are stored once each, also those that a silent cut held back; then all is gone."""
    machine = _machine()
    port = free_port()
    tool.done("up", "--port", str(port))
    with urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE) as answer:
        assert answer.status == 200
    assert {
        name: row["state"] for name, row in tool.rows().items() if row["kind"] == "node"
    } == dict.fromkeys(NODES, "up")
    keys = json.loads(tool.done("exec", "hq1", "--", "tabard", "keys", "list", "-o", "json"))
    assert sorted(key["name"] for key in keys if (key["role"], key["state"]) == ("node", "valid")) == sorted(
        NODES
    )
    own = json.loads(tool.done("exec", "web1", "--", "tabard", "keys", "list", "-o", "json"))
    assert [(key["role"], key["name"]) for key in own if key["here"]] == [("node", "web1")]
    again = tool("up", "--port", str(port + 1))
    assert (again.returncode, "a lab is up there already" in again.stderr) == (4, True)

    expected = {name: list(range(EACH)) for name in NODES}
    tool.say(NODES, 0)
    tool.await_stored(expected)

    unknown = tool("cut", LINKS[0], "nowhere")
    assert (unknown.returncode, "no such link and no such node" in unknown.stderr) == (2, True)
    assert tool.rows()[LINKS[0]]["state"] == "up"  # names come before deeds
    tool.done("cut", *LINKS)
    assert {tool.rows()[link]["state"] for link in LINKS} == {"cut"}
    # Silent: the ends of the cables are up, and it is the tunnels that find out.
    (cable,) = json.loads(tool.done("exec", "plant1", "--", "ip", "-j", "link", "show", "dev", "eth1"))
    assert (cable["operstate"], "LOWER_UP" in cable["flags"]) == ("UP", True)
    tool.say(NODES, EACH)
    expected |= {name: list(range(2 * EACH)) for name in OTHERS}
    tool.await_stored(expected)
    _wait(lambda: "up" not in tool.tunnels("plant1"), "both tunnels notice that nothing answers")
    assert differences(tool.stored(), expected) == ""

    tool.done("heal", *LINKS)
    tool.await_stored({name: list(range(2 * EACH)) for name in NODES})

    # The machine's own directories are not those of a node.
    tool.done("exec", "web1", "--", "touch", "/tmp/of-web1", "/var/spool/cron/crontabs/of-web1")
    assert not any(os.path.exists(path) for path in ("/tmp/of-web1", "/var/spool/cron/crontabs/of-web1"))

    cron = "cat /etc/crontab; find /etc/cron.*/ -type f; test ! -d /etc/cron.d || touch /etc/cron.d/of-web1"
    assert tool.done("exec", "web1", "--", "sh", "-c", cron) == ""  # none of the machine's jobs
    assert not os.path.exists("/etc/cron.d/of-web1")

    firsts = [process.pid for process in marks.marked(tool.place.mark) if process.first]
    pids = [process.pid for first in firsts for process in marks.within(first)]
    assert len(firsts) == len(NODES) + 1
    assert len(pids) > 3 * len(NODES)
    tool.done("down")
    _nothing_left(tool, machine)
    assert not [pid for pid in pids if _runs(pid)]
    assert tool("down").returncode == 0
    late = tool("cut", *LINKS)
    assert (late.returncode, "no lab is up there" in late.stderr) == (1, True)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _nothing_left(tool: Tool, machine: tuple[list[str], list[str]]) -> None:
    assert marks.marked(tool.place.mark) == []
    assert not tool.home.exists()  # it was made for the lab
    assert _machine() == machine


def test_killed_hosts_and_services_come_back_with_what_they_had(tool: Tool) -> None:
    """A node whose power was cut has its disk when it is healed; a service is started again; a full disk and a frozen broker lose nothing.

    The end of the lab's first process is the end of all of it, files excepted.
    """
    machine = _machine()
    tool.done("up", "--port", str(free_port()), "--backend", "sshtunnel")
    assert list(tool.tunnels("plant1").values()) == ["up", "up"]
    tool.say(["press1", "web1"], 0)
    tool.done("freeze", "dmz1", "broker")
    assert tool.rows()["dmz1"]["faults"] == ["frozen broker"]
    tool.done("slow", "hq1-dmz2", "--delay", "50ms", "--rate", "1MiB")
    assert tool.rows()["hq1-dmz2"]["faults"] == ["slow 50 ms, 1048576 B/s"]
    tool.say(["press1", "web1"], EACH)
    tool.done("kill", "press1")
    tool.done("kill", "hq1", "recorder")
    tool.done("fill", "web2")
    rows = tool.rows()
    assert (rows["press1"]["state"], rows["press1"]["pid"], rows["web2"]["faults"]) == (
        "down",
        None,
        ["full disk"],
    )
    refused = tool("exec", "press1", "--", "true")
    assert (refused.returncode, "tabard lab heal press1" in refused.stderr) == (1, True)
    tool.done("heal")
    tool.await_stored({name: list(range(2 * EACH)) for name in ("press1", "web1")})
    _wait(lambda: tool.rows()["hq1"]["restarts"], "the recorder is started again")
    rows = tool.rows()
    assert {(row["state"], *row["faults"]) for row in rows.values()} == {("up",)}

    first = marks.first_of(tool.place.mark, "")
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    _wait(lambda: not marks.marked(tool.place.mark), "all processes end with the first one")
    gone = tool("status")
    assert (gone.returncode, "no lab is up" in gone.stderr) == (1, True)
    tool.done("down")
    _nothing_left(tool, machine)


def _kill_builder(tool: Tool, seen: str) -> None:
    """Begin to build a lab, and kill who does it as soon as a process of that name is begun."""
    with subprocess.Popen(
        [*TABARD, "lab", "up", "--port", str(free_port())],
        env=environment(tool.home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as builder:
        _wait(lambda: tool.place.log(seen).exists(), f"{seen} is begun")
        builder.kill()


@pytest.mark.parametrize("seen", ["lab", "web1", "page"])
def test_a_builder_that_is_killed_leaves_nothing_that_down_does_not_take(tool: Tool, seen: str) -> None:
    """Wherever it was: its processes end by themselves, with mounts and networks, and the files go with `lab down`."""
    machine = _machine()
    _kill_builder(tool, seen)
    if seen != "page":  # from then on the lab may be complete, and goes on
        _wait(lambda: not marks.marked(tool.place.mark), "all processes end")
    tool.done("down")
    _nothing_left(tool, machine)


def test_the_tutorial_does_what_it_says(tool: Tool, root: Path) -> None:
    """Every line that the page has its reader type succeeds, also over what a killed lab has left; the end leaves nothing."""
    machine = _machine()
    _kill_builder(tool, "hq1")
    page = (root / "docs/tutorial-lab.md").read_text(encoding="utf-8")
    lines = [
        line
        for kind, block in re.findall(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        if not kind  # those of other kinds are for other labs
        for line in block.splitlines()
        if "tabard " in line
    ]
    assert lines[0] == "tabard lab up"
    assert lines[-1] == "tabard lab down"
    _wait(lambda: not marks.marked(tool.place.mark), "what was begun ends")
    lines[0] += f" --port {free_port()}"
    said: list[str] = []
    before = ""
    for line in lines:
        if match := re.match(r'echo "(.*)" \|', line):
            said.append(match[1])
        if line.endswith(
            "tabard zones"
        ):  # ends with 3 as long as something is still coming up, as the page says
            _wait(lambda line=line: _ran(tool, line).returncode == 0, "all is well")  # type: ignore[misc]
        shown = _typed(tool, line)
        if line.endswith("logs --service tutorial"):
            if said[-1] == "nobody hears me" and not before.startswith("tabard lab heal"):
                assert said[-1] not in shown  # both links are cut
            else:  # the page has its reader ask again
                _wait(lambda line=line: said[-1] in _typed(tool, line), f"{said[-1]} is shown")  # type: ignore[misc]
        before = line
    assert len(said) == 5
    _nothing_left(tool, machine)


def _ran(tool: Tool, line: str) -> subprocess.CompletedProcess[str]:
    """A line that is typed into a shell, run to its end."""
    bin_ = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-c", line],
        env=environment(tool.home, PATH=bin_),
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
    )


def _typed(tool: Tool, line: str) -> str:
    """What it prints, once it succeeded."""
    ended = _ran(tool, line)
    assert ended.returncode == 0, f"{line}: {ended.stderr}{ended.stdout}"
    return ended.stdout
