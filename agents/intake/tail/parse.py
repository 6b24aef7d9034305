"""What a line of a log file says about itself: when, who, how grave.

Only the beginning of a line is looked at, and nothing is taken out of it: the message stays as it was
said. A line of no known form is None, and gets the time it was read at.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from tabard.agents.intake.times import ISO, compose, from_iso, infer_year, zone_offset
from tabard.records import SEVERITIES


class Stamp(NamedTuple):
    """What was found at the beginning of a line."""

    time: int
    """Nanoseconds since 1970-01-01 UTC."""
    service: str | None = None
    process: int | None = None
    level: str | None = None
    severity: int = 0


_HEAD: Final = 400
"""Characters looked at."""
_LEVEL_HEAD: Final = 72
"""Characters after the time within which a word in capitals is taken for the level."""

MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}
MONTH: Final = "(?P<month>" + "|".join(MONTHS) + ")"
CLOCK: Final = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?"
_PROGRAM: Final = r"(?P<service>[\w./@-]{1,64}?)(?:\[(?P<process>\d{1,10})\])?:(?= |$)"

_ISO_START: Final = re.compile(
    rf"(?:<(?P<pri>\d{{1,3}})>1? ?)?\[?(?:(?P<service>[A-Za-z][\w.-]{{0,31}}) )?{ISO}", re.ASCII
)
_SYSLOG_AFTER_ISO: Final = re.compile(rf" (?P<host>[\w.:-]{{1,255}}) {_PROGRAM}", re.ASCII)
_RFC_5424: Final = re.compile(r" \S{1,255} (?P<service>\S{1,48}) (?P<process>\d{1,10}|-) ", re.ASCII)
_RFC_3164: Final = re.compile(
    rf"(?:<(?P<pri>\d{{1,3}})>)?{MONTH} (?P<day>[ \d]\d) {CLOCK}(?: (?P<host>[\w.:-]{{1,255}}))?(?: {_PROGRAM})?",
    re.ASCII,
)
_APACHE: Final = re.compile(
    rf"\[[A-Z][a-z][a-z] {MONTH} (?P<day>[ \d]\d) {CLOCK} (?P<year>\d{{4}})\]"
    r"(?: \[(?:\w{1,32}:)?(?P<level>\w{1,16})\])?(?: \[pid (?P<process>\d{1,10}))?",
    re.ASCII,
)
_ACCESS: Final = re.compile(
    rf"\S{{1,255}} \S{{1,64}} \S{{1,64}} \[(?P<day>\d\d)/{MONTH}/(?P<year>\d{{4}}):{CLOCK} (?P<zone>[+-]\d{{4}})\] ",
    re.ASCII,
)
_PROCESS: Final = re.compile(
    r"[^\[\]]{0,24}\[(?P<process>\d{1,10})\]| \[\w+\] (?P<nginx>\d{1,10})#\d", re.ASCII
)
_LEVEL: Final = re.compile(
    r"\b(?P<word>TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERR(?:OR)?|SEVERE|CRIT(?:ICAL)?|FATAL|PANIC|ALERT|EMERG(?:ENCY)?|LOG(?=:))"
    r"(?=[]:|>), \t/-]|$)"
    r"|\[(?:\w+:)?(?P<bracket>trace|debug|info|notice|warn(?:ing)?|err(?:or)?|crit(?:ical)?|fatal|alert|emerg)\]"
    r"|\b(?:level|lvl|severity)=\"?(?P<key>\w{1,16})",
    re.ASCII,
)
_MORE_LEVELS: Final = {"LOG": 9, "SEVERE": 17, "PANIC": 24}
SYSLOG_LEVELS: Final = (
    ("emerg", 24),
    ("alert", 22),
    ("crit", 21),
    ("err", 17),
    ("warning", 13),
    ("notice", 10),
    ("info", 9),
    ("debug", 5),
)
"""Names and severity numbers of syslog's severities 0 to 7."""


