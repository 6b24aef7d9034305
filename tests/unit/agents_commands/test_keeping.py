"""What lies on disk of a command: who begins it, what it said, and how it goes away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tabard import files
from tabard.agents.commands import keeper
from tabard.agents.commands.keeping import Folder, sweep

UID = bytes(16)


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "commands", UID, 0)
    folder.write(["true"], 1.0, 1000)
    return folder


@pytest.mark.threat("replayed-command")
@pytest.mark.parametrize("swept", [False, True])
def test_nobody_begins_what_is_being_removed(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, *, swept: bool
) -> None:
    """A keeper may be that late: what says that it is not to be begun goes first then, and the job is there still."""
    assert folder.never_begun()
    removed = files.remove_folder
    tried: list[Path] = []

    def remove(path: Path) -> None:
        (path / keeper.BEGUN).unlink()
        tried.append(path)
        with pytest.raises(FileNotFoundError):
            keeper.claim(folder.path, keeper.myself())
        removed(path)

    monkeypatch.setattr(files, "remove_folder", remove)
    if swept:
        sweep(folder.path.parent, [])
    else:
        folder.remove()
    assert len(tried) == 1
    assert os.listdir(folder.path.parent) == []


def test_what_could_not_be_removed_is_removed_later(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever removed it was killed."""
    with monkeypatch.context() as patched:
        patched.setattr(files, "remove_folder", lambda path: None)
        folder.remove()
    assert len(os.listdir(folder.path.parent)) == 1
    sweep(folder.path.parent, [folder.path.name])
    assert os.listdir(folder.path.parent) == []


def test_a_folder_that_cannot_be_looked_at_may_have_been_begun(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one that is not there was certainly not."""

    def refused(path: object, **_: object) -> os.stat_result:
        raise PermissionError(13, "no", str(path))

    monkeypatch.setattr(os, "stat", refused)
    with pytest.raises(PermissionError):
        folder.never_begun()
