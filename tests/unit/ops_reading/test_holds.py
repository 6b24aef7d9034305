"""Legal holds on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.ops_reading.conftest import run_on
from tests.unit.ops_reading.test_json import described
from tests.unit.web.seed import Seeder, record

WHY = ("--reason", "ticket 12")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose store has a few records."""
    seeder = Seeder(tmp_path / "home" / "store")
    seeder.logs([record(message=f"order {number}", service="shop") for number in range(10)])
    seeder.close()
    return tmp_path / "home"


def test_a_hold_is_added_listed_and_released(home: Path) -> None:
    """With who, when and why; what is held is counted, and what was released is kept."""
    added = json.loads(
        run_on(
            home,
            "store",
            "hold",
            "add",
            "case",
            "--service",
            "shop",
            "--match",
            "ORDER 7",
            *WHY,
            "-o",
            "json",
        ).stdout
    )
    assert [list(row) for row in added] == [described("tabard store hold list")]
    assert json.loads(run_on(home, "store", "hold", "list", "-o", "json").stdout) == added
    row = added[0]
    assert (row["state"], row["service"], row["match"], row["reason"]) == (
        "in force",
        "shop",
        "ORDER 7",
        "ticket 12",
    )
    assert "@" in row["made_by"]
    stats = json.loads(run_on(home, "store", "stats", "-o", "json").stdout)
    assert (stats["holds"], stats["held"]["logs"], stats["held_partial"]) == (1, 1, False)
    assert "1 legal hold in force" in run_on(home, "store", "stats").stdout
    done = json.loads(
        run_on(home, "store", "hold", "release", "case", "--reason", "closed", "-o", "json").stdout
    )
    assert (done[0]["state"], done[0]["release_reason"]) == ("released", "closed")
    assert run_on(home, "store", "hold", "list", "-o", "json").stdout == "[]\n"
    assert json.loads(run_on(home, "store", "hold", "list", "--all", "-o", "json").stdout) == done


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--node", "wbe1"), "the store has never heard of that node: wbe1; it knows web1"),
        (("--zone", "hq/plnat"), "the store has heard of no node in that zone: hq/plnat; it knows hq"),
    ],
)
def test_a_name_that_is_not_known_yet_is_said(home: Path, given: tuple[str, str], said: str) -> None:
    """It may be one that is to come, or a slip: the hold is in force, and how it is ended stands there."""
    done = run_on(home, "store", "hold", "add", "case", *given, *WHY)
    assert done.returncode == 0
    assert said in done.stderr
    assert "`tabard store hold release case" in done.stderr
    assert len(json.loads(run_on(home, "store", "hold", "list", "-o", "json").stdout)) == 1
    known = run_on(home, "store", "hold", "add", "known", "--node", "web1", *WHY)
    assert (known.returncode, known.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "case"), "--reason"),
        (("add", "not a name", *WHY), "1 to 64 of A-Z"),
        (("add", "case", "--since", "2026-10-02", "--until", "2026-10-01", *WHY), "nothing would be held"),
        (("add", "case", "--zone", "/x", *WHY), "zone"),
        (("release", "nobody", *WHY), "no hold of that name is in force"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(home: Path, words: tuple[str, ...], said: str) -> None:
    """As wrong use; no hold comes of it."""
    done = run_on(home, "store", "hold", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert run_on(home, "store", "hold", "list", "--all", "-o", "json").stdout == "[]\n"


def test_a_home_without_a_store_is_said(tmp_path: Path) -> None:
    """And none is made."""
    done = run_on(tmp_path / "home", "store", "hold", "add", "case", *WHY)
    assert done.returncode == 1
    assert "store not found" in done.stderr
