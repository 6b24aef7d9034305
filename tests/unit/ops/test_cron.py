"""The cron guard: quiet when the role runs, out of the way when it does not, cheap in both cases."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tabard import exits
from tabard.home import Home
from tabard.locks import hold
from tabard.ops import cron, rolelines


def running(arguments: list[str], env: dict[str, str]) -> int | None:
    """As the entry point asks."""
    return cron.running(rolelines.read(arguments, env))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with its rooms."""
    return Home(tmp_path / "home").ensure()


def test_a_running_role_is_found_however_its_home_is_given(home: Home) -> None:
    """--home before or after the role, with or without =, or by environment."""
    path = str(home.path)
    with hold(home.lock("agent")):
        for line in (
            f"--home {path} agent --cron",
            f"agent --cron --home {path}",
            f"agent --home={path} --cron --set agent.linger=20ms",
        ):
            assert running(line.split(), {}) == os.getpid()
        assert running(["agent", "--cron"], {"TABARD_HOME": path}) == os.getpid()
        assert running(["recorder", "--cron"], {"TABARD_HOME": path}) is None
    assert running(["agent", "--cron"], {"TABARD_HOME": path}) is None


@pytest.mark.parametrize(
    "line",
    [
        "agent --cron --bogus",
        "agent --bogus=1 --cron",
        "agent dmz --cron",
        "broker a b --cron",
        "agent --cron -h",
    ],
)
def test_a_wrong_command_line_is_left_to_the_command(tabard, home: Home, line: str) -> None:
    """That the role runs is no reason to pass over a typing error for ever."""
    with hold(home.lock("agent")):
        assert running(line.split(), {"TABARD_HOME": str(home.path)}) is None
        done = tabard("agent", "--cron", "--bogus")
    assert (done.returncode, "No such option" in done.stderr) == (exits.WRONG_USE, True)


def test_brokers_of_one_home_are_told_apart(home: Home) -> None:
    """Each named broker has a lock of its own."""
    with hold(home.lock("broker.dmz")):
        assert running(["broker", "dmz", "--cron"], {"TABARD_HOME": str(home.path)}) == os.getpid()
        assert running(["broker", "hq", "--cron"], {"TABARD_HOME": str(home.path)}) is None


@pytest.mark.parametrize("line", ["agent", "check --cron", "--cron", "agent --cron --home"])
def test_other_command_lines_are_left_alone(home: Home, line: str) -> None:
    """Without --cron, without a role, or half typed: the command itself has to judge."""
    with hold(home.lock("agent")):
        other = {"TABARD_HOME": str(home.path / "other")}
        assert running(line.split(), other) is None


def test_the_guard_ends_before_the_command_line_is_loaded(home: Home) -> None:
    """With the role running, neither click nor the settings are imported, and nothing is printed for cron to mail."""
    code = (
        "import sys; from tabard.ops.main import main; code = main(sys.argv[1:]);"
        "assert not {'click', 'tomllib', 'tabard.settings', 'zmq'} & set(sys.modules), sys.modules.keys();"
        "sys.exit(code)"
    )
    with hold(home.lock("agent")):
        done = subprocess.run(
            [sys.executable, "-c", code, "agent", "--cron", "--home", str(home.path)],
            capture_output=True,
            text=True,
        )
    assert (done.returncode, done.stdout, done.stderr) == (exits.DONE, "", "")
