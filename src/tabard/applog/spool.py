"""A file in ``spool/``: what a process could not hand to an agent, as it would have been sent.

It holds HELLO and then RECORDS, byte for byte what goes over the socket, so that the agent knows frames it has
by source and number, whichever way they come. While the process lives it keeps the file locked and sends the
frames itself; when it is gone the lock is free, and the agent takes the file in.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgpack

from tabard.intake_frames import DAMAGED, HEAD, HELLO, SPILL, UNMADE, VERSION, frame

MOST_FILES: Final = 4_096
"""Files in the directory beyond which no more are made."""
_MEASURE_EVERY: Final = 1_048_576
"""Bytes written between two looks at what the directory takes."""


class Spool:
    """At most one file at a time. Nothing here raises: what cannot be kept is answered with False."""

    def __init__(self, directory: Path, source: str, service: str, most: int) -> None:
        self._directory = directory
        self._path = str(directory / f"{source}{SPILL}")
        self._hello = frame(HELLO, 0, msgpack.packb({"v": VERSION, "source": source, "service": service}))
        self._most = most
        self._descriptor = -1
        self._size = 0
        self._measured = 0
        self._used = 0
        self._broken = False
        self.last = 0
        """Number of the last frame in the file; 0 when there is no file."""

    @property
    def open(self) -> bool:
        """Whether there is a file."""
        return self._descriptor >= 0

    def append(self, number: int, data: bytes) -> bool:
        """Keep a whole frame; False when the disk or the bounds do not allow it."""
        if self._broken or not self._most:
            return False
        try:
            if self._descriptor < 0:
                self._make()
            if not self._fits(len(data)):
                return False
            self._write(data)
        except OSError:
            return False
        self.last = number
        return True

    def frames(self, after: int) -> Iterator[tuple[int, bytes]]:
        """The frames in the file beyond number ``after``, in order, also those appended meanwhile."""
        at = len(self._hello)
        while self._descriptor >= 0 and at + HEAD.size <= self._size:
            length, _, number = HEAD.unpack(os.pread(self._descriptor, HEAD.size, at))
            if number > after:
                yield number, os.pread(self._descriptor, HEAD.size + length, at)
            at += HEAD.size + length

    def remove(self) -> None:
        """All in it is with the agent."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
        self.close()

    def close(self) -> None:
        """Let go of the file; what is in it is the agent's now. Also for a forked child, which has no part in it."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
        self._descriptor, self._size, self.last, self._broken = -1, 0, 0, False

    # --- pieces ----------------------------------------------------------------------------

    def _make(self) -> None:
        """Make the file under another name until it is locked: the agent must not take it for an old one."""
        for directory in (self._directory.parent, self._directory):  # the home too is for its user alone
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._measure()
        unmade = self._path.removesuffix(SPILL) + UNMADE
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(unmade, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _open_to_owner(self._directory, descriptor)
            written = os.write(descriptor, self._hello)
            if written != len(self._hello):
                raise OSError("short write")  # noqa: TRY301 -- what follows is the same for all that fails
            os.rename(unmade, self._path)
        except OSError:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                os.unlink(unmade)
            raise
        self._descriptor, self._size = descriptor, len(self._hello)

    def _fits(self, more: int) -> bool:
        if self._size - self._measured >= _MEASURE_EVERY:
            self._measure()
        return self._used + (self._size - self._measured) + more <= self._most

    def _measure(self) -> None:
        """See what all files here take, this one included. Raises OSError when there are too many."""
        with os.scandir(self._directory) as entries:
            sizes = [
                entry.stat(follow_symlinks=False).st_size
                for entry in entries
                if entry.name.endswith((SPILL, DAMAGED, UNMADE))
            ]
        if len(sizes) > MOST_FILES:
            raise OSError("too many files wait for an agent")
        self._used, self._measured = sum(sizes), self._size

    def _write(self, data: bytes) -> None:
        written = 0
        try:
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError:
            try:
                os.ftruncate(self._descriptor, self._size)
            except OSError:
                self._broken = True  # a torn frame may be followed by nothing
            raise
        self._size += written


def _open_to_owner(directory: Path, descriptor: int) -> None:
    """Where the directory is another user's, that user's agent must be able to read the file by its group."""
    state = os.stat(directory)
    if state.st_uid != os.geteuid() and state.st_mode & stat.S_ISGID:
        os.fchmod(descriptor, 0o640)
