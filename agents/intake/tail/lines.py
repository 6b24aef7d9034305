"""Splits what is read of a file into lines, knowing at every moment where in the file it stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

LONGEST: Final = 65_536
"""Bytes of one line; a longer one is cut into pieces of this size."""


class Line(NamedTuple):
    """One line, without its newline."""

    raw: bytes
    end: int
    """Offset in the file behind the line and its newline."""
    piece: int
    """0 for a whole line; 1, 2, 3 ... for the pieces of one that was cut or came in parts."""


class Splitter:
    """Holds the bytes of a line whose newline was not read yet, at most `LONGEST` of them."""

    def __init__(self, offset: int) -> None:
        self._rest = bytearray()
        self._end = offset
        self._piece = 0

    @property
    def end(self) -> int:
        """Offset in the file behind all that was fed."""
        return self._end

    @property
    def held(self) -> int:
        """Bytes of the line that is not complete."""
        return len(self._rest)

    def feed(self, data: bytes) -> Iterator[Line]:
        """The lines that ``data`` completes."""
        start = 0
        while start < len(data):
            newline = data.find(b"\n", start)
            stop = len(data) if newline < 0 else newline
            stop = min(stop, start + LONGEST - len(self._rest))
            self._rest += data[start:stop]
            self._end += stop - start
            start = stop
            if len(self._rest) == LONGEST:
                yield from self.flush()
            elif stop == newline:
                start += 1
                self._end += 1
                last = self._piece + 1 if self._piece else 0
                self._piece = 0
                yield self._line(last)

    def flush(self) -> Iterator[Line]:
        """What is held, as a piece of its line; the rest of it will be the next."""
        if self._rest:
            self._piece += 1
            yield self._line(self._piece)

    def _line(self, piece: int) -> Line:
        raw = bytes(self._rest)
        self._rest.clear()
        return Line(raw, self._end, piece)
