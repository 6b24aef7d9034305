"""The directory of a lab: its one file of state, and what is never removed."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path

import pytest

from tabard import exits
from tabard.errors import RefusedError, TabardError, UsageError
from tabard.home import Home
from tabard.ops import entry
from tabard.ops.lab import build, faults, look, needs, state
from tabard.ops.lab.first import FIRST_PAUSE, LASTING, LONGEST_PAUSE, pause_after
from tabard.ops.lab.lines import Slow, Wear
from tabard.ops.lab.plan import Loop, planned
from tabard.ops.lab.state import Place, State
from tests.unit.ops_reading.test_json import described


def test_the_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Cables that are sound are left out."""
    place = Place(Home(tmp_path))
    place.make()
    note = State(True, "http://127.0.0.1:1", {"p1": Wear(True, None), "p2": Wear(False, Slow(0.5, 1000.0))})
    state.write(place, note._replace(wear={**note.wear, "p3": Wear()}))
    assert state.read(place) == note
    other = note._replace(kind="mixed", loop=Loop("127.77", "/x/disks", 8024, "me"), homeless=True, bare=3)
    state.write(place, other)
    assert state.read(place) == other


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"version": 99}',
        '{"version": 1, "wear": []}',
        '{"version": 1, "loop": {"x": 1}}',
        "\0\1",
    ],
)
def test_a_damaged_state_is_none(tmp_path: Path, content: str) -> None:
    """And still marks the directory as a lab's, so that it can be taken away."""
    place = Place(Home(tmp_path))
    place.make()
    place.state.write_text(content)
    assert state.read(place) is None
    build.end(place) if os.geteuid() == 0 else place.remove()
    assert list(tmp_path.iterdir()) == []


def test_the_rest_of_the_home_stays(tmp_path: Path) -> None:
    """Only the lab's own directory goes; one that is not there is none to remove."""
    place = Place(Home(tmp_path))
    place.home.ensure()
    place.remove()
    place.make()
    state.write(place, State(False, "", {}))
    (place.path / "disks").mkdir()
    before = {entry.name for entry in tmp_path.iterdir()}
    place.remove()
    assert {entry.name for entry in tmp_path.iterdir()} == before - {"lab"}


def test_a_home_that_was_made_for_it_is_private_and_goes_with_it(tmp_path: Path) -> None:
    """One that was there stays, and so does one in which something else is by then; also when the lab was killed in between."""
    place = Place(Home(tmp_path / "home"))
    assert place.make()
    assert place.home.path.stat().st_mode & 0o777 == 0o700
    state.write(place, State(False, "", {}, homeless=True))
    assert place.make()  # over what the killed one has left
    place.remove()
    assert list(tmp_path.iterdir()) == []

    place.home.path.mkdir()
    assert not place.make()
    state.write(place, State(False, "", {}))
    place.remove()
    assert place.home.path.exists()
    place.home.path.rmdir()

    place.make()
    state.write(place, State(False, "", {}, homeless=True))
    (place.home.path / "tabard.toml").touch()
    place.remove()
    assert [entry.name for entry in place.home.path.iterdir()] == ["tabard.toml"]


