"""The command line of a role as the entry point reads it: as click would, or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tabard.brokers.trust.files import found
from tabard.home import Home
from tabard.ops import roles
from tabard.ops.cli import root
from tabard.ops.early import ROLES
from tabard.ops.keys import members_of
from tabard.ops.rolelines import RoleLine, read
from tabard.settings import load

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


NOT_IN_AN_AGENT = (
    # Of the tool, of OpenSSL, of servers
    *("click", "hashlib", "_hashlib", "_ssl", "ssl", "asyncio", "sqlalchemy", "flask", "cryptography"),
    # What dataclasses, pathlib and nacl bring along: see tabard.deferred
    *("ast", "dis", "nacl.bindings.crypto_pwhash", "nacl.bindings.crypto_secretbox"),
    # What is imported where it is used, which is not here
    *(
        "shutil",
        "bz2",
        "lzma",
        "tempfile",
        "subprocess",
        "psutil",
        "email",
        "http",
        "uuid",
        "multiprocessing",
    ),
    *("importlib.metadata", "concurrent.futures", "decimal", "statistics", "tomllib", "pdb", "unittest"),
)
"""Each was found there once, or would cost an agent as much as those."""


def test_an_agent_keeps_in_memory_only_what_it_needs(tmp_path: Path) -> None:
    """With keys, as ``tabard up`` makes them. What is named here would be a fifth of what it takes on every host."""
    home = Home(tmp_path / "home").ensure()
    given = {"node.name": "web1", "node.zone": "hq"}
    found(home, "hq", members_of(load(home, env={}, args=given), home))
    code = (
        "import sys; from tabard.deferred import UNUSED; from tabard.ops.main import main; code = main(sys.argv[1:]);"
        f"kept = set({NOT_IN_AN_AGENT!r}) & set(sys.modules);"
        "used = [name for name in UNUSED if type(sys.modules[name]).__name__ != '_Deferred'];"
        "assert not kept, kept;"
        "assert not used, used;"
        "sys.exit(code)"
    )
    line = ["agent", "--home", str(home.path), "--once", "--idle", "10ms"]
    settings = [word for name, value in given.items() for word in ("--set", f"{name}={value}")]
    done = subprocess.run([sys.executable, "-c", code, *line, *settings], capture_output=True, text=True)
    assert done.returncode in (0, 3), done.stderr
