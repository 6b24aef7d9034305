"""Reads a pickle as data: an interpreter of its opcodes that can build nothing but plain values.

It knows every opcode of protocols 0 to 5 and runs none that would import, call or fill an object: what such
an opcode names becomes an `Opaque`. Plain values are None, bool, int, float, str, bytes, list, tuple and dict
with text keys; sets become lists. Python's own pickle module takes no part in it.

Bounds: opcodes (and with them stack, memo and containers), length of numbers. Values may still refer to one
another many times, or to themselves, so whoever walks through them has to count (see `plain`).
"""

from __future__ import annotations

import struct
from typing import Any, Final

from tabard.agents.intake.bridge.opcodes import RARE
from tabard.agents.intake.bridge.reading import Hostile, Reading, Unreadable, old_text, set_items, text

__all__ = ["Hostile", "Unreadable", "load"]

MOST_OPCODES: Final = 50_000
"""Opcodes of one pickle: a record of an application has a hundred. It bounds memory to some ten megabytes."""

_F8: Final = struct.Struct(">d").unpack_from
_I4: Final = struct.Struct("<i").unpack_from
_U4: Final = struct.Struct("<I").unpack_from
_U2: Final = struct.Struct("<H").unpack_from


def load(data: bytes) -> tuple[Any, int]:
    """The value of one pickle, and how many kinds of objects in it were named and not made.

    Raises:
        Hostile: it would have a function called that executes something.
        Unreadable: it is no pickle, is cut off, goes on behind its end, or exceeds a bound.
    """
    reading = Reading()
    try:
        end = _run(reading, data)
        if end != len(data):
            raise Unreadable(
                "bytes behind the end of a pickle", expected=f"{end}", found=f"{len(data)} bytes"
            )
        if len(reading.stack) != 1 or reading.marks:
            raise Unreadable("a pickle that leaves its work undone", expected="one value")
        return reading.stack[0], reading.opaque
    except (LookupError, ValueError, TypeError, AttributeError, OverflowError, struct.error) as error:
        raise Unreadable(
            "not a pickle of plain values",
            expected="opcodes of protocols 0 to 5",
            found=f"{type(error).__name__} within {len(data)} bytes",
        ) from error


def _run(reading: Reading, data: bytes) -> int:
    """Interpret; the position behind STOP. What a LogRecord is made of is done here, the rest by `RARE`."""
    stack, marks, memo = reading.stack, reading.marks, reading.memo
    push = stack.append
    size = len(data)
    at = 0
    for _ in range(MOST_OPCODES):
        code = data[at]
        at += 1
        if code == 0x58:  # BINUNICODE
            end = at + 4 + _U4(data, at)[0]
            if end >= size:
                raise IndexError
            push(text(data[at + 4 : end]))
            at = end
            if data[at] == 0x71:  # BINPUT nearly always follows
                memo[data[at + 1]] = stack[-1]
                at += 2
        elif code == 0x4E:  # NONE
            push(None)
        elif code == 0x4B:  # BININT1
            push(data[at])
            at += 1
        elif code == 0x47:  # BINFLOAT
            push(_F8(data, at)[0])
            at += 8
        elif code == 0x55 or code == 0x8C:  # SHORT_BINSTRING, SHORT_BINUNICODE  # noqa: PLR1714 -- faster
            end = at + 1 + data[at]
            if end >= size:
                raise IndexError
            push(text(data[at + 1 : end]) if code == 0x8C else old_text(data[at + 1 : end]))
            at = end
        elif code == 0x71:  # BINPUT
            memo[data[at]] = stack[-1]
            at += 1
        elif code == 0x94:  # MEMOIZE
            memo[len(memo)] = stack[-1]
        elif code == 0x4D:  # BININT2
            push(_U2(data, at)[0])
            at += 2
        elif code == 0x68:  # BINGET
            push(memo[data[at]])
            at += 1
        elif code == 0x4A:  # BININT
            push(_I4(data, at)[0])
            at += 4
        elif code == 0x75:  # SETITEMS
            set_items(stack, marks.pop())
        elif code == 0x28:  # MARK
            marks.append(len(stack))
        elif code == 0x7D:  # EMPTY_DICT
            push({})
        elif code == 0x2E:  # STOP
            return at
        else:
            at = RARE[code](reading, data, at)
    raise Unreadable("a pickle with too many opcodes", expected=f"at most {MOST_OPCODES}")
