"""Applications of other users: through a directory whose mode says who may, and through nothing else."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tabard.agents.intake.shared import prepare
from tabard.errors import IntakeError
from tests.conftest import Need
from tests.integration.applogging import Rig, numbers
from tests.numbering import differences

MEMBER, STRANGER, GROUP = 64_001, 64_002, 64_100


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody may pass, with a path short enough for a socket in it."""
    with tempfile.TemporaryDirectory(prefix="ts-", dir="/tmp") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture
def rig(place: Path) -> Iterator[Rig]:
    """A home whose agent is not started yet."""
    made = Rig(place)
    yield made
    made.close()


def shared(rig: Rig, mode: int) -> Path:
    """The directory that the operator makes."""
    path = rig.home.path.parent / "shared"
    path.mkdir()
    os.chown(path, -1, GROUP)
    path.chmod(mode)
    return path


def said(path: Path, uid: int, name: str, count: int = 100) -> str:
    """An application that gives up being root before it logs."""
    return (
        "import logging, os, tabard\n"
        f"tabard.LogHandler; os.setgroups([]); os.setgid({GROUP if uid == MEMBER else uid}); os.setuid({uid})\n"
        f"handler = tabard.setup_logging({name!r}, home={str(path)!r}, exit_wait=0.5)\n"
        f"for n in range({count}): logging.info('{name} %d', n)\n"
    )


@pytest.mark.threat("shared-intake")
def test_a_member_of_the_group_logs_and_a_stranger_does_not(rig: Rig, need: Need) -> None:
    """Over the socket and by way of the spool; the kernel vouches for who it was."""
    need.that(os.geteuid() == 0, "root, to be several users")
    path = shared(rig, 0o750)
    rig.start_agent(TABARD_INTAKE_SHARED=str(path))
    rig.run(said(path, MEMBER, "member"))
    rig.run(said(path, STRANGER, "stranger"))
    rig.kill_agent()
    rig.run(said(path, MEMBER, "later"))
    assert len(os.listdir(path / "spool")) == 1
    assert (path / "log" / "later.log").stat().st_uid == MEMBER
    rig.start_agent(TABARD_INTAKE_SHARED=str(path))
    rig.until(lambda: not os.listdir(path / "spool"))
    assert not differences(numbers(rig.journaled()), {"member": range(100), "later": range(100)})


def test_where_everybody_may_pass_everybody_may_log(rig: Rig, need: Need) -> None:
    """When the operator says so."""
    need.that(os.geteuid() == 0, "root, to be several users")
    path = shared(rig, 0o755)
    rig.start_agent(TABARD_INTAKE_SHARED=str(path))
    rig.run(said(path, STRANGER, "stranger"))
    assert not differences(numbers(rig.journaled()), {"stranger": range(100)})


@pytest.mark.threat("shared-intake")
@pytest.mark.parametrize(("mode", "socket", "run", "spool"), [(0o700, 0o600, 0o2700, 0o3700), (0o750, 0o660, 0o2750, 0o3770), (0o755, 0o666, 0o2755, 0o3777)])  # fmt: skip
def test_the_rooms_follow_the_mode_of_the_directory(
    place: Path, mode: int, socket: int, run: int, spool: int
) -> None:
    """Nobody but the agent can put a socket there, and nobody can remove another's spool file."""
    (place / "s").mkdir()
    (place / "s").chmod(mode)
    made = prepare(str(place / "s"))
    assert made.mode == socket
    assert stat.S_IMODE(made.home.run.stat().st_mode) == run
    assert stat.S_IMODE(made.home.spool.stat().st_mode) == stat.S_IMODE(made.home.log.stat().st_mode) == spool
    assert prepare(str(place / "s")).mode == made.mode


@pytest.mark.threat("shared-intake")
def test_a_directory_that_others_could_write_to_is_refused(place: Path) -> None:
    """Somebody could put a socket of his own there, and read what others log. So is one that is not there."""
    with pytest.raises(IntakeError, match="No such file"):
        prepare(str(place / "s"))
    (place / "s").mkdir()
    (place / "s").chmod(0o770)
    with pytest.raises(IntakeError, match="nobody else can write"):
        prepare(str(place / "s"))
    (place / "s").chmod(0o750)
    os.symlink("/tmp", place / "s" / "spool")
    with pytest.raises(IntakeError, match="another user's, or no directory"):
        prepare(str(place / "s"))
