"""The points of a gap: bytes that are checked before anything is made of them."""

from __future__ import annotations

from typing import Any

import pytest

from tabard.brokers.wire.batch import MAX_SEQ
from tabard.brokers.wire.body import decode_gap
from tabard.brokers.wire.codec import pack, unpack
from tabard.brokers.wire.points import MAX_POINTS, POINT_BYTES, Point, decode_points, encode_points
from tabard.errors import WireError

MARK = b"m" * 8
GAP: dict[str, Any] = {"reason": "quota", "count": 9, "at_least": False, "last_digest": b"d" * 32}
EARLIER_LIMIT = 16_384
"""Bytes of a gap that earlier editions decode, with at most 64 elements in a list."""


def test_points_come_back_as_they_were() -> None:
    """As many as there may be, up to the last sequence number there is."""
    points = tuple(Point(seq, MARK) for seq in (*range(1, MAX_POINTS), MAX_SEQ))
    assert decode_points(encode_points(points)) == points
    assert decode_gap(pack({**GAP, "points": encode_points(points)})).points == points


def test_a_gap_of_an_earlier_edition_has_none() -> None:
    """An old journal still holds such, and an old node sends them."""
    assert decode_gap(pack(GAP)).points == ()


def test_an_earlier_edition_can_read_a_gap_with_points() -> None:
    """It passes over what it does not know, within the limits that it always had."""
    points = encode_points(Point(seq, MARK) for seq in range(1, MAX_POINTS + 1))
    body = pack({**GAP, "open": b"o" * 8_192, "points": points})
    assert unpack(body, limit=EARLIER_LIMIT, items=64)["count"] == 9


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        "text",
        [(1, MARK)],
        b"x",
        encode_points([Point(1, MARK)]) + b"x",
        encode_points([Point(0, MARK)]),
        encode_points([Point(2, MARK), Point(2, MARK)]),
        encode_points([Point(3, MARK), Point(2, MARK)]),
        encode_points([Point(MAX_SEQ + 1, MARK)]),
        bytes(POINT_BYTES) * (MAX_POINTS + 1),
    ],
)
def test_anything_else_is_refused(value: Any) -> None:
    """No bytes, cut short, too many, or not rising from 1 on."""
    with pytest.raises(WireError, match="points"):
        decode_gap(pack({**GAP, "points": value}))
