"""A home on SQLite moves to a server under `tabard up`, as its operator does it: one command, and everything goes on."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from tabard import exits
from tabard.ops.bench.postgres import Postgres
from tests.integration.upping import Started, tabard
from tests.passwords import asking
from tests.ports import free_port

SECRET = "a long one"


def messages(home: Path) -> list[str]:
    """Of what the test has logged, oldest first."""
    found = json.loads(tabard(home, "logs", "-n", "1000", "--service", "shop", "-o", "json").stdout or "[]")
    return [row["message"] for row in found]


@pytest.mark.timeout(300)
def test_a_store_moves_under_up(tmp_path: Path, server: Postgres) -> None:
    """What was logged before, meanwhile and afterwards is there, once and in order; the page shows it."""
    home, port = tmp_path / "home", free_port()
    url = asking(server, "mover", SECRET)
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    with Started(home, "up", "--set", f"herald.port={port}") as up:
        up.wait_for("Open ")
        said = [f"before {number}" for number in range(50)]
        assert tabard(home, "log", "--service", "shop", stdin="\n".join(said)).returncode == exits.DONE
        while messages(home) != said:
            assert up.process.poll() is None
        words = ("store", "migrate", url, "--password-file", str(secret), "--verify")
        copied = tabard(home, *words, "--copy-only", "-o", "ndjson")
        assert copied.returncode == exits.DONE, copied.stderr
        done = tabard(home, *words, "--switch", "-o", "json")
        assert done.returncode == exits.DONE, done.stderr
        assert set(json.loads(done.stdout)[0]) == {"part", "table", "rows", "copied", "mended", "gone"}
        said += [f"after {number}" for number in range(50)]
        rest = "\n".join(said[50:])
        assert tabard(home, "log", "--service", "shop", stdin=rest).returncode == exits.DONE
        up.wait_for("recorder runs again")
        while messages(home) != said:
            assert up.process.poll() is None
        if "herald runs again" not in up.said:
            up.wait_for("herald runs again")
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/logs?service=shop").read().decode()
        assert "after 49" in page
        assert "before" in page
    refused = tabard(home, "recorder", "--set", "store.url=", "--once")
    assert refused.returncode == exits.REFUSED
    assert "this store has moved to" in refused.stderr
    assert SECRET not in up.said + done.stderr + refused.stderr + (home / "tabard.toml").read_text()
