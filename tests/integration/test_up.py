"""`tabard up` with the real roles: what a user sees, and what is left when it ends."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import socket
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tabard import exits
from tabard.home import Home
from tabard.locks import held
from tests.integration.upping import Started, tabard, wait_for_end
from tests.ports import free_port

CORE = ("broker.b1", "recorder")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that is not there yet."""
    return tmp_path / "home"


@pytest.fixture
def core(home: Path) -> Iterator[Started]:
    """`tabard up` with broker and recorder, ready."""
    with Started(home, "up", "--only", "broker,recorder") as up:
        up.wait_for("Ctrl-C")
        yield up


def wait_for_line(path: Path, part: str) -> None:
    """Return when the file has the text; pytest's own timeout ends a wait in vain."""
    while not (path.exists() and part in path.read_text()):
        os.sched_yield()


def test_up_shows_the_page_and_ctrl_c_leaves_nothing(home: Path) -> None:
    """One command, an address that answers; Ctrl-C ends with 0, and no process and no lock is left."""
    port = free_port()
    with Started(home, "up", "--only", "broker,recorder,herald", "--set", f"herald.port={port}") as up:
        assert up.wait_for("Open ") == f"Open http://127.0.0.1:{port}"
        pids = up.pids(["up", *CORE, "herald"])
        assert urllib.request.urlopen(f"http://127.0.0.1:{port}/").status == 200
        up.signal(signal.SIGINT)
        assert up.rest() == exits.DONE
    wait_for_end(*pids.values())
    assert all(held(Home(home).lock(name)) is None for name in pids)
    assert up.said.startswith("tabard: this home is the root of zone local now")
    assert "\nstarting broker.b1, recorder, herald\n" in up.said
    assert up.said.endswith("all roles have ended\n")


def test_children_end_when_up_is_killed(core: Started) -> None:
    """SIGKILL gives up no chance to end its children: they end by themselves."""
    pids = core.pids(CORE)
    core.signal(signal.SIGKILL)
    wait_for_end(*pids.values())
    assert all(held(core.home.lock(name)) is None for name in pids)


def test_herald_and_its_worker_end_when_up_is_killed(home: Path) -> None:
    """Herald is two processes in a loop of its own: nothing listens on its port any more."""
    port = free_port()
    with Started(home, "up", "--only", "herald", "--set", f"herald.port={port}") as up:
        up.wait_for("Open ")
        pids = up.pids(["herald"])
        with pytest.raises(urllib.error.HTTPError):  # there is no store; but its worker answers
            urllib.request.urlopen(f"http://127.0.0.1:{port}/")
        children = Path(f"/proc/{pids['herald']}/task/{pids['herald']}/children").read_text().split()
        assert children
        up.signal(signal.SIGKILL)
        wait_for_end(*pids.values(), *map(int, children))
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_up_ends_when_its_terminal_is_closed(home: Path) -> None:
    """Closing the window must not leave a Tabard running that nobody sees."""
    ours, theirs = pty.openpty()
    with Started(home, "up", "--only", "broker", stdin=theirs) as up:
        os.close(theirs)
        up.wait_for("Ctrl-C")
        os.close(ours)
        up.signal(signal.SIGHUP)  # what the shell in a closed window sends to its jobs
        assert up.rest() == exits.DONE
    assert up.said.endswith("all roles have ended\n")


def test_a_second_start_is_refused(core: Started) -> None:
    """It names the process that runs, and disturbs nothing."""
    before = core.pids(["up", *CORE])
    second = tabard(core.home.path, "up")
    assert second.returncode == exits.REFUSED
    assert f"up is already running as process {before['up']}" in second.stderr
    assert core.pids(["up", *CORE]) == before


def test_a_role_that_runs_already_is_not_started_twice(home: Path) -> None:
    """A recorder from cron is in the way: said before anything is started."""
    with Started(home, "recorder") as recorder:
        while not held(recorder.home.lock("recorder")):
            assert recorder.process.poll() is None
        refused = tabard(home, "up", "--only", "broker,recorder")
        assert refused.returncode == exits.REFUSED
        assert f"recorder is already running as process {recorder.process.pid}" in refused.stderr
        assert not Home(home).lock("broker.b1").exists()


