"""What `tabard status` makes of locks and status files, the strange ones too."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tabard import __version__
from tabard.home import Home
from tabard.locks import hold
from tabard.ops import faults, seen
from tabard.ops.report import report
from tabard.ops.seen import Seen
from tabard.settings import load

NOW = 1_000 * 1_000_000_000


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with its rooms."""
    return Home(tmp_path / "home").ensure()


def say(home: Home, name: str, **status: Any) -> None:
    """Write a status file as the role in this process would."""
    content = {"role": name, "pid": os.getpid(), "version": __version__, **status}
    (home.run / f"{name}.json").write_text(json.dumps(content))


def agent(**status: Any) -> Seen:
    """An agent that has run for a while and says this."""
    return Seen("agent", seen.RUNNING, 1, 0, status, __version__)


def test_roles_are_told_by_their_locks(home: Home) -> None:
    """A lock that is held is a role that runs, a free one a role that ran; the order is that of the way up."""
    for name in ("herald", "recorder", "broker.b2", "broker.b1", "up"):
        home.lock(name).touch()
    say(home, "recorder", sink="main")
    with hold(home.lock("recorder")):
        before = time.time_ns()
        found = seen.roles(home)
    assert [each.name for each in found] == ["up", "broker.b1", "broker.b2", "recorder", "herald"]
    (recorder,) = (each for each in found if each.state != seen.STOPPED)
    assert (recorder.name, recorder.state, recorder.pid) == ("recorder", seen.RUNNING, os.getpid())
    assert recorder.said["sink"] == "main"
    assert recorder.since is not None
    assert recorder.since <= before


def test_a_broker_that_nobody_describes_and_that_does_not_run_is_none_of_the_home(home: Home) -> None:
    """After a longer chain: what it left is no fault, unless it runs, or up is about to start it again."""
    settings = load(home, env={})
    for name in ("broker.b1", "broker.b2", "broker.b3", "broker.b4", "up"):
        home.lock(name).touch()
    say(home, "up", children={"broker.b3": {"state": "waiting", "pid": None, "restarts": 1}})
    with hold(home.lock("broker.b2")), hold(home.lock("up")):
        found = [role.name for role in seen.roles(home, settings)]
        assert found == ["up", "broker.b1", "broker.b2", "broker.b3"]
        assert {fault["where"] for fault in report(home)["faults"]} == {"broker.b1", "broker.b3"}
        seen.clear(home, settings)
    assert [role.name for role in seen.roles(home)] == ["up", "broker.b1", "broker.b2"]


def test_there_is_no_home(tmp_path: Path) -> None:
    """Nothing runs, and that is no error."""
    assert seen.roles(Home(tmp_path / "nowhere")) == []
    assert report(Home(tmp_path / "nowhere"))["state"] == "stopped"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"pid": "x"}', "null"])
def test_a_status_file_that_makes_no_sense_is_passed_over(home: Home, content: str) -> None:
    """Half written, of another process, or no object at all: the role still runs."""
    (home.run / "recorder.json").write_text(content)
    with hold(home.lock("recorder")):
        (found,) = seen.roles(home)
    assert (found.state, found.said) == (seen.RUNNING, {})


def test_old_words_are_not_believed(home: Home) -> None:
    """A role whose file grew old is silent: it runs, and does nothing."""
    say(home, "recorder", sink="main")
    os.utime(home.run / "recorder.json", (0, 0))
    with hold(home.lock("recorder")):
        found = seen.roles(home)
    assert [each.state for each in found] == [seen.SILENT]
    assert [fault.where for fault in faults.of_roles(found, NOW)] == ["recorder"]


@pytest.mark.parametrize("content", [None, '{"pid": 1}'])
def test_a_role_that_never_said_anything_is_not_believed_for_long(home: Home, content: str | None) -> None:
    """It has its lock and no status file: after a while that is silence, as on a disk that is full."""
    if content is not None:
        (home.run / "recorder.json").write_text(content)
    with hold(home.lock("recorder")):
        assert [each.state for each in seen.roles(home)] == [seen.RUNNING]
        os.utime(home.lock("recorder"), (0, 0))
        assert [each.state for each in seen.roles(home)] == [seen.SILENT]


def test_a_role_that_could_not_name_itself_in_its_lock_is_known_by_its_status(home: Home) -> None:
    """It began on a full disk; there is room again, and it is as alive as any other."""
    say(home, "recorder", sink="main")
    with hold(home.lock("recorder")):
        home.lock("recorder").write_text("")
        os.utime(home.lock("recorder"), (0, 0))
        (found,) = seen.roles(home)
        assert (found.state, found.pid, found.said["sink"]) == (seen.RUNNING, os.getpid(), "main")
        say(home, "recorder", pid=2**40)
        (found,) = seen.roles(home)
    assert (found.state, found.pid) == (seen.SILENT, None)


