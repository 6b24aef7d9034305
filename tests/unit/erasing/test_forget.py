"""`tabard store forget` as it is typed: it asks, says what it did, and ends with a code that a script can go by."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest

from tabard import exits
from tabard.brokers.delivery.ports import NodeKey
from tabard.consumers.store.sqlite import SqliteStore
from tests.contract.chain import NOON, Chain, log
from tests.integration.upping import TABARD, environment, tabard
from tests.unit.ops_reading.test_json import described

WORDS = ("store", "forget", "--match", "alice", "--reason", "request 12")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """With three records, two of them about somebody."""
    with SqliteStore.open(tmp_path / "home" / "store") as store:
        store.commit([Chain().work([log("alice came"), log("bob came"), log("Alice went")])], NOON)
    return tmp_path / "home"


def messages(home: Path) -> list[str]:
    """Of the log."""
    return [
        row["message"]
        for row in json.loads(tabard(home, "logs", "--since", "2020-01-01", "-o", "json").stdout)
    ]


def erased(text: str) -> dict[str, tuple[int, int, int]]:
    """Rows, erased and held, by table, of an answer; tables without any are left out."""
    rows = json.loads(text)
    assert all(list(row) == described("tabard store forget") for row in rows)
    return {row["table"]: (row["rows"], row["erased"], row["held"]) for row in rows if row["rows"]}


def test_a_dry_run_counts_and_changes_nothing(home: Path) -> None:
    """Whoever is not sure looks first."""
    done = tabard(home, *WORDS, "--dry-run", "-o", "json")
    assert (done.returncode, erased(done.stdout)) == (exits.DONE, {"log": (2, 0, 0)})
    assert messages(home) == ["alice came", "bob came", "Alice went"]


def test_nobody_to_be_asked_is_wrong_use(home: Path) -> None:
    """A script says --yes."""
    done = tabard(home, *WORDS)
    assert done.returncode == exits.WRONG_USE
    assert "expected --yes" in done.stderr
    assert messages(home) == ["alice came", "bob came", "Alice went"]


def test_a_script_erases(home: Path) -> None:
    """And does so once: the second time there is nothing."""
    done = tabard(home, *WORDS, "--yes", "-o", "json")
    assert (done.returncode, erased(done.stdout)) == (exits.DONE, {"log": (2, 2, 0)})
    assert messages(home) == ["(erased)", "bob came", "(erased)"]
    done = tabard(home, *WORDS, "--yes", "-o", "json")
    assert (done.returncode, erased(done.stdout)) == (exits.DONE, {})


def test_a_kill_between_two_steps_costs_nothing(home: Path) -> None:
    """What was done is done; the same command does the rest."""
    killed = tabard(home, *WORDS, "--yes", TABARD_FAILPOINTS="erase.step=kill@2")
    assert killed.returncode == -signal.SIGKILL
    done = tabard(home, *WORDS, "--yes", "-o", "json")
    assert (done.returncode, erased(done.stdout)) == (exits.DONE, {"log": (2, 2, 0)})
    assert messages(home) == ["(erased)", "bob came", "(erased)"]


def test_after_a_full_vacuum_no_byte_is_left_in_the_files(home: Path) -> None:
    """As the page says."""
    assert tabard(home, *WORDS, "--yes").returncode == exits.DONE
    assert tabard(home, "store", "vacuum", "--full").returncode == exits.DONE
    files = [path.read_bytes().lower() for path in (home / "store").iterdir()]
    assert any(b"bob came" in content for content in files)
    assert not any(b"alice" in content for content in files)


def test_on_a_terminal_it_is_shown_how_far_it_is(home: Path) -> None:
    """By table, with the rows found there, on standard error, and nothing of it is left behind; elsewhere nothing is."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*TABARD, *WORDS, "--yes"], env=environment(home), stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # how a terminal says that nobody is there any more
        while more := os.read(ours, 4096):
            said += more
    os.close(ours)
    output, _ = process.communicate()
    assert process.returncode == 0
    assert b"erasing in log  100 %  2 rows" in said
    assert said.endswith(b"\r")
    assert b"erasing" not in output
    assert tabard(home, *WORDS, "--yes").stderr == ""


@pytest.mark.parametrize(("answer", "after"), [("n", "alice came"), ("y", "(erased)")])
def test_a_person_is_asked(home: Path, answer: str, after: str) -> None:
    """With how many rows it is about."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*TABARD, *WORDS], env=environment(home), stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    os.close(theirs)
    os.write(ours, f"{answer}\n".encode())
    _output, said = process.communicate()
    os.close(ours)
    assert b"Erase 2 rows for good?" in said
    assert messages(home)[0] == after


def test_a_hold_makes_it_partly_or_refused(home: Path) -> None:
    """The hold is named; what it does not cover is erased."""
    held = ("store", "hold", "add", "case", "--match", "went", "--reason", "court")
    assert tabard(home, *held).returncode == exits.DONE
    done = tabard(home, *WORDS, "--yes", "-o", "json")
    assert (done.returncode, erased(done.stdout)) == (exits.PARTLY, {"log": (2, 1, 1)})
    assert "1 rows stay: they are under a legal hold: case" in done.stderr
    done = tabard(home, *WORDS, "--yes", "-o", "json")
    assert (done.returncode, erased(done.stdout)) == (exits.REFUSED, {"log": (1, 0, 1)})
    assert messages(home) == ["(erased)", "bob came", "Alice went"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--reason", "x", "--yes"), "what is to be erased is missing"),
        (("--match", "al", "--reason", "x", "--yes"), "expected a text of 3 to 2000 characters"),
        (("--node", "web1", "--yes"), "--reason"),
        (("--node", "web1", "--reason", " ", "--yes"), "--reason says nothing"),
        (
            ("--node", "web1", "--reason", "x", "--since", "1h", "--until", "2h"),
            "--until is not after --since",
        ),
        (
            ("--node", "wbe1", "--reason", "x", "--yes"),
            "the store has never heard of that node: expected one of web1, found wbe1",
        ),
        (
            ("--match", "alice", "--node", "wbe1", "--reason", "x", "--dry-run"),
            "the store has never heard of that node",
        ),
        (
            ("--zone", "hq/dmzz", "--reason", "x", "--yes"),
            "the store has heard of no node in that zone: expected one of hq/dmz, found hq/dmzz",
        ),
    ],
)
def test_wrong_use_is_said(home: Path, words: tuple[str, ...], said: str) -> None:
    """Before anything is erased."""
    done = tabard(home, "store", "forget", *words)
    assert done.returncode == exits.WRONG_USE
    assert said in done.stderr
    assert messages(home) == ["alice came", "bob came", "Alice went"]


def test_of_many_nodes_the_likeliest_are_named(home: Path) -> None:
    """A fleet does not fit into one sentence."""
    keys = [NodeKey(f"till{number}", "hq") for number in range(12)]
    with SqliteStore.open(home / "store") as store:
        store.commit([Chain(key).work([log("x")]) for key in keys], NOON)
    done = tabard(home, "store", "forget", "--node", "wbe1", "--reason", "x", "--yes")
    assert "expected one of web1, " in done.stderr
    assert " and 3 more, found wbe1. `tabard nodes` lists them" in done.stderr


def test_a_node_is_known_when_nothing_of_it_is_left(home: Path) -> None:
    """So a script may say it twice."""
    words = ("store", "forget", "--node", "web1", "--zone", "hq", "--reason", "x", "--yes")
    assert [tabard(home, *words).returncode for _ in range(2)] == [exits.DONE] * 2