def test_a_newer_store_is_refused_before_anything_is_started(home: Path) -> None:
    """A recorder would end on it again and again."""
    assert tabard(home, "recorder", "--once", "--idle", "100ms").returncode == exits.DONE
    with contextlib.closing(sqlite3.connect(home / "store" / "state.db")) as file, file:
        file.execute("UPDATE alembic_version SET version_num = '9999'")
    for only in ("broker,recorder", "herald"):
        refused = tabard(home, "up", "--only", only)
        assert refused.returncode == exits.REFUSED
        assert "state.db: the store's schema is newer than this program" in refused.stderr
    assert not Home(home).lock("broker.b1").exists()
    assert tabard(home, "recorder").returncode == exits.REFUSED
    assert tabard(home, "store", "upgrade").returncode == exits.REFUSED


def test_a_busy_port_is_said_before_anything_is_started(home: Path) -> None:
    """The error names address, setting and a way out; no role was started."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        refused = tabard(home, "up", "--set", f"herald.port={port}")
    assert refused.returncode == exits.FAILED
    assert f"127.0.0.1:{port} (herald.port): cannot listen there" in refused.stderr
    assert "--port" in refused.stderr
    assert [path.name for path in Home(home).run.iterdir()] == ["up.lock"]


def test_wrong_settings_are_said_before_anything_is_made(home: Path) -> None:
    """File, line and key; and no directory beside the file."""
    home.mkdir()
    (home / "tabard.toml").write_text("[agent]\nlinger = 1\n")
    refused = tabard(home, "up")
    assert refused.returncode == exits.FAILED
    assert f"{home}/tabard.toml, line 2: agent.linger" in refused.stderr
    assert [path.name for path in home.iterdir()] == ["tabard.toml"]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (
            ["--only", "recorder,web"],
            "expected one or more of tunnel, broker, recorder, dispatcher, agent, herald",
        ),
        (["--port", "80"], "1024"),
        (["--brokers", "9"], "1<=x<=8"),
        (["extra"], "unexpected extra argument"),
    ],
)
def test_a_wrong_command_line_is_wrong_use(home: Path, words: list[str], part: str) -> None:
    """Exit code 2, and what was expected."""
    refused = tabard(home, "up", *words)
    assert refused.returncode == exits.WRONG_USE
    assert part in refused.stderr


def test_brokers_that_are_described_are_not_counted(home: Path) -> None:
    """--brokers says how many to make up; with [[broker]] tables that is a contradiction."""
    home.mkdir()
    (home / "tabard.toml").write_text('[[broker]]\nname = "hq"\nzone = "local"\n')
    refused = tabard(home, "up", "--brokers", "2")
    assert refused.returncode == exits.WRONG_USE
    assert "1 [[broker]] table" in refused.stderr


def test_a_killed_role_is_started_again(core: Started) -> None:
    """Kill -9 of the recorder, as the tutorial does: said on the terminal, and running again."""
    before = core.pids(CORE)
    os.kill(before["recorder"], signal.SIGKILL)
    core.wait_for("recorder was ended by SIGKILL; it starts again in 250ms")
    core.wait_for("recorder runs again as process")
    after = core.pids(CORE)
    assert after["recorder"] != before["recorder"]
    assert after["broker.b1"] == before["broker.b1"]


def test_settings_are_read_again_on_sighup(core: Started) -> None:
    """A file that is right is handed on; a broken one is said, and everything goes on as it was."""
    before = core.pids(CORE)
    core.home.settings_file.write_text("[retention]\nevery = 1\n")
    core.signal(signal.SIGHUP)
    assert "tabard.toml, line 2: retention.every" in core.wait_for("settings not read again")
    core.home.settings_file.write_text(
        '[retention]\nevery = "20s"\n[brokers]\nhwm = 5000\n[herald]\npage_size = 7\n'
    )
    core.signal(signal.SIGHUP)
    said = core.wait_for("settings are read again by broker.b1, recorder: ")
    assert said.endswith(": retention.every, herald.page_size changed; brokers.hwm needs a restart")
    logged = {"broker.b1": "brokers.hwm needs a restart", "recorder": "retention.every changed"}
    for role, what in logged.items():
        wait_for_line(core.home.log / f"{role}.log", f"settings read again: {what}")
    assert core.pids(CORE) == before


@pytest.mark.parametrize("role", ["agent", "broker", "recorder", "herald"])
def test_sighup_while_a_role_starts_does_not_end_it(home: Path, role: str) -> None:
    """It comes when the role has made its home and has not imported yet what it needs."""
    with Started(home, role, "--set", f"herald.port={free_port()}") as started:
        while not (home / "run").exists():
            os.sched_yield()
        started.signal(signal.SIGHUP)
        status = home / "run" / f"{'broker.b1' if role == 'broker' else role}.json"
        while not status.exists():
            assert started.process.poll() is None, started.rest()
        started.signal(signal.SIGTERM)
        assert started.rest() == exits.DONE


@pytest.mark.parametrize("role", ["agent", "broker", "recorder", "herald"])
def test_ctrl_c_is_how_a_role_ends(home: Path, role: str) -> None:
    """With 0, as the reference says, also when it comes as soon as the role is there."""
    with Started(home, role, "--set", f"herald.port={free_port()}") as started:
        status = home / "run" / f"{'broker.b1' if role == 'broker' else role}.json"
        while not status.exists():
            assert started.process.poll() is None, started.rest()
        started.signal(signal.SIGINT)
        assert (started.rest(), started.said) == (exits.DONE, "")


def test_herald_answers_by_the_settings_read_last(home: Path) -> None:
    """Page size and time zone hold from the reload on, and it stays the same process."""
    port = free_port()
    with Started(home, "up", "--only", "recorder,herald,broker", "--port", str(port)) as up:
        up.wait_for("Open http")
        before = up.pids(["herald"])
        up.home.settings_file.write_text('[herald]\ntimezone = "Pacific/Kiritimati"\n')
        up.signal(signal.SIGHUP)
        up.wait_for("herald.timezone changed")
        while "+14" not in urllib.request.urlopen(f"http://127.0.0.1:{port}/").read().decode():
            pass
        assert up.pids(["herald"]) == before


def test_several_run_side_by_side(tmp_path: Path) -> None:
    """Two homes, two ports, two pages; the end of one leaves the other alone."""
    ports = [free_port(), free_port()]
    with (
        Started(tmp_path / "a", "up", "--only", "broker,recorder,herald", "--port", str(ports[0])) as a,
        Started(tmp_path / "b", "up", "--only", "broker,recorder,herald", "--port", str(ports[1])) as b,
    ):
        a.wait_for(f"Open http://127.0.0.1:{ports[0]}")
        b.wait_for(f"Open http://127.0.0.1:{ports[1]}")
        a.signal(signal.SIGTERM)
        assert a.rest() == exits.DONE
        b.pids([*CORE, "herald"])
        assert urllib.request.urlopen(f"http://127.0.0.1:{ports[1]}/").status == 200


def test_a_chain_of_brokers(home: Path) -> None:
    """--brokers 3 starts three, and status counts what each passes on."""
    with Started(home, "up", "--brokers", "3", "--only", "broker,recorder") as up:
        up.wait_for("Ctrl-C")
        up.pids(["broker.b1", "broker.b2", "broker.b3", "recorder"])
    assert tabard(home, "status").returncode == exits.FAILED
    with Started(home, "up", "--only", "broker,recorder") as up:
        up.wait_for("Ctrl-C")
        done = tabard(home, "status")
    assert (done.returncode, "broker.b2" in done.stdout) == (exits.DONE, False)


def test_the_readers_leave_before_the_end(core: Started) -> None:
    """A terminal that takes nothing any more does not disturb it: it runs on and ends as told."""
    assert core.process.stdout is not None
    pids = core.pids(CORE)
    core.process.stdout.close()
    os.kill(pids["recorder"], signal.SIGKILL)
    wait_for_end(pids["recorder"])
    core.signal(signal.SIGTERM)
    assert core.process.wait() == exits.DONE
