"""`tabard check` and `tabard settings`, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tabard import exits


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The settings file of the home the command line is run with."""
    (tmp_path / "home").mkdir()
    return tmp_path / "home" / "tabard.toml"


def test_clean_settings_are_said_to_be(tabard, file: Path) -> None:
    """Exit code 0, and which file was read."""
    file.write_text('[node]\nname = "web1"\n')
    done = tabard("check")
    assert (done.returncode, done.stdout) == (exits.DONE, f"clean ({file})\n")


def test_a_home_without_a_file_is_said_to_have_none(tabard, tmp_path: Path) -> None:
    """Nobody takes silence about a missing file for a check of it."""
    done = tabard("check", TABARD_NODE_NAME="web1")
    assert done.returncode == exits.DONE
    assert "defaults hold" in done.stdout


def test_all_findings_are_listed(tabard, file: Path) -> None:
    """Each with its severity; errors give exit code 1."""
    file.write_text('[agent]\nlinger = 1\n[herald]\nprot = 1\n[node]\nname = "web1"\n')
    done = tabard("check", TABARD_X="1")
    assert done.returncode == exits.FAILED
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["error", "error", "warning"]
    assert f"{file}, line 2: agent.linger" in done.stdout


def test_warnings_alone_give_a_code_of_their_own(tabard, file: Path) -> None:
    """3: the settings hold, with something to look at."""
    file.write_text('[node]\nname = "web1"\n[herald]\nhost = "0.0.0.0"\n')
    assert tabard("check").returncode == exits.PARTLY


def test_findings_for_programs_have_every_fact(tabard, file: Path) -> None:
    """JSON keeps file, line, key, expected and found apart."""
    file.write_text("[agent]\nlinger = 1\n")
    (finding,) = json.loads(tabard("check", "-o", "json", TABARD_NODE_NAME="web1").stdout)
    assert (finding["severity"], finding["file"], finding["line"], finding["key"], finding["found"]) == (
        "error", str(file), 2, "agent.linger", "1",
    )  # fmt: skip


def test_a_stage_and_an_override_are_checked(tabard, file: Path) -> None:
    """What would hold with them is what is judged."""
    file.write_text('[node]\nname = "web1"\n[stage.test.agent]\nup = "tcp://127.0.0.1:9"\n')
    assert "agent.down: in the stage test: only one lane" in tabard("check").stdout
    assert "agent.down: only one lane" in tabard("check", "--stage", "test").stdout
    both = ("--set", "agent.down=tcp://127.0.0.1:8")
    assert tabard("check", *both).returncode == exits.FAILED
    assert tabard("check", "--stage", "test", *both).returncode == exits.DONE
    assert "Did you mean agent.down?" in tabard("check", "--set", "agent.dwon=x").stdout


def test_settings_are_listed_with_their_origin(tabard, file: Path) -> None:
    """The list says which layer each value came from, repeated tables included."""
    file.write_text('[agent]\nlinger = "20ms"\n[[broker]]\nname = "hq"\nzone = "hq"\n')
    done = tabard(
        "settings", "agent.linger", "herald.port", "broker*.zone", "-o", "json", TABARD_HERALD_PORT="9000"
    )
    assert {row["name"]: (row["value"], row["origin"]) for row in json.loads(done.stdout)} == {
        "agent.linger": ("20ms", f"file: {file}, line 2"),
        "herald.port": ("9000", "environment: TABARD_HERALD_PORT"),
        "broker[1].zone": ("hq", f"file: {file}, line 3"),
    }


def test_only_what_is_not_a_default_can_be_listed(tabard, file: Path) -> None:
    """--changed answers what is special about this host."""
    file.write_text('[agent]\nlinger = "20ms"\n')
    lines = tabard("settings", "--changed", "-o", "ndjson").stdout.splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["agent.linger"]


def test_a_name_that_no_setting_has_is_wrong_use(tabard, tmp_path: Path) -> None:
    """An empty list would look like an answer."""
    assert tabard("settings", "agnet.*").returncode == exits.WRONG_USE
