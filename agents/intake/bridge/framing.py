"""Where one syslog message ends and the next begins in a stream (RFC 6587): by count, by line feed, or by NUL.

What a client does is seen in its first bytes: digits, a blank and ``<`` are a count; else messages end with a
line feed. From the first NUL on that a client ends a message with, as Python's handler does, line feeds belong
to its messages, until one of them is followed by another message's priority.
"""

from __future__ import annotations

import re
from typing import Final

from tabard.errors import WireError

LONGEST: Final = 65_536
"""Bytes of a message that ends with a character; a longer one comes in pieces."""
LONGEST_COUNTED: Final = 1_048_576
"""Bytes that are kept of a message that is counted. One that has as many is only the beginning of itself."""
MOST_COUNTED: Final = 67_108_864
"""Bytes of such a message: a greater number is no count."""
_COUNT: Final = re.compile(rb"([1-9]\d{0,8}) ")
_COUNTED: Final = re.compile(rb"[1-9]\d{0,8} <")
_ENDS_WITH_NUL: Final = re.compile(rb"\0(?:<|\Z)")
_NEXT_LINE: Final = re.compile(rb"\n<\d{1,3}>")
_MAY_BE_COUNTED: Final = re.compile(rb"[1-9]\d{0,8}(?: )?\Z")


class Framer:
    """Splits what one client says into messages; holds at most one of them."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._end = b""
        self._counted: bool | None = None
        self._need = 0
        self._skip = 0
        self._broken: WireError | None = None
        self.pieces = 0
        """Messages that were too long and came in pieces."""

    @property
    def held(self) -> int:
        """Bytes of a message that is not complete."""
        return len(self._rest)

    def split(self, data: bytes) -> list[bytes]:
        """The messages that ``data`` completes; `check` says whether more can follow."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        known = len(self._rest)
        if known:
            if (
                self._end == b"\n"
                and b"\n" not in data
                and b"\0" not in data
                and self.held + len(data) < LONGEST
            ):
                self._rest += data  # a long line in small parts is not looked through for each of them
                return []
            self._rest += data
            if len(self._rest) < self._need:
                return []
            data = bytes(self._rest)
            self._rest.clear()
        if self._counted is None:
            if _MAY_BE_COUNTED.match(data):
                self._rest += data
                return []
            self._counted = _COUNTED.match(data) is not None
        return self._by_count(data) if self._counted else self._by_end(data, known)

    def last(self) -> bytes:
        """What is held when the client says nothing more: a message without its end."""
        found = bytes(self._rest)
        self._rest.clear()
        count = _COUNT.match(found) if self._counted and self._broken is None else None
        return found[count.end() :] if count else found

    @property
    def whole_without_end(self) -> bool:
        """Whether what is held is a whole message where the client hangs up, since that ends it too."""
        return not self._counted

    def _by_count(self, data: bytes) -> list[bytes]:
        found = []
        at, size = 0, len(data)
        self._need = 0
        while at < size:
            match = _COUNT.match(data, at)
            if match is None:
                if size - at < 10 and data[at:].isdigit():
                    break
                self._broken = WireError(
                    "no length of a syslog message",
                    expected="digits and a blank",
                    found=repr(data[at : at + 16]),
                )
                break
            length = int(match[1])
            if length > MOST_COUNTED:
                self._broken = WireError(
                    "a syslog message too long",
                    expected=f"at most {MOST_COUNTED} bytes",
                    found=str(length),
                )
                break
            start = match.end()
            kept = min(length, LONGEST_COUNTED)
            if start + kept > size:
                self._need = start - at + kept
                break
            found.append(data[start : start + kept])
            at = min(start + length, size)
            self._skip = start + length - at
        if at < size:
            self._rest += data[at:]
        return found

    def check(self) -> None:
        """Raise WireError when a count was none: to be asked when the messages before it are dealt with."""
        if self._broken is not None:
            raise self._broken

    def _ending(self, data: bytes, known: int) -> bytes:
        """What ends a message in ``data``, of which the first ``known`` bytes have been looked at before."""
        if self._end == b"\0":
            end = data.find(b"\0")
            line = _NEXT_LINE.search(data, max(known - 5, 0), len(data) if end < 0 else end)
            return b"\0" if line is None else b"\n"
        # Somebody who relays the messages of others may say a NUL within a line.
        nul = _ENDS_WITH_NUL.search(data) is not None and _NEXT_LINE.search(data) is None
        return b"\0" if nul else b"\n"

    def _by_end(self, data: bytes, known: int) -> list[bytes]:
        self._end = self._ending(data, known)
        found = data.split(self._end)
        rest = found.pop()
        if len(data) > LONGEST:
            found = [piece for message in found for piece in self._pieces(message)]
            *more, rest = self._pieces(rest)
            found += more
        self._rest += rest
        self._need = 0
        return found

    def _pieces(self, message: bytes) -> list[bytes]:
        """A message in parts of at most `LONGEST` bytes."""
        if len(message) <= LONGEST:
            return [message]
        self.pieces += (len(message) - 1) // LONGEST
        return [message[at : at + LONGEST] for at in range(0, len(message), LONGEST)]