@pytest.mark.parametrize(
    ("error", "words"),
    [(errno.ENOSPC, "is full"), (errno.EROFS, "read-only"), (errno.EIO, "cannot be written")],
)
def test_a_disk_that_takes_nothing_is_named_as_the_cause(
    home: Home, monkeypatch: pytest.MonkeyPatch, error: int, words: str
) -> None:
    """Status looks for itself, and asks of no role whether it is frozen."""

    def refuse(*_: object) -> int:
        raise OSError(error, os.strerror(error))

    with hold(home.lock("agent")):
        os.utime(home.lock("agent"), (0, 0))
        monkeypatch.setattr(os, "write", refuse)
        found = report(home)
    disk, agent = found["faults"]
    assert (found["state"], disk["where"]) == ("partly", "home")
    assert words in disk["what"]
    assert agent["what"].endswith("it cannot write its status file")
    assert sorted(path.name for path in home.run.iterdir()) == ["agent.lock"]


def test_counters_are_listed(home: Home) -> None:
    """Those that are not zero, of every role; the last minute of those that count trouble."""
    say(
        home,
        "recorder",
        sink="main",
        fault=None,
        credit={},
        counters={"sessions": 2, "forged batch": 3, "x": 0},
    )
    with hold(home.lock("recorder")):
        found = report(home)["counters"]
    assert [tuple(row.values()) for row in found] == [
        ("recorder", "forged batch", 3, 0),
        ("recorder", "sessions", 2, None),
    ]


def test_another_version_is_a_fault_and_its_words_are_left_alone(home: Home) -> None:
    """After an upgrade the old role runs on: what it says may have another form."""
    say(home, "recorder", version="0.0.1", sink=["not", "known"])
    with hold(home.lock("recorder")):
        found = report(home)
    assert found["recorder"] is None
    assert next(fault["what"] for fault in found["faults"]).startswith("runs version 0.0.1")


def link(
    *, end: str = "tcp://x:1", heard: int | None, used: bool = True, well: bool = True
) -> dict[str, Any]:
    """What an agent or a broker says of a broker above it."""
    return {"end": end, "broker": "b1", "zone": "hq", "used": used, "well": well, "heard": heard}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({}, []),
        ({"fault": "the disk is full"}, ["the disk is full"]),
        ({"blocked": "journal: disk full"}, ["takes no records in: journal: disk full"]),
        ({"faults": [["full", "/j/logs", "no space", 1]]}, ["/j/logs: no space"]),
        (
            {"counters": {"intake refused": 9, "intake lines": 7}, "risen": {"intake refused": 2}},
            ["intake refused: 2 within the last minute, 9 since it started"],
        ),
        (
            {"sources": [{"path": "", "state": "skipped", "why": "7 more files match"}]},
            ["intake.tail: 7 more files match"],
        ),
        ({"sinks": {"main": {"attached": True}}}, []),
        ({"sinks": {"main": {"attached": False}}}, ["has not heard of sink main"]),
        ({"links": [link(heard=100 * NOW)]}, []),
        ({"links": [link(heard=None)]}, ["does not hear the broker b1 at tcp://x:1"]),
        ({"links": [link(heard=NOW)]}, ["does not hear the broker b1 at tcp://x:1"]),
        (
            {"links": [link(heard=100 * NOW, well=False)]},
            ["the broker b1 at tcp://x:1 hears nothing from above"],
        ),
        (
            {"links": [link(heard=NOW, used=False), link(heard=100 * NOW)]},
            ["does not hear the broker b1 at tcp://x:1; it goes on through the other one"],
        ),
        ({"above": [link(end="", heard=NOW)]}, ["does not hear the broker b1 above"]),
    ],
)
def test_what_an_agent_says_of_itself(status: Mapping[str, Any], words: list[str]) -> None:
    """Its own faults in its own words; a sink that nobody answers for is one."""
    found = [fault.what for fault in faults.of_roles([agent(**status)], 100 * NOW)]
    assert len(found) == len(words)
    assert all(what.startswith(word) for what, word in zip(found, words, strict=True))


def test_a_young_agent_is_given_time() -> None:
    """Right after its start it cannot have heard of its sinks."""
    young = agent(sinks={"main": {"attached": False}})
    assert faults.of_roles([young], faults.PATIENCE - 1) == []


def test_what_up_cannot_keep_running() -> None:
    """A child that ends again and again is said with its number, whether it ever got a lock or not."""
    children = {"agent": {"restarts": 3}, "recorder": {"restarts": 0}, "herald": {"restarts": 2}}
    roles = [
        Seen("up", seen.RUNNING, 1, 0, {"children": children}, __version__),
        Seen("herald", seen.RUNNING, 2, 0),
        Seen("broker.b1", seen.STOPPED, None, None),
    ]
    found = {fault.where: fault.what for fault in faults.of_roles(roles, NOW)}
    assert set(found) == {"agent", "broker.b1"}
    assert "3 times" in found["agent"]


def test_broken_settings_are_a_fault_among_others(home: Home) -> None:
    """Status is for when something is wrong: it does not stop at the settings."""
    home.settings_file.write_text("[agent]\nlinger = 1\n")
    with hold(home.lock("recorder")):
        found = report(home)
    assert found["state"] == "partly"
    assert [fault["where"] for fault in found["faults"]] == ["settings"]
    assert "line 2" in found["faults"][0]["what"]


def test_a_recorder_without_a_store_is_a_fault(home: Home) -> None:
    """Where a recorder runs there has to be a store; elsewhere there need not be one."""
    with hold(home.lock("recorder")):
        assert [fault["where"] for fault in report(home)["faults"]] == ["store"]
    with hold(home.lock("agent")):
        home.lock("recorder").unlink()
        assert report(home)["faults"] == []
