"""The line of a job as the entry point reads it: as click would, or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tabard.ops.cli import root
from tabard.ops.cronexec import job
from tabard.ops.cronexec.line import read
from tabard.ops.cronexec.order import Order

ENV = {"TABARD_HOME": "/srv/elsewhere"}
PLAIN = [
    "cron exec backup -- true",
    "--home /srv/t cron exec backup -- sh -c x",
    "cron --home=/srv/t exec --home /srv/u backup -- true --home /srv/v -- --lock",
    "cron exec --timeout 2h backup --grace=1s --lines 7 --print always -- true",
    "cron exec backup --every 5m --no-lock --lock -- true",
    "cron exec --schedule=@daily backup --no-lock -- true",
    "cron exec --schedule @reboot backup -- true",
    "cron exec --timeout 1s --timeout 2s backup -- -x",
    "cron exec ../x -- true",
]
WRONG = [
    "cron exec backup true",
    "cron exec backup --",
    "cron exec -- true",
    "cron exec a b -- true",
    "cron --lock exec backup -- true",
    "--timeout 1s cron exec backup -- true",
    "cron exec backup --timeout -- true",
    "cron exec backup --timeout 5 -- true",
    "cron exec backup --timeout 0s -- true",
    "cron exec backup --lines 1000001 -- true",
    "cron exec backup --lines -1 -- true",
    "cron exec backup --print sometimes -- true",
    "cron exec backup --every 1ms -- true",
    "cron exec backup --schedule @sometimes -- true",
    "cron exec backup --schedule @daily --every 1h -- true",
    "cron exec backup --lock=yes -- true",
    "cron exec backup --home= -- true",
    "--home= cron exec backup --home /srv/t -- true",
    "cron exec backup --loc -- true",
    "cron exec --help -- true",
    "cron list -- true",
    "exec cron backup -- true",
    "",
]


def by_click(monkeypatch: pytest.MonkeyPatch, line: str) -> Order:
    """What the command itself makes of a line."""
    seen: list[Order] = []

    def note(order: Order) -> int:
        seen.append(order)
        return 0

    monkeypatch.setattr(job, "perform", note)
    monkeypatch.setenv("TABARD_HOME", ENV["TABARD_HOME"])
    root.main(args=line.split(), prog_name="tabard", standalone_mode=False)
    assert len(seen) == 1
    return seen[0]


def plain(order: Order) -> dict[str, Any]:
    """An order without what differs in type only."""
    return {**order._asdict(), "home": order.home.path, "argv": list(order.argv)}


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


def test_a_run_loads_neither_click_nor_what_shell_returns(tmp_path: Path) -> None:
    """They were nearly half of what a job paid each minute on each host."""
    code = (
        "import sys; from tabard.ops.main import main; code = main(sys.argv[1:]);"
        "loaded = {'click', 'dataclasses', 'inspect', 'tabard.settings', 'tabard.shell.call'} & set(sys.modules);"
        "assert not loaded, loaded;"
        "sys.exit(code)"
    )
    line = ["cron", "exec", "job", "--home", str(tmp_path / "home"), "--", "sh", "-c", "exit 7"]
    done = subprocess.run([sys.executable, "-c", code, *line], capture_output=True, text=True)
    assert done.returncode == 7, done.stderr
