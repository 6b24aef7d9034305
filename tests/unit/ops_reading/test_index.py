"""The search index on the command line: what there is, built and removed in the foreground, and words that it finds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tabard import exits
from tests.unit.ops_reading.conftest import run_on
from tests.unit.ops_reading.test_json import described
from tests.unit.web.seed import Seeder, record


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home of its own with a few records."""
    home = tmp_path / "home"
    seeder = Seeder(home / "store")
    seeder.logs([record(message=f"order-{number} timed out") for number in range(30)])
    seeder.close()
    return home


def test_an_index_is_built_shown_and_removed(home: Path) -> None:
    """As `store.index` says; what it says not is refused with what to do."""
    assert json.loads(run_on(home, "store", "index", "-o", "json").stdout) == []
    refused = run_on(home, "store", "index", "build")
    assert refused.returncode == exits.WRONG_USE
    assert 'expected store.index to be "words" or "trigram"' in refused.stderr
    (home / "tabard.toml").write_text('[store]\nindex = "trigram"\n')
    (row,) = json.loads(run_on(home, "store", "index", "-o", "json").stdout)
    assert row["state"] == "missing"
    built = run_on(home, "store", "index", "build", "-o", "json")
    assert "the search index trigram is being built" in built.stderr
    (row,) = json.loads(built.stdout)
    assert list(row) == described("tabard store index status")
    assert (row["kind"], row["wanted"], row["state"], row["covered"], row["rows"]) == (
        "trigram", "trigram", "whole", 30, 30,
    )  # fmt: skip
    assert row["bytes"] > 0
    assert "trigram" in run_on(home, "store", "index", "status").stdout
    refused = run_on(home, "store", "index", "drop")
    assert refused.returncode == exits.WRONG_USE
    (home / "tabard.toml").write_text('[store]\nindex = "none"\n')
    (row,) = json.loads(run_on(home, "store", "index", "-o", "json").stdout)
    assert row["state"] == "not wanted"
    assert json.loads(run_on(home, "store", "index", "drop", "-o", "json").stdout) == []


def test_words_are_found_whole(home: Path) -> None:
    """Each of them, with an index and without."""
    for index in ("none", "words"):
        (home / "tabard.toml").write_text(f'[store]\nindex = "{index}"\n')
        if index != "none":
            assert run_on(home, "store", "index", "build").returncode == exits.DONE
        found = run_on(home, "logs", "--word", "2", "--word", "TIMED", "-o", "ndjson").stdout.splitlines()
        assert [json.loads(line)["message"] for line in found] == ["order-2 timed out"]
    assert "at most 16" in run_on(home, "logs", *(f"--word={number}" for number in range(17))).stderr


def test_a_build_that_is_killed_goes_on(home: Path) -> None:
    """What it had not committed is done again; searches are right in between."""
    (home / "tabard.toml").write_text('[store]\nindex = "words"\n')
    killed = run_on(home, "store", "index", "build", TABARD_FAILPOINTS="store.index_step=kill@2")
    assert killed.returncode == -9
    (row,) = json.loads(run_on(home, "store", "index", "-o", "json").stdout)
    assert (row["state"], row["covered"]) == ("building", 0)
    found = run_on(home, "logs", "--word", "order-7", "-o", "ndjson").stdout
    assert json.loads(found)["message"] == "order-7 timed out"
    (row,) = json.loads(run_on(home, "store", "index", "build", "-o", "json").stdout)
    assert (row["state"], row["covered"]) == ("whole", 30)
    assert run_on(home, "logs", "--word", "order-7", "-o", "ndjson").stdout == found
