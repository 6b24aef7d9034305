"""What a role does with settings that it reads again: takes, keeps, and says in words which is which."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tabard._version import VERSION
from tabard.settings import Settings, load
from tabard.settings.roles import RoleSettings, announce_role, concerns
from tabard.settings.table import SCHEMA

ROLES = ("agent", "broker", "recorder", "dispatcher", "herald", "tunnel")


@pytest.fixture(autouse=True)
def _level() -> Iterator[None]:
    logger = logging.getLogger("tabard")
    before = logger.level
    yield
    logger.setLevel(before)


def test_a_reload_is_told_in_words_of_the_role_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Herald takes its page size, keeps its port, and says nothing of the agent's settings."""
    held = RoleSettings("herald", lambda: load(tmp_path, env={}))
    taken: list[Settings] = []
    (tmp_path / "tabard.toml").write_text(
        '[herald]\npage_size = 7\nport = 9000\n[agent]\nsample_host = "2s"\nlinger = "20ms"\n'
    )
    with caplog.at_level(logging.INFO, "tabard"):
        held.reload(taken.append)
    assert caplog.messages[0] == "settings read again: herald.page_size changed; herald.port needs a restart"
    (record,) = (record for record in caplog.records if record.name == "tabard.config")
    said = vars(record)["configuration"]
    facts = {name: said[name] for name in ("service", "package", "reason", "changed", "restart")}
    assert facts == {
        "service": "tabard-herald",
        "package": "tabard",
        "reason": "reload",
        "changed": ["herald.page_size"],
        "restart": ["herald.port"],
    }
    assert (said["values"]["herald.page_size"], said["values"]["herald.port"]) == ("7", "8024")
    assert [settings.int("herald.page_size") for settings in taken] == [7]
    assert held.current.int("herald.port") == 8024


def test_what_does_not_concern_a_role_is_no_change(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is taken over, and that is said."""
    held = RoleSettings("broker", lambda: load(tmp_path, env={}))
    (tmp_path / "tabard.toml").write_text("[herald]\npage_size = 7\n")
    with caplog.at_level(logging.INFO, "tabard"):
        held.reload(lambda _settings: pytest.fail("taken"))
    assert caplog.messages == ["settings read again: nothing changed"]


def test_broken_settings_are_said_and_not_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An error of the file is in the role's log."""
    held = RoleSettings("broker", lambda: load(tmp_path, env={}))
    (tmp_path / "tabard.toml").write_text("[herald]\npage_size = 0\n")
    held.reload(lambda _settings: pytest.fail("taken"))
    assert "the settings are kept as they were" in caplog.text
    assert "line 2: herald.page_size" in caplog.text


@pytest.mark.parametrize("role", ROLES)
def test_every_role_takes_its_level(tmp_path: Path, role: str) -> None:
    """log.level holds from the reload on."""
    held = RoleSettings(role, lambda: load(tmp_path, env={}))
    (tmp_path / "tabard.toml").write_text('[log]\nlevel = "DEBUG"\n')
    held.reload()
    assert logging.getLogger("tabard").level == logging.DEBUG


def test_every_setting_concerns_some_role() -> None:
    """A change that no role speaks of would be silent."""
    names = [*(setting.name for setting in SCHEMA.settings), *(table.name for table in SCHEMA.tables)]
    goers = (*ROLES, "application")
    assert [name for name in names if not any(concerns(role, [name]) for role in goers)] == []
    assert concerns("agent", ["mail.password", "templates.path"]) == ()


@pytest.mark.parametrize("name", ["agent", "broker.b1", "recorder", "herald"])
def test_what_a_role_runs_with_is_a_record(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """As of any service: version, stage, and what the role goes by, tables too; nothing of other roles."""
    (tmp_path / "tabard.toml").write_text(
        '[node]\nstage = "TESTING"\n[mail]\npassword = "hunter2"\n[agent]\nlinger = "20ms"\n'
        '[[intake.tail]]\npath = "/var/log/x"\n[stage.TESTING.herald]\npage_size = 7\n'
    )
    with caplog.at_level(logging.INFO, "tabard"):
        announce_role(name, load(tmp_path, env={}))
    (record,) = caplog.records
    said = vars(record)["configuration"]
    assert (said["service"], said["stage"], said["version"]) == (f"tabard-{name}", "TESTING", VERSION)
    values = said["values"]
    assert ("agent.linger" in values, "intake.tail[1].path" in values) == ((name == "agent",) * 2)
    assert values.get("herald.page_size") == ("7" if name == "herald" else None)
    assert "log.level" in values
    assert "node.name" not in values
    assert "node.stage" not in values
    assert "hunter2" not in repr(vars(record))
    assert not any(setting.startswith(("mail.", "templates.")) for setting in values)


def test_a_key_of_the_digests_that_others_can_read_keeps_no_role_from_running(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so, and runs."""
    (tmp_path / "config.key").write_bytes(b"k" * 32)
    (tmp_path / "config.key").chmod(0o644)
    announce_role("agent", load(tmp_path, env={}))
    assert "what agent runs with is not recorded" in caplog.text


@pytest.mark.parametrize("left", [None, ""])
def test_a_file_that_is_gone_or_empty_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, left: str | None
) -> None:
    """It may be about to be written: defaults of all settings are not what anybody asked for."""
    file = tmp_path / "tabard.toml"
    file.write_text("[herald]\npage_size = 7\n")
    held = RoleSettings("herald", lambda: load(tmp_path, env={}))
    if left is None:
        file.unlink()
    else:
        file.write_text(left)
    held.reload(lambda _settings: pytest.fail("taken"))
    assert held.current["herald.page_size"] == 7
    assert f"the settings are kept as they were: {file}: is gone, or empty now" in caplog.text
    file.write_text("[herald]\npage_size = 8\n")
    held.reload()
    assert held.current["herald.page_size"] == 8
