"""The home directory: what ensure makes, what it refuses, and sockets in deep homes."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from tabard.errors import HomeError
from tabard.home import Home, default_home


@pytest.mark.threat("other-user")
def test_ensure_makes_every_room_private(tmp_path: Path) -> None:
    """All rooms exist afterwards, and run/ is closed to others even if it was open before."""
    (tmp_path / "h" / "run").mkdir(parents=True, mode=0o755)
    home = Home(tmp_path / "h").ensure()
    assert all(room.is_dir() for room in (home.run, home.journal, home.store, home.log))
    assert stat.S_IMODE(home.run.stat().st_mode) == 0o700


def test_the_default_home_is_the_environments_or_the_users() -> None:
    """TABARD_HOME wins; an empty one counts as unset."""
    assert default_home({"TABARD_HOME": "/srv/t"}) == "/srv/t"
    assert default_home({"TABARD_HOME": ""}) == os.path.expanduser("~/.tabard")


def test_a_user_without_a_home_gets_no_folder_of_that_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that is run under a number: what cannot be expanded must not be taken for a name."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    assert default_home({}) == "/.tabard"


def test_a_socket_binds_even_in_a_deep_home(tmp_path: Path) -> None:
    """Where the path would exceed the kernel's limit, a short private directory takes the sockets."""
    home = Home(tmp_path / ("d" * 60) / ("e" * 60)).ensure()
    path = home.socket("intake.sock")
    assert not path.is_relative_to(home.path)
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert Home(home.path).socket("intake.sock") == path
    finally:
        path.unlink()
        path.parent.rmdir()


@pytest.mark.threat("other-user")
def test_a_planted_socket_directory_is_refused(tmp_path: Path) -> None:
    """A symbolic link where the short directory should be is not followed."""
    home = Home(tmp_path / ("d" * 60) / ("f" * 60))
    home.sockets.symlink_to(tmp_path)
    try:
        with pytest.raises(HomeError, match="not safe for sockets"):
            home.ensure()
    finally:
        home.sockets.unlink()


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """The error names the path and says how to choose another."""
    (tmp_path / "h").write_text("")
    with pytest.raises(HomeError, match="--home") as caught:
        Home(tmp_path / "h").ensure()
    assert str(tmp_path / "h") in str(caught.value)


def test_an_overlong_socket_name_is_refused(tmp_path: Path) -> None:
    """A name that would break the limit is an error, not a truncated path."""
    with pytest.raises(HomeError, match="socket name too long"):
        Home(tmp_path).socket("x" * 41)


def test_what_lies_outside_of_a_deep_home_is_removed_with_its_last_user(tmp_path: Path) -> None:
    """Dead sockets and their directory; not while somebody listens there."""
    home = Home(tmp_path / ("d" * 100)).ensure()
    assert home.sockets != home.run
    with socket.socket(socket.AF_UNIX) as dead, socket.socket(socket.AF_UNIX) as alive:
        dead.bind(str(home.socket("dead.sock")))
        dead.close()
        alive.bind(str(home.socket("alive.sock")))
        alive.listen()
        home.tidy()
        assert sorted(path.name for path in home.sockets.iterdir()) == ["alive.sock"]
    home.tidy()
    assert not home.sockets.exists()
    home.tidy()
    near = Home(tmp_path / "n").ensure()
    near.tidy()
    assert near.run.is_dir()
