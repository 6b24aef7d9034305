"""One running instance per role and home, by an advisory lock that dies with its holder.

The kernel drops a ``flock`` however the process ends, so no stale lock file can keep a role from
starting. The file holds the owner's process id for the message only; the lock is the truth. This module
imports next to nothing, because a cron line asks it every minute on every host.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from tabard.errors import AlreadyRunning, HomeError

_TRIES: Final = 5
_PAUSE: Final = 0.004


def held(path: str | os.PathLike[str]) -> int | None:
    """The process id that holds the lock, 0 when held by one that could not write it, None when free.

    Never creates the file. Raises HomeError when the file exists and cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        # A shared lock: two askers never see each other, and an asker holds it for microseconds only.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _owner(descriptor)
    finally:
        os.close(descriptor)
    return None


OTHER_HOME: Final = "Stop that process first, or give this one another --home"


@contextmanager
def hold(path: str | os.PathLike[str], who: str | None = None, hint: str = OTHER_HOME) -> Iterator[None]:
    """Hold the lock while the body runs; the directory must exist.

    ``who`` runs already when it is held by another: the file's name unless given; ``hint`` says what to do then.

    A child made by ``fork`` without ``exec`` shares the lock, and has it on when its parent has ended. On a read-only mount an existing file is
    locked without writing the process id. Raises AlreadyRunning when another process holds it, HomeError
    when the file cannot be opened, or its file system has no locks.
    """
    descriptor = _taken(path, who, hint)
    mine = os.getpid()
    try:
        _write_owner(descriptor, b"%d\n" % mine)
        try:
            yield
        finally:
            if os.getpid() == mine:  # a child that is done leaves it to its parent
                _write_owner(descriptor, b"")
    finally:
        os.close(descriptor)


@contextmanager
def hold_directory(path: str | os.PathLike[str], what: str) -> Iterator[None]:
    """Hold a lock on a directory itself while the body runs: no lock file that was removed lets another one in.

    ``what`` is named when another process holds it. Where the file system knows no such locks, nothing is held.
    Raises AlreadyRunning when another process holds it, HomeError when the directory cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "Stop that process first; the lock in its home may have been removed"
            raise AlreadyRunning(
                f"another process has {what} open", pid=0, where=os.fspath(path), hint=hint
            ) from None
        except OSError:
            pass  # a file system of the network that has none
        yield
    finally:
        os.close(descriptor)


def _taken(path: str | os.PathLike[str], who: str | None, hint: str) -> int:
    """The locked file that has the name ``path``: one that was removed in the meantime guards nothing."""
    while True:
        descriptor = _opened(path)
        try:
            _lock(descriptor, path, who, hint)
            if _named(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _named(descriptor: int, path: str | os.PathLike[str]) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _lock(descriptor: int, path: str | os.PathLike[str], who: str | None, hint: str) -> None:
    for attempt in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            # held() in another process takes the lock for an instant: ask again before believing it.
            if attempt + 1 < _TRIES:
                time.sleep(_PAUSE)
        except OSError as error:
            raise HomeError(
                "no lock can be had there",
                expected="a file system with flock",
                found=error.strerror or str(error),
                where=os.fspath(path),
                hint="Use a local disk",
            ) from error
    pid = _owner(descriptor)
    role = who or os.path.basename(os.fspath(path)).removesuffix(".lock")
    by = f" as process {pid}" if pid else ""
    raise AlreadyRunning(
        f"{role} is already running{by}",
        pid=pid,
        where=os.fspath(path),
        hint=hint,
    )


def _opened(path: str | os.PathLike[str]) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        try:
            return os.open(path, os.O_RDONLY)
        except OSError:
            raise _unusable(path, error) from error


def _owner(descriptor: int) -> int:
    digits = os.pread(descriptor, 20, 0).strip()
    pid = int(digits) if digits.isascii() and digits.isdigit() else 0
    try:
        if pid:
            os.kill(pid, 0)
        return pid
    except ProcessLookupError:
        return _heir(descriptor)
    except (OSError, OverflowError):  # somebody else's process
        return pid


def _heir(descriptor: int) -> int:
    """A process that has the file open when the one that locked it has ended: a child of it. 0 when none is seen."""
    with suppress(OSError):  # no /proc here
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        for process in filter(str.isdigit, os.listdir("/proc")):
            if int(process) != os.getpid() and name in _open_files(process):
                return int(process)
    return 0


def _open_files(process: str) -> set[str]:
    found = set()
    try:
        for number in os.listdir(f"/proc/{process}/fd"):
            found.add(os.readlink(f"/proc/{process}/fd/{number}"))
    except OSError:
        pass  # it has ended, or is none of ours
    return found


def _write_owner(descriptor: int, text: bytes) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text, 0)
    except OSError:
        # Read-only mount or full disk: the lock itself holds, only its owner stays unnamed.
        return


def _unusable(path: str | os.PathLike[str], error: OSError) -> HomeError:
    return HomeError(
        "cannot use the lock file",
        expected="a file this user can read and write",
        found=error.strerror or str(error),
        where=os.fspath(path),
        hint="Check who owns the home directory",
    )
