"""The systemd journal's export format, read piece by piece: what ``journalctl --output=export`` writes.

An entry is a line ``NAME=value`` for each field, or the name alone, eight bytes of length and the bytes of a value
that is no plain text, and a blank line after all. A value may be a core dump: what is longer than `MOST_VALUE` is
passed over without being held.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tabard.errors import WireError

MOST_VALUE: Final = 196_608
"""Bytes kept of one value; a record has no room for more."""
MOST_ENTRY: Final = 1_048_576
"""Bytes kept of the values of one entry, and..."""
MOST_FIELDS: Final = 1_024
"""...how many of its fields: what comes after is counted only."""
_MOST_NAME: Final = 256
_LENGTH: Final = 8
_END: Final = b"\n"


class Entry:
    """One entry of the journal."""

    __slots__ = ("again", "cut", "fields", "left_out", "size")

    def __init__(self) -> None:
        self.fields: dict[str, bytes] = {}
        """Values by name, of a field that is there several times the first."""
        self.again: list[tuple[str, bytes]] = []
        """The further values of these, in their order."""
        self.cut: dict[str, int] = {}
        """Fields of which the beginning was kept, and their bytes before."""
        self.left_out = 0
        """Fields that there was no room for."""
        self.size = 0

    @property
    def cursor(self) -> str:
        """Where it stands."""
        return self.text("__CURSOR")

    def text(self, name: str) -> str:
        r"""A field's value as text, "" without one; bytes that are no UTF-8 are shown as ``\\xe9``."""
        value = self.fields.get(name, b"")
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode("utf-8", "backslashreplace")

    def number(self, name: str) -> int | None:
        """A field's value as a number that is not negative; None when it is none."""
        value = self.fields.get(name, b"")
        return int(value) if value.isdigit() and len(value) <= 19 else None

    def put(self, name: str, value: bytes, size: int) -> None:
        """Take a field that was ``size`` bytes, of which ``value`` is the beginning."""
        if self.size + len(value) > MOST_ENTRY or len(self.fields) + len(self.again) >= MOST_FIELDS:
            self.left_out += 1
            return
        self.size += len(value)
        if len(value) != size:
            self.cut[name] = size
        if name in self.fields:
            self.again.append((name, value))
        else:
            self.fields[name] = value


class ExportReader:
    """Makes entries of bytes as they come. What is unfinished at the end is forgotten: it is read again."""

    def __init__(self) -> None:
        self._rest = b""
        self._need = 0
        self._entry = Entry()
        self._skip = 0
        """Bytes of a long binary value that are still to be passed over."""
        self._long: tuple[str, bytes, int] | None = None
        """A long text value whose end is looked for: name, beginning, bytes so far."""

    @property
    def held(self) -> int:
        """Bytes of an entry that is not complete."""
        return len(self._rest) + self._entry.size

    def feed(self, data: bytes) -> Iterator[Entry]:
        """Take bytes; the entries that they complete. Raises WireError for what is no export format."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        at, size = 0, len(data)
        if size < self._need:
            self._rest = data
            return
        self._need = 0
        while at < size:
            if self._skip:
                passed = min(self._skip, size - at)
                self._skip -= passed
                at += passed
                continue
            end = data.find(_END, at)
            if self._long is not None:
                at = self._pass_over(data, at, end)
            elif end < 0:
                at = self._begin_long(data, at)
                if self._long is None:
                    break
            elif end == at:
                at += 1
                if self._entry.fields:
                    entry, self._entry = self._entry, Entry()
                    yield entry
            else:
                equals = data.find(b"=", at, end)
                if equals >= 0:
                    value = data[equals + 1 : end]
                    self._entry.put(_name(data[at:equals]), value[:MOST_VALUE], len(value))
                    at = end + 1
                else:
                    after = self._binary(data, at, end)
                    if after < 0:
                        break
                    at = after
        if at < size:
            self._rest = data[at:]

    def _binary(self, data: bytes, at: int, end: int) -> int:
        """Take a value of known length; where to go on, -1 while there is not enough of it."""
        start = end + 1 + _LENGTH
        if len(data) < start:
            return -1
        name = _name(data[at:end])
        length = int.from_bytes(data[end + 1 : start], "little")
        kept = min(length, MOST_VALUE)
        if len(data) < start + kept + 1:
            self._need = start + kept + 1 - at
            return -1
        self._entry.put(name, data[start : start + kept], length)
        self._skip = length - kept
        # The line feed behind a value makes no difference to a blank line: it is passed over with the value.
        self._skip += 1
        return start + kept

    def _begin_long(self, data: bytes, at: int) -> int:
        """Look whether a line without an end is too long to be held; where to go on."""
        if len(data) - at <= MOST_VALUE + _MOST_NAME:
            return at
        equals = data.find(b"=", at, at + _MOST_NAME)
        if equals < 0:
            raise _strange(data[at : at + 32])
        beginning = data[equals + 1 : equals + 1 + MOST_VALUE]
        self._long = _name(data[at:equals]), beginning, len(data) - equals - 1
        return len(data)

    def _pass_over(self, data: bytes, at: int, end: int) -> int:
        assert self._long is not None
        name, beginning, size = self._long
        if end < 0:
            self._long = name, beginning, size + len(data) - at
            return len(data)
        self._long = None
        self._entry.put(name, beginning, size + end - at)
        return end + 1


_names: dict[bytes, str] = {}


def _name(raw: bytes) -> str:
    """The name of a field. Raises WireError when it cannot be one."""
    known = _names.get(raw)
    if known is None:
        if not raw or len(raw) > _MOST_NAME or not raw.isascii() or not raw.decode().isprintable():
            raise _strange(raw)
        if len(_names) >= MOST_FIELDS:
            _names.clear()
        known = _names[raw] = raw.decode()
    return known


def _strange(raw: bytes) -> WireError:
    return WireError(
        "no export format of the systemd journal",
        expected="fields such as NAME=value",
        found=repr(raw[:32]),
        hint="Is it journalctl of systemd that answers?",
    )
