"""One open file that is read to its end, again and again. It knows nothing of paths and rotation."""

from __future__ import annotations

import os
from typing import Final

from tabard import failpoints
from tabard.agents.intake.tail.assemble import Assembled, Assembler, Style
from tabard.agents.intake.tail.lines import Splitter
from tabard.agents.intake.tail.marks import HEAD_BYTES, TAIL_BYTES, TELLING_BYTES, Mark, digest_of, read_head

AFTER_READ: Final = failpoints.declare(
    "tail.after_read", "past reading a tailed file, before its lines were made records"
)

CHUNK: Final = 32_768
"""Bytes read at a turn."""
PARTIAL_SECONDS: Final = 5.0
"""How long a last line without a newline is waited for."""


class Truncated(Exception):
    """Raised when the file no longer holds what was read of it: it was emptied or written anew."""


class TailedFile:
    """A file descriptor (closed by `close`), read from ``offset`` on."""

    def __init__(self, fd: int, offset: int, style: Style, now: float) -> None:
        state = os.fstat(fd)
        self._fd = fd
        self.identity: Final = (state.st_dev, state.st_ino)
        self._style = style
        self._splitter = Splitter(offset)
        self._assembler = Assembler(style)
        self.recorded = offset
        """Offset behind the last record that was handed out: where a restart continues."""
        self.size = state.st_size
        """Its size at the last look."""
        self.modified = self._latest = state.st_mtime_ns
        """Time of the last change that was read (ns)."""
        self.touched = now
        """When bytes were last read (monotonic seconds)."""
        self.turn = 0
        """Its turn among the files that were moved away from its path; 0 while it is there."""
        self._head = read_head(fd)
        start = max(offset - TAIL_BYTES, 0)
        self._recent = bytearray(os.pread(fd, offset - start, start) if offset else b"")
        """The bytes before `offset`, at least those that a mark at `recorded` needs."""

    @property
    def fd(self) -> int:
        """The descriptor, to compare the file with others."""
        return self._fd

    @property
    def telling(self) -> bool:
        """Whether enough of it was read that no other file is likely to have the same."""
        return self.offset >= TELLING_BYTES

    @property
    def offset(self) -> int:
        """How far it was read."""
        return self._splitter.end

    @property
    def unread(self) -> int:
        """Bytes that were there at the last look and are not read."""
        return max(self.size - self.offset, 0)

    @property
    def lag(self) -> int:
        """Bytes of which no record was handed out yet: what is not read, and lines that are held back."""
        return self.unread if self.due is None else max(self.size - self.recorded, 0)

    @property
    def read_whole(self) -> bool:
        """Whether a record was made of all of it, as far as was seen."""
        return not self.unread and self.due is None

    @property
    def due(self) -> float | None:
        """When held-back lines have to be handed out (monotonic seconds); None when none are."""
        times = [time for time in (self._assembler.due, self._partial_due()) if time is not None]
        return min(times, default=None)

    def _partial_due(self) -> float | None:
        return self.touched + PARTIAL_SECONDS if self._splitter.held else None

    def record(self, end: int) -> None:
        """The records up to the offset ``end`` are handed out."""
        self.recorded = end
        del self._recent[: max(len(self._recent) - (self.offset - end) - TAIL_BYTES, 0)]

    def mark(self) -> Mark:
        """The mark behind the last record handed out."""
        end = len(self._recent) - (self.offset - self.recorded)
        tail = bytes(self._recent[max(end - TAIL_BYTES, 0) : end])
        head = self._head
        return Mark(
            *self.identity,
            self.recorded,
            len(head),
            digest_of(head),
            self.modified,
            len(tail),
            digest_of(tail),
            turn=self.turn,
        )

    def changed(self) -> bool:
        """Whether it was changed since the last look. Raises OSError."""
        return os.fstat(self._fd).st_mtime_ns != self.modified

    def look(self) -> None:
        """Take note of its size.

        Raises:
            Truncated: it is smaller than what was read of it.
            OSError: it cannot be looked at.
        """
        state = os.fstat(self._fd)
        self.size = state.st_size
        if self.size < self.offset:
            raise Truncated
        self._latest = state.st_mtime_ns
        if self._latest != self.modified and self.size == self.offset:
            self._check()  # changed, but not longer: perhaps emptied and filled to the same size
            self.modified = self._latest

    def read(self, now: float, wall: int) -> list[Assembled]:
        """The records of the next `CHUNK` bytes, after `look`; ``wall`` is ns UTC.

        Raises:
            Truncated: the file was written anew; nothing of this read counts.
            OSError: it cannot be read.
        """
        if self._assembler.due is None:
            self.record(self.offset - self._splitter.held)  # blank lines are done with, too
        tail = self._recent[-TAIL_BYTES:]
        data = os.pread(self._fd, len(tail) + CHUNK, self.offset - len(tail))
        if data[: len(tail)] != tail:
            raise Truncated
        data = data[len(tail) :]
        if not data:
            return []
        if not self.offset and data.startswith(self._head):
            self._head = data[:HEAD_BYTES]
        # After the read: had it been emptied and refilled in between, these bytes are of another file.
        self._check()
        self._recent += data
        failpoints.hit(AFTER_READ)
        self.modified = self._latest
        self.touched = now
        found: list[Assembled] = []
        for line in self._splitter.feed(data):
            found += self._assembler.feed(line, now, wall)
        return found

    def settle(self, now: float, wall: int, *, last: bool = False) -> list[Assembled]:
        """What was held back for more lines and waited long enough, with ``last`` all of it."""
        found: list[Assembled] = []
        partial = self._partial_due()
        if partial is not None and (last or now >= partial):
            for line in self._splitter.flush():
                found += self._assembler.feed(line, now, wall)
        due = self._assembler.due
        if due is not None and (last or now >= due):
            found += self._assembler.flush()
        return found

    def restyle(self, style: Style) -> list[Assembled]:
        """Read what follows as ``style`` says; what was held back for more lines."""
        held = list(self._assembler.flush())
        self._style = style
        self._assembler = Assembler(style)
        return held

    def check(self) -> None:
        """See that it still holds what was read of it.

        Raises:
            Truncated: it does not.
            OSError: it cannot be looked at.
        """
        if os.fstat(self._fd).st_size < self.offset:
            raise Truncated
        self._check()

    def _check(self) -> None:
        head = read_head(self._fd)
        if head[: len(self._head)] != self._head:
            raise Truncated
        tail = self._recent[-TAIL_BYTES:]
        if tail and os.pread(self._fd, len(tail), self.offset - len(tail)) != tail:
            raise Truncated
        if len(self._head) < HEAD_BYTES:
            self._head = head

    def anew(self, now: float) -> TailedFile:
        """The same open file from its beginning; this object is not to be used any more."""
        new = TailedFile(self._fd, 0, self._style, now)
        new.turn = self.turn
        return new

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)


def line_start(fd: int, offset: int) -> int:
    """The start of the first line that begins at ``offset`` or behind it; ``offset`` if a `CHUNK` has none."""
    if offset <= 0:
        return 0
    data = os.pread(fd, CHUNK, offset - 1)
    newline = data.find(b"\n")
    return offset if newline < 0 else offset + newline


def unreadable_kind(path: str, head: bytes) -> str:
    """Why a file with this name and beginning holds no lines of text; "" when it may."""
    if os.path.basename(path) in _BINARY_NAMES:
        return "binary"
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")):
        return "compressed"
    text = head.lstrip(b"\0")  # a log emptied under its writer begins with a hole of NULs
    odd = len(text) - len(text.translate(None, _CONTROLS))
    return "binary" if odd * 20 > len(text) else ""


_BINARY_NAMES: Final = frozenset({"wtmp", "btmp", "utmp", "lastlog", "faillog", "tallylog"})
_CONTROLS: Final = bytes(set(range(32)) - set(b"\t\n\r\x0b\x0c\x08\x1b"))
