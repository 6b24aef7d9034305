"""Bad input by the thousand: valid bytes that are changed a little, values that fit nowhere, bombs."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

import msgpack

MEGABYTE: Final = 1_048_576

BOMBS: Final = (
    b"\xdd" + (MEGABYTE - 5).to_bytes(4, "big") + b"\x80" * (MEGABYTE - 5),  # a million empty maps
    b"\xdd" + (MEGABYTE - 5).to_bytes(4, "big") + b"\x90" * (MEGABYTE - 5),  # a million empty arrays
    b"\x91" * (MEGABYTE - 1) + b"\xc0",  # arrays within arrays
    b"\x81\xa1k" * 300_000 + b"\xc0",  # maps within maps
    b"\xdd\xff\xff\xff\xff",  # four thousand million elements, it says
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",  # a blob of four gigabytes, it says
    b"\xdb\xff\xff\xff\xff",
    b"\xc9\x7f\xff\xff\xff\x01",  # an extension type of two gigabytes
    b"\xdc\xff\xff" + b"\xc4\x00" * 65_535,
)
"""msgpack that becomes much more than it is, or claims to."""

_ODD: Final[tuple[Any, ...]] = (
    None,
    True,
    0,
    -1,
    2**63 - 1,
    2**64 - 1,
    -(2**63),
    1e308,
    float("nan"),
    float("inf"),
    b"",
    b"\0" * 16,
    b"\xff" * 32,
    "",
    "\0",
    "../../etc/passwd",
    "%s%s%s",
    "\ud7ff" * 50,
    "x" * 5_000,
    (),
    {},
    {b"k": 1},
    {"k": {b"k": {"k": None}}},
    [[[[[[[[]]]]]]]],
    list(range(300)),
    msgpack.ExtType(1, b"x"),
    msgpack.Timestamp(1, 1),
)
"""Values that have no business where a number, a name or a blob is expected."""


def mutate(data: bytes, random: Random) -> bytes:
    """`data` with a few bytes changed, cut, put in, repeated or put in place of all."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        at = random.randrange(len(changed) + 1)
        width = random.choice((1, 1, 2, 4, 8, 40))
        what = random.randrange(6)
        if what == 0:
            changed[at : at + width] = random.randbytes(min(width, len(changed) - at))
        elif what == 1:
            del changed[at : at + width]
        elif what == 2:
            changed[at:at] = random.randbytes(width)
        elif what == 3:
            del changed[at:]
        elif what == 4 and at < len(changed):
            changed[at] ^= 1 << random.randrange(8)
        else:
            changed[at:at] = changed[at : at + width] * random.choice((1, 3, 100))
    return bytes(changed)


def replace_value(packed: bytes, random: Random) -> bytes:
    """A msgpack value with one of the values within it replaced by an odd one; valid msgpack again."""
    return _pack(_replaced(msgpack.unpackb(packed, strict_map_key=False), random))


def odd(random: Random) -> Any:
    """A value that fits nowhere."""
    return random.choice(_ODD)


def _replaced(value: Any, random: Random) -> Any:
    if isinstance(value, list) and value and random.random() < 0.9:
        at = random.randrange(len(value))
        deed = random.randrange(8)
        if deed == 0:
            return value[:at]
        if deed == 1:
            return [*value[:at], odd(random), *value[at:]]
        return [*value[:at], _replaced(value[at], random), *value[at + 1 :]]
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = random.choice(list(value))
        return {**value, key: _replaced(value[key], random)}
    if isinstance(value, int) and random.random() < 0.5:
        return value + random.choice((-1, 1, 255, 2**16, 2**31))
    return odd(random)


def _pack(value: Any) -> bytes:
    try:
        packed: bytes = msgpack.packb(value)
    except (OverflowError, ValueError, struct.error):
        return b"\xc1"  # the one byte that msgpack never uses
    return packed


def blend(random: Random, *ways: Callable[[], bytes]) -> bytes:
    """What one of `ways` makes."""
    return random.choice(ways)()


def spoil(frames: Sequence[bytes], random: Random) -> list[bytes]:
    """A message with frames left out, doubled, swapped, emptied or changed."""
    spoiled = list(frames)
    at = random.randrange(len(spoiled))
    deed = random.randrange(9)
    if deed == 0:
        del spoiled[at]
    elif deed == 1:
        spoiled.insert(at, spoiled[at])
    elif deed == 2:
        other = random.randrange(len(spoiled))
        spoiled[at], spoiled[other] = spoiled[other], spoiled[at]
    elif deed == 3:
        spoiled[at] = b""
    elif deed == 4:
        spoiled[at] = random.randbytes(random.choice((1, 20, 2_000)))
    elif deed == 5:
        spoiled[2] = replace_value(spoiled[2], random) if spoiled[2] else b""
    elif deed == 6:
        spoiled[1] = replace_value(spoiled[1], random) if spoiled[1] else odd_bytes(random)
    else:
        spoiled[at] = mutate(spoiled[at], random)
    return spoiled or [b""]


def odd_bytes(random: Random) -> bytes:
    """An odd value, packed."""
    return _pack(odd(random))
