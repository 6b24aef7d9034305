"""Which sequence numbers of an epoch are stored: at most eight closed ranges.

Each range remembers the digest that its first batch names as predecessor (`before`) and the digest of
its last batch (`after`), so that neighbours are joined only where the chain of digests holds. An
empty digest is unknown (the edge of a gap that nobody can read) and fits everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from tabard.brokers.wire.codec import pack, shown, unpack
from tabard.errors import WireError

MAX_RANGES: Final = 8
UNKNOWN: Final = b""


class Range(NamedTuple):
    """Sequence numbers `lo` to `hi`, both stored, and all between them."""

    lo: int
    hi: int
    before: bytes
    after: bytes


class ChainBroken(Exception):
    """Raised when a batch does not fit the digests next to it: one side was rolled back."""

    def __init__(self, seq: int) -> None:
        super().__init__(f"the chain of digests breaks at {seq}")
        self.seq = seq


class TooManyRanges(Exception):
    """Raised when one more hole would not fit into a cursor; the batch is asked for again later."""


class Ranges:
    """A cursor's ranges, in rising order, never touching or overlapping."""

    __slots__ = ("items",)

    def __init__(self, items: Iterable[Range] = ()) -> None:
        self.items: list[Range] = list(items)

    def __iter__(self) -> Iterator[Range]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self.items == other.items

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "Ranges(" + ", ".join(f"{item.lo}..{item.hi}" for item in self.items) + ")"

    def copy(self) -> Ranges:
        """An independent copy."""
        return Ranges(self.items)

    @property
    def high(self) -> int:
        """The highest stored sequence number, 0 when there is none."""
        return self.items[-1].hi if self.items else 0

    @property
    def solid(self) -> int:
        """The last of the unbroken run from 1 on, 0 when there is none."""
        return self.items[0].hi if self.items and self.items[0].lo == 1 else 0

    def covering(self, seq: int) -> Range | None:
        """The range that holds `seq`."""
        for item in reversed(self.items):
            if item.lo <= seq:
                return item if seq <= item.hi else None
        return None

    def overlaps(self, lo: int, hi: int) -> bool:
        """Whether any of `lo` to `hi` is stored."""
        return any(item.lo <= hi and lo <= item.hi for item in self.items)

    def holes(self, upto: int, start: int = 1) -> list[tuple[int, int]]:
        """The closed ranges between `start` and `upto` that are not stored."""
        found: list[tuple[int, int]] = []
        at = start
        for item in self.items:
            if item.lo > upto:
                break
            if item.lo > at:
                found.append((at, item.lo - 1))
            at = max(at, item.hi + 1)
        if at <= upto:
            found.append((at, upto))
        return found

    def add(self, new: Range) -> None:
        """Store `new`, which overlaps nothing stored; joins neighbours whose digests agree.

        Raises:
            ChainBroken: a neighbour's digest differs. Nothing is changed.
            TooManyRanges: it would be the ninth range. Nothing is changed.
        """
        items = self.items
        if items and items[-1].hi + 1 == new.lo:
            last = items[-1]
            _must_join(last, new)
            items[-1] = Range(last.lo, new.hi, last.before, new.after)
            return
        place = next((n for n, item in enumerate(items) if item.lo > new.hi), len(items))
        start, end = place, place
        joined = new
        if place > 0 and items[place - 1].hi + 1 == new.lo:
            _must_join(items[place - 1], new)
            joined = Range(items[place - 1].lo, joined.hi, items[place - 1].before, joined.after)
            start = place - 1
        if place < len(items) and new.hi + 1 == items[place].lo:
            _must_join(new, items[place])
            joined = Range(joined.lo, items[place].hi, joined.before, items[place].after)
            end = place + 1
        if len(items) - (end - start) + 1 > MAX_RANGES:
            raise TooManyRanges
        items[start:end] = [joined]

    def common(self, other: Ranges) -> Ranges:
        """What is stored in both. Digests at a cut are unknown."""
        found: list[Range] = []
        for a in self.items:
            for b in other.items:
                lo, hi = max(a.lo, b.lo), min(a.hi, b.hi)
                if lo <= hi:
                    before = a.before if lo == a.lo else UNKNOWN
                    after = a.after if hi == a.hi else UNKNOWN
                    found.append(Range(lo, hi, before, after))
        return Ranges(found)

    def encode(self) -> bytes:
        """The stored form."""
        return pack([tuple(item) for item in self.items])


def _must_join(left: Range, right: Range) -> None:
    if left.after and right.before and left.after != right.before:
        raise ChainBroken(right.lo)


def decode_ranges(data: bytes) -> Ranges:
    """Ranges from their stored form."""
    return ranges_from(unpack(data, limit=4096, items=MAX_RANGES, maps=False))


def ranges_from(value: Any) -> Ranges:
    """Ranges from decoded values.

    Raises:
        WireError: not at most eight rising, separate, closed ranges.
    """
    if not isinstance(value, tuple) or len(value) > MAX_RANGES:
        raise WireError(
            "a cursor with wrong ranges", expected=f"at most {MAX_RANGES} ranges", found=shown(value)
        )
    ranges = Ranges()
    high = 0
    for item in value:
        fits = (
            isinstance(item, tuple)
            and len(item) == 4
            and type(item[0]) is int
            and type(item[1]) is int
            and isinstance(item[2], bytes)
            and isinstance(item[3], bytes)
            and high < item[0] <= item[1]
        )
        if not fits:
            raise WireError(
                "a cursor with a wrong range",
                expected="[lo, hi, before, after], rising",
                found=shown(item),
            )
        ranges.items.append(Range(*item))
        high = item[1]
    return ranges
