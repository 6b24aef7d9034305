"""Cron expressions: five fields, or a word such as ``@hourly``, as a table of the minutes that they name."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from tabard.errors import UsageError

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FORM: Final = (
    "five fields (minute hour day month weekday) or one of @hourly @daily @weekly @monthly @yearly @reboot"
)
_LONGEST: Final = 200
REBOOT: Final = "@reboot"
WORDS: Final[Mapping[str, str]] = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_DAY: Final = 86_400


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_FIELDS: Final = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("weekday", 0, 7, _DAYS),
)


class Expression(NamedTuple):
    """The minutes that an expression names, by the clock on the wall."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""
    either: bool
    """Whether a day need only fit one of day and weekday: both were given, neither beginning with a star."""
    fixed: bool
    """Whether it names times of the day, rather than every so many minutes or hours: neither the minute nor the hour
    begins with a star. It decides what happens when the clock is put forward or back."""

    def on(self, day: int) -> bool:
        """Whether it names minutes of the day ``day``, counted from 1970-01-01."""
        date = time.gmtime(day * _DAY)
        if date.tm_mon not in self.months:
            return False
        of_month, of_week = date.tm_mday in self.days, (date.tm_wday + 1) % 7 in self.weekdays
        return (of_month or of_week) if self.either else (of_month and of_week)

    @property
    def times(self) -> Iterator[int]:
        """The minutes of such a day, counted from midnight, rising."""
        return (60 * hour + minute for hour in self.hours for minute in self.minutes)


def parse(text: str) -> Expression | None:
    """What ``text`` means; None for ``@reboot``, which names no time.

    Raises UsageError, which names the field, when it means nothing, or names a day that never comes.
    """
    words = text[: _LONGEST + 1].split()
    shown = " ".join(words)[:_LONGEST]
    if len(words) == 1 and words[0].startswith("@"):
        word = words[0].lower()
        if word == REBOOT:
            return None
        if word not in WORDS:
            raise UsageError("not a cron expression", expected=_FORM, found=repr(shown))
        words = WORDS[word].split()
    if len(words) != len(_FIELDS) or len(text) > _LONGEST:
        raise UsageError("not a cron expression", expected=_FORM, found=repr(shown))
    minutes, hours, days, months, weekdays = (
        _values(word, field, shown) for word, field in zip(words, _FIELDS, strict=True)
    )
    starred = [word.startswith("*") for word in words]
    found = Expression(
        text=shown,
        minutes=tuple(sorted(minutes)),
        hours=tuple(sorted(hours)),
        days=frozenset(days),
        months=frozenset(months),
        weekdays=frozenset(day % 7 for day in weekdays),
        either=not starred[2] and not starred[4],
        fixed=not starred[0] and not starred[1],
    )
    _check_possible(found)
    return found


def _values(word: str, field: _Field, whole: str) -> set[int]:
    found: set[int] = set()
    for part in word.split(","):
        found.update(_range(part, field, whole))
    return found


def _range(part: str, field: _Field, whole: str) -> range:
    body, slash, step_text = part.partition("/")
    step = _step(step_text, field, whole) if slash else 1
    last = 6 if field.names is _DAYS else field.high  # the other Sunday is for those who write it
    if body == "*":
        return range(field.low, last + 1, step)
    low_text, dash, high_text = body.partition("-")
    low = _number(low_text, field, whole)
    if not dash:
        # 5/10 is from 5 on, as cronie and the BSDs read it.
        return range(low, max(last, low) + 1, step) if slash else range(low, low + 1)
    high = _number(high_text, field, whole)
    if high_text.lower() == "sun" and low > 0:
        high = 7  # fri-sun
    if low > high:
        raise _wrong(part, field, whole, "a range that rises")
    return range(low, high + 1, step)


def _step(text: str, field: _Field, whole: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= 3 and 1 <= int(text) <= field.high + 1:
        return int(text)
    raise _wrong(f"/{text}", field, whole, f"a step from 1 to {field.high + 1}")


def _number(text: str, field: _Field, whole: str) -> int:
    name = text.lower()
    if name in field.names:
        return field.names.index(name) + (1 if field.low == 1 else 0)
    if text.isascii() and text.isdecimal() and len(text) <= 3 and field.low <= int(text) <= field.high:
        return int(text)
    raise _wrong(text, field, whole, f"{field.low} to {field.high}{' or a name' if field.names else ''}")


def _wrong(part: str, field: _Field, whole: str, expected: str) -> UsageError:
    return UsageError(
        f"not a {field.name}",
        expected=f"{expected}; also *, a range a-b, a step */n, a list a,b",
        found=repr(part),
        where=f"cron expression {whole!r}",
    )


def _check_possible(expression: Expression) -> None:
    """Raises UsageError for a day such as the 31st of February: nobody means to wait for it."""
    longest = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
    if expression.either:
        return
    if not any(day <= longest.get(month, 31) for month in expression.months for day in expression.days):
        raise UsageError(
            "a cron expression that never comes",
            expected="a day that its month has",
            found=repr(expression.text),
        )
