"""Filters of the templates: values as people read them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tabard.web.scales import show_bytes
from tabard.web.zones import age, iso


def coordinate(value: float) -> str:
    """A number for a drawing: two decimals are far below a pixel."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def delay(seconds: float) -> str:
    """How long after it was said a record arrived; before it means that clocks differ."""
    if seconds < 0:
        return f"{age(-seconds)} before it was said: the clocks differ"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms later"
    return f"{age(seconds)} later"


def just_after(time: int) -> str:
    """The first instant after ``time``, for an exclusive end that includes it."""
    return iso(time + 1)


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "age": age,
    "bytes": show_bytes,
    "coordinate": coordinate,
    "delay": delay,
    "iso": iso,
    "just_after": just_after,
}
