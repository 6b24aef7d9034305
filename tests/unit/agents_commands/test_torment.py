"""At most once, with a definite end, whatever is killed, lost, full or used again; and who breaks that is found out."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tabard.agents.commands import keeper, keeping
from tests.unit.agents_commands.torment import World

SEEDS = 20


@pytest.fixture(name="folder")
def _folder() -> Iterator[Path]:
    """In memory, where there is such a place: the worlds commit thousands of times."""
    made = tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    yield Path(made)
    shutil.rmtree(made)


def found(folder: Path, seed: int, patch: pytest.MonkeyPatch) -> list[str]:
    """What is wrong in the world of a seed."""
    (folder / str(seed) / "control").mkdir(parents=True)
    world = World(folder / str(seed), seed, patch)
    try:
        world.torment()
        return world.check()
    finally:
        world.close()
        world.control.close()
        world.loop.close()


@pytest.mark.threat("replayed-command")
@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_command_runs_at_most_once_and_ends(
    folder: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """In each of many worlds."""
    assert found(folder, seed, monkeypatch) == []


def _only_looks(folder: keeping.Folder) -> bool:
    """Nobody has begun it yet, but somebody may."""
    return not (folder.path / keeper.BEGUN).exists()


def test_who_breaks_that_is_found_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a rule taken out some world has a command run twice."""
    monkeypatch.setattr(keeping.Folder, "never_begun", _only_looks)
    for seed in range(100):
        with pytest.MonkeyPatch.context() as patch:
            if any("ran 2 times" in what for what in found(folder, seed, patch)):
                return
    pytest.fail("no world shows it")
