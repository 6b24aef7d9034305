"""Commands below a command: `tabard sink list`, `tabard store upgrade`."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tabard import exits
from tabard.home import Home
from tabard.locks import hold
from tests.unit.ops_reading.conftest import Run, run_on


@pytest.mark.parametrize(
    "words", [["sink"], ["sink", "list"], ["sink", "-o", "json"], ["sink", "list", "-o", "json"]]
)
def test_sink_lists_without_being_told(tabard: Run, words: list[str]) -> None:
    """The list is what one wants; `list` may be left out, with its options or without."""
    done = tabard(*words)
    assert done.returncode == exits.DONE
    assert done.stdout.startswith("[]" if "json" in words else "SINK ")


def test_the_home_may_stand_anywhere(home: Path, tmp_path: Path) -> None:
    """Before the group, before its command, and after it; the last one counts."""
    for words in (
        ["--home", str(home), "store", "upgrade"],
        ["store", "--home", str(home), "upgrade"],
        ["store", "upgrade", "--home", str(home)],
        ["--home", "/nonexistent", "store", "upgrade", "--home", str(home)],
    ):
        done = run_on(tmp_path, *words)
        assert (done.returncode, done.stdout.split()[4]) == (exits.DONE, "records")


def test_a_store_that_is_up_to_date_is_left_alone(tabard: Run, home: Path) -> None:
    """Upgrading twice is no error and says which version each file has."""
    before = (home / "store" / "records.db").read_bytes()
    done = tabard("store", "upgrade")
    assert done.returncode == exits.DONE
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["FILE", "records", "state"]
    assert (home / "store" / "records.db").read_bytes() == before


def test_the_store_is_counted(tabard: Run) -> None:
    """Rows by stream, below a line about the files."""
    done = tabard("store", "stats")
    assert done.returncode == exits.DONE
    title, _columns, *rows = done.stdout.partition("\n\n")[0].splitlines()
    assert "2 nodes, 2 gaps, 0 in quarantine" in title
    counts = {stream: int(count) for stream, count, *_ends in map(str.split, rows)}
    assert counts["logs"] > 1200
    assert counts["control"] == 0


def test_no_store_is_made_by_upgrading(tmp_path: Path) -> None:
    """A home without a store is an error, and stays without one."""
    done = run_on(tmp_path / "none", "store", "upgrade")
    assert done.returncode == exits.FAILED
    assert "store not found" in done.stderr
    assert not (tmp_path / "none").exists()


def test_a_store_in_use_is_not_upgraded(tmp_path: Path) -> None:
    """The recorder has to be ended first, and is named."""
    home = Home(tmp_path).ensure()
    with hold(home.lock("recorder")):
        done = run_on(home.path, "store", "upgrade")
    assert done.returncode == exits.REFUSED
    assert "recorder is already running as process" in done.stderr
    assert "--only" not in done.stderr, "it has no such option"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("sink retire 'a b'", "not a sink name"),
        ("sink backfill 'a b'", "not a sink name"),
        ("sink backfill --zone 'x y'", "not a zone path"),
        ("sink backfill --zone nowhere", "no node in that zone"),
        ("sink backfill --node wbe1", "never heard of that node"),
        ("sink backfill --node web1 --zone nowhere", "no node in that zone"),
        ("sink retire nobody", "does not send to that sink"),
        ("sink retire main --this-node --undo", "not retired here"),
    ],
)
def test_a_slip_in_a_name_is_wrong_use(tabard: Run, line: str, says: str) -> None:
    """And not a list with nothing in it, as if nothing were missing."""
    done = tabard(*shlex.split(line))
    assert (done.returncode, done.stdout) == (exits.WRONG_USE, "")
    assert says in done.stderr


@pytest.mark.parametrize("line", ["sink foo", "store foo", "sink --home /x foo"])
def test_an_unknown_command_of_a_group_is_said_to_be_one(tabard: Run, line: str) -> None:
    """And the hint names the group's own list."""
    done = tabard(*line.split())
    assert done.returncode == exits.WRONG_USE
    assert (
        f"There is no command 'foo'. 'tabard {line.split(maxsplit=1)[0]} --help' lists them." in done.stderr
    )
