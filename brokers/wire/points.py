"""Points of a gap: where batches ended that stood in its range, and the mark of each.

A digest commits to all that came before it in its epoch. So a sink whose stored records end at a point, with the same
digest, knows that all it has up to there is what the node had, and that exactly the rest of the gap is lost.

In the body of a gap they are bytes, not a list: earlier editions refuse a gap with a list so long, and look at no bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Any, Final, NamedTuple

from tabard.brokers.wire.batch import MAX_SEQ
from tabard.brokers.wire.codec import shown
from tabard.errors import WireError

MAX_POINTS: Final = 448
"""With the largest opening beside them, earlier editions can still read the gap."""
MARK_BYTES: Final = 8
_POINT: Final = Struct(f">Q{MARK_BYTES}s")
POINT_BYTES: Final = _POINT.size


class Point(NamedTuple):
    """The end of a batch."""

    seq: int
    """Its last sequence number."""
    mark: bytes
    """The first 8 bytes of its digest."""


def mark_of(digest: bytes) -> bytes:
    """How a point names the batch with this digest."""
    return digest[:MARK_BYTES]


def encode_points(points: Iterable[Point]) -> bytes:
    """The bytes of points that rise."""
    return b"".join(_POINT.pack(*point) for point in points)


def decode_points(value: Any) -> tuple[Point, ...]:
    """Check and decode points.

    Raises:
        WireError: no bytes, too many, cut short, or sequence numbers that do not rise.
    """
    if not isinstance(value, bytes) or len(value) % POINT_BYTES or len(value) > MAX_POINTS * POINT_BYTES:
        raise WireError(
            "a gap with wrong points",
            expected=f"up to {MAX_POINTS} points of {POINT_BYTES} bytes",
            found=f"{len(value)} bytes" if isinstance(value, bytes) else shown(value),
        )
    points = tuple(Point(*fields) for fields in _POINT.iter_unpack(value))
    before = 0
    for point in points:
        if not before < point.seq <= MAX_SEQ:
            raise WireError(
                "a gap with points out of order",
                expected=f"rising from 1 to {MAX_SEQ}",
                found=f"{point.seq} behind {before}",
            )
        before = point.seq
    return points
