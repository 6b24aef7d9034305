"""Two homes that know each other by a file that was carried over: what it brings is taken up while everything runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tabard.home import Home
from tests.integration.test_signed import faults, log, stored, wait
from tests.integration.upping import Started, tabard


def rows(home: Path, *words: str) -> list[dict[str, Any]]:
    """What a command about keys says it did."""
    done = tabard(home, *words, "-o", "json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_a_host_that_is_added_is_believed_until_its_key_is_revoked(tmp_path: Path) -> None:
    """What it logs is stored; once its key is revoked nothing more is, and the recorder says whose word it refuses."""
    hub, host, file = tmp_path / "hub", tmp_path / "host", str(tmp_path / "web1.tabard")
    rows(hub, "init", "--zone", "hq", "--set", "node.name=hub")
    rows(hub, "zone", "add", "hq/dmz")
    rows(hub, "node", "add", "web1", "--zone", "hq/dmz", "--out", file)
    key = next(row["key"] for row in rows(host, "join", file) if row["role"] == "node")
    upward, downward = (f"ipc://{Home(hub).socket(f'b1.{lane}')}" for lane in ("up_in", "down_out"))
    there = ("--set", f"agent.up={upward}", "--set", f"agent.down={downward}", "--set", "agent.beacon=1s")
    with (
        Started(hub, "up", "--only", "broker,recorder", "--set", "node.name=hub") as first,
        Started(host, "up", "--only", "agent", *there) as second,
    ):
        first.wait_for("Ctrl-C")
        second.wait_for("Ctrl-C")
        log(host, "one")
        wait(lambda: stored(hub) == ["one"], "what a host with keys says is stored")
        rows(hub, "keys", "revoke", key, "--reason", "disk stolen")
        wait(lambda: "does not believe a batch" in faults(hub), "the recorder refuses what it says")
        log(host, "two")
    new = str(tmp_path / "again.tabard")  # with the agent ended, which has signed all that it took
    rows(hub, "keys", "rotate", "node", "web1", "--zone", "hq/dmz", "--out", new)
    rows(host, "join", new)
    with (
        Started(hub, "up", "--only", "broker,recorder", "--set", "node.name=hub") as first,
        Started(host, "up", "--only", "agent", *there) as second,
    ):
        first.wait_for("Ctrl-C")
        second.wait_for("Ctrl-C")
        log(host, "three")
        wait(lambda: "three" in stored(hub), "what the new key signs is stored")
        assert "two" not in stored(hub), "the old one had signed it"
