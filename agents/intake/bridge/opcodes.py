"""The opcodes that few records have: those of old and new protocols, and all that speak of objects.

Each is a function of the reading, the bytes and the position behind the opcode; it returns the position behind
its arguments. One that would make, call or fill an object leaves an `Opaque` on the stack instead.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any, Final

from tabard.agents.intake.bridge.opaque import Opaque
from tabard.agents.intake.bridge.reading import (
    LONGEST_NUMBER,
    Reading,
    old_text,
    set_items,
    text,
    whole,
)

Step = Callable[[Reading, bytes, int], int]

_ESCAPE: Final = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPED: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"\\": b"\\", b"'": b"'", b'"': b'"'}
"""All that Python 2's repr of a str writes behind a backslash, besides two hexadecimal digits."""
_LENGTHS: Final = {1: "<B", 2: "<H", 4: "<I", 8: "<Q"}


def _line(data: bytes, at: int) -> tuple[bytes, int]:
    end = data.index(b"\n", at)
    return data[at:end], end + 1


def _counted(data: bytes, at: int, width: int) -> tuple[bytes, int]:
    """The bytes behind a length of `width` bytes, and the position behind them."""
    (length,) = struct.unpack_from(_LENGTHS[width], data, at)
    end = at + width + length
    if end > len(data):
        raise IndexError
    return data[at + width : end], end


def _pushing(value: Callable[[], Any]) -> Step:
    def step(reading: Reading, _data: bytes, at: int) -> int:
        reading.stack.append(value())
        return at

    return step


def _counting(width: int, made: Callable[[bytes], Any]) -> Step:
    def step(reading: Reading, data: bytes, at: int) -> int:
        raw, end = _counted(data, at, width)
        reading.stack.append(made(raw))
        return end

    return step


def _lining(made: Callable[[bytes], Any]) -> Step:
    def step(reading: Reading, data: bytes, at: int) -> int:
        raw, end = _line(data, at)
        reading.stack.append(made(raw))
        return end

    return step


# --- numbers and text -----------------------------------------------------------------------------------


def _decimal(raw: bytes) -> Any:
    """``INT`` and ``LONG``: digits, perhaps with an L behind them; 00 and 01 are what False and True were."""
    if raw in {b"00", b"01"}:
        return raw == b"01"
    digits = raw.removesuffix(b"L")
    return int(digits) if len(digits) <= LONGEST_NUMBER else f"<int of {len(digits)} digits>"


def _binary_int(raw: bytes) -> Any:
    if len(raw) > LONGEST_NUMBER:
        return f"<int of {len(raw)} bytes>"
    return int.from_bytes(raw, "little", signed=True)


def _float(raw: bytes) -> float:
    if len(raw) > LONGEST_NUMBER:
        raise ValueError
    return float(raw)


def _quoted(raw: bytes) -> str:
    """``STRING``: what Python 2's repr wrote of a str."""
    if len(raw) < 2 or raw[:1] != raw[-1:] or raw[:1] not in {b"'", b'"'}:
        raise ValueError
    return old_text(_ESCAPE.sub(_unescaped, raw[1:-1]))


def _unescaped(match: re.Match[bytes]) -> bytes:
    said = match[1]
    return bytes((int(said[1:], 16),)) if len(said) == 3 else _ESCAPED.get(said, match[0])


def _raw_unicode(raw: bytes) -> str:
    return whole(raw.decode("raw-unicode-escape"))


# --- stack, memo, containers ----------------------------------------------------------------------------


def _pop(reading: Reading, _data: bytes, at: int) -> int:
    if reading.marks and reading.marks[-1] == len(reading.stack):
        reading.marks.pop()
    else:
        reading.stack.pop()
    return at


def _pop_mark(reading: Reading, _data: bytes, at: int) -> int:
    reading.cut()
    return at


def _dup(reading: Reading, _data: bytes, at: int) -> int:
    reading.stack.append(reading.stack[-1])
    return at


def _put(reading: Reading, data: bytes, at: int) -> int:
    raw, end = _line(data, at)
    reading.memo[_index(raw)] = reading.stack[-1]
    return end


def _get(reading: Reading, data: bytes, at: int) -> int:
    raw, end = _line(data, at)
    reading.stack.append(reading.memo[_index(raw)])
    return end


def _index(raw: bytes) -> int:
    if len(raw) > LONGEST_NUMBER:
        raise ValueError
    return int(raw)


def _long_put(reading: Reading, data: bytes, at: int) -> int:
    reading.memo[struct.unpack_from("<I", data, at)[0]] = reading.stack[-1]
    return at + 4


def _long_get(reading: Reading, data: bytes, at: int) -> int:
    reading.stack.append(reading.memo[struct.unpack_from("<I", data, at)[0]])
    return at + 4


def _appends(reading: Reading, _data: bytes, at: int) -> int:
    values = reading.cut()
    _extend(reading.stack[-1], values)
    return at


def _append(reading: Reading, _data: bytes, at: int) -> int:
    value = reading.stack.pop()
    _extend(reading.stack[-1], [value])
    return at


def _extend(target: Any, values: list[Any]) -> None:
    if isinstance(target, list):
        target += values
    elif not isinstance(target, Opaque):
        raise TypeError


