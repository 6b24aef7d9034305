"""Signals in the first moments of a role."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tabard.ops.early import Early, names_role

HELD: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
STOPPED = """
import builtins, os, signal, sys
real, number = builtins.__import__, signal.Signals[sys.argv.pop(1)]
def sends(name, *arguments, **others):
    if name == "tabard.errors":  # hardly anything is imported yet
        builtins.__import__ = real
        os.kill(os.getpid(), number)
    return real(name, *arguments, **others)
builtins.__import__ = sends
from tabard.ops.main import main
sys.exit(main())
"""


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The handlers of the test run."""
    before = {number: signal.getsignal(number) for number in HELD}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("line", "role"),
    [
        ("agent", True),
        ("--home /srv/t broker dmz", True),
        ("--home=/srv/t herald --cron", True),
        ("--home agent logs", False),
        ("logs --service agent", False),
        ("--version", False),
        ("--home", False),
        ("", False),
    ],
)
def test_the_line_of_a_role_is_told_from_others(line: str, role: bool) -> None:
    """Others keep what Ctrl-C does to them."""
    assert names_role(line.split()) is role


def test_a_hang_up_that_came_too_early_is_sent_again() -> None:
    """Once, to whoever listens then; what the settings were changed to before it is not missed."""
    early, heard = Early(), list[int]()
    early.listen()
    os.kill(os.getpid(), signal.SIGHUP)
    signal.signal(signal.SIGHUP, lambda number, _frame: heard.append(number))
    early.hand_on()
    early.hand_on()
    assert heard == [signal.SIGHUP]


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_a_role_that_is_ended_at_once_ends_in_order(tmp_path: Path, number: str) -> None:
    """Before it has imported what it consists of; without a trace."""
    line = [number, "agent", "--home", str(tmp_path / "home")]
    done = subprocess.run([sys.executable, "-c", STOPPED, *line], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_hang_up_at_once_does_not_end_a_role(tmp_path: Path) -> None:
    """It goes on to serve."""
    line = ["SIGHUP", "agent", "--home", str(tmp_path / "home"), "--once", "--idle", "10ms"]
    done = subprocess.run([sys.executable, "-c", STOPPED, *line], capture_output=True, text=True)
    assert done.returncode in (0, 3), done.stderr


def test_a_role_reads_the_settings_again_after_a_hang_up_at_once(tmp_path: Path) -> None:
    """They may have changed between being read and being listened for."""
    home = tmp_path / "home"
    line = ["SIGHUP", "broker", "--home", str(home), "--once", "--idle", "10ms"]
    done = subprocess.run([sys.executable, "-c", STOPPED, *line], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "settings read again" in (home / "log" / "broker.b1.log").read_text()


def test_ctrl_c_on_another_command_leaves_no_trace() -> None:
    """While it is still being imported."""
    done = subprocess.run([sys.executable, "-c", STOPPED, "SIGINT", "logs"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "")
