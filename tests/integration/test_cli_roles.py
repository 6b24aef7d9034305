"""The roles one by one, as cron, a supervisor or a person starts them."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tabard import exits
from tabard.home import Home
from tabard.locks import held
from tests.integration.upping import Started, environment, tabard
from tests.ports import free_port

ROLES = ("agent", "broker", "recorder", "herald")


def lock(home: Path, role: str) -> Path:
    """The lock of a role in a home with one broker."""
    return Home(home).lock("broker.b1" if role == "broker" else role)


def running(started: Started, role: str) -> int:
    """The process id of the role once it runs."""
    while not (
        pid := held(lock(started.home.path, role))
    ):  # 0: it has the lock and has not written its id yet
        assert started.process.poll() is None, started.rest() or started.said
    return pid


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that is not there yet."""
    return tmp_path / "home"


@pytest.mark.parametrize("role", ROLES)
def test_a_role_ends_when_it_is_told(home: Path, role: str) -> None:
    """In the foreground until SIGTERM; then 0, and its lock is free. Not a word in between."""
    with Started(home, role, TABARD_HERALD_PORT=str(free_port())) as started:
        assert running(started, role) == started.process.pid
        started.signal(signal.SIGTERM)
        assert started.rest() == exits.DONE
        assert started.said == ""
    assert held(lock(home, role)) is None


@pytest.mark.parametrize("role", ROLES)
def test_a_second_start_is_an_error_and_for_cron_it_is_not(home: Path, role: str) -> None:
    """By hand: which process it is, exit code 1. With --cron: nothing, exit code 0."""
    with Started(home, role, TABARD_HERALD_PORT=str(free_port())) as started:
        pid = running(started, role)
        again = tabard(home, role, TABARD_HERALD_PORT=str(free_port()))
        assert again.returncode == exits.REFUSED
        assert f"is already running as process {pid}" in again.stderr
        cron = tabard(home, role, "--cron", TABARD_HERALD_PORT=str(free_port()))
        assert (cron.returncode, cron.stdout, cron.stderr) == (exits.DONE, "", "")


@pytest.mark.parametrize("role", ["broker", "recorder"])
def test_once_ends_when_there_is_nothing_to_do(home: Path, role: str) -> None:
    """--once comes back by itself, with 0."""
    done = tabard(home, role, "--once", "--idle", "100ms")
    assert (done.returncode, done.stderr) == (exits.DONE, "")


def test_an_agent_s_single_pass_without_a_recorder_leaves_something(home: Path) -> None:
    """Its records are journaled and not stored: --once comes back by itself, and says so."""
    done = tabard(home, "agent", "--once", "--idle", "100ms")
    assert done.returncode == exits.PARTLY
    said = r"tabard: records still in the journal: [1-9]\d* of the stream control.*; the sink main did not answer: .*\n"
    assert re.fullmatch(said, done.stderr)


def test_herald_once_says_whether_it_works(home: Path) -> None:
    """With a store it does; without one it says what is missing."""
    assert tabard(home, "recorder", "--once", "--idle", "100ms").returncode == exits.DONE
    assert tabard(home, "herald", "--once").returncode == exits.DONE
    missing = tabard(home, "herald", "--once", "--set", "store.path=/nonexistent")
    assert missing.returncode == exits.FAILED
    assert missing.stderr.startswith("tabard: ")


def test_records_of_a_single_pass_arrive(home: Path) -> None:
    """Cron without a running Tabard: an agent that reads its files once hands them to broker and recorder."""
    home.mkdir()
    (home.parent / "job.log").write_text("one\ntwo\n")
    (home / "tabard.toml").write_text(f'[[intake.tail]]\npath = "{home.parent}/job.log"\nservice = "job"\n')
    with Started(home, "broker") as broker, Started(home, "recorder") as recorder:
        running(broker, "broker")
        running(recorder, "recorder")
        assert tabard(home, "agent", "--once", "--idle", "30s").returncode == exits.DONE
    rows = json.loads(tabard(home, "logs", "--service", "job", "-o", "json").stdout)
    assert [row["message"] for row in rows] == ["one", "two"]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["agent", "--idle", "3s"], "Add --once"),
        (["agent", "--once", "--idle", "3"], "a duration with its unit"),
        (["broker", "nope"], "expected one of b1, found 'nope'"),
        (["broker", "--set", "up.brokers=2"], "Say which: tabard broker b1"),
    ],
)
def test_a_wrong_command_line_is_wrong_use(home: Path, words: list[str], part: str) -> None:
    """Exit code 2, and what to write instead."""
    done = tabard(home, *words)
    assert done.returncode == exits.WRONG_USE
    assert part in done.stderr


@pytest.mark.parametrize("role", ROLES)
def test_wrong_settings_keep_a_role_from_starting(home: Path, role: str) -> None:
    """File and line on standard error, for cron to mail."""
    home.mkdir()
    (home / "tabard.toml").write_text("[agent]\nlinger = 1\n")
    done = tabard(home, role, "--cron")
    assert done.returncode == exits.FAILED
    assert f"{home}/tabard.toml, line 2: agent.linger" in done.stderr


def test_a_named_broker_of_several(home: Path) -> None:
    """Each broker of a chain is a role of its own, with its own lock."""
    with Started(home, "broker", "b2", TABARD_UP_BROKERS="2") as started:
        while held(Home(home).lock("broker.b2")) is None:
            assert started.process.poll() is None
        assert held(Home(home).lock("broker.b1")) is None


def test_what_a_role_cannot_say_to_an_agent_is_in_its_file(home: Path) -> None:
    """No agent: why a herald could not start is on standard error and in log/herald.log."""
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        done = tabard(home, "herald", "--set", f"herald.port={listener.getsockname()[1]}")
    assert done.returncode == exits.FAILED
    assert "cannot listen" in done.stderr
    assert "cannot listen" in (Home(home).log / "herald.log").read_text()


def test_an_agent_stays_small(home: Path) -> None:
    """A plain host has no SQLAlchemy and no Flask: the agent runs without either."""
    code = (
        "import sys; from tabard.ops.main import main;"
        f"main(['agent', '--once', '--idle', '10ms', '--home', {str(home)!r}]);"
        "print({m.split('.')[0] for m in sys.modules} & {'flask', 'sqlalchemy', 'alembic', 'gunicorn', 'jinja2'})"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment(home), capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
