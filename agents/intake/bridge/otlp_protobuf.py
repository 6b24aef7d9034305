"""ExportLogsServiceRequest in protobuf, read without its library: some message types of a format that is frozen.

The library would be a compiled package more on every host that takes OTLP, and 3 MiB more of the agent's memory, and
it makes objects of all there is before anybody can say that it is too much. Here a record is made when it is asked
for, and values are counted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

from tabard.agents.intake.bridge.otlp_record import Said, Scope
from tabard.errors import WireError

DEPTH: Final = 32
"""Values within values; the library allows a hundred."""
MOST_VALUES: Final = 1_000_000
"""Values of one request."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DOUBLE: Final = struct.Struct("<d")
_SIGN: Final = 1 << 63

Field = tuple[int, int, int, int]
"""Number, wire type, and the value (0 behind it) or where its bytes begin and end."""


def requested(data: bytes) -> Iterator[tuple[Scope, Said | None]]:
    """The records of a request with their scopes, in order; None for one that cannot be read.

    Raises:
        WireError: the request itself cannot be read, which may show in the middle of it.
    """
    reader = _Reader(data)
    for number, wire, start, end in reader.fields(0, len(data)):
        if number == 1:
            _length_only(wire)
            yield from reader.resource_logs(start, end)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = MOST_VALUES

    # --- the wire ---

    def fields(self, at: int, end: int) -> Iterator[Field]:
        data = self._data
        while at < end:
            tag = data[at]
            at += 1
            if tag >= 128:
                tag, at = self._varint(at - 1, end)
            number, wire = tag >> 3, tag & 7
            if not number:
                raise _malformed("a field without a number")
            if wire == _BYTES:
                if at < end and data[at] < 128:
                    length = data[at]
                    at += 1
                else:
                    length, at = self._varint(at, end)
                if length > end - at:
                    raise _malformed("a length beyond its message")
                yield number, wire, at, at + length
                at += length
            elif wire == _VARINT:
                value, at = self._varint(at, end)
                yield number, wire, value, 0
            elif wire in {_FIXED64, _FIXED32}:
                size = 8 if wire == _FIXED64 else 4
                if size > end - at:
                    raise _malformed("a number beyond its message")
                yield number, wire, int.from_bytes(data[at : at + size], "little"), 0
                at += size
            else:
                raise _malformed(f"wire type {wire}")

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        data = self._data
        while at < end and shift < 70:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value & 0xFFFF_FFFF_FFFF_FFFF, at
            shift += 7
        raise _malformed("a number without an end")

    def _text(self, start: int, end: int) -> str:
        return self._data[start:end].decode("utf-8", "replace")

    # --- messages ---

    def resource_logs(self, start: int, end: int) -> Iterator[tuple[Scope, Said | None]]:
        resource: dict[str, Any] = {}
        groups = []
        for number, wire, at, to in self.fields(start, end):
            if number == 1:
                _length_only(wire)
                self._attributes_of(resource, at, to, 1)
            elif number == 2:
                _length_only(wire)
                groups.append((at, to))
        for at, to in groups:
            yield from self._scope_logs(resource, at, to)

    def _scope_logs(
        self, resource: dict[str, Any], start: int, end: int
    ) -> Iterator[tuple[Scope, Said | None]]:
        name = version = ""
        attributes: dict[str, Any] = {}
        records = []
        for number, wire, at, to in self.fields(start, end):
            if number not in {1, 2}:
                continue
            _length_only(wire)
            if number == 2:
                self._count()
                records.append((at, to))
                continue
            for inner, inner_wire, begin, stop in self.fields(at, to):
                if inner in {1, 2, 3}:
                    _length_only(inner_wire)
                if inner == 1:
                    name = self._text(begin, stop)
                elif inner == 2:
                    version = self._text(begin, stop)
                elif inner == 3:
                    self._attribute(attributes, begin, stop)
        scope = Scope(resource, name, version, attributes)
        for at, to in records:
            try:
                said: Said | None = self._record(at, to)
            except WireError:
                if self._left < 0:
                    raise
                said = None
            yield scope, said

    def _record(self, start: int, end: int) -> Said:
        values: dict[str, Any] = {}
        attributes: dict[str, Any] = {}
        for number, wire, at, to in self.fields(start, end):
            known = _RECORD.get(number)
            if known is None:
                continue
            name, expected = known
            if wire != expected:
                raise _malformed(f"wire type {wire} of {name}")
            if name == "attributes":
                self._attribute(attributes, at, to)
            elif name == "body":
                values[name] = self._value(at, to, 0)
            elif name in {"trace_id", "span_id"}:
                values[name] = self._data[at:to].hex() if to - at <= 32 else ""
            elif wire == _BYTES:
                values[name] = self._text(at, to)
            else:
                values[name] = at
        return Said(attributes=attributes, **values)

    def _attributes_of(self, found: dict[str, Any], start: int, end: int, wanted: int) -> None:
        for number, wire, at, to in self.fields(start, end):
            if number == wanted:
                _length_only(wire)
                self._attribute(found, at, to)

    def _attribute(self, found: dict[str, Any], start: int, end: int, depth: int = 0) -> None:
        key, value = "", None
        for number, wire, at, to in self.fields(start, end):
            if number == 1:
                _length_only(wire)
                key = self._text(at, to)
            elif number == 2:
                _length_only(wire)
                value = self._value(at, to, depth)
        found[key] = value

    def _value(self, start: int, end: int, depth: int) -> Any:
        self._count()
        if depth > DEPTH:
            raise _malformed("values nested too deep")
        value: Any = None
        for number, wire, at, to in self.fields(start, end):
            if number in {1, 5, 6, 7}:
                _length_only(wire)
            if number == 1:
                value = self._text(at, to)
            elif number == 2:
                value = bool(at)
            elif number == 3:
                value = at - (1 << 64) if at & _SIGN else at
            elif number == 4:
                value = _DOUBLE.unpack(at.to_bytes(8, "little"))[0]
            elif number == 5:
                value = [
                    self._value(begin, stop, depth + 1)
                    for inner, inner_wire, begin, stop in self.fields(at, to)
                    if inner == 1 and _length_only(inner_wire)
                ]
            elif number == 6:
                value = {}
                for inner, inner_wire, begin, stop in self.fields(at, to):
                    if inner == 1 and _length_only(inner_wire):
                        self._attribute(value, begin, stop, depth + 1)
            elif number == 7:
                value = self._data[at:to]
        return value

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _malformed(f"more than {MOST_VALUES} values")


