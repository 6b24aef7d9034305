"""What a role does with settings that it reads again: takes, keeps, and says in words which is which."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tabard.settings import Settings, load
from tabard.settings.roles import RoleSettings, concerns
from tabard.settings.table import SCHEMA

ROLES = ("agent", "broker", "recorder", "herald")


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
    assert caplog.messages == ["settings read again: herald.page_size changed; herald.port needs a restart"]
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
    assert [name for name in names if not any(concerns(role, [name]) for role in ROLES)] == []
