"""One syslog message as a log record: RFC 5424, RFC 3164 as it is really sent, and whatever else comes.

The message is what stands behind the header; what the header says goes to fields and attributes (facility,
host, msgid, sd). A message without a priority is no syslog: it is kept whole, and stamped as a line of a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from tabard.agents.intake.cutting import to_json
from tabard.agents.intake.tail.parse import CLOCK, MONTH, MONTHS, SYSLOG_LEVELS, LineReader, severity_of
from tabard.agents.intake.times import ISO as ANY_ISO
from tabard.agents.intake.times import compose, from_iso, infer_year
from tabard.records import LOG_INDEX, LOG_WIDTH, TIME_MAX

NO_SYSLOG: Final = to_json({"intake": "no syslog"})
"""The attributes of a message without a priority."""
FACILITIES: Final = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "audit", "alert", "clock",
    "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
)  # fmt: skip

_HOST: Final = r"(?P<host>[\w.:-]{0,254}[\w.-])"
_TAG: Final = r"(?P<tag>[\w./@+()-]{1,64})(?:\[(?P<pid>[^]\s]{1,64})\])?:(?: |$)"
"""Also "(sd-pam)" and "run-parts(/etc/cron.daily)"."""
_ELEMENT: Final = r'\[(?:[^\]"]++|"(?:[^"\\]++|\\.)*+")*+\]'
_NEW: Final = re.compile(
    r"<(?P<pri>\d{1,3})>1 (?:-|(?P<minute>\d{4}-\d\d-\d\dT\d\d:\d\d):(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?"
    r"(?P<zone>Z|[+-]\d\d:\d\d)) (?P<host>\S{1,255}) (?P<app>\S{1,48}) (?P<pid>\S{1,128}) (?P<msgid>\S{1,32})"
    rf" (?:-|(?P<sd>(?:{_ELEMENT})++))(?: (?P<text>.*))?",
    re.ASCII | re.DOTALL,
)
_OLD: Final = re.compile(
    rf"<(?P<pri>\d{{1,3}})>(?:(?P<time>{MONTH} [ \d]?\d \d\d:\d\d:\d\d)(?:\.\d{{1,9}})? (?:{_HOST} )?(?:{_TAG})?)?",
    re.ASCII,
)
_FORWARDED: Final = re.compile(
    r"<(?P<pri>\d{1,3})>(?P<time>(?P<minute>\d{4}-\d\d-\d\dT\d\d:\d\d):(?P<second>\d\d)"
    rf"(?:\.(?P<fraction>\d{{1,9}}))?(?P<zone>Z|[+-]\d\d:\d\d)) (?:{_HOST} )(?:{_TAG})?",
    re.ASCII,
)
"""What rsyslog sends unless it is told otherwise: the old form with a new time."""
_DATE: Final = re.compile(rf"{MONTH} (?P<day>[ \d]?\d) {CLOCK}", re.ASCII)
_ISO: Final = re.compile(ANY_ISO, re.ASCII)
_BARE_TAG: Final = re.compile(_TAG.replace("()", ""), re.ASCII)
"""Without a date before it, "open(2): failed" is a text."""
_PARAMETER: Final = re.compile(r'([^\s="\]]{1,32})="((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED: Final = re.compile(r'\\(["\\\]])')
_SAID_TIME: Final = "time"
"""The attribute for a time that cannot be, as the 30th of February: the record's own is that of arrival."""
_BOM: Final = "\ufeff"
_MOST_CACHED: Final = 4_096
_SECOND: Final = 1_000_000_000
_MOST_PARAMETERS: Final = 256

_TIME, _SEVERITY, _LEVEL = LOG_INDEX["time"], LOG_INDEX["severity"], LOG_INDEX["level"]
_SERVICE, _PROCESS = LOG_INDEX["service"], LOG_INDEX["process"]
_MESSAGE, _ATTRIBUTES = LOG_INDEX["message"], LOG_INDEX["attributes"]
_EMPTY: Final = (None,) * LOG_WIDTH

