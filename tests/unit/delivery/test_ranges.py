"""Which sequence numbers are stored: held against a plain set, and the chain of digests against the batches."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.brokers.delivery.ranges import (
    MAX_RANGES,
    UNKNOWN,
    ChainBroken,
    Range,
    Ranges,
    TooManyRanges,
    decode_ranges,
    ranges_from,
)
from tabard.errors import WireError

CUTS = st.lists(st.integers(1, 4), min_size=1, max_size=40)
"""Widths of the batches of an epoch."""


def digest(seq: int) -> bytes:
    """The digest of the batch that ends at `seq`."""
    return seq.to_bytes(32, "big")


def batches(widths: list[int]) -> list[Range]:
    """An epoch cut into batches."""
    found, last = [], 0
    for width in widths:
        found.append(Range(last + 1, last + width, digest(last), digest(last + width)))
        last += width
    return found


def held(ranges: Ranges) -> set[int]:
    """The numbers."""
    return {seq for item in ranges for seq in range(item.lo, item.hi + 1)}


def separate(ranges: Ranges) -> bool:
    """Whether they rise and neither touch nor overlap."""
    items = ranges.items
    return all(a.lo <= a.hi and a.hi + 1 < b.lo for a, b in pairwise(items))


@given(CUTS, st.data())
def test_adding_in_any_order_is_a_union(widths: list[int], data: st.DataObject) -> None:
    """Neighbours join, at most eight ranges stay, and what does not fit changes nothing."""
    ranges = Ranges()
    model: set[int] = set()
    for batch in data.draw(st.permutations(batches(widths))):
        assert ranges.overlaps(batch.lo, batch.hi) == bool(model & set(range(batch.lo, batch.hi + 1)))
        before = ranges.copy()
        try:
            ranges.add(batch)
            model |= set(range(batch.lo, batch.hi + 1))
        except TooManyRanges:
            assert ranges == before and len(before) == MAX_RANGES
        assert held(ranges) == model and separate(ranges) and len(ranges) <= MAX_RANGES
        for item in ranges:
            assert (item.before, item.after) == (digest(item.lo - 1), digest(item.hi))
    last = sum(widths)
    assert ranges.high == max(model, default=0)
    assert ranges.solid == next((seq for seq in range(last + 1) if seq + 1 not in model), last)
    for start in (1, 2, last):
        missing = {seq for lo, hi in ranges.holes(last, start) for seq in range(lo, hi + 1)}
        assert missing == set(range(start, last + 1)) - model
    for seq in range(last + 2):
        around = ranges.covering(seq)
        assert (around is not None) == (seq in model) and (around is None or around.lo <= seq <= around.hi)
    assert decode_ranges(ranges.encode()) == ranges


@given(CUTS, st.data())
def test_what_two_sinks_have_in_common_is_the_intersection(widths: list[int], data: st.DataObject) -> None:
    """Digests are known only at edges that are edges of both."""
    some = [Ranges(), Ranges()]
    for ranges in some:
        for batch in batches(widths):
            if data.draw(st.booleans()):
                try:
                    ranges.add(batch)
                except TooManyRanges:
                    break
    common = some[0].common(some[1])
    assert held(common) == held(some[0]) & held(some[1])
    for item in common:
        assert item.after in (UNKNOWN, digest(item.hi)) and item.before in (UNKNOWN, digest(item.lo - 1))


@pytest.mark.parametrize("where", ["before", "behind"])
def test_neighbours_with_another_digest_do_not_join(where: str) -> None:
    """Whatever the chain of digests does not hold together came from two histories; nothing is changed."""
    ranges = Ranges([Range(5, 9, digest(4), digest(9))])
    before = ranges.copy()
    odd = Range(10, 12, b"?" * 32, digest(12)) if where == "behind" else Range(2, 4, digest(1), b"?" * 32)
    with pytest.raises(ChainBroken) as broken:
        ranges.add(odd)
    assert broken.value.seq == (10 if where == "behind" else 5)
    assert ranges == before


def test_an_unknown_digest_fits_everything() -> None:
    """The edge of a gap that nobody can read."""
    ranges = Ranges([Range(5, 9, digest(4), UNKNOWN)])
    ranges.add(Range(10, 12, b"?" * 32, digest(12)))
    ranges.add(Range(1, 4, digest(0), UNKNOWN))
    assert ranges.items == [Range(1, 12, digest(0), digest(12))]


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        ((1, 2, b"", b""),) * (MAX_RANGES + 1),
        ((2, 1, b"", b""),),
        ((0, 1, b"", b""),),
        ((1, 2, b""),),
        ((1, 2, "", b""),),
        ((True, 2, b"", b""),),
        ((1, 4, b"", b""), (4, 6, b"", b"")),
        (7,),
    ],
)
def test_what_is_no_cursor_is_refused(value: object) -> None:
    """Too many, falling, overlapping, or of wrong types."""
    with pytest.raises(WireError):
        ranges_from(value)