def _set_item(reading: Reading, _data: bytes, at: int) -> int:
    set_items(reading.stack, len(reading.stack) - 2)
    return at


def _dict(reading: Reading, _data: bytes, at: int) -> int:
    start = reading.marks.pop()
    reading.stack.insert(start, {})
    set_items(reading.stack, start + 1)
    return at


def _list(reading: Reading, _data: bytes, at: int) -> int:
    reading.stack.append(reading.cut())
    return at


def _tuple(reading: Reading, _data: bytes, at: int) -> int:
    reading.stack.append(tuple(reading.cut()))
    return at


def _short_tuple(width: int) -> Step:
    def step(reading: Reading, _data: bytes, at: int) -> int:
        if len(reading.stack) < width:
            raise IndexError
        found = tuple(reading.stack[-width:])
        del reading.stack[-width:]
        reading.stack.append(found)
        return at

    return step


# --- objects: none is made ------------------------------------------------------------------------------


def _global(reading: Reading, data: bytes, at: int) -> int:
    module, at = _line(data, at)
    name, at = _line(data, at)
    reading.name(module.decode("utf-8", "replace"), name.decode("utf-8", "replace"))
    return at


def _stack_global(reading: Reading, _data: bytes, at: int) -> int:
    name, module = reading.stack.pop(), reading.stack.pop()
    reading.name(module, name)
    return at


def _reduce(reading: Reading, _data: bytes, at: int) -> int:
    arguments, function = reading.stack.pop(), reading.stack.pop()
    reading.call(function, arguments)
    return at


def _new_object_ex(reading: Reading, data: bytes, at: int) -> int:
    reading.stack.pop()  # keywords
    return _reduce(reading, data, at)


def _instance(reading: Reading, data: bytes, at: int) -> int:
    arguments = tuple(reading.cut())
    at = _global(reading, data, at)
    reading.call(reading.stack.pop(), arguments)
    return at


def _object(reading: Reading, _data: bytes, at: int) -> int:
    made = reading.cut()
    reading.call(made[0], tuple(made[1:]))
    return at


def _build(reading: Reading, _data: bytes, at: int) -> int:
    state = reading.stack.pop()  # of something that does not exist
    reading.check_state(reading.stack[-1], state)
    return at


def _extension(width: int) -> Step:
    def step(reading: Reading, data: bytes, at: int) -> int:
        number = int.from_bytes(data[at : at + width], "little")
        reading.leave(f"extension {number}")
        return at + width

    return step


def _persistent(reading: Reading, data: bytes, at: int) -> int:
    at = _line(data, at)[1]
    reading.stack.append(None)
    return _binary_persistent(reading, data, at)


def _binary_persistent(reading: Reading, _data: bytes, at: int) -> int:
    reading.stack.pop()
    reading.leave("persistent object")
    return at


def _next_buffer(reading: Reading, _data: bytes, at: int) -> int:
    reading.leave("buffer")
    return at


def _skipping(width: int) -> Step:
    def step(_reading: Reading, data: bytes, at: int) -> int:
        if at + width > len(data):
            raise IndexError
        return at + width

    return step


RARE: Final[dict[int, Step]] = {
    ord(code): step
    for code, step in {
        "0": _pop,
        "1": _pop_mark,
        "2": _dup,
        "F": _lining(_float),
        "I": _lining(_decimal),
        "L": _lining(_decimal),
        "P": _persistent,
        "Q": _binary_persistent,
        "R": _reduce,
        "S": _lining(_quoted),
        "T": _counting(4, old_text),
        "V": _lining(_raw_unicode),
        "X": _counting(4, text),
        "a": _append,
        "b": _build,
        "c": _global,
        "d": _dict,
        "e": _appends,
        "g": _get,
        "i": _instance,
        "j": _long_get,
        "l": _list,
        "o": _object,
        "p": _put,
        "r": _long_put,
        "s": _set_item,
        "t": _tuple,
        ")": _pushing(tuple),
        "]": _pushing(list),
        "B": _counting(4, bytes),
        "C": _counting(1, bytes),
        "\x80": _skipping(1),  # PROTO
        "\x81": _reduce,  # NEWOBJ
        "\x82": _extension(1),
        "\x83": _extension(2),
        "\x84": _extension(4),
        "\x85": _short_tuple(1),
        "\x86": _short_tuple(2),
        "\x87": _short_tuple(3),
        "\x88": _pushing(lambda: True),
        "\x89": _pushing(lambda: False),
        "\x8a": _counting(1, _binary_int),
        "\x8b": _counting(4, _binary_int),
        "\x8d": _counting(8, text),
        "\x8e": _counting(8, bytes),
        "\x8f": _pushing(list),  # EMPTY_SET
        "\x90": _appends,  # ADDITEMS
        "\x91": _list,  # FROZENSET
        "\x92": _new_object_ex,
        "\x93": _stack_global,
        "\x95": _skipping(8),  # FRAME
        "\x96": _counting(8, bytes),  # BYTEARRAY8
        "\x97": _next_buffer,
        "\x98": _skipping(0),  # READONLY_BUFFER
    }.items()
}
