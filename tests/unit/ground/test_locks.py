"""Single instance by lock: who holds it is said, and it dies with its holder."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tabard.errors import AlreadyRunning, HomeError
from tabard.locks import held, hold, hold_directory

HOLDER = """
import sys, signal
from tabard.locks import hold
with hold(sys.argv[1]):
    print("held", flush=True)
    signal.pause()
"""


def start_holder(path: Path) -> subprocess.Popen[str]:
    """A process that holds the lock until it is killed."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_holder_is_told_the_first_ones_pid(tmp_path: Path) -> None:
    """AlreadyRunning carries the pid and the path, and held() agrees."""
    path = tmp_path / "agent.lock"
    with start_holder(path) as process:
        try:
            assert held(path) == process.pid
            with (
                pytest.raises(AlreadyRunning, match="agent is already running as process") as caught,
                hold(path),
            ):
                pass
            assert caught.value.pid == process.pid
        finally:
            process.kill()


def test_a_killed_holder_leaves_the_lock_free(tmp_path: Path) -> None:
    """A kill -9 leaves the file but not the lock."""
    path = tmp_path / "agent.lock"
    with start_holder(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert path.exists()
    assert held(path) is None
    with hold(path):
        assert held(path) == os.getpid()
    assert held(path) is None


def test_asking_makes_no_file(tmp_path: Path) -> None:
    """A free lock that was never held stays without a file."""
    assert held(tmp_path / "agent.lock") is None
    assert list(tmp_path.iterdir()) == []


def test_a_lock_file_without_a_pid_still_counts(tmp_path: Path) -> None:
    """Content that is no pid is an unknown owner (0), not a crash."""
    path = tmp_path / "agent.lock"
    with hold(path):
        path.write_text("garbage")
        assert held(path) == 0


def test_a_missing_directory_is_a_clear_error(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(HomeError, match=r"agent\.lock"), hold(tmp_path / "none" / "agent.lock"):
        pass


def test_a_lock_is_held_through_a_file_opened_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a read-only mount an existing lock file still guards; a mount needs root, so open() is refused instead."""
    path = tmp_path / "agent.lock"
    path.write_text("")
    real_open = os.open

    def read_only(name: str, flags: int, mode: int = 0o777) -> int:
        if flags & (os.O_RDWR | os.O_WRONLY):
            raise OSError(30, "Read-only file system")
        return real_open(name, flags, mode)

    monkeypatch.setattr("tabard.locks.os.open", read_only)
    with hold(path):
        assert held(path) == 0
    assert held(path) is None


def test_a_lock_file_removed_between_opening_and_locking_guards_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that has the name is locked instead, so that the next one meets it."""
    path = tmp_path / "agent.lock"
    real_lock = fcntl.flock
    removed: list[Path] = []

    def remove_first(descriptor: int, operation: int) -> None:
        if not removed:
            path.unlink()
            removed.append(path)
        real_lock(descriptor, operation)

    monkeypatch.setattr("tabard.locks.fcntl.flock", remove_first)
    with hold(path):
        assert held(path) == os.getpid()
        with pytest.raises(AlreadyRunning), hold(path):
            pass


def test_a_directory_is_held_whatever_happens_to_files_in_it(tmp_path: Path) -> None:
    """By one at a time; making and removing files in it changes nothing."""
    with hold_directory(tmp_path, "this journal"):
        (tmp_path / "file").touch()
        (tmp_path / "file").unlink()
        with pytest.raises(AlreadyRunning, match="another process has this journal open") as caught:
            hold_directory(tmp_path, "this journal").__enter__()
        assert caught.value.where == str(tmp_path)
    with hold_directory(tmp_path, "this journal"):
        pass
    with pytest.raises(HomeError), hold_directory(tmp_path / "none", "this journal"):
        pass


def test_a_file_system_without_locks_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The role's own lock is held beside it."""

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("tabard.locks.fcntl.flock", refuse)
    with hold_directory(tmp_path, "this journal"):
        pass


def test_a_lock_that_cannot_be_had_is_an_error_that_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk of the network without locks: nobody goes on as if it were alone, and nobody sees a bare OSError."""

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("tabard.locks.fcntl.flock", refuse)
    with pytest.raises(HomeError, match="no lock can be had there") as caught, hold(tmp_path / "a.lock"):
        pass
    assert (caught.value.found, caught.value.hint) == ("No locks available", "Use a local disk")


HEIR = """
import os, sys
from tabard.locks import hold
lock = hold(sys.argv[1])
lock.__enter__()
if os.fork():
    os._exit(0)  # a daemon's first process
print(os.getpid(), flush=True)
sys.stdin.read()
"""


def test_the_process_that_is_named_is_one_that_lives(tmp_path: Path) -> None:
    """A daemon locks and forks; the one to end is its child, not the process that was."""
    path = tmp_path / "shop.lock"
    with subprocess.Popen(
        [sys.executable, "-P", "-c", HEIR, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as daemon:
        assert daemon.stdout is not None
        child = int(daemon.stdout.readline())
        daemon.wait()
        assert child != daemon.pid
        assert held(path) == child
        with pytest.raises(AlreadyRunning, match=f"shop is already running as process {child}"), hold(path):
            pass


def test_a_child_that_is_done_leaves_the_name_of_its_parent(tmp_path: Path) -> None:
    """The lock is the parent's, and so is the process id in it."""
    path = tmp_path / "shop.lock"
    lock = hold(path)
    lock.__enter__()
    child = os.fork()
    if child == 0:
        lock.__exit__(None, None, None)
        os._exit(0)
    os.waitpid(child, 0)
    assert held(path) == os.getpid()
    lock.__exit__(None, None, None)
    assert held(path) is None