def severity_of(word: str) -> int:
    """The severity number of a level's word in any case, 0 for an unknown one."""
    word = word.upper()
    return SEVERITIES.get(word) or _MORE_LEVELS.get(word, 0)


def find_level(text: str) -> tuple[str | None, int]:
    """The word for the level near the beginning of ``text``, and its severity number."""
    match = _LEVEL.search(text, 0, _LEVEL_HEAD)
    if match is None:
        return None, 0
    word = match["word"] or match["bracket"] or match["key"]
    severity = severity_of(word)
    return (word, severity) if severity else (None, 0)


class LineReader:
    """Reads the stamps of one file's lines. Files keep to one form, so the last that fitted is tried first.

    With ``syslog`` a time in ISO form is taken to be followed by host and program even where that is
    ambiguous.
    """

    def __init__(self, *, syslog: bool = False) -> None:
        self._syslog = syslog
        self._forms: list[Callable[[str, int], Stamp | None]] = [
            self._iso,
            _rfc_3164,
            _apache,
            _access,
        ]

    def read(self, line: str, now: int) -> Stamp | None:
        """The stamp of ``line``; ``now`` (ns UTC) settles the year of dates that have none."""
        head = line[:_HEAD]
        for position, form in enumerate(self._forms):
            stamp = form(head, now)
            if stamp is not None:
                if position:
                    self._forms.insert(0, self._forms.pop(position))
                return stamp
        return None

    def _iso(self, head: str, _now: int) -> Stamp | None:
        match = _ISO_START.match(head)
        if match is None or (time := from_iso(match)) is None:
            return None
        rest = head[match.end() :]
        level, severity = _priority(match["pri"]) if match["pri"] else find_level(rest)
        if match["pri"] and (found := _RFC_5424.match(rest)):
            process = found["process"]
            service = None if found["service"] == "-" else found["service"]
            return Stamp(time, service, int(process) if process != "-" else None, level, severity)
        # A word and another before a colon may as well be a level and a logger.
        certain = self._syslog or (match["zone"] and "T" in match[0])
        if certain and (found := _SYSLOG_AFTER_ISO.match(rest)) and not severity_of(found["host"]):
            process = found["process"]
            return Stamp(time, found["service"], int(process) if process else None, level, severity)
        found = _PROCESS.match(rest)
        process = (found["process"] or found["nginx"]) if found else None
        return Stamp(time, match["service"], int(process) if process else None, level, severity)


def _rfc_3164(head: str, now: int) -> Stamp | None:
    match = _RFC_3164.match(head)
    if match is None:
        return None
    month, day = MONTHS[match["month"]], int(match["day"])
    time = _composed(match, infer_year(month, day, now), month, day)
    if time is None:
        return None
    level, severity = _priority(match["pri"]) if match["pri"] else find_level(head[match.end() :])
    process = match["process"]
    return Stamp(time, match["service"], int(process) if process else None, level, severity)


def _apache(head: str, _now: int) -> Stamp | None:
    match = _APACHE.match(head)
    if match is None:
        return None
    time = _composed(match, int(match["year"]), MONTHS[match["month"]], int(match["day"]))
    if time is None:
        return None
    level, process = match["level"], match["process"]
    return Stamp(time, None, int(process) if process else None, level, severity_of(level or ""))


def _access(head: str, _now: int) -> Stamp | None:
    match = _ACCESS.match(head)
    if match is None:
        return None
    offset = zone_offset(match["zone"])
    time = _composed(match, int(match["year"]), MONTHS[match["month"]], int(match["day"]), offset)
    return None if time is None else Stamp(time)


def _composed(match: re.Match[str], year: int, month: int, day: int, offset: int | None = None) -> int | None:
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"])
    fraction = match["fraction"]
    nanoseconds = int(fraction.ljust(9, "0")) if fraction else 0
    return compose((year, month, day, hour, minute, second), nanoseconds=nanoseconds, offset=offset)


def _priority(digits: str) -> tuple[str | None, int]:
    """Level and severity of syslog's ``<PRI>``: facility times eight plus severity."""
    return SYSLOG_LEVELS[int(digits) % 8]
