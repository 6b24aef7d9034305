"""Real processes with real keys: what they say is signed, and who is not believed is told so on both sides."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tabard.brokers.trust.authority import Wanted
from tabard.brokers.trust.certificates import BROKER, NODE, RECORDER
from tabard.brokers.trust.files import Trust, found
from tabard.brokers.wire.batch import decode_header
from tabard.home import Home
from tests.integration.upping import Started, tabard

PATIENCE = 60.0
ROLES = "agent,broker,recorder"
HERE = ("--set", "node.name=web1", "--set", "node.zone=hq")


def keys(home: Path) -> Trust:
    """Found a zone of this home alone."""
    members = [
        Wanted(NODE, "web1", "hq", ("main",)),
        Wanted(BROKER, "web1", "hq"),
        Wanted(RECORDER, "web1", "hq", ("main",)),
    ]
    return found(Home(home), "hq", members)


def wait(holds: Callable[[], Any], what: str) -> Any:
    """Return what is true by now; fails when it never is."""
    end = time.monotonic() + PATIENCE
    while not (value := holds()):
        assert time.monotonic() < end, what
        time.sleep(0.05)
    return value


def status(home: Path) -> dict[str, Any]:
    """What `tabard status` says."""
    report: dict[str, Any] = json.loads(tabard(home, "status", "-o", "json").stdout)
    return report


def faults(home: Path) -> str:
    """All faults, as one text."""
    return "\n".join(row["what"] for row in status(home)["faults"])


def stored(home: Path) -> list[str]:
    """The messages stored, but those of the roles themselves."""
    done = tabard(home, "logs", "--service", "shop", "-o", "ndjson")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return [
        row["message"] for row in rows if row["kind"] == "record"
    ]  # gaps of a revoked key stand among them


def log(home: Path, *texts: str) -> None:
    """An application logs."""
    lines = "".join(json.dumps({"msg": text, "service": "shop"}) + "\n" for text in texts)
    assert tabard(home, "log", stdin=lines).returncode == 0


def batches(home: Path) -> list[tuple[bytes, int]]:
    """Signature and key of each batch header in the store."""
    found = []
    for path in (home / "store").glob("*.db"):
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
            if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'batch'").fetchone():
                found += db.execute("SELECT signature, length(header) FROM batch").fetchall()
    return found


def test_everything_is_signed_in_a_new_home(tmp_path: Path) -> None:
    """Records arrive, each batch in the store has a signature, and nothing is refused."""
    home = tmp_path / "home"
    with Started(home, "up", "--only", ROLES, *HERE) as up:
        up.wait_for("Ctrl-C")
        log(home, "one", "two")
        wait(lambda: stored(home) == ["one", "two"], "both are stored")
        assert "believe" not in faults(home)
        signatures = [signature for signature, _ in batches(home)]
        assert signatures and {len(signature) for signature in signatures} == {64}


def signing(home: Path, *roles: str) -> bool:
    """Whether these roles say that they sign."""
    files = [home / "run" / f"{role}.json" for role in roles]
    return all(file.exists() and json.loads(file.read_text())["keys"]["key"] for file in files)


def test_keys_that_come_while_all_runs_are_taken_up(tmp_path: Path) -> None:
    """What waited unsigned is signed when it is sent; nobody is started anew, and nothing is lost or doubled."""
    home = tmp_path / "home"
    (home / "journal").mkdir(parents=True)
    (home / "journal" / "used").touch()  # before there were keys: it is given none
    with Started(home, "up", "--only", ROLES, *HERE) as up:
        up.wait_for("Ctrl-C")
        log(home, "before")
        wait(lambda: stored(home) == ["before"], "it is stored")
        pids = up.pids(("agent", "recorder"))
        keys(home)
        log(home, "after")
        wait(lambda: signing(home, "agent", "recorder"), "both have taken up their keys")
        wait(lambda: stored(home) == ["before", "after"], "what comes after is stored as well")
        assert up.pids(("agent", "recorder")) == pids


def test_a_node_and_a_sink_of_which_one_has_keys(tmp_path: Path) -> None:
    """Both say in `tabard status` whom they do not believe and why; the records wait, and come once the node has its keys."""
    hub, host = tmp_path / "hub", tmp_path / "host"
    keys(hub)
    upward, downward = (f"ipc://{Home(hub).socket(f'b1.{lane}')}" for lane in ("up_in", "down_out"))
    there = ("--set", f"agent.up={upward}", "--set", f"agent.down={downward}", "--set", "agent.beacon=1s")
    with (
        Started(hub, "up", "--only", "broker,recorder", *HERE) as first,
        Started(host, "up", "--only", "agent", *HERE, *there) as second,
    ):
        first.wait_for("Ctrl-C")
        second.wait_for("Ctrl-C")
        log(host, "waits")
        words = wait(
            lambda: [line for line in faults(hub).splitlines() if "no signature" in line], "the hub says so"
        )
        assert "a beacon under the name of node hq/web1" in "".join(words)
        words = wait(
            lambda: [line for line in faults(host).splitlines() if "no keys here" in line], "the host says so"
        )
        assert "under the name of sink main" in "".join(words) and "tabard join" in "".join(words)
        assert stored(hub) == []
        shutil.copytree(Home(hub).trust, Home(host).trust)
        wait(lambda: stored(hub) == ["waits"], "with keys it is stored")


def test_a_key_is_rotated_while_all_runs(tmp_path: Path) -> None:
    """New epochs are signed by the new key at once; what the old one signed is stored, and nobody is started anew."""
    home = tmp_path / "home"
    with Started(home, "up", "--only", ROLES, *HERE) as up:
        up.wait_for("Ctrl-C")
        log(home, "one")
        wait(lambda: stored(home) == ["one"], "it is stored")
        pids = up.pids(("agent", "recorder"))
        before = key_of(home)
        assert tabard(home, "keys", "rotate", "node", "web1", "--zone", "hq").returncode == 0
        wait(lambda: key_of(home) not in {None, before}, "the agent signs with another key")
        log(home, "two")
        wait(lambda: stored(home) == ["one", "two"], "what comes after is stored as well")
        assert up.pids(("agent", "recorder")) == pids
        assert len(signers(home)) == 2


def key_of(home: Path) -> str | None:
    """The key that the agent says it signs with."""
    key: str | None = json.loads((home / "run" / "agent.json").read_text())["keys"]["key"]
    return key


def signers(home: Path) -> set[bytes]:
    """The keys that signed what is stored."""
    with sqlite3.connect(f"file:{home / 'store' / 'records.db'}?mode=ro", uri=True) as db:
        heads = [head for (head,) in db.execute("SELECT header FROM batch")]
    return {decode_header(head).key_id for head in heads} - {b""}
