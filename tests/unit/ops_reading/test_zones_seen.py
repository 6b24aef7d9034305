"""`tabard zones` in homes that lack something."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tabard import exits
from tabard.consumers.store.sqlite import SqliteStore
from tabard.home import Home
from tabard.ops import cli

HOST = """
[node]
name = "web1"
zone = "hq"
[agent]
up = "tcp://127.0.0.1:7101"
down = "tcp://127.0.0.1:7102"
"""


@pytest.fixture
def zones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str], tuple[int, str]]:
    """Write settings, and ask."""

    def ask(settings: str, *words: str) -> tuple[int, str]:
        home = Home(tmp_path / "home").ensure()
        home.settings_file.write_text(settings)
        code = cli.run(["--home", str(home.path), "zones", *words])
        return code, capsys.readouterr().out

    return ask


def test_a_host_with_an_agent_alone_has_no_broker_that_does_not_run(
    zones: Callable[..., tuple[int, str]],
) -> None:
    """None is meant there: its agent dials that of another host."""
    code, said = zones(HOST, "-o", "json")
    assert code == exits.DONE
    found = json.loads(said)
    assert (found["faults"], [zone["brokers"] for zone in found["zones"]]) == ([], [[]])
    code, said = zones('[node]\nname = "web1"\nzone = "hq"\n')
    assert code == exits.PARTLY and "broker b1: does not run" in said


def test_why_the_store_cannot_be_read_is_said(zones: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """One of a newer version looked like none at all."""
    SqliteStore.open(Home(tmp_path / "home").ensure().store).close()
    for path in Home(tmp_path / "home").store.glob("*.db"):
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE alembic_version SET version_num = '9999'")
    _, said = zones(HOST)
    assert "no store here that can be read" in said and "9999" in said
