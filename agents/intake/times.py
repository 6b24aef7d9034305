"""Times as programs write them, made into nanoseconds since 1970-01-01 UTC.

A time without a zone is this host's local time, as its program meant it. What is no time, or lies
outside of what a record can hold, is None.
"""

from __future__ import annotations

import re
import time
from datetime import date
from typing import Any, Final

from tabard.records import TIME_MAX, TIME_MIN

SECOND: Final = 1_000_000_000
_DAY: Final = 86_400
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_NUMBER: Final = re.compile(r"\d{1,19}(?:\.\d{1,9})?", re.ASCII)

ISO: Final = (
    r"(?P<year>\d{4})[-/](?P<month>\d\d)[-/](?P<day>\d\d)[T ](?P<hour>\d\d):(?P<minute>\d\d)"
    r"(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?: ?(?P<zone>Z\b|UTC\b|GMT\b|[+-]\d\d(?::?\d\d)?\b))?"
)
"""The pattern of an ISO 8601 time and its relatives (blank for T, comma for the point, slashes)."""
_ISO: Final = re.compile(ISO, re.ASCII)
_BASIC: Final = re.compile(
    r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)T(?P<hour>\d\d)(?P<minute>\d\d)"
    r"(?:(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?(?P<zone>Z|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII,
)
"""The basic form of ISO 8601, without hyphens and colons."""


def parse_time(value: Any) -> int | None:
    """A time said in JSON: ISO 8601, or a number of seconds, milli-, micro- or nanoseconds by its size."""
    if isinstance(value, str):
        text = value.strip().upper()
        if match := _ISO.fullmatch(text) or _BASIC.fullmatch(text):
            return from_iso(match)
        if _NUMBER.fullmatch(text):
            value = float(text) if "." in text else int(text)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return _from_number(value)


def from_iso(match: re.Match[str]) -> int | None:
    """The time of a match of `ISO`, possibly within a larger pattern."""
    year, month, day, hour, minute, second, fraction, zone = match.group(
        "year", "month", "day", "hour", "minute", "second", "fraction", "zone"
    )
    return compose(
        (int(year), int(month), int(day), int(hour), int(minute), int(second or 0)),
        nanoseconds=int(fraction.ljust(9, "0")) if fraction else 0,
        offset=None if zone is None else zone_offset(zone),
    )


def zone_offset(zone: str) -> int:
    """Seconds east of Greenwich of ``+0100``, ``+01:00``, ``-05``, ``Z``, ``UTC`` or ``GMT``."""
    if zone[0] not in "+-":
        return 0
    digits = zone[1:].replace(":", "")
    seconds = int(digits[:2]) * 3_600 + int(digits[2:] or 0) * 60
    return -seconds if zone[0] == "-" else seconds


def compose(
    moment: tuple[int, int, int, int, int, int], *, nanoseconds: int = 0, offset: int | None = None
) -> int | None:
    """Year, month, day, hour, minute, second at ``offset`` seconds east of Greenwich (None: local)."""
    year, month, day, hour, minute, second = moment
    if hour > 23 or minute > 59 or second > 60:
        return None
    try:
        midnight = (date(year, month, day).toordinal() - _EPOCH_DAY) * _DAY
        if offset is None:
            offset = _local_offset((year, month, day, hour))
    except (ValueError, OverflowError):
        return None
    composed = (midnight + hour * 3_600 + minute * 60 + second - offset) * SECOND + nanoseconds
    return composed if TIME_MIN <= composed <= TIME_MAX else None


_last_offset: list[tuple[tuple[int, int, int, int], int]] = []


def _local_offset(hour: tuple[int, int, int, int]) -> int:
    """The local zone's offset in that hour; the last answer is kept, since a log's lines follow in time."""
    if not _last_offset or _last_offset[0][0] != hour:
        local = time.localtime(time.mktime((*hour, 0, 0, 0, 0, -1)))
        _last_offset[:] = [(hour, local.tm_gmtoff)]
    return _last_offset[0][1]


def infer_year(month: int, day: int, now: int) -> int:
    """The year of a date written without one: the latest that does not lie more than a day ahead."""
    today = time.localtime(now / SECOND + _DAY)
    return today.tm_year if (month, day) <= (today.tm_mon, today.tm_mday) else today.tm_year - 1


_SCALES: Final = ((10**17, 1), (10**14, 1_000), (10**11, 1_000_000))
"""A number of seconds stays below 10^11 until the year 5138: more of them are smaller units."""


def _from_number(value: float) -> int | None:
    if value != value or not 0 <= value < 2**63:  # noqa: PLR0124 -- that is what NaN is
        return None
    unit = next((unit for least, unit in _SCALES if value >= least), SECOND)
    whole = int(value)
    composed = whole * unit + round((value - whole) * unit)
    return composed if TIME_MIN <= composed <= TIME_MAX else None
