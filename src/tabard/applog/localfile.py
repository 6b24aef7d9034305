"""The local log file, for people: several processes may write it, and its size and age are bounded.

Lines are appended whole, and may exceed the bound by what another process writes just then. Who finds the file full
renames it under a lock; the others see by its inode that the path leads to a new file and go on there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from tabard.records import LOG_INDEX

_LOOK_EVERY: Final = 600.0
"""Seconds between two looks at the age of the old files."""
_TRIES: Final = 20
_PAUSE: Final = 0.005
"""How often, and with how many seconds in between, the lock of the file is asked for."""
_STAMP: Final = re.compile(rb"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)")
_IDS: Final = [
    LOG_INDEX[name] for name in ("product", "system", "subsystem", "subsubsystem", "user1", "user2")
]


class LocalFile:
    """One rotating file. Nothing here raises: a disk that refuses it is no reason to disturb anybody."""

    def __init__(self, path: Path, *, most: int, files: int, age: float) -> None:
        self._path = str(path)
        self._most = most
        self._files = files
        """How many old ones are kept."""
        self._age = age
        self._descriptor = -1
        self._looked = 0.0
        self._torn = False
        """Whether the disk was full in the middle of a line."""
        self.refused = 0
        """Records that could not be written."""

    def write(self, rows: Iterable[Iterable[Any]]) -> None:
        """Append records, given as rows."""
        lines = [line_of(list(row)) for row in rows]
        data = "".join(lines).encode("utf-8", "backslashreplace")
        if self._torn:
            data = b"\n" + data
        try:
            self._look()
            descriptor = self._opened()
            if self._full(descriptor, len(data)):
                self._rotate(descriptor)
                descriptor = self._opened()
            while data:
                data = data[os.write(descriptor, data) :]
                self._torn = bool(data)
        except OSError:
            self.refused += len(lines)
            self.close()

    def close(self) -> None:
        """Close the file; the next write opens it again. Also for a forked child."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
        self._descriptor = -1

    def _opened(self) -> int:
        """The descriptor of what is at the path now."""
        if self._descriptor >= 0:
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.stat(self._path), os.fstat(self._descriptor)):
                    return self._descriptor
            self.close()
        flags = (
            os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
        )  # a pipe may be in the way
        try:
            self._descriptor = os.open(self._path, flags, 0o600)
        except FileNotFoundError:
            room = os.path.dirname(self._path)
            for directory in (os.path.dirname(room), room):  # the home too is for its user alone
                os.makedirs(directory, mode=0o700, exist_ok=True)
            self._descriptor = os.open(self._path, flags, 0o600)
        return self._descriptor

    def _full(self, descriptor: int, more: int) -> bool:
        size = os.fstat(descriptor).st_size
        return size > 0 and size + more > self._most

    def _rotate(self, descriptor: int) -> None:
        """Move the file away, unless another process has done so meanwhile, or takes too long with it."""
        if not _locked(descriptor):
            return
        try:
            if os.path.samestat(os.stat(self._path), os.fstat(descriptor)):
                for number in range(self._files - 1, 0, -1):
                    with contextlib.suppress(FileNotFoundError):
                        os.replace(self._old(number), self._old(number + 1))
                if self._files > 0:
                    os.replace(self._path, self._old(1))
                else:
                    os.unlink(self._path)
        finally:
            self.close()

    def _old(self, number: int) -> str:
        return f"{self._path}.{number}"

    def _look(self) -> None:
        """Remove old files whose last line is too old; begin a new one when the first line is."""
        now = time.time()
        if abs(now - self._looked) < _LOOK_EVERY:
            return
        self._looked = now
        for number in range(1, self._files + 1):
            with contextlib.suppress(FileNotFoundError):
                if now - os.stat(self._old(number)).st_mtime > self._age:
                    os.unlink(self._old(number))
        began = _began(self._opened())
        if began is not None and now - began > self._age:
            self._rotate(self._descriptor)


def _locked(descriptor: int) -> bool:
    """Whether the file could be locked: nobody is waited for that is frozen with the lock."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE)
        else:
            return True
    return False


def line_of(row: list[Any]) -> str:
    """A record as a person reads it, a trace below it."""
    time_ns, level = row[LOG_INDEX["time"]] or 0, row[LOG_INDEX["level"]] or "-"
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time_ns // 1_000_000_000))
    version = "-".join(str(row[LOG_INDEX[name]]) for name in ("package", "version") if row[LOG_INDEX[name]])
    ids = " ".join(str(row[position]) for position in _IDS if row[position])
    words = [
        f"{stamp},{time_ns // 1_000_000 % 1000:03d}",
        ids,
        version,
        level,
        f"{row[LOG_INDEX['logger']]}:",
    ]
    text = " ".join(str(word) for word in words if word) + f" {row[LOG_INDEX['message']]}"
    stack = row[LOG_INDEX["stack"]]
    return f"{text}\n{stack}\n" if stack else f"{text}\n"


def _began(descriptor: int) -> float | None:
    """When the first line of the file was written, in seconds since 1970; None when it does not say."""
    found = _STAMP.match(os.pread(descriptor, 32, 0))
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups())
    try:
        return time.mktime((year, month, day, hour, minute, second, 0, 0, -1))
    except (ValueError, OverflowError):
        return None