def test_where_no_lab_is_a_fault_says_so(tmp_path: Path) -> None:
    """And makes nothing there."""
    place = Place(Home(tmp_path / "home"))
    for fault in (
        lambda: faults.cut(place, "web1"),
        lambda: faults.heal(place, None),
        lambda: faults.freeze(place, "web1", None),
        lambda: faults.known(place, ["web1"]),
    ):
        with pytest.raises(TabardError, match=r"no lab is up there.*tabard lab up"):
            fault()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("seconds", "right"),
    [(2 * 86_400.0, True), (-2 * 86_400.0, True), (99_999 * 86_400.0, False), (-99_999 * 86_400.0, False)],
)
def test_no_clock_shows_any_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, right: bool
) -> None:
    """That of a kernel begins in 1970 and ends in 2262: what would only break is wrong use, and changes nothing."""
    place = Place(Home(tmp_path))
    place.make()
    lab = planned()
    note = State(True, "", {})
    monkeypatch.setattr(faults, "running", lambda _: faults.Running(place, lab, 1, note))
    monkeypatch.setattr(build, "pid_of", lambda *_: 1)
    monkeypatch.setattr(faults, "_wrong_clock", lambda *_: tmp_path / "clock")
    if right:
        faults.clock(place, "web1", seconds)
        assert float((tmp_path / "clock").read_text()) == seconds
        return
    with pytest.raises(
        UsageError, match=r"no clock can be that wrong: expected at most \d+d ahead.*2262.*found 99999d"
    ):
        faults.clock(place, "web1", seconds)
    assert not (tmp_path / "clock").exists()


def test_slow_without_delay_and_rate_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing would be slower for it."""
    assert entry.run(["lab", "slow", "web1", "--delay", "0s", "--home", str(tmp_path)]) == exits.WRONG_USE
    assert "give a --delay or a --rate" in capsys.readouterr().err


@pytest.mark.parametrize("loopback", [False, True])
def test_a_port_that_is_taken_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loopback: bool
) -> None:
    """It is found before a directory is made."""
    monkeypatch.setattr(needs, "refuse_missing", lambda **_: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(TabardError, match=rf"127.0.0.1:{port}: cannot listen there.*--port {port + 10}"):
            build.up(Place(Home(tmp_path / "home")), port, lambda _: None, loopback=loopback)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """It has no state of a lab: nothing is built in it, and nothing of it is removed."""
    place = Place(Home(tmp_path))
    place.path.mkdir()
    mine = place.path / "notes.txt"
    mine.touch()
    with pytest.raises(RefusedError, match="expected nothing there"):
        place.make()
    place.remove()
    assert mine.exists()


def test_without_root_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal that names it, and what runs without."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(RefusedError, match=r"without the rights of root.*tabard lab up --loopback"):
        build.up(Place(Home(tmp_path)), 1, lambda _: None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["50%", 'a"b', "a[1]", "a\nb"])
def test_a_directory_that_ssh_would_read_otherwise_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Where the hosts lie below it: its ssh servers would not start, and nobody would say why."""
    monkeypatch.setattr(needs, "refuse_missing", lambda **_: None)
    with pytest.raises(RefusedError, match=r"mean something to ssh.*another --home"):
        build.up(Place(Home(tmp_path / name)), 1, lambda _: None, loopback=True)
    assert list(tmp_path.iterdir()) == []


def test_without_a_program_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every one that is missing, not the first."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(needs, "program", lambda name: None if name in {"ip", "sshd"} else f"/bin/{name}")
    with pytest.raises(RefusedError, match="without the program ip, without the program sshd"):
        needs.refuse_missing()


def test_a_lab_of_root_is_left_alone_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would not see its processes, and remove the files below them."""
    place = Place(Home(tmp_path))
    place.make()
    state.write(place, State(True, "", {}))
    owner = pwd.getpwuid(os.stat(tmp_path).st_uid).pw_name
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(tmp_path).st_uid + 1000)
    with pytest.raises(RefusedError, match=f"another user's.*expected {owner}"):
        build.end(place)
    assert place.state.exists()


def test_a_service_is_started_again_later_each_time() -> None:
    """Until it has lasted for a while."""
    pauses = [0.0]
    for _ in range(8):
        pauses.append(pause_after(pauses[-1], 0.1))
    assert pauses[1] == FIRST_PAUSE
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE
    assert pause_after(LONGEST_PAUSE, LASTING) == FIRST_PAUSE


def test_the_rows_of_the_status_are_described() -> None:
    """Each key of JSON has its line on the page."""
    assert list(look.KEYS) == described("tabard lab status")
    assert set(look.COLUMNS) < set(look.KEYS)
