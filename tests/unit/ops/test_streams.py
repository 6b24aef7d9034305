"""The standard streams: closed ones, and those of a locale that cannot say what a record says."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tabard import exits
from tabard.home import Home
from tabard.records import LOG_INDEX
from tests.unit.ground.listening import Listener
from tests.unit.ops_reading.conftest import run_on
from tests.unit.web.seed import Seeder, record

Shell = Callable[[str], subprocess.CompletedProcess[str]]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Run a line of sh in which ``tabard`` is this one, with an empty home."""
    line = f'tabard() {{ {shlex.quote(sys.executable)} -P -m tabard.ops.main "$@"; }}\n'

    def run(text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", line + text],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TABARD_HOME": str(tmp_path / "home")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    """An agent's socket in that home."""
    made = Listener(Home(tmp_path / "home").ensure().socket("intake.sock"))
    yield made
    made.close()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_locale_that_cannot_say_it_is_no_reason_to_fail(tmp_path: Path, encoding: str) -> None:
    """A table shows escapes; JSON is UTF-8 all the same."""
    seeder = Seeder(tmp_path / "store")
    seeder.logs([record(message="\u2713 fertig", service="shop")])
    seeder.close()
    shown = run_on(tmp_path, "logs", PYTHONIOENCODING=encoding)
    assert (shown.returncode, shown.stderr) == (exits.DONE, "")
    assert "\\u2713 f" in shown.stdout
    for output in ("json", "ndjson"):
        done = run_on(tmp_path, "logs", "-o", output, PYTHONIOENCODING=encoding)
        assert (done.returncode, done.stderr) == (exits.DONE, "")
        assert '"message": "\u2713 fertig"' in done.stdout


def test_half_of_a_pair_is_an_escape_in_json(tmp_path: Path) -> None:
    """Text that no encoding can say leaves the output valid JSON."""
    home = tmp_path / "home"
    home.mkdir()
    name = os.fsdecode(b"stage-\xff")
    done = run_on(home, "check", "--stage", name, "-o", "ndjson")
    assert done.returncode == exits.FAILED
    assert "stage-" in json.loads(done.stdout.splitlines()[-1])["found"]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", ["--version", "status", "check", "logs", "check -o json", "nope"])
def test_a_closed_stream_changes_nothing(shell: Shell, command: str, closed: str) -> None:
    """The exit code is that of the command with all its streams, and nothing is a trace."""
    whole, done = shell(f"tabard {command}"), shell(f"tabard {command} {closed}")
    assert done.returncode == whole.returncode
    assert "Traceback" not in done.stdout + done.stderr


def test_no_closed_stream_becomes_the_agents_socket(shell: Shell, listener: Listener) -> None:
    """What is said is said to the agent alone, and a closed standard input is an empty one."""
    for line in ("tabard log one >&-", "tabard log two <&- >&- 2>&-", "echo three | tabard log >&- 2>&-"):
        assert shell(line).returncode == exits.DONE, line
    done = shell("tabard log <&-")
    assert (done.returncode, done.stderr) == (exits.DONE, "")
    assert [row[LOG_INDEX["message"]] for row in listener.records] == ["one", "two", "three"]
