"""Under which identity a recorder takes leases: the same in every life of a home, and clear errors where it cannot be kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabard.consumers.recorder.identity import identity
from tabard.errors import HomeError
from tabard.home import Home


def test_the_owner_stays_and_the_life_does_not(tmp_path: Path) -> None:
    """So that a recorder that is started again has its own at once, and one that still runs is told apart."""
    home = Home(tmp_path / "home").ensure()
    first, second = identity(home, "hub"), identity(home, "hub")
    assert first.owner == second.owner == (home.path / "recorder.id").read_text().strip()
    assert first.life != second.life
    assert first.name == f"hub:{home.path}"
    assert identity(Home(tmp_path / "other").ensure(), "hub").owner != first.owner


@pytest.mark.parametrize("content", ["", "0123", "x" * 32, "0" * 33, "0" * 32 + "\n1", "\0" * 32, "é" * 32])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    """With what was expected, what was found, where, and what to do."""
    home = Home(tmp_path).ensure()
    (tmp_path / "recorder.id").write_text(content)
    with pytest.raises(HomeError, match="expected 32 hexadecimal digits") as refused:
        identity(home, "hub")
    assert refused.value.where == str(tmp_path / "recorder.id")
    assert "Remove the file" in str(refused.value.hint)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A directory in its place, for instance."""
    home = Home(tmp_path).ensure()
    (tmp_path / "recorder.id").mkdir()
    with pytest.raises(HomeError, match="identity of the recorder cannot be kept"):
        identity(home, "hub")