Record = tuple[Any, ...]


class SyslogParser:
    """Reads messages. What repeats (seconds, minutes, hosts, programs) is worked out once and remembered a while."""

    def __init__(self, wall: Callable[[], int]) -> None:
        self._wall = wall
        self._lines = LineReader(syslog=True)
        self._dates: dict[str, int | None] = {}
        self._minutes: dict[tuple[str, str], int | None] = {}
        self._heads: dict[tuple[str, str | None], str] = {}
        self._forget_at = 0

    def read(self, text: str) -> Record:
        """The log record of one message. Never raises."""
        if text[:1] != "<":
            return self._plain(text)
        mark = text.find(">", 1, 5)
        behind = text[mark + 1 : mark + 3]
        if behind == "1 " and (match := _NEW.match(text)) is not None:
            found = self._new(match)
        elif behind[:1].isdigit() and (match := _FORWARDED.match(text)) is not None:
            time = self._exact(match["minute"], match["second"], match["fraction"], match["zone"])
            found = self._tagged(match, text, time)
        elif (match := _OLD.match(text)) is not None:
            date = match["time"]
            if date is not None:
                found = self._tagged(match, text, self._dated(date))
            else:
                found = self._untimed(match, text)
        else:
            found = None
        return self._plain(text) if found is None else found

    # --- the forms -------------------------------------------------------------------------

    def _new(self, match: re.Match[str]) -> Record | None:
        priority, minute, second, fraction, zone, host, app, pid, msgid, structured, text = match.groups()
        time = self._exact(minute, second, fraction, zone) if minute else self._wall()
        if text is None:
            text = ""
        elif text[:1] == _BOM:
            text = text[1:]
        process = _number(pid)
        attributes: str | None
        named_host = None if host == "-" else host
        if structured is None and msgid == "-" and (process is not None or pid == "-") and time is not None:
            attributes = self._head(priority, named_host)
        else:
            more: dict[str, Any] = {} if time is not None else {_SAID_TIME: match[0].split(" ", 2)[1]}
            if msgid != "-":
                more["msgid"] = msgid
            if process is None and pid != "-":
                more["procid"] = pid
            if structured is not None:
                more["sd"] = structured_data(structured)
            attributes = to_json(self._facts(priority, named_host) | more)
        return self._record(priority, time, None if app == "-" else app, process, text, attributes)

    def _tagged(self, match: re.Match[str], text: str, time: int | None) -> Record | None:
        priority, host, tag, pid = match.group("pri", "host", "tag", "pid")
        end = match.end()
        if tag is None and host is not None:
            # What stands there may be the host or the first word: it stays in the message as well.
            end = match.start("host")
            host = None
        impossible = match["time"] if time is None else None
        return self._with_tag(priority, time, host, tag, pid, text[end:], impossible)

    def _untimed(self, match: re.Match[str], text: str) -> Record | None:
        found = _BARE_TAG.match(text, match.end())
        if found is None or severity_of(found["tag"]):
            return self._with_tag(match["pri"], self._wall(), None, None, None, text[match.end() :])
        return self._with_tag(
            match["pri"], self._wall(), None, found["tag"], found["pid"], text[found.end() :]
        )

    def _with_tag(
        self,
        priority: str,
        time: int | None,
        host: str | None,
        tag: str | None,
        pid: str | None,
        text: str,
        impossible: str | None = None,
    ) -> Record | None:
        process = None if pid is None else _number(pid)
        more = {} if impossible is None else {_SAID_TIME: impossible}
        if pid is not None and process is None:
            more["procid"] = pid
        attributes = to_json(self._facts(priority, host) | more) if more else self._head(priority, host)
        return self._record(priority, time, tag, process, text, attributes)

    def _record(
        self,
        priority: str,
        time: int | None,
        service: str | None,
        process: int | None,
        text: str,
        attributes: str,
    ) -> Record | None:
        number = int(priority)
        if number > 191:
            return None
        level, severity = SYSLOG_LEVELS[number & 7]
        values: list[Any] = [*_EMPTY]
        values[_TIME] = self._wall() if time is None else time
        values[_SEVERITY] = severity
        values[_LEVEL] = level
        values[_SERVICE] = service
        values[_PROCESS] = process
        values[_MESSAGE] = text
        values[_ATTRIBUTES] = attributes
        return tuple(values)

    def _plain(self, text: str) -> Record:
        now = self._wall()
        stamp = self._lines.read(text, now)
        values: list[Any] = [*_EMPTY]
        values[_TIME] = now if stamp is None else stamp.time
        values[_SEVERITY] = 0 if stamp is None else stamp.severity
        if stamp is not None:
            values[_LEVEL], values[_SERVICE], values[_PROCESS] = stamp.level, stamp.service, stamp.process
        values[_MESSAGE] = text
        values[_ATTRIBUTES] = NO_SYSLOG
        return tuple(values)

    # --- what repeats ----------------------------------------------------------------------

    def _facts(self, priority: str, host: str | None) -> dict[str, Any]:
        facility = int(priority) >> 3
        facts = {"facility": FACILITIES[facility]} if facility < len(FACILITIES) else {}
        return facts if host is None else facts | {"host": host}

    def _head(self, priority: str, host: str | None) -> str:
        key = priority, host
        known = self._heads.get(key)
        if known is None:
            if len(self._heads) >= _MOST_CACHED:
                self._heads.clear()
            known = self._heads[key] = to_json(self._facts(priority, host))
        return known

    def _exact(self, minute: str, second: str, fraction: str | None, zone: str) -> int | None:
        key = minute, zone
        try:
            base = self._minutes[key]
        except KeyError:
            if len(self._minutes) >= _MOST_CACHED:
                self._minutes.clear()
            match = _ISO.fullmatch(minute + ":00" + zone)
            base = self._minutes[key] = None if match is None else from_iso(match)
        seconds = int(second)
        if base is None or seconds > 60:
            return None
        time = base + seconds * _SECOND + (int(fraction.ljust(9, "0")) if fraction else 0)
        return time if time <= TIME_MAX else None

    def _dated(self, date: str) -> int | None:
        """Local time without a year, to the second. Remembered for a minute: years end, and clocks change."""
        now = self._wall()
        if now >= self._forget_at or len(self._dates) >= _MOST_CACHED:
            self._dates.clear()
            self._forget_at = now + 60 * _SECOND
        try:
            return self._dates[date]
        except KeyError:
            found = self._dates[date] = _date(date, now)
            return found


