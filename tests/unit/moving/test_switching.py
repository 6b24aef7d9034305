"""Writing the new place of the store into the settings: only there, and only when it says what it should afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabard.consumers.store.place import Place
from tabard.errors import TabardError
from tabard.home import Home
from tabard.ops.switching import Switch, with_store
from tabard.settings import load

URL = "postgresql://tabard@db/tabard"
PLACE = Place("", URL, "/etc/secret")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f'[store]\nurl = "{URL}"\npassword_file = "/etc/secret"\n'),
        (
            '# ours\n[node]\nname = "hub"',
            f'# ours\n[node]\nname = "hub"\n\n[store]\nurl = "{URL}"\npassword_file = "/etc/secret"\n',
        ),
        (
            '[store] # here\npath = "/data"\n[node]\n',
            f'[store] # here\nurl = "{URL}"\npassword_file = "/etc/secret"\npath = "/data"\n[node]\n',
        ),
        ("[store]", f'[store]\nurl = "{URL}"\npassword_file = "/etc/secret"\n'),
        (
            '[store]\npassword_file = "/etc/secret"\n',
            f'[store]\nurl = "{URL}"\npassword_file = "/etc/secret"\n',
        ),
        (
            f'[store]\npassword_file = "/etc/secret"\nurl = "{URL}"\n',
            f'[store]\npassword_file = "/etc/secret"\nurl = "{URL}"\n',
        ),
        ('[store]\nurl = "postgresql://other/one"\n', None),
        ('[store]\npassword_key = "/etc/key"\n', None),
        ('store = {path = "/data"}\n', None),
        ('store.path = "/data"\n', None),
        ("[store\n", None),
    ],
)
def test_lines_are_added_and_nothing_else_is_touched(before: str, after: str | None) -> None:
    """What cannot be said by adding lines is left to a person."""
    assert with_store(before, PLACE) == after


def test_the_file_keeps_its_rights(tmp_path: Path) -> None:
    """It names the store afterwards, for whoever could read it before."""
    home = Home(tmp_path)
    home.settings_file.write_text('[node]\nname = "hub"\n')
    home.settings_file.chmod(0o640)
    Switch(home, PLACE).write()
    assert Place.of(load(home), home) == PLACE
    assert home.settings_file.stat().st_mode & 0o777 == 0o640


def test_what_a_person_has_to_change_is_said_before_anything_is_moved(tmp_path: Path) -> None:
    """With the lines that are wanted."""
    home = Home(tmp_path)
    home.settings_file.write_text('[store]\nurl = "postgresql://other/one"\n')
    with pytest.raises(TabardError, match='expected url = "postgresql://tabard@db/tabard", password_file'):
        Switch(home, PLACE)


def test_a_file_that_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    """Whoever changed it did not know of this."""
    home = Home(tmp_path)
    switch = Switch(home, PLACE)
    home.settings_file.write_text('[node]\nname = "hub"\n')
    with pytest.raises(TabardError, match="changed meanwhile"):
        switch.write()
    assert home.settings_file.read_text() == '[node]\nname = "hub"\n'


def test_something_that_overrules_the_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is written, and does not hold."""
    home = Home(tmp_path)
    monkeypatch.setenv("TABARD_STORE_URL", "postgresql://other/one")
    with pytest.raises(TabardError, match="something else, such as the environment"):
        Switch(home, PLACE).write()
