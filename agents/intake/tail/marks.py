"""Which file it was, and how far it was read: the mark that is journaled with a file's records.

A path is not enough, since rotation gives it another file; nor is an inode, since it is used again. So a
mark also holds a digest of the file's first bytes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import blake2s
from typing import Any, Final, NamedTuple

PREFIX: Final = "file:"
"""Begins the source key of every tailed file; its path follows."""
ROTATED: Final = "#"
"""Stands between path and inode in the key of a file that was moved away from its path."""
HEAD_BYTES: Final = 256
"""Bytes at the beginning of a file that identify it."""
TELLING_BYTES: Final = 64
"""With fewer of them the same bytes may well begin another file."""

_MOST_REMEMBERED: Final = 8_192


class Mark(NamedTuple):
    """A position in a file, in the order in which the journal has it."""

    device: int
    inode: int
    offset: int
    length: int
    """Of how many of the file's first bytes `digest` was made, at most `HEAD_BYTES`."""
    digest: bytes
    modified: int
    """Time of the last change that was read (ns UTC): what rotation made of the log since then is newer."""

    def fits(self, head: bytes) -> bool:
        """Whether a file with these first bytes can be the marked one, grown or not."""
        return len(head) >= self.length and digest_of(head[: self.length]) == self.digest


def digest_of(head: bytes) -> bytes:
    """The identity of a file's first bytes."""
    return blake2s(head, digest_size=8).digest()


def read_head(fd: int) -> bytes:
    """The first bytes of an open file. Raises OSError."""
    return os.pread(fd, HEAD_BYTES, 0)


class KnownMarks:
    """How far files were read: what the journal said at the start, and files closed since."""

    def __init__(self, marks: Mapping[str, Any]) -> None:
        self._by_key: dict[str, Mark] = {}
        self._by_inode: dict[int, list[Mark]] = {}
        for key, value in marks.items():
            mark = _checked(value) if key.startswith(PREFIX) else None
            if mark is not None:
                self._by_key[key] = mark
                self.remember(mark)

    def remember(self, mark: Mark) -> None:
        """Keep the mark of a file that is closed: it may come into sight again under another path."""
        self._by_inode.setdefault(mark.inode, []).append(mark)
        while len(self._by_inode) > _MOST_REMEMBERED:
            del self._by_inode[next(iter(self._by_inode))]

    def forget(self, inode: int) -> None:
        """The file is open now, and its position known better; what is written to it anew has no mark."""
        self._by_inode.pop(inode, None)

    def of_file(self, device: int, inode: int, head: bytes) -> Mark | None:
        """The furthest mark of the file that has this inode and these first bytes, under any path."""
        found = [
            mark
            for mark in self._by_inode.get(inode, ())
            if mark.fits(head) and (mark.length or mark.device == device)
        ]
        return max(found, key=lambda mark: mark.offset, default=None)

    def paths(self) -> list[str]:
        """The paths at which files were followed."""
        return [key.removeprefix(PREFIX) for key in self._by_key if ROTATED not in key]

    def of_path(self, path: str) -> Mark | None:
        """The mark the journal had, at the start, of the file followed at ``path``."""
        return self._by_key.get(PREFIX + path)

    def rotated(self, path: str) -> list[Mark]:
        """The marks, at the start, of files that had been moved away from ``path``."""
        start = PREFIX + path + ROTATED
        return [mark for key, mark in self._by_key.items() if key.startswith(start)]


def _checked(value: Any) -> Mark | None:
    if not isinstance(value, (list, tuple)) or len(value) != len(Mark._fields):
        return None
    mark = Mark(*value)
    numbers = (mark.device, mark.inode, mark.offset, mark.length, mark.modified)
    if not all(type(number) is int and number >= 0 for number in numbers) or not isinstance(
        mark.digest, bytes
    ):
        return None
    return mark
