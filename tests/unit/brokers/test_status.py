"""What a role leaves for others to read, and what ends it with the process that started it."""

from __future__ import annotations

import json
import logging
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tabard import locks
from tabard._version import VERSION
from tabard.brokers.running import role
from tabard.errors import AlreadyRunning
from tabard.home import Home
from tabard.status import LIFELINE, StatusFile, lifeline, running

NAME = "broker.b1"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home that exists."""
    return Home(tmp_path / "home").ensure()


def test_a_status_is_read_while_its_role_runs(home: Home) -> None:
    """With role, process and version; afterwards nobody takes old numbers for new ones."""
    assert running(home, NAME) is None
    with locks.hold(home.lock(NAME)):
        assert running(home, NAME) is None
        status = StatusFile(NAME, home)
        status.write({"counters": {"up sent": 1}, "path": home.path, "none": None})
        status.write({"counters": {"up sent": 2}, "path": home.path, "odd": math.inf})
        said = running(home, NAME)
    assert said == {
        "role": NAME,
        "pid": os.getpid(),
        "version": VERSION,
        "counters": {"up sent": 2},
        "path": str(home.path),
        "odd": math.inf,
    }
    assert running(home, NAME) is None
    status.remove()
    status.remove()
    assert [path.name for path in home.run.iterdir()] == [f"{NAME}.lock"]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"text"', "\0"])
def test_a_status_that_is_none_says_nothing(home: Home, content: str) -> None:
    """Half a file, another shape: as if there were none."""
    with locks.hold(home.lock(NAME)):
        (home.run / f"{NAME}.json").write_text(content)
        assert running(home, NAME) is None
        (home.run / f"{NAME}.json").write_bytes(b"\xff\xfe")
        assert running(home, NAME) is None


def test_a_reader_never_sees_half_of_it(home: Home) -> None:
    """The file is replaced as a whole: an open one keeps its content."""
    status = StatusFile(NAME, home)
    status.write({"text": "a" * 100_000})
    with (home.run / f"{NAME}.json").open() as reader:
        status.write({})
        assert json.load(reader)["text"] == "a" * 100_000


def test_a_disk_that_refuses_is_said_once(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    """The role goes on, and says it again when it happens again after it was well."""
    status = StatusFile(NAME, home)
    home.run.rename(home.path / "moved")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            status.write({})
        assert len(caplog.records) == 1
        (home.path / "moved").rename(home.run)
        status.write({})
        home.run.rename(home.path / "moved")
        status.write({})
    assert len(caplog.records) == 2


def test_two_roles_have_two_files(home: Home) -> None:
    """Names that differ only behind a dot do not share the file they are written to first."""
    for name in ("broker.b1", "broker.b2", "broker"):
        StatusFile(name, home).write({"name": name})
    for name in ("broker.b1", "broker.b2", "broker"):
        assert json.loads((home.run / f"{name}.json").read_text())["name"] == name


# --- the lifeline ------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [None, "", "x", "-1", "1.5"])
def test_a_role_started_by_hand_has_no_lifeline(monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    """Nor one whose environment holds nonsense."""
    monkeypatch.delenv(LIFELINE, raising=False)
    if text is not None:
        monkeypatch.setenv(LIFELINE, text)
    assert lifeline() is None


def test_a_lifeline_is_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child of the role has neither the descriptor nor the variable: it would take another file for it."""
    read, write = os.pipe()
    try:
        os.set_inheritable(read, True)
        monkeypatch.setenv(LIFELINE, str(read))
        assert lifeline() == read
        assert not os.get_inheritable(read)
        assert LIFELINE not in os.environ
        assert lifeline() is None
    finally:
        os.close(read)
        os.close(write)


RUN = """
import sys
from tabard.brokers.running import role
from tabard.home import Home
with role("test", Home(sys.argv[1])) as process:
    process.report(lambda: {"here": True}, 2.0)
    print("runs", flush=True)
    process.loop.run()
print("ended", flush=True)
"""


def test_a_role_ends_when_its_lifeline_is_cut(home: Home) -> None:
    """In order: its status is gone, its lock is free."""
    read, write = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", RUN, str(home.path)],
        env={**os.environ, LIFELINE: str(read)},
        pass_fds=[read],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(read)
        assert process.stdout is not None
        assert process.stdout.readline() == "runs\n"
        said = running(home, "test")
        assert said is not None
        assert said["here"]
        os.close(write)
        assert process.stdout.readline() == "ended\n"
        assert process.wait() == 0
    assert locks.held(home.lock("test")) is None
    assert not (home.run / "test.json").exists()


def test_a_role_runs_once_in_a_home(home: Home) -> None:
    """The second is refused and takes nothing from the first."""
    with role("test", home) as first:
        first.report(lambda: {"n": 1}, 2.0)
        with pytest.raises(AlreadyRunning), role("test", home):
            raise AssertionError
        said = running(home, "test")
        assert said is not None
        assert said["n"] == 1
