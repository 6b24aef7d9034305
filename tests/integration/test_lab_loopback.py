"""A lab without namespaces, as a user who is not root builds it: broken and healed like any other, and nothing left of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tabard.errors import RefusedError
from tabard.ops.lab import marks, needs
from tabard.ops.lab.plan import planned
from tests.conftest import Need
from tests.integration.labbing import Tool, await_true
from tests.integration.upping import TABARD, environment
from tests.ports import free_port

NODES: Final = {host.name for host in planned().hosts}
LINKS: Final = ("plant1-dmz1", "plant1-dmz2")
NOBODY: Final = 65534
# What root's tests may do as another user is what any user may, and to read where this interpreter lies in root's home.
_AS_NOBODY: Final = (
    f"--reuid={NOBODY}",
    f"--regid={NOBODY}",
    "--clear-groups",
    "--inh-caps=-all,+dac_read_search",
    "--ambient-caps=-all,+dac_read_search",
    "--bounding-set=-all,+dac_read_search",
)


class Other(Tool):
    """The tool of a home of a user who is not root."""

    def __init__(self, folder: Path, need: Need) -> None:
        super().__init__(folder)
        self._prefix: list[str] = []
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
            self._prefix = [need("setpriv"), *_AS_NOBODY]

    def words(self, *words: str) -> list[str]:
        """What runs `tabard lab ...` as that user."""
        return [*self._prefix, *TABARD, "lab", *words]

    def __call__(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            self.words(*words),
            env=environment(self.home),
            cwd=self.home.parent,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=150,
        )

    def said(self) -> list[str]:
        """What the store has of the nodes' lines."""
        words = ("exec", "hq1", "--", "tabard", "logs", "--service", "said", "-n", "999", "-o", "ndjson")
        return [json.loads(line)["message"] for line in self(*words).stdout.splitlines()]

    def say(self, node: str, text: str) -> None:
        """Have a node accept a line."""
        self.done("exec", node, "--", "tabard", "log", "--service", "said", stdin=f"{text}\n")

    def arrives(self, text: str) -> None:
        """Wait until the store has it, once."""
        await_true(lambda: text in self.said(), f"{text} is stored")
        assert self.said().count(text) == 1


@pytest.fixture
def tool(need: Need) -> Iterator[Other]:
    """A home of a user who is not root; whatever becomes of the test, its lab is taken away."""
    for name in ("ssh", "sshd", "ssh-keygen"):
        need(name)
    folder = Path(tempfile.mkdtemp(prefix="a lab "))  # pytest's own is root's
    found = Other(folder, need)
    yield found
    ended = found("down")
    left = marks.marked(found.place.mark)
    shutil.rmtree(folder, ignore_errors=True)
    assert ended.returncode == 0, ended.stderr
    assert left == []


def _takes(tool: Other, node: str, text: str) -> bool:
    words = ("exec", node, "--", "tabard", "log", "--service", "said")
    return tool(*words, stdin=f"{text}\n").returncode == 0


def _everything(tool: Other) -> set[int]:
    """All processes of the lab, with those that do not carry its mark."""
    firsts = [each.pid for each in marks.marked(tool.place.mark) if each.first]
    return {each.pid for first in firsts for each in marks.within(first)}


def _gone(pids: set[int]) -> bool:
    return not any(marks.name(pid) and _state(pid) not in "ZX" for pid in pids)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return "X"


@pytest.mark.timeout(600)
def test_a_lab_of_any_user_is_broken_healed_and_taken_away(tool: Other) -> None:
    """Real ssh servers, every kind of tunnel: what a silent cut held back arrives once, a killed host comes back with what it had."""
    ended = tool("up", "--loopback", "--backend", "mixed", "--port", str(free_port()))
    assert ended.returncode == 0, ended.stderr
    rows = tool.rows()
    assert {name for name, row in rows.items() if row["kind"] == "node" and row["state"] == "up"} == NODES
    tool.say("press1", "first")
    tool.arrives("first")

    tool.done("cut", *LINKS)
    assert {tool.rows()[link]["state"] for link in LINKS} == {"cut"}
    tool.say("press1", "held back")
    tool.say("web1", "not cut off")
    tool.arrives("not cut off")
    await_true(
        lambda: set(tool.tunnels("plant1").values()) != {"up"}, "a tunnel of the plant notices the cut"
    )
    assert "held back" not in tool.said()
    tool.done("heal", *LINKS)
    tool.arrives("held back")

    tool.say("press2", "before the power cut")
    tool.done("kill", "press2")
    assert tool.rows()["press2"]["state"] == "down"
    tool.done("freeze", "dmz1", "broker")
    assert tool.rows()["dmz1"]["faults"] == ["frozen broker"]
    tool.say("web1", "around the frozen one")
    tool.arrives("around the frozen one")
    tool.done("hostkey", "dmz2")
    tool.done("clock", "web2", "2d")
    tool.done("slow", "hq1-dmz1", "--delay", "50ms")
    await_true(lambda: tool.tunnels("hq1")["dmz2"] == "refused", "the other host key is refused")
    full = tool("fill", "web1")
    assert (full.returncode, "has no disk of its own" in full.stderr) == (4, True)
    tool.done("hostkey", "dmz2", "--accept")
    tool.done("heal")
    await_true(
        lambda: _takes(tool, "press2", "after it"), "the agent of the host that was killed takes records"
    )
    for text in ("before the power cut", "after it"):
        tool.arrives(text)
    assert {(row["state"], *row["faults"]) for row in tool.rows().values()} == {("up",)}

    pids = _everything(tool)
    assert len(pids) > 3 * len(NODES)
    tool.done("down")
    assert _gone(pids)
    assert not tool.place.path.exists()
    assert tool("down").returncode == 0


@pytest.mark.timeout(600)
def test_all_of_it_ends_with_its_first_process_and_with_who_builds_it(tool: Other) -> None:
    """No kernel does that here: hosts look whether the lab is still there, and take what they started with them."""
    with subprocess.Popen(
        tool.words("up", "--loopback", "--port", str(free_port())),
        env=environment(tool.home),
        cwd=tool.home.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as builder:
        await_true(
            lambda: sum(each.first for each in marks.marked(tool.place.mark)) == len(NODES) + 1,
            "all is begun",
        )
        builder.send_signal(signal.SIGKILL)
    await_true(lambda: not marks.marked(tool.place.mark), "all processes end with who builds")

    ended = tool("up", "--loopback", "--port", str(free_port()))
    assert ended.returncode == 0, ended.stderr
    pids = _everything(tool)
    first = marks.first_of(tool.place.mark, "")
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    await_true(lambda: _gone(pids), "all processes end with the first one")
    gone = tool("status")
    assert (gone.returncode, "no lab is up" in gone.stderr) == (1, True)


def test_root_is_told_what_its_ssh_server_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    """And whoever has no ssh server, what to install."""
    monkeypatch.setattr(needs, "_SEPARATION", "/nonexistent")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(needs, "program", lambda name: f"/bin/{name}")
    with pytest.raises(RefusedError, match="mkdir -m 755 /nonexistent"):
        needs.refuse_missing(loopback=True)
    monkeypatch.setattr(needs, "program", lambda name: None if name == "sshd" else f"/bin/{name}")
    with pytest.raises(RefusedError, match=r"without the program sshd.*openssh-server"):
        needs.refuse_missing(loopback=True)
