"""When an expression is due, as moments. Pure: what the clock on the wall shows is handed in.

The rules where the clock is put forward or back are those of the cron of Debian and of cronie:

* An expression of times of the day (neither minute nor hour begins with a star) is due once for each of them. One that
  is skipped is due at the moment of the change; one that comes twice is due the first time.
* Any other is due whenever the clock on the wall shows one of its minutes: not in a skipped hour, twice in a repeated one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from tabard.ops.cronexec.expression import Expression

Zone = Callable[[int], int]
"""Seconds that the clock on the wall is ahead of UTC, at a moment in seconds since 1970."""
_DAY: Final = 86_400
_REACH: Final = 100_000
"""Seconds before and after a time on the wall between which its moment lies, whatever the zone."""
_YEARS: Final = 41 * 366
"""Days looked ahead: even the 29th of February on one weekday comes within them."""


class Span(NamedTuple):
    """Moments that were due: how many, the first and the last of them, in seconds since 1970."""

    number: int = 0
    first: int = 0
    last: int = 0


def local(moment: int) -> int:
    """The zone of this host, by TZ or ``/etc/localtime``."""
    return time.localtime(moment).tm_gmtoff


def after(expression: Expression, moment: int, zone: Zone = local) -> int | None:
    """The first moment later than ``moment`` at which it is due; None when that is beyond a lifetime."""
    return next(_upwards(expression, moment, zone), None)


def latest(expression: Expression, moment: int, zone: Zone = local) -> int | None:
    """The last moment not later than ``moment`` at which it was due."""
    today = _day(moment, zone)
    for day in range(today + 1, today - _YEARS, -1):
        if expression.on(day):
            found = [due for due in _of_day(expression, day, zone) if due <= moment]
            if found:
                return found[-1]
    return None


def between(expression: Expression, start: int, end: int, zone: Zone = local) -> Span:
    """What was due later than ``start`` and earlier than ``end``."""
    span = Span()
    if end - start <= 1:
        return span
    first_day, last_day = _day(start, zone) - 1, _day(end, zone) + 1
    for day in range(first_day, last_day + 1):
        if not expression.on(day):
            continue
        if first_day + 2 < day < last_day - 2 and _plain(day, zone):
            offset = zone(day * _DAY)
            first = day * _DAY + 60 * next(expression.times) - offset
            last = day * _DAY + 60 * (60 * expression.hours[-1] + expression.minutes[-1]) - offset
            found = Span(len(expression.hours) * len(expression.minutes), first, last)
        else:
            dues = [due for due in _of_day(expression, day, zone) if start < due < end]
            found = Span(len(dues), dues[0], dues[-1]) if dues else Span()
        if found.number:
            span = Span(span.number + found.number, span.first or found.first, found.last)
    return span


def _upwards(expression: Expression, moment: int, zone: Zone) -> Iterator[int]:
    today = _day(moment, zone)
    for day in range(today - 1, today + _YEARS):
        if expression.on(day):
            yield from (due for due in _of_day(expression, day, zone) if due > moment)


def _day(moment: int, zone: Zone) -> int:
    """The day on the wall, counted from 1970-01-01."""
    return (moment + zone(moment)) // _DAY


def _plain(day: int, zone: Zone) -> bool:
    """Whether the clock is not changed about that day."""
    return zone(day * _DAY - _REACH) == zone(day * _DAY + _DAY + _REACH)


def _of_day(expression: Expression, day: int, zone: Zone) -> list[int]:
    """The moments of one day on the wall, rising."""
    walls = [day * _DAY + 60 * minute for minute in expression.times]
    if _plain(day, zone):
        offset = zone(day * _DAY)
        return [wall - offset for wall in walls]
    found: set[int] = set()
    for wall in walls:
        moments = _moments(wall, zone)
        if not expression.fixed:
            found.update(moments)
        elif moments:
            found.add(moments[0])
        else:
            found.add(_change(wall, zone))
    return sorted(found)


def _moments(wall: int, zone: Zone) -> list[int]:
    """When the clock shows it: never, once or twice. ``wall`` is the time shown, counted as if it were UTC."""
    offsets = {zone(wall - _REACH), zone(wall + _REACH)}
    return sorted(wall - offset for offset in offsets if zone(wall - offset) == offset)


def _change(wall: int, zone: Zone) -> int:
    """The moment at which the clock skips ``wall``."""
    early, late = wall - _REACH, wall + _REACH
    while late - early > 1:
        middle = (early + late) // 2
        # Before the change the clock shows less than what it skips, from then on more.
        early, late = (middle, late) if middle + zone(middle) < wall else (early, middle)
    return late
