"""Time at the edge: nanoseconds UTC inside, a person's time zone and words in the page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tabard.errors import TabardError
from tabard.records import TIME_MAX
from tabard.units import parse_duration

SECOND: Final = 1_000_000_000
"""Nanoseconds."""
INSTANT_FORM: Final = (
    "how long ago (15m, 24h, 7d), now, today, or a time such as 2026-11-03 14:00 or 2026-11-03T13:00:00Z"
)
ZONE_FORM: Final = "local, utc, or a name such as Europe/Berlin"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LOST_PLUS: Final = re.compile(r"(:\d\d(?:\.\d+)?) (\d\d:?\d\d)")
"""``+02:00`` typed into a URL arrives as `` 02:00``: a plus sign there means a space."""


@dataclass(frozen=True)
class DisplayZone:
    """The time zone a page is shown in. ``name`` is what stands in the URL."""

    name: str
    info: tzinfo | None
    """None: the zone of this host."""

    def at(self, time: int) -> datetime:
        """``time`` (nanoseconds UTC) in this zone, cut to microseconds."""
        return (_EPOCH + timedelta(microseconds=time // 1000)).astimezone(self.info)

    def date(self, time: int) -> str:
        """``2026-11-03``."""
        return self.at(time).strftime("%Y-%m-%d")

    def clock(self, time: int, *, millis: bool = True) -> str:
        """``14:02:07.123``, or ``14:02:07``."""
        text = self.at(time).strftime("%H:%M:%S")
        return f"{text}.{time // 1_000_000 % 1000:03}" if millis else text

    def full(self, time: int) -> str:
        """``2026-11-03 14:02:07.123456 +0100 CET``, for titles and the record's own page."""
        return self.at(time).strftime("%Y-%m-%d %H:%M:%S.%f %z %Z").strip()

    def label(self, time: int) -> str:
        """What a reader must know of this zone at ``time``: ``UTC``, or ``CET, UTC+01:00``."""
        there = self.at(time)
        offset = there.strftime("%z")
        word = there.tzname() or ""
        if word == "UTC" or not offset:
            return "UTC"
        shown = f"UTC{offset[:3]}:{offset[3:5]}"
        return shown if word[:1] in "+-" else f"{word}, {shown}"


UTC_ZONE: Final = DisplayZone("utc", UTC)


def display_zone(name: str, local: str = "local") -> DisplayZone:
    """The zone called ``name``: ``utc``, an IANA name, or ``local``.

    ``local`` is the zone named by the setting ``herald.timezone``, passed as the argument ``local``; when that says ``local`` too,
    it is the host's own. Raises TabardError when no such zone is known.
    """
    wanted = local if name == "local" else name
    if wanted == "local":
        return LOCAL
    if wanted.lower() == "utc":
        return DisplayZone(name, UTC)
    try:
        return DisplayZone(name, ZoneInfo(wanted))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise TabardError("not a time zone", expected=ZONE_FORM, found=repr(wanted)) from error


def parse_instant(text: str, *, now: int, zone: DisplayZone) -> int:
    """The time meant by ``text``, in nanoseconds UTC; a time without an offset is one of ``zone``.

    Raises TabardError when it is neither relative nor a date nor a time, or outside 1970 to 2099.
    """
    text = text.strip()
    if text == "now":
        return now
    if text == "today":
        midnight = zone.at(now).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        return _nanoseconds(midnight, zone)
    try:
        return max(now - round(parse_duration(text.removeprefix("-")) * SECOND), 0)
    except TabardError:
        pass  # not a duration: then it is a date or a time
    try:
        time = _nanoseconds(datetime.fromisoformat(_LOST_PLUS.sub(r"\1+\2", text)), zone)
    except OverflowError:
        time = -1  # before or after all that a calendar has, in this time zone
    except ValueError as error:
        raise TabardError("not a time", expected=INSTANT_FORM, found=repr(text)) from error
    if not 0 <= time <= TIME_MAX:
        raise TabardError("not a usable time", expected="a time from 1970 to 2099", found=repr(text))
    return time


LOCAL: Final = DisplayZone("local", None)
"""The zone of whoever reads: TZ, else the host's."""


class Instant(str):
    """A time as JSON and CSV have it, which knows what a table needs to show it in a shorter form."""

    __slots__ = ("time",)
    time: int
    """Nanoseconds since 1970."""


def iso(time: int) -> Instant:
    """``2026-11-03T13:02:07.123456789Z``: UTC to the nanosecond, for JSON and CSV."""
    whole, rest = divmod(time, SECOND)
    text = Instant(f"{_EPOCH + timedelta(seconds=whole):%Y-%m-%dT%H:%M:%S}.{rest:09}Z")
    text.time = time
    return text


def when(time: int) -> str:
    """``2026-11-03 17:00:00.123+01:00``: local, to the millisecond, in a form that --since takes."""
    offset = LOCAL.at(time).strftime("%z")
    return f"{LOCAL.date(time)} {LOCAL.clock(time)}{offset[:3]}:{offset[3:5]}"


def age(seconds: float) -> str:
    """How long, in at most two units, as it is said aloud: ``4 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 d 4 h``."""
    seconds = max(seconds, 0.0)
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds % 1 >= 0.05 else f"{seconds:.0f} s"
    total = round(seconds)
    for unit, size, lower, lower_size in (
        ("d", 86400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if total >= size:
            whole, rest = divmod(total, size)
            part = rest // lower_size
            return f"{whole} {unit} {part} {lower}" if part else f"{whole} {unit}"
    return f"{total} s"


def _nanoseconds(time: datetime, zone: DisplayZone) -> int:
    if time.tzinfo is None:
        time = time.astimezone() if zone.info is None else time.replace(tzinfo=zone.info)
    return (time - _EPOCH) // timedelta(microseconds=1) * 1000
