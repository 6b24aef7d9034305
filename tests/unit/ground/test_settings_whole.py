"""All that is wrong at once: in every stage, beside errors, and behind a file that nobody can read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabard.errors import SettingsError
from tabard.settings import examine, load

NAMED = {"TABARD_NODE_NAME": "web1"}
LANE = "only one lane has an endpoint"


def found(home: Path, text: str, *, every_stage: bool = True, **args: object) -> list[str]:
    """Every finding, without the name of the file."""
    (home / "tabard.toml").write_text(text)
    findings = examine(home, env=NAMED, args=args, every_stage=every_stage).findings
    return [str(finding.error).replace(f"{home / 'tabard.toml'}, ", "") for finding in findings]


def test_a_stage_that_is_not_chosen_is_looked_at(tmp_path: Path) -> None:
    """A contradiction says in which stage it is; what is wrong without the stage is said once."""
    text = '[recorder]\nup = "tcp://127.0.0.1:1"\n[stage.a.agent]\nup = "tcp://127.0.0.1:9"\n[stage.b.node]\nsystem = "x"\n'
    said = found(tmp_path, text)
    assert [line.partition(".")[0] for line in said if LANE in line] == [
        "default: recorder",
        "default: agent",
    ]
    assert "in the stage a: only one lane" in said[-1]
    assert len(found(tmp_path, text, every_stage=False)) == len(said) - 1


def test_contradictions_are_seen_beside_errors(tmp_path: Path) -> None:
    """But not between what is known and what is not."""
    text = '[agent]\nlinger = 1\nup = "tcp://127.0.0.1:9"\n[[broker]]\nname = "a"\nzone = "hq"\nparent = "b"\n[[broker]]\nname = "b"\n'
    said = found(tmp_path, text)
    assert sorted(line.partition(":")[0] for line in said) == ["default", "line 2", "line 8"]
    assert not any("parent" in line for line in said), "b could not be read"


def test_a_broken_file_does_not_hide_the_rest(tmp_path: Path) -> None:
    """What environment and arguments say is judged; a stage could be described where nobody can read it."""
    (tmp_path / "tabard.toml").write_text("[agent\n")
    env = {"TABARD_AGENT_LINGER": "soon", "DEV_STAGE": "blue"}
    examination = examine(tmp_path, env=env, args={"agent.lingr": "5"})
    keys = [finding.error.key for finding in examination.findings]
    assert keys == [None, "agent.linger", "agent.lingr"]
    assert examination.settings is None


def test_the_stage_may_be_given_as_a_setting(tmp_path: Path) -> None:
    """Then its tables apply as with --stage, which wins; one that nobody described is refused."""
    (tmp_path / "tabard.toml").write_text(
        '[stage.a.node]\nsystem = "of a"\n[stage.b.node]\nsystem = "of b"\n'
    )
    settings = load(tmp_path, env={"DEV_STAGE": "b"}, args={"node.stage": "a"})
    assert (settings["node.stage"], settings["node.system"], settings.stage.name) == ("a", "of a", "a")
    settings = load(tmp_path, "b", env={}, args={"node.stage": "a"})
    assert (settings["node.stage"], settings["node.system"]) == ("b", "of b")
    with pytest.raises(SettingsError, match="command line: stage: no such stage"):
        load(tmp_path, env={}, args={"node.stage": "c"})


def test_a_stage_chooses_no_stage(tmp_path: Path) -> None:
    """It would be another one's tables under its name."""
    (said,) = found(tmp_path, '[stage.a.node]\nsystem = "x"\nstage = "b"\n[stage.b.node]\n')
    assert said == "line 3: stage.a.node.stage: a stage cannot choose the stage. Remove it"
