"""What a command wrote, in the order it came, to be printed when the command is over: bounded, its middle left out."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from typing import Final

KEEP: Final = 1_048_576
"""Bytes kept of both outputs together."""


class Printed:
    """The first and the last pieces of two streams, which are told apart by their descriptors."""

    def __init__(self, limit: int = KEEP) -> None:
        self._half = limit // 2
        self._first: list[tuple[int, bytes]] = []
        self._room = limit - self._half
        self._last: deque[tuple[int, bytes]] = deque()
        self._kept = 0
        self.dropped = 0
        """Bytes that were left out."""

    def add(self, descriptor: int, chunk: bytes) -> None:
        """Take in what was read."""
        if self._room:
            self._first.append((descriptor, chunk[: self._room]))
            chunk = chunk[self._room :]
            self._room -= len(self._first[-1][1])
        if not chunk:
            return
        self._last.append((descriptor, chunk))
        self._kept += len(chunk)
        while (over := self._kept - self._half) > 0:
            where, oldest = self._last.popleft()
            if len(oldest) > over:
                self._last.appendleft((where, oldest[over:]))
            gone = min(over, len(oldest))
            self.dropped += gone
            self._kept -= gone

    def write(self) -> None:
        """Print it. A reader that has left is no failure."""
        for descriptor, chunk in self._first:
            write(descriptor, chunk)
        if self.dropped:
            write(2, b"\ntabard: %d bytes of output are left out here\n" % self.dropped)
        for descriptor, chunk in self._last:
            write(descriptor, chunk)


def write(descriptor: int, data: bytes) -> None:
    """Write all of it; to a reader that has left, or a disk that is full, as much as it takes."""
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(descriptor, data) :]
