"""What ``tabard run`` says of each end, and what it does with what nodes print: real processes of one home."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tabard import exits
from tabard.home import Home
from tabard.ops.commands.client import Client
from tests.integration.test_dispatcher import SETTINGS, heard
from tests.integration.upping import TABARD, Started, environment, tabard
from tests.ports import free_port

NASTY: Final = rb"\033[2J\377\007 a\rb\nend"
"""For `printf`: what clears a terminal, what is no text, what rings, what goes back, and a line without an end."""


@pytest.fixture(scope="module", name="home")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("output") / "home"
    home.mkdir(mode=0o700)
    (home / "tabard.toml").write_text(SETTINGS + 'output = "10KiB"\n')
    with Started(home, "up", "--port", str(free_port()), "--only", "broker,recorder,dispatcher,agent") as up:
        up.wait_for("Tabard runs here")
        heard(home)
        yield home


def started(home: Path, *words: str, **more: Any) -> subprocess.Popen[bytes]:
    """A run that is looked at while it goes on."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen([*TABARD, "run", "web1", *words], env=environment(home), **streams)


def end_of(home: Path, prefix: str) -> str:
    """How a command ends."""
    with Client(Home(home)) as client:
        client.ask("follow", id=prefix)
        return str([each["state"] for each in client.events() if each["event"] == "state"][-1])


@pytest.mark.parametrize(
    ("words", "state", "exit_", "says"),
    [
        (["--", "true"], "done", exits.DONE, ""),
        (["--timeout", "1s", "--", "sleep", "600"], "failed", exits.FAILED, "timeout"),
        (["--", "sh", "-c", "kill -9 $$"], "failed", exits.FAILED, "ended by signal 9"),
        (["--", "/no/such/program"], "failed", exits.FAILED, "cannot start: No such file or directory"),
        (["--action", "nope"], "refused", exits.REFUSED, "[[action]] in {file} there"),
        (["--action", "nope", "--", "$(id)"], "refused", exits.REFUSED, "expected one of noop, ping"),
    ],
)
def test_each_end_is_said_with_its_reason(
    home: Path, words: list[str], state: str, exit_: int, says: str
) -> None:
    """In a table on standard error, as a row of ndjson, and by the exit code."""
    text = says.format(file=home / "tabard.toml")
    done = tabard(home, "run", "web1", *words)
    assert done.returncode == exit_ and done.stdout == ""
    assert state in done.stderr and text in done.stderr, done.stderr
    (row,) = map(json.loads, tabard(home, "run", "web1", "-o", "ndjson", *words).stdout.splitlines())
    assert row["state"] == state and text in row["reason"]
    listed = tabard(home, "commands", "list", "-n", "1", "-o", "json")
    assert json.loads(listed.stdout)[0]["reason"] == row["reason"]


def test_one_whose_keeper_is_killed_is_lost(home: Path) -> None:
    """And says so while it is followed, with the reason."""
    process = started(home, "--", "sh", "-c", "echo $PPID; sleep 600")
    assert process.stdout is not None
    os.kill(int(process.stdout.readline()), signal.SIGKILL)
    _, err = process.communicate()
    assert process.returncode == exits.FAILED
    assert b"lost" in err and b"the process that stood by it is gone" in err


def test_what_is_beyond_the_limit_is_said(home: Path) -> None:
    """On standard error, so that a pipe holds nothing but output."""
    done = tabard(home, "run", "web1", "--", "head", "-c", "10300", "/dev/zero")
    assert done.stdout == "\0" * 10240 and done.returncode == exits.DONE
    assert "did not send the last 60 bytes" in done.stderr


def test_a_terminal_is_not_driven_and_a_pipe_has_the_bytes(home: Path) -> None:
    """Of both streams; a history shows escapes anywhere, and JSON is text."""
    words = ["--", "sh", "-c", f"printf '{NASTY.decode()}'; printf '{NASTY.decode()}' >&2"]
    bytes_ = NASTY.decode("unicode_escape").encode("latin-1")
    out, err = started(home, *words).communicate()
    assert (out, err) == (bytes_, bytes_)
    master, slave = pty.openpty()
    with os.fdopen(master, "rb", buffering=0) as terminal:
        process = started(home, *words, stdout=slave, stderr=slave)
        os.close(slave)
        said = b""
        try:
            while data := terminal.read(4096):
                said += data
        except OSError:  # so a terminal says that nobody is left
            pass
        assert process.wait() == exits.DONE
    assert b"\x1b" not in said and b"\x07" not in said and rb"\x1b[2J" in said
    listed = json.loads(tabard(home, "commands", "list", "-n", "1", "-o", "json").stdout)
    shown = tabard(home, "commands", "show", listed[0]["id"])
    assert "\x1b" not in shown.stdout and r"\x1b[2J" in shown.stdout
    (row,) = json.loads(tabard(home, "run", "web1", "-o", "json", *words).stdout)
    assert row["stdout"] == "\x1b[2J\ufffd\x07 a\rb\nend"


def test_who_reads_no_further_ends_it_quietly(home: Path) -> None:
    """As in `| head`: no traceback, and the command goes on to its end."""
    text = "i=0; while [ $i -lt 60 ]; do echo $i; i=$((i+1)); sleep 0.01; done"
    for more in ((), ("-o", "ndjson")):
        process = started(home, *more, "--", "sh", "-c", text)
        assert process.stdout is not None
        if not more:
            assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.stderr is not None
        with process.stderr as stderr:
            said = stderr.read()
        assert process.wait() == exits.DONE and b"Traceback" not in said
        listed = json.loads(tabard(home, "commands", "list", "-n", "1", "-o", "json").stdout)
        assert end_of(home, listed[0]["id"]) == "done"


def test_ctrl_c_ends_the_waiting_and_says_how_to_take_it_back(home: Path, tmp_path: Path) -> None:
    """What it says works."""
    go = tmp_path / "go"
    os.mkfifo(go)
    process = started(home, "--", "sh", "-c", f"echo up; cat {go}")
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == exits.INTERRUPTED and b"It goes on: tabard commands show " in err
    words = err.decode().partition("to end it: ")[2].split()
    assert words[:3] == ["tabard", "commands", "cancel"]
    assert "running" in tabard(home, *words[1:]).stdout
    assert end_of(home, words[3]) == "cancelled"


def test_closed_streams_do_no_harm(home: Path) -> None:
    """Neither standard input nor output that is not there."""
    for closed in ("<&-", ">&-", "<&- >&- 2>&-"):
        line = f'exec "$@" {closed}'
        done = subprocess.run(
            ["sh", "-c", line, "sh", *TABARD, "run", "web1", "--", "echo", "said"],
            env=environment(home), capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == exits.DONE
        assert done.stdout == (b"said\n" if closed == "<&-" else b"")
