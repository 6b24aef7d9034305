"""What the envelope of a message that is no batch says of the one hop it is about to take. Unsigned, and written anew at each hop.

Downwards every broker and recorder numbers what it sends to a topic, so that whoever is below sees what a hop lost; and a broker
may add how much it lets a node send (`Cap`), which can only lessen what the sink's signed credit allows. A beacon says how
many messages its node handed up over this connection, and what it saw of those that came down.

An empty envelope says nothing: it is that of earlier editions. What is forged here loses no record and delivers none.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from tabard.brokers.wire.codec import is_version, pack, shown, unpack
from tabard.brokers.wire.streams import STREAM_NAMES
from tabard.errors import WireError

HOP_VERSION: Final = 1
BOOT_BYTES: Final = 8
MOST: Final = 256
"""Bytes of such an envelope."""
_MOST_COUNT: Final = 2**63


class Cap(NamedTuple):
    """How much of one stream a link lets its node send in this session; the node takes the smaller of it and its credit."""

    stream: int
    bytes: int | None
    """That may have been sent in the session in all; None: the broker does not know what was, and wants a beacon."""


class Descent(NamedTuple):
    """The envelope of a cursor, hello or retirement."""

    boot: bytes
    """8 random bytes of this start of the sender."""
    session: int
    """Rises when a peer asks for the topic anew: only numbers of one boot and session can be compared."""
    number: int
    """Messages of this topic since the start of the sender, this one included."""
    caps: tuple[Cap, ...] = ()


class Ascent(NamedTuple):
    """The envelope of a beacon."""

    boot: bytes
    """8 random bytes of this start of the node."""
    session: int
    """Rises with each connection that the node makes."""
    number: int
    """Messages handed up since the start of the node, this one included."""
    down_sent: int
    """What came down, compared: as the broker numbered it,"""
    down_received: int
    """and as it was received."""


def encode_descent(descent: Descent) -> bytes:
    """For the envelope of what goes down."""
    return pack((HOP_VERSION, *descent))


def encode_ascent(ascent: Ascent) -> bytes:
    """For the envelope of a beacon."""
    return pack((HOP_VERSION, *ascent))


def decode_descent(data: bytes) -> Descent | None:
    """Decode and check; None of an empty one. Raises WireError. What a later edition adds at the end is passed over."""
    if not data:
        return None
    boot, session, number, caps = _fields(data, 4, "descent")
    if (
        not isinstance(caps, tuple)
        or len(caps) > len(STREAM_NAMES)
        or not all(map(_is_cap, caps))
        or len({cap[0] for cap in caps}) != len(caps)
    ):
        raise WireError(
            "malformed caps", expected="a stream and bytes or nil, each stream once", found=shown(caps)
        )
    _numbers(session, number)
    return Descent(boot, session, number, tuple(Cap(*cap) for cap in caps))


def decode_ascent(data: bytes) -> Ascent | None:
    """Decode and check; None of an empty one. Raises WireError. What a later edition adds at the end is passed over."""
    if not data:
        return None
    boot, *numbers = _fields(data, 5, "ascent")
    _numbers(*numbers)
    return Ascent(boot, *numbers)


def _fields(data: bytes, count: int, what: str) -> tuple[Any, ...]:
    value = unpack(data, limit=MOST, items=16, maps=False)
    if not isinstance(value, tuple) or len(value) < count + 1 or not is_version(value[0], HOP_VERSION):
        raise WireError(
            f"no {what} of this version",
            expected=f"{count + 1} fields, version {HOP_VERSION}",
            found=shown(value),
        )
    if not isinstance(value[1], bytes) or len(value[1]) != BOOT_BYTES:
        raise WireError(f"a {what} of no start", expected=f"{BOOT_BYTES} bytes", found=shown(value[1]))
    return value[1 : count + 1]


def _numbers(*values: object) -> None:
    for value in values:
        if not _is_count(value):
            raise WireError("a wrong number of a hop", expected="an integer from 0 on", found=shown(value))


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < _MOST_COUNT


def _is_cap(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and type(value[0]) is int
        and value[0] in STREAM_NAMES
        and (value[1] is None or _is_count(value[1]))
    )
