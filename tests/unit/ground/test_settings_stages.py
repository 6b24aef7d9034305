"""Stages: the four that are always there, those a file describes, and those that nobody knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabard.errors import SettingsError
from tabard.settings import examine, load
from tabard.settings.stages import DEFAULTS, NONE


def home(folder: Path, text: str) -> Path:
    """Settings in a home, which is returned."""
    (folder / "tabard.toml").write_text(text, encoding="utf-8")
    return folder


def errors(folder: Path, text: str) -> list[str]:
    """What is found wrong in such a file."""
    return [str(finding.error) for finding in examine(home(folder, text), env={}).findings]


def test_the_four_stages_are_there_without_being_described(tmp_path: Path) -> None:
    """With the suffixes and ports they always had."""
    assert {stage.name: (stage.suffix, stage.port) for stage in DEFAULTS.values()} == {
        "TESTING": ("_t", 9010),
        "DEVELOPMENT": ("_d", 9020),
        "INTEGRATION": ("_i", 9022),
        "PRODUCTION": ("", 9024),
    }
    for name in DEFAULTS:
        assert load(tmp_path, env={"DEV_STAGE": name}).stage == DEFAULTS[name]
    assert load(tmp_path, env={}).stage == NONE


@pytest.mark.parametrize("name", ["TESING", "testing", "staging"])
def test_a_stage_that_nobody_described_is_an_error(tmp_path: Path, name: str) -> None:
    """Whoever chose it is named, and so are the stages there are; a typing error never runs other settings."""
    home(tmp_path, "[stage.own.agent]\n")
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, env={"DEV_STAGE": name})
    said = str(caught.value)
    assert said.startswith(
        "DEV_STAGE: stage: no such stage: expected one of TESTING, DEVELOPMENT, INTEGRATION, "
    )
    assert f"PRODUCTION, own, found {name!r}" in said
    assert ("Did you mean TESTING?" in said) == (name != "staging")
    with pytest.raises(SettingsError, match="no such stage"):
        load(tmp_path, name, env={})
    with pytest.raises(SettingsError, match="line 2: stage: no such stage"):
        load(home(tmp_path, f'[node]\nstage = "{name}"\n'), env={})


def test_a_file_changes_stages_and_adds_others(tmp_path: Path) -> None:
    """What a table does not say stays as it was; an own stage has a suffix made of its name."""
    text = """
        [stage.TESTING]
        port = 9110
        mail = ["test@example.org"]
        [stage.Blue]
        level = "warn"
        [stage.Blue.node]
        system = "blue"
    """
    settings = load(home(tmp_path, text), "Blue", env={})
    assert settings.stage == ("Blue", ".blue", 0, "WARNING", ())
    assert settings["node.system"] == "blue"
    assert settings.stages["TESTING"] == ("TESTING", "_t", 9110, "DEBUG", ("test@example.org",))
    assert list(settings.stages) == [*DEFAULTS, "Blue"]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('[stage.a]\nport = "x"\n', 2, "stage.a.port: wrong value: expected a whole number"),
        ('[stage.a]\nmail = ["nobody"]\n', 2, "stage.a.mail: wrong value: expected a mail address"),
        ("[stage.a]\nlevle = 1\n", 2, "stage.a.levle: no such key. Did you mean level?"),
        ('[stage.a]\nlog = "x"\n', 2, "stage.a.log: wrong value: expected a table [stage.a.log]"),
        ('[stage.a]\nsuffix = "/.."\n', 2, "stage.a.suffix: wrong value"),
        ('[stage.a]\nlevel = "LOUD"\n', 2, "stage.a.level: wrong value: expected one of DEBUG"),
        ('[stage."a b".node]\nsystem = "x"\n', 1, "stage.a b: not a stage name"),
        ("[stage.a]\n\nport = 9024\n", 3, "stage.a.port: the same as that of the stage PRODUCTION"),
        (
            '[stage.TESTING]\nsuffix = "_d"\n',
            2,
            "stage.TESTING.suffix: the same as that of the stage DEVELOPMENT",
        ),
    ],
)
def test_what_is_wrong_with_a_stage_is_said_where_it_stands(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    """File, line, key, and what was expected, also when another stage is chosen."""
    (found,) = errors(tmp_path, text)
    assert found.startswith(f"{tmp_path / 'tabard.toml'}, line {line}: {said}")


def test_two_stages_may_share_no_port_as_none(tmp_path: Path) -> None:
    """Port 0 is no port; the names t and d of one's own do not meet the suffixes of TESTING and DEVELOPMENT."""
    assert errors(tmp_path, "[stage.t]\n[stage.d]\n[stage.other]\n") == []


@pytest.mark.parametrize(("stage", "port"), [("TESTING", 9010), ("PRODUCTION", 9024), ("canary", 9030)])
def test_network_handlers_come_in_at_the_port_of_the_stage(tmp_path: Path, stage: str, port: int) -> None:
    """One line for every stage of a host; an address of one's own stays what it is."""
    file = tmp_path / "tabard.toml"
    file.write_text('[intake]\nsocket_handler = "stage"\n[stage.canary]\nport = 9030\n')
    settings = load(tmp_path, env={"DEV_STAGE": stage})
    assert settings["intake.socket_handler"] == f"127.0.0.1:{port}"
    assert settings.origin("intake.socket_handler").line == 2
    own = load(tmp_path, env={"DEV_STAGE": stage, "TABARD_INTAKE_SOCKET_HANDLER": "127.0.0.1:9"})
    assert own["intake.socket_handler"] == "127.0.0.1:9"


@pytest.mark.parametrize(
    ("stage", "why"), [("", "no stage is chosen"), ("canary", "the stage canary has no port")]
)
def test_the_port_of_no_stage_is_an_error(tmp_path: Path, stage: str, why: str) -> None:
    """Nobody would listen where the applications write to."""
    (tmp_path / "tabard.toml").write_text(
        '[intake]\nsocket_handler = "stage"\n[stage.canary]\nsuffix = "_c"\n'
    )
    with pytest.raises(SettingsError, match=f"tabard.toml, line 2: intake.socket_handler: {why}"):
        load(tmp_path, env={"DEV_STAGE": stage})
