"""People on the command line."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tabard import exits
from tests.unit.ops_reading.conftest import run_on
from tests.unit.ops_reading.test_json import described
from tests.unit.web.seed import Seeder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with an empty store."""
    Seeder(tmp_path / "home" / "store").close()
    return tmp_path / "home"


def objects(home: Path, *words: str) -> list[dict[str, object]]:
    """What a command gives for programs."""
    done = run_on(home, "people", *words, "-o", "json")
    assert (done.returncode, done.stderr) == (exits.DONE, "")
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def test_people_are_added_listed_changed_and_removed(home: Path) -> None:
    """Every command gives what the page of JSON says."""
    (added,) = objects(home, "add", "bob", "--role", "operator", "--zone", "hq/dmz")
    assert list(added) == described("tabard people add")
    assert str(added["link"]).startswith("http://127.0.0.1:8024/link/")
    (link,) = objects(home, "link", "bob")
    assert list(link) == described("tabard people link")
    assert link["link"] != added["link"]
    (row,) = objects(home, "list")
    assert list(row) == described("tabard people list")
    assert (row["role"], row["zone"], row["password"]) == ("operator", "hq/dmz", False)
    assert "@" in str(row["made_by"])
    (row,) = objects(home, "set", "bob", "--role", "viewer")
    assert (row["role"], row["zone"]) == ("viewer", "hq/dmz")
    (row,) = objects(home, "set", "bob", "--all-zones")
    assert (row["role"], row["zone"]) == ("viewer", "")
    (row,) = objects(home, "remove", "bob")
    assert row["name"] == "bob"
    assert objects(home, "list") == []


def test_tokens_are_made_listed_and_revoked(home: Path) -> None:
    """What they are is said once, and is not in the store."""
    objects(home, "add", "bob", "--zone", "hq")
    (made,) = objects(home, "token", "add", "bob", "export", "--days", "3")
    assert list(made) == described("tabard people token add")
    assert (made["role"], made["zone"]) == ("viewer", "hq")
    (row,) = objects(home, "token", "list")
    assert list(row) == described("tabard people token list")
    assert (row["person"], row["name"], row["over"]) == ("bob", "export", False)
    with closing(sqlite3.connect(home / "store" / "state.db")) as store:
        assert str(made["token"]) not in "\n".join(store.iterdump())
    assert run_on(home, "people", "token", "revoke", "bob", "export").returncode == exits.DONE
    assert objects(home, "token", "list") == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["add", "A B"], exits.WRONG_USE, "not a name"),
        (["add", "ann"], exits.WRONG_USE, "there is an account of that name"),
        (["add", "bob", "--role", "root"], exits.WRONG_USE, "root"),
        (["add", "bob", "--zone", "../x"], exits.WRONG_USE, "zone"),
        (["set", "bob", "--role", "viewer"], exits.WRONG_USE, "no such account"),
        (["set", "ann"], exits.WRONG_USE, "nothing to set"),
        (["set", "ann", "--zone", "hq", "--all-zones"], exits.WRONG_USE, "contradict"),
        (["remove", "bob"], exits.WRONG_USE, "no such account"),
        (["link", "bob"], exits.WRONG_USE, "no such account"),
        (["token", "add", "ann", "t", "--role", "admin"], exits.WRONG_USE, "more than the person has"),
        (["token", "add", "ann", "t", "--days", "0"], exits.WRONG_USE, "0"),
        (["token", "revoke", "ann", "t"], exits.WRONG_USE, "no such token"),
        (["first"], exits.REFUSED, "there is no such link"),
    ],
)
def test_what_is_wrong_is_said(home: Path, words: list[str], code: int, said: str) -> None:
    """With the exit code of its kind, and nothing is changed."""
    objects(home, "add", "ann", "--zone", "hq")
    before = objects(home, "list")
    done = run_on(home, "people", *words)
    assert done.returncode == code
    assert said in done.stderr
    assert done.stdout == ""
    assert objects(home, "list") == before


def test_without_a_store_it_is_said_what_to_start(tmp_path: Path) -> None:
    """Herald's recorder makes it."""
    done = run_on(tmp_path / "home", "people", "add", "ann")
    assert done.returncode == exits.FAILED
    assert "store not found" in done.stderr
