"""Takes the pickle of one flat dict apart: the bytes that are its form, and the values between them."""

from __future__ import annotations

import re
import struct
from typing import Final, NamedTuple

NOTHING: Final = ""
"""No value of its own: None, a value named before, or the beginning."""
TEXT: Final = "text"
WHOLE: Final = r"K.|M..|J...."
FLOAT: Final = r"G.{8}"
NUMBER: Final = r"L\d{1,18}L\n|I[1-9]\d{1,17}\n"
FLAG: Final = "I0[01]\n|\x88|\x89"
"""A kind is the pattern of its values, but for texts."""


class Part(NamedTuple):
    """A value, and the bytes that follow it up to the next one."""

    key: str
    """The dict's key; "" for the beginning."""
    kind: str
    before: bytes
    """The opcode of a text."""
    width: int
    """Bytes of a text's length."""
    after: bytes
    """What stays the same behind the value: memo, the next keys, values that are None."""
    same: str = ""
    """The key whose value this is, by way of the memo."""


_VALUE: Final = re.compile(
    rb"(K.|M..|J....)|(G.{8})|(L\d{1,18}L\n|I[1-9]\d{1,17}\n)|(I0[01]\n|\x88|\x89)|(N)", re.DOTALL
)
_KINDS: Final = (WHOLE, FLOAT, NUMBER, FLAG, NOTHING)
_TEXT_WIDTHS: Final = {0x58: 4, 0x54: 4, 0x55: 1, 0x8C: 1}


def parts_of(data: bytes) -> list[Part]:
    """The parts of a pickle that is one dict of texts, numbers, flags and None, set by one SETITEMS.

    The bytes behind a value include the opcode of the next one when that is None. Raises ValueError,
    IndexError or struct.error for every other pickle.
    """
    return _Apart(data).parts()


class _Apart:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._memo: dict[int, tuple[str, bool]] = {}
        """What each number stands for: a key's text, or (True) the value of that key."""

    def parts(self) -> list[Part]:
        """Walk through it once."""
        data = self._data
        if data[:1] == b"\x80":
            self._at = 2
        if data[self._at : self._at + 1] == b"\x95":
            raise ValueError("a frame, whose length changes")
        self._literal(b"}")
        self._remember("", value=False)
        self._literal(b"(")
        found: list[Part] = []
        begun = 0
        key, kind, before, width, same = "", NOTHING, b"", 0, ""
        while data[self._at] != 0x75:
            name = self._key()
            place = self._at
            next_kind, next_before, next_width, next_same = self._value(name)
            # What is fixed reaches to the value itself, and over it when it is None or named before.
            end = self._at if next_kind == NOTHING else place
            found.append(Part(key, kind, before, width, data[begun:end], same))
            begun = self._at
            if next_kind != NOTHING:
                self._remember_value(name)
                # the memo's number behind the value stays the same: it belongs to what follows
            key, kind, before, width, same = name, next_kind, next_before, next_width, next_same
        if data[self._at :] != b"u.":
            raise ValueError("more than one dict")
        found.append(Part(key, kind, before, width, data[begun:], same))
        return found

    def _literal(self, expected: bytes) -> None:
        if self._data[self._at : self._at + 1] != expected:
            raise ValueError("another form")
        self._at += 1

    def _key(self) -> str:
        code = self._data[self._at]
        if code == 0x68:
            text, value = self._memo[self._data[self._at + 1]]
            if value:
                raise ValueError("a key that is a value")
            self._at += 2
            return text
        text = self._text(_TEXT_WIDTHS[code])
        self._remember(text, value=False)
        return text

    def _text(self, width: int) -> str:
        length = struct.unpack_from("<I" if width == 4 else "<B", self._data, self._at + 1)[0]
        start = self._at + 1 + width
        if start + length >= len(self._data):
            raise ValueError("cut off")
        self._at = start + length
        return self._data[start : self._at].decode()

    def _value(self, key: str) -> tuple[str, bytes, int, str]:
        code = self._data[self._at]
        if width := _TEXT_WIDTHS.get(code):
            before = self._data[self._at : self._at + 1]
            self._text(width)
            return TEXT, before, width, ""
        if code == 0x68:
            other, value = self._memo[self._data[self._at + 1]]
            if not value:
                raise ValueError("a value that is a key")
            self._at += 2
            return NOTHING, b"", 0, other
        match = _VALUE.match(self._data, self._at)
        if match is None or match.lastindex is None:
            raise ValueError(key)
        self._at = match.end()
        return _KINDS[match.lastindex - 1], b"", 0, ""

    def _remember(self, text: str, *, value: bool) -> None:
        code = self._data[self._at]
        if code == 0x71:
            self._memo[self._data[self._at + 1]] = (text, value)
            self._at += 2
        elif code == 0x94:
            self._memo[len(self._memo)] = (text, value)
            self._at += 1

    def _remember_value(self, key: str) -> None:
        self._remember(key, value=True)
