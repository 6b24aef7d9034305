"""Which file it was, and how far it was read: the mark that is journaled with a file's records.

A path is not enough, since rotation gives it another file; nor is an inode, since it is used again. So a
mark also holds a digest of the file's first bytes, and since many files begin alike, one of the last bytes
that were read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self

from tabard.digests import blake2s

PREFIX: Final = "file:"
"""Begins the source key of every tailed file; its path follows."""
ROTATED: Final = "#"
"""Stands between path and inode in the key of a file that was moved away from its path."""
HEAD_BYTES: Final = 256
"""Bytes at the beginning of a file that identify it."""
TELLING_BYTES: Final = 64
"""With fewer of them the same bytes may well begin another file."""

TAIL_BYTES: Final = 256
"""Bytes before the position that have to be the same, too."""

_MOST_REMEMBERED: Final = 8_192
_FIELDS_BEFORE: Final = (6, 9)
"""Fields of marks that were journaled when they had no tail, so that it is not known whether they are over, and no turn."""


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
    before: int = 0
    """Of how many bytes before the offset `tail` was made, at most `TAIL_BYTES`."""
    tail: bytes = b""
    over: bool = False
    """The file was let go of: it had been moved away, was read to its end, and quiet."""
    turn: int = 0
    """Its turn among the files that were moved away from one path, which are read one after the other; 0: not known."""

    @classmethod
    def at_end(cls, fd: int) -> Self:
        """The mark of an open file that was read to its end. Raises OSError."""
        state = os.fstat(fd)
        head, size = read_head(fd), state.st_size
        before = os.pread(fd, min(TAIL_BYTES, size), size - min(TAIL_BYTES, size))
        return cls(
            state.st_dev,
            state.st_ino,
            size,
            len(head),
            digest_of(head),
            state.st_mtime_ns,
            len(before),
            digest_of(before),
        )

    @property
    def telling(self) -> bool:
        """Whether enough was read that no other file is likely to have the same."""
        read = self.before or self.offset  # marks of old have no tail
        return self.length >= TELLING_BYTES and read >= TELLING_BYTES

    def fits(self, fd: int) -> bool:
        """Whether the open file can be the marked one or a copy of it, grown or not. Raises OSError."""
        head = os.pread(fd, self.length, 0) if self.length else b""
        if digest_of(head) != self.digest or os.fstat(fd).st_size < self.offset:
            return False
        return not self.before or digest_of(os.pread(fd, self.before, self.offset - self.before)) == self.tail


def holds(fd: int, other: int) -> bool:
    """Whether an open file begins with all that another one has: so does one of which a copy is being made.

    Raises OSError.
    """
    whole = Mark.at_end(other)
    return whole.offset > 0 and whole.fits(fd)


def digest_of(head: bytes) -> bytes:
    """What tells these bytes from others."""
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

    def of_file(self, fd: int) -> Mark | None:
        """The furthest mark of the open file, known by inode and content, under any path. Raises OSError."""
        state = os.fstat(fd)
        found = [
            mark
            for mark in self._by_inode.get(state.st_ino, ())
            if (mark.length or mark.device == state.st_dev) and mark.fits(fd)
        ]
        return max(found, key=lambda mark: mark.offset, default=None)

    @property
    def none(self) -> bool:
        """Whether the journal had no mark of any file: the first start of all."""
        return not self._by_key

    def paths(self) -> list[str]:
        """The paths at which files were followed."""
        return [key.removeprefix(PREFIX) for key in self._by_key if _rotated_from(key) is None]

    def of_path(self, path: str) -> Mark | None:
        """The last mark of the file followed at ``path`` before it was given up, or before the start."""
        return self._by_key.get(PREFIX + path)

    def leave(self, path: str, mark: Mark) -> None:
        """Nothing is followed at ``path`` any more; ``mark`` is the last of what was."""
        self._by_key[PREFIX + path] = mark

    def rotated(self, path: str) -> list[Mark]:
        """The marks of files that had been moved away from ``path`` when it was followed last; known only once.

        In the order in which they are to be read; marks of old do not tell it, but when the files were changed last.
        """
        key = PREFIX + path
        found = [other for other in self._by_key if _rotated_from(other) == key]
        marks = [self._by_key.pop(other) for other in found]
        return sorted(marks, key=lambda mark: (mark.turn, mark.modified))


def _rotated_from(key: str) -> str | None:
    """The key of the path from which a file was moved away that is marked under ``key``."""
    path, sign, inode = key.rpartition(ROTATED)
    return path if sign and inode.isdecimal() else None


def _checked(value: Any) -> Mark | None:
    if not isinstance(value, (list, tuple)) or len(value) not in {*_FIELDS_BEFORE, len(Mark._fields)}:
        return None
    mark = Mark(*value)
    numbers = (mark.device, mark.inode, mark.offset, mark.length, mark.modified, mark.before, mark.turn)
    if not all(type(number) is int and number >= 0 for number in numbers):
        return None
    others = isinstance(mark.digest, bytes) and isinstance(mark.tail, bytes) and isinstance(mark.over, bool)
    return mark if others and mark.before <= mark.offset else None
