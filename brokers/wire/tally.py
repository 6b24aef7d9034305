"""What a broker sent on its links, by number: the body of its heartbeat, which goes one hop.

A tally follows what it counts through the same connection, so whoever reads it has received all of that, or it is lost.
Brokers of earlier editions send heartbeats without a body, and do not look at that of others.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tabard.brokers.wire.codec import is_version, pack, shown, unpack
from tabard.errors import WireError

TALLY_VERSION: Final = 1
BOOT_BYTES: Final = 8
MOST_SENT: Final = 512
"""Rows of one tally; where there are more of them they take turns."""
MOST_KEY: Final = 128
"""Characters of a key."""
_MOST_COUNT: Final = 2**63
_FIELDS: Final = 4


class Sent(NamedTuple):
    """How much was sent under one key."""

    key: str
    """Downwards the name of the broker below, upwards ``SINK/SHARD``."""
    session: int
    """Rises when a peer connected anew: only numbers of the same session can be compared."""
    number: int
    """Messages since the broker started."""


class Told(NamedTuple):
    """What the sender of the tally compared of the other lane: so both ends know of both lanes."""

    peer: str
    """Whose messages they are."""
    sent: int
    received: int


class Tally(NamedTuple):
    """All of it."""

    boot: bytes
    """8 random bytes of this start of the broker."""
    sent: tuple[Sent, ...]
    told: tuple[Told, ...]
    ways: int = 1
    """How many brokers above it the sender knows: with two, silence may mean that it uses the other one."""


def encode_tally(tally: Tally) -> bytes:
    """For the body of a heartbeat."""
    return pack((TALLY_VERSION, *tally))


def decode_tally(body: bytes) -> Tally | None:
    """Decode and check; None of an empty body. Raises WireError. What a later edition adds at the end is passed over."""
    if not body:
        return None
    value = unpack(body, maps=False)
    if not isinstance(value, tuple) or len(value) < _FIELDS or not is_version(value[0], TALLY_VERSION):
        raise WireError(
            "not a tally of this version",
            expected=f"{_FIELDS} fields, version {TALLY_VERSION}",
            found=shown(value),
        )
    boot, sent, told = value[1:_FIELDS]
    if not isinstance(boot, bytes) or len(boot) != BOOT_BYTES:
        raise WireError("a tally of no start", expected=f"{BOOT_BYTES} bytes", found=shown(boot))
    for rows in (sent, told):
        if not isinstance(rows, tuple) or len(rows) > MOST_SENT or not all(_is_row(row) for row in rows):
            raise WireError(
                "a malformed tally",
                expected=f"at most {MOST_SENT} rows of a key and two numbers",
                found=shown(rows),
            )
    ways = value[_FIELDS] if len(value) > _FIELDS else 1
    if type(ways) is not int or ways < 1:
        raise WireError("a malformed tally", expected="a number of ways", found=shown(ways))
    return Tally(boot, tuple(Sent(*row) for row in sent), tuple(Told(*row) for row in told), ways)


def _is_row(row: object) -> bool:
    return (
        isinstance(row, tuple)
        and len(row) == 3
        and isinstance(row[0], str)
        and len(row[0]) <= MOST_KEY
        and all(type(number) is int and 0 <= number < _MOST_COUNT for number in row[1:])
    )
