"""Axes: a round upper end, evenly spaced marks, numbers with units that fit beside a small chart."""

from __future__ import annotations

import math


def nice_ceiling(value: float, *, binary: bool = False) -> float:
    """A round number not far above ``value``: 1, 2, 4, 5, 6 or 8 times a power of ten; 1 for nothing at all.

    With ``binary`` a power of two, so that a scale in KiB or GiB has round halves.
    """
    if value < 1e-9:
        return 1
    if binary:
        return float(2 ** math.ceil(math.log2(value)))
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 4, 5, 6, 8, 10, 20) if factor * power >= value)


def spaced(start: int, end: int, count: int) -> list[int]:
    """``count`` numbers from ``start`` to ``end``, both included, evenly spaced."""
    return [start + (end - start) * part // (count - 1) for part in range(count)]


def show_bytes(size: float) -> str:
    """``0 B``, ``512 KiB``, ``1.5 GiB``: at most three digits."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 1000 or unit == "TiB":
            return f"{show_number(size)} {unit}"
        size /= 1024
    raise AssertionError("the last unit takes every size")


def show_number(value: float) -> str:
    """``0``, ``0.25``, ``3.5``, ``12``, ``1,204``: no more digits than a small chart can hold."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f}".rstrip("0").rstrip(".")
