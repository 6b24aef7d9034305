"""Real homes whose keys were taken back, or which never had any: what is set aside, what is said, and that work goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tabard import exits
from tabard.home import Home
from tests.integration.test_signed import HERE, ROLES, faults, key_of, keys, log, stored, wait
from tests.integration.upping import Started, tabard


def said(home: Path, role: str) -> dict[str, Any]:
    """What a role says of itself; nothing while it has not said it."""
    try:
        found = json.loads((home / "run" / f"{role}.json").read_text())
    except (OSError, ValueError):
        return {}
    assert isinstance(found, dict)
    return found


def texts(home: Path) -> list[str]:
    """The messages stored, without what stands between them."""
    done = tabard(home, "logs", "--service", "shop", "-o", "ndjson")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return [row["message"] for row in rows if "message" in row]


def held(home: Path) -> int:
    """The shards that the recorder of a home holds."""
    return int(said(home, "recorder").get("shards", {}).get("held", -1))


def quarantined(home: Path) -> list[dict[str, Any]]:
    """What `tabard store quarantine list` says."""
    rows = json.loads(tabard(home, "store", "quarantine", "list", "-o", "json").stdout)
    assert isinstance(rows, list)
    return rows


def test_a_revoked_key_with_a_backlog(tmp_path: Path) -> None:
    """What waits is in quarantine once the node has another key, a gap says how much, and what comes after is stored."""
    home = tmp_path / "home"
    keys(home)
    with Started(home, "up", "--only", ROLES, *HERE) as up:
        up.wait_for("Ctrl-C")
        log(home, "one")
        wait(lambda: stored(home) == ["one"], "it is stored")
        first = key_of(home)
        assert first is not None
    with Started(home, "up", "--only", "agent", *HERE) as up:
        up.wait_for("Ctrl-C")
        log(home, "two", "three")
    assert tabard(home, "keys", "revoke", first[:12], "--reason", "disk stolen").returncode == 0
    with Started(home, "up", "--only", ROLES, *HERE) as up:
        up.wait_for("Ctrl-C")
        wait(lambda: "revoked key" in faults(home), "the recorder says that it does not believe the node")
        assert stored(home) == ["one"]
        assert tabard(home, "keys", "rotate", "node", "web1", "--zone", "hq").returncode == 0
        wait(lambda: key_of(home) not in {None, first}, "the agent signs with another key")
        log(home, "four")
        wait(lambda: texts(home) == ["one", "four"], "what comes after is stored")
        rows = wait(lambda: [row for row in quarantined(home) if row["stream"] == "logs"], "it is kept")
        assert {row["reason"] for row in rows} == {"revoked key"}
        done = tabard(home, "logs", "-o", "ndjson")
        gaps = [json.loads(line) for line in done.stdout.splitlines() if '"revoked key"' in line]
        assert any(gap["kind"] == "gap" and not gap["at_least"] for gap in gaps)
        wait(
            lambda: not said(home, "agent")["sinks"]["main"]["streams"]["logs"]["lag"],
            "the node lets go of it",
        )
        done = tabard(home, "store", "verify", "-o", "json")
        (row,) = json.loads(done.stdout)
        assert row["node"] == "web1" and row["verified"] and row["revoked"]
        assert not any(row[name] for name in ("unsigned", "unknown", "wrong", "broken"))
        assert done.returncode == 0
        assert tabard(home, "store", "verify", "--node", "wep1").returncode == exits.WRONG_USE


def test_a_recorder_without_keys_beside_one_that_has_some(tmp_path: Path) -> None:
    """It takes no shards of nodes that it could not serve, says why, and takes its part once it has keys."""
    hub, second = tmp_path / "hub", tmp_path / "second"
    keys(hub)
    upward, downward = (f"ipc://{Home(hub).socket(f'b1.{lane}')}" for lane in ("up_out", "down_in"))
    there = (
        *("--set", f"recorder.up={upward}", "--set", f"recorder.down={downward}"),
        *("--set", f"store.path={hub / 'store'}", "--set", "node.name=web2", "--set", "node.zone=hq"),
    )
    with Started(hub, "up", "--only", ROLES, *HERE) as first:
        first.wait_for("Ctrl-C")
        log(hub, "one")
        wait(lambda: stored(hub) == ["one"], "it is stored")
        with Started(second, "up", "--only", "recorder", *there) as other:
            other.wait_for("Ctrl-C")
            wait(lambda: "takes no shards" in faults(second), "it says so")
            wait(lambda: (held(hub), held(second)) == (64, 0), "the other one has them all")
            log(hub, "two")
            wait(lambda: stored(hub) == ["one", "two"], "nothing is held up")
            shutil.copytree(Home(hub).trust, Home(second).trust)
            wait(lambda: (held(hub), held(second)) == (32, 32), "with keys it takes its part")


def test_a_lost_root_with_a_backlog(tmp_path: Path) -> None:
    """What waits under the old root is stored under the new one, each once, and verified again by the word of the new key."""
    home = tmp_path / "home"
    keys(home)
    with Started(home, "up", "--only", ROLES, *HERE) as up:
        up.wait_for("Ctrl-C")
        log(home, "one")
        wait(lambda: stored(home) == ["one"], "it is stored")
        first = key_of(home)
    with Started(home, "up", "--only", "agent", *HERE) as up:
        up.wait_for("Ctrl-C")
        log(home, "two", "three")
    (home / "trust").rename(home / "trust.lost")
    done = tabard(home, "init", "--zone", "hq", *HERE)
    assert done.returncode == exits.DONE, done.stderr
    with Started(home, "up", "--only", ROLES, *HERE) as up:
        up.wait_for("Ctrl-C")
        wait(lambda: key_of(home) not in {None, first}, "the agent signs with another key")
        log(home, "four")
        wait(lambda: stored(home) == ["one", "two", "three", "four"], "all of it is stored")
        wait(
            lambda: not said(home, "agent")["sinks"]["main"]["streams"]["logs"]["lag"],
            "the node lets go of it",
        )
        assert not quarantined(home)
        assert "unknown key" not in faults(home)
        done = tabard(home, "store", "verify", "-o", "json")
        (row,) = json.loads(done.stdout)
        assert row["vouched"] and row["verified"] and row["unknown"]
        assert not any(row[name] for name in ("unsigned", "revoked", "wrong", "broken"))
        assert done.returncode == exits.PARTLY  # what was stored under the old root is still unknown here
