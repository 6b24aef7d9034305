"""An act is accounted for from before it begins, whatever becomes of whoever does it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tabard import audit, exits
from tabard.audit import accounted, entries, note, waiting
from tabard.errors import HomeError, RefusedError, UsageError
from tabard.home import Home
from tests.unit.audit.marks import TRIAL


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """One that is not there yet."""
    return Home(tmp_path / "home")


def names(home: Home) -> list[str]:
    """The files that are left, without what names them."""
    return sorted(path.suffix for path in (home.path / audit.FOLDER).iterdir())


def test_an_act_that_is_done(home: Home) -> None:
    """It says who, what, on whom, and how it ended; nobody else may read it."""
    with accounted(home, "keys.revoke", {"key": "5bf1", "many": ("a", 2)}) as account:
        assert [(entry.kind, entry.outcome) for entry in waiting(home)] == [("keys.revoke", "unknown")]
        assert not list(entries(home))  # it is under way
        account.end(audit.DONE)
    (entry,) = waiting(home)
    assert (entry.who, entry.outcome, entry.detail) == (audit.somebody(), "done", "")
    assert entry.what == {"key": "5bf1", "many": ["a", "2"]}
    assert [(found, len(paths)) for found, paths in entries(home)] == [(entry, 1)]
    assert (home.path / audit.FOLDER).stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (home.path / audit.FOLDER).iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (RefusedError("no"), "refused"),
        (HomeError("gone"), "failed"),
        (OSError("disk"), "failed"),
        (KeyboardInterrupt(), "failed"),
    ],
)
def test_an_act_that_ends_in_an_error(home: Home, error: BaseException, outcome: str) -> None:
    """The error goes on, and is why."""
    with pytest.raises(type(error)), accounted(home, "a.b", {}):
        raise error
    (entry,) = waiting(home)
    assert entry.outcome == outcome
    assert str(error) in entry.detail


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (None, "done"),
        (exits.DONE, "done"),
        (exits.PARTLY, "partly"),
        (exits.REFUSED, "refused"),
        (exits.FAILED, "failed"),
    ],
)
def test_exit_codes_are_outcomes(home: Home, code: int | None, outcome: str) -> None:
    """Those of a command."""
    with accounted(home, "a", {}) as account:
        account.ended_with(code)
    assert [entry.outcome for entry in waiting(home)] == [outcome]


def test_a_wrong_use_leaves_nothing(home: Home) -> None:
    """Nothing was begun."""
    with pytest.raises(UsageError), accounted(home, "a", {}):
        raise UsageError("what is that")
    with accounted(home, "a", {}) as account:
        account.ended_with(exits.WRONG_USE)
    assert not names(home)


@pytest.mark.threat("audit-unwritten")
def test_nothing_is_done_that_cannot_be_written_down(home: Home) -> None:
    """Here a file lies where the folder should be."""
    home.path.mkdir()
    (home.path / audit.FOLDER).write_text("in the way")
    done = False
    with pytest.raises(HomeError, match="cannot be accounted for"), accounted(home, "a", {}):
        done = True
    assert not done


@pytest.mark.threat("audit-unwritten")
def test_whoever_is_killed_in_the_act_is_accounted_for(home: Home) -> None:
    """As unknown, and not before that process has died."""
    script = f"""
import sys, time
from tabard.audit import accounted
from tabard.home import Home
with accounted(Home({str(home.path)!r}), "keys.rotate", {{"name": "web1"}}):
    print("in it", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"in it\n"
        assert not list(entries(home))
        process.send_signal(signal.SIGKILL)
    ((entry, paths),) = entries(home)
    assert entry is not None
    assert (entry.kind, entry.outcome, [path.suffix for path in paths]) == (
        "keys.rotate",
        "unknown",
        [".open"],
    )


def test_one_that_ended_and_was_killed_before_it_had_tidied_up(home: Home) -> None:
    """Both files are one act, and the end counts."""
    note(home, "a", {}, detail="well")
    (path,) = (home.path / audit.FOLDER).iterdir()
    begun = json.loads(path.read_text()) | {"outcome": "unknown", "detail": ""}
    path.with_suffix(audit.UNDER_WAY).write_text(json.dumps(begun))
    ((entry, paths),) = entries(home)
    assert entry is not None
    assert (entry.outcome, entry.detail, len(paths)) == ("done", "well", 2)


@pytest.mark.parametrize(
    "spoilt",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"uid": 1}',
        TRIAL.replace(b"done", b"well"),
        TRIAL.replace(b'"a"', b'"A B"'),
        b" " * 20_000,
    ],
)
def test_what_is_no_entry_is_none(home: Home, spoilt: bytes) -> None:
    """And harms nobody."""
    note(home, "a", {})
    (home.path / audit.FOLDER / "00000000000000000001-0123456789abcdef.json").write_bytes(spoilt)
    found = [entry for entry, _paths in entries(home)]
    assert found[0] is None and found[1] is not None
    assert len(waiting(home)) == 1


def test_an_entry_under_the_name_of_another_is_none(home: Home) -> None:
    """Its uid and its time are its name."""
    note(home, "a", {})
    (path,) = (home.path / audit.FOLDER).iterdir()
    path.rename(path.with_name("00000000000000000001-0123456789abcdef.json"))
    assert [entry for entry, _paths in entries(home)] == [None]


def test_texts_are_as_short_as_the_file_takes(home: Home) -> None:
    """However much there is of it, and whatever is in it."""
    note(home, "a", {f"word{n}": ["\udcff\0" + "x" * 5_000] * 40 for n in range(32)}, detail="y" * 100_000)
    ((entry, paths),) = entries(home)
    assert entry is not None and len(entry.what) == 32
    assert paths[0].stat().st_size <= audit.MOST
    entry.detail.encode()


def test_somebody_names_who_became_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """By sudo; not with characters that steer a terminal."""
    monkeypatch.setenv("SUDO_USER", "ann")
    assert audit.somebody().endswith(f"@{os.uname().nodename} (sudo by ann)")
    monkeypatch.setenv("SUDO_USER", "\x1b[31m")
    assert "\x1b" not in audit.somebody()