def _number(pid: str) -> int | None:
    """A process id; None for any other word."""
    return int(pid) if len(pid) <= 10 and pid.isascii() and pid.isdigit() else None


def _date(date: str, now: int) -> int | None:
    match = _DATE.fullmatch(date)
    if match is None:
        return None
    month, day = MONTHS[match["month"]], int(match["day"])
    clock = int(match["hour"]), int(match["minute"]), int(match["second"])
    return compose((infer_year(month, day, now), month, day, *clock))


def structured_data(text: str) -> dict[str, dict[str, str | list[str]]]:
    """Elements and their parameters, of many the first 256. One that is said several times is a list."""
    found: dict[str, dict[str, str | list[str]]] = {}
    left = _MOST_PARAMETERS
    for element in re.finditer(_ELEMENT, text, re.DOTALL):
        name, _, rest = element[0][1:-1].partition(" ")
        values = found.setdefault(name, {})
        for parameter in _PARAMETER.finditer(rest):
            left -= 1
            if left < 0:
                return found
            value = _ESCAPED.sub(r"\1", parameter[2])
            before = values.get(parameter[1])
            if before is None:
                values[parameter[1]] = value
            elif isinstance(before, list):
                before.append(value)
            else:
                values[parameter[1]] = [before, value]
    return found
