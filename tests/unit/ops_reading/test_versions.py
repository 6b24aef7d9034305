"""`tabard versions` and `tabard config`: what runs where, and what differs between stages."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tabard import exits
from tests.unit.ops_reading.conftest import run_on
from tests.unit.ops_reading.test_json import described
from tests.unit.web.seed import NOW, SECOND, Seeder, record

HOUR = 3600 * SECOND


def start(hours: float, stage: str, version: str, **values: str) -> tuple[Any, ...]:
    """The record of a start of the shop; a value that begins with # is a secret's tag."""
    service = values.pop("service", "shop")
    rule = values.pop("rule", "salted")
    left_out = int(values.pop("left_out", "0"))
    said = {
        "service": service,
        "package": "shop.web",
        "version": version,
        "stage": stage,
        "digest": hashlib.sha256(json.dumps(values).encode()).hexdigest()[:32],
        "rule": rule,
        "values": {name.replace("_", "."): "********" if v[0] == "#" else v for name, v in values.items()},
        "secrets": {name.replace("_", "."): v[1:] for name, v in values.items() if v[0] == "#"},
        "left_out": left_out,
    }
    attributes = json.dumps({"configuration": said})
    return record(time=NOW + int(hours * HOUR), logger="tabard.config", message="x", attributes=attributes)


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose store knows a shop in three stages, and a till in one."""
    home = tmp_path_factory.mktemp("versions") / "home"
    seeder = Seeder(home / "store")
    alike = {"a_batch": "10", "db_password": "#1111111111111111", "b_level": "DEBUG"}
    live = {**alike, "b_level": "INFO", "db_password": "#2222222222222222", "only_here": "x"}
    seeder.logs([start(0, "TESTING", "1.0", **alike), start(5, "TESTING", "1.1", **alike)], node="t1")
    seeder.logs([start(7, "INTEGRATION", "1.1", **{**alike, "rule": "keyed:1"})], node="i1")
    seeder.logs([start(2, "PRODUCTION", "1.0", **live), start(9, "PRODUCTION", "1.1", **live)], node="p1")
    seeder.logs([start(9.5, "PRODUCTION", "1.1", **{**live, "a_batch": "20"})], node="p2")
    seeder.logs([start(1, "TESTING", "7", service="till", c_d="1")], node="t1")
    seeder.close()
    return home


def objects(home: Path, *words: str) -> list[dict[str, Any]]:
    """What the command says as JSON."""
    done = run_on(home, *words, "-o", "json")
    assert done.returncode == exits.DONE, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_versions_says_what_runs_where(estate: Path) -> None:
    """One row for each service, stage and node, with the keys of the page."""
    found = objects(estate, "versions")
    assert all(list(row) == described("tabard versions") for row in found)
    assert [(row["service"], row["stage"], row["node"], row["version"]) for row in found] == [
        ("shop", "INTEGRATION", "i1", "1.1"),
        ("shop", "PRODUCTION", "p1", "1.1"),
        ("shop", "PRODUCTION", "p2", "1.1"),
        ("shop", "TESTING", "t1", "1.1"),
        ("till", "TESTING", "t1", "7"),
    ]
    assert found[1]["since"] == "2026-11-04T01:00:00.000000000Z"
    assert [row["node"] for row in objects(estate, "versions", "--stage", "PRODUCTION", "--node", "p2")] == [
        "p2"
    ]
    table = run_on(estate, "versions", "--service", "till").stdout.splitlines()
    assert table[0].split() == ["SERVICE", "STAGE", "NODE", "VERSION", "CONFIGURATION", "SINCE", "STARTS"]
    assert table[1].split()[:4] == ["till", "TESTING", "t1", "7"]
    lines = run_on(estate, "versions", "-o", "ndjson").stdout.splitlines()
    assert [json.loads(line) for line in lines] == found


def test_history_says_what_was_promoted_when(estate: Path) -> None:
    """Newest first; a version that was in another stage before was promoted from the one that had it last."""
    found = objects(estate, "versions", "--service", "shop", "--history")
    assert all(list(row) == described("tabard versions --history") for row in found)
    assert [
        (
            row["stage"],
            row["node"],
            row["change"],
            row["version"],
            row["before_version"],
            row["promoted_from"],
        )
        for row in found
    ] == [
        ("PRODUCTION", "p2", "first", "1.1", None, None),
        ("PRODUCTION", "p1", "version", "1.1", "1.0", "INTEGRATION"),
        ("INTEGRATION", "i1", "first", "1.1", None, "TESTING"),
        ("TESTING", "t1", "version", "1.1", "1.0", None),
        ("PRODUCTION", "p1", "first", "1.0", None, "TESTING"),
        ("TESTING", "t1", "first", "1.0", None, None),
    ]
    assert found[5]["until"] == found[3]["time"]
    assert found[1]["until"] is None
    assert [row["node"] for row in objects(estate, "versions", "--history", "--stage", "INTEGRATION")] == [
        "i1"
    ]
    assert len(objects(estate, "versions", "--history", "-n", "2")) == 2
    table = run_on(estate, "versions", "--history", "--service", "shop").stdout
    assert "from INTEGRATION" in table


def test_show_lists_the_options(estate: Path) -> None:
    """Secrets masked, with a tag to compare by."""
    found = objects(estate, "config", "show", "--service", "shop", "--stage", "TESTING")
    assert all(list(row) == described("tabard config show") for row in found)
    assert {row["option"]: row["value"] for row in found} == {
        "a.batch": "10",
        "b.level": "DEBUG",
        "db.password": "******** #11111111",
    }
    assert {row["option"] for row in found if row["secret"]} == {"db.password"}
    one = objects(estate, "config", "show", "--option", "a.batch", "--node", "p2")
    assert [(row["stage"], row["value"]) for row in one] == [("PRODUCTION", "20")]


def test_diff_shows_what_differs(estate: Path) -> None:
    """Values of all nodes, secrets by their tags, what is only on one side; the same only when asked for."""
    found = objects(estate, "config", "diff", "TESTING", "PRODUCTION")
    assert all(list(row) == described("tabard config diff") for row in found)
    assert [tuple(row.values()) for row in found] == [
        ("shop", "option", "a.batch", ["10"], ["10", "20"], "different"),
        ("shop", "option", "b.level", ["DEBUG"], ["INFO"], "different"),
        ("shop", "secret", "db.password", ["******** #11111111"], ["******** #22222222"], "different"),
        ("shop", "option", "only.here", [], ["x"], "right"),
        ("till", "service", "", ["7"], [], "left"),
    ]
    every = objects(estate, "config", "diff", "TESTING", "PRODUCTION", "--all", "--service", "shop")
    assert ("shop", "version", "", ["1.1"], ["1.1"], "same") in [tuple(row.values()) for row in every]
    at = objects(estate, "config", "diff", "INTEGRATION", "INTEGRATION", "--node", "i1", "--service", "shop")
    assert at == []


def test_secrets_of_different_rules_cannot_be_compared(estate: Path) -> None:
    """Neither the same nor different: nobody knows."""
    found = objects(estate, "config", "diff", "TESTING", "INTEGRATION", "--service", "shop")
    assert [(row["name"], row["state"]) for row in found] == [("db.password", "unknown")]


def test_exit_codes_of_diff(estate: Path) -> None:
    """0 whether they differ or not; --check says it by 3; a stage in which nothing runs is an error."""
    assert run_on(estate, "config", "diff", "TESTING", "PRODUCTION").returncode == exits.DONE
    assert run_on(estate, "config", "diff", "TESTING", "PRODUCTION", "--check").returncode == exits.PARTLY
    same = run_on(estate, "config", "diff", "TESTING", "TESTING", "--check")
    assert (same.returncode, len(same.stdout.splitlines())) == (exits.DONE, 1)
    none = run_on(estate, "config", "diff", "TESTING", "PRODUKTION")
    assert none.returncode == exits.FAILED
    assert (
        "nothing is known to run in that stage: expected one of INTEGRATION, PRODUCTION, TESTING"
        in none.stderr
    )
    assert "found PRODUKTION" in none.stderr
    assert run_on(estate, "config", "diff", "TESTING").returncode == exits.WRONG_USE


def test_stages_lists_what_the_home_knows(tmp_path: Path) -> None:
    """The four, those of the file, and which of them is chosen."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "tabard.toml").write_text('[stage.blue]\nport = 9030\nmail = ["a@x.org"]\n')
    found = objects(home, "config", "stages", "--stage", "blue")
    assert all(list(row) == described("tabard config stages") for row in found)
    assert [row["stage"] for row in found] == ["TESTING", "DEVELOPMENT", "INTEGRATION", "PRODUCTION", "blue"]
    assert found[4] == {
        "stage": "blue", "suffix": ".blue", "port": 9030, "level": "INFO", "mail": ["a@x.org"], "chosen": True,
    }  # fmt: skip
    assert run_on(home, "config", "stages", "--stage", "red").returncode == exits.WRONG_USE


def test_stages_that_are_called_like_a_column_keep_their_values(tmp_path: Path) -> None:
    """And what runs without a stage can be compared too; nothing that a terminal would obey is printed."""
    home = tmp_path / "home"
    seeder = Seeder(home / "store")
    for number, stage in enumerate(("state", "option", "")):
        seeder.logs([start(number, stage, "1.0", a_batch=f"\x1b[31m{number}")], node="n1")
    seeder.close()
    table = run_on(home, "config", "diff", "state", "option").stdout
    heads, row = (line.split() for line in table.splitlines())
    assert heads == ["SERVICE", "OPTION", "STATE", "OPTION", "STATE"]
    assert (row[0], row[1], row[-1]) == ("shop", "a.batch", "different")
    assert "0" in row[2]
    assert "1" in row[3]
    assert "\x1b" not in table
    none = run_on(home, "config", "diff", "", "state").stdout
    assert none.splitlines()[0].split() == ["SERVICE", "OPTION", "(NONE)", "STATE", "STATE"]