_RECORD: Final = {
    1: ("time", _FIXED64),
    2: ("severity", _VARINT),
    3: ("text", _BYTES),
    5: ("body", _BYTES),
    6: ("attributes", _BYTES),
    7: ("dropped", _VARINT),
    9: ("trace_id", _BYTES),
    10: ("span_id", _BYTES),
    11: ("observed", _FIXED64),
    12: ("event", _BYTES),
}


def _length_only(wire: int) -> bool:
    """Raises WireError for a message or text that is a number."""
    if wire != _BYTES:
        raise _malformed(f"wire type {wire} of a message")
    return True


def _malformed(found: str) -> WireError:
    return WireError("no protobuf of an OTLP request", expected="ExportLogsServiceRequest", found=found)


# --- answers -------------------------------------------------------------------------------------------


def success(rejected: int, message: str) -> bytes:
    """An ExportLogsServiceResponse; with a message a partial success."""
    if not message:
        return b""
    partial = (_field(1, rejected) if rejected else b"") + encoded(2, message.encode())
    return encoded(1, partial)


def status(code: int, message: str) -> bytes:
    """A google.rpc.Status."""
    return _field(1, code) + encoded(2, message.encode())


def _field(number: int, value: int) -> bytes:
    return _number(number << 3 | _VARINT) + _number(value)


def encoded(number: int, value: bytes) -> bytes:
    """A field that holds a text, bytes or a message."""
    return _number(number << 3 | _BYTES) + _number(len(value)) + value


def _number(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)
