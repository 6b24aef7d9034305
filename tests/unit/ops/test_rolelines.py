"""The command line of a role as the entry point reads it: as click would, or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tabard.ops import roles
from tabard.ops.cli import root
from tabard.ops.early import ROLES
from tabard.ops.rolelines import RoleLine, read

ENV = {"TABARD_HOME": "/srv/elsewhere"}
PLAIN = [
    "agent",
    "agent --cron",
    "--home /srv/t agent",
    "--home /srv/t agent --home /srv/u",
    "agent --home=/srv/t --stage prod --set node.name=a --set node.zone=b=c",
    "agent --once --idle 1.5s",
    "agent --once --idle 1s --idle=2s",
    "agent --stage= --cron --cron",
    "broker",
    "broker dmz --set=up.brokers=2",
    "broker --cron dmz",
    "recorder --once",
    "herald --set herald.port=9000",
]
WRONG = [
    "--cron agent",
    "--set node.name=a agent",
    "agent dmz",
    "broker a b",
    "agent --home",
    "agent --set",
    "agent --set node.name",
    "agent --set =a",
    "agent --set node.name=",
    "agent --set node.name=a --set node.name=a",
    "agent --idle 5",
    "agent --idle soon",
    "agent --cron=yes",
    "agent --crom",
    "agent -h",
    "agent -- --cron",
    "logs",
    "",
]


def by_click(monkeypatch: pytest.MonkeyPatch, line: str) -> RoleLine:
    """What the command itself makes of a line."""
    seen: list[RoleLine] = []

    def note(line: RoleLine) -> int:
        seen.append(line)
        return 0

    for role in ROLES:
        monkeypatch.setattr(roles, role, note)
    monkeypatch.setenv("TABARD_HOME", ENV["TABARD_HOME"])
    root.main(args=line.split(), prog_name="tabard", standalone_mode=False)
    assert len(seen) == 1
    return seen[0]


def plain(line: RoleLine) -> dict[str, Any]:
    """A line without what differs in type only."""
    return {**line._asdict(), "home": line.home.path, "overrides": tuple(line.overrides)}


@pytest.mark.parametrize("line", PLAIN)
def test_a_plain_line_says_what_it_says_to_click(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """One syntax, whoever reads it."""
    found = read(line.split(), ENV)
    assert found is not None
    assert plain(found) == plain(by_click(monkeypatch, line))


@pytest.mark.parametrize("line", WRONG)
def test_any_other_line_is_left_to_click(line: str) -> None:
    """It knows how to say what is wrong."""
    assert read(line.split(), ENV) is None


def test_an_empty_home_is_left_to_click() -> None:
    """A variable of a script that is not set is not the directory it happens to be in."""
    assert read(["agent", "--home", ""], ENV) is None
    assert read(["--home=", "agent", "--home=/srv/t"], ENV) is None


def test_an_agent_keeps_neither_click_nor_openssl_in_memory(tmp_path: Path) -> None:
    """They are a sixth of what it would take on every host."""
    code = (
        "import sys; from tabard.ops.main import main; code = main(sys.argv[1:]);"
        "loaded = {'click', 'hashlib', '_hashlib', '_ssl', 'asyncio', 'sqlalchemy'} & set(sys.modules);"
        "assert not loaded, loaded;"
        "sys.exit(code)"
    )
    line = ["agent", "--home", str(tmp_path / "home"), "--once", "--idle", "10ms"]
    done = subprocess.run([sys.executable, "-c", code, *line], capture_output=True, text=True)
    assert done.returncode in (0, 3), done.stderr
