"""Makes records of lines: joins the lines of one trace, and reads what they say of themselves.

Which line begins a record: with a pattern, one that matches it. Without, each line of a plain file; in
other files a line with a time of its own, so that what follows it without one (a trace) belongs to it,
and where no line has a time, one that is not indented and does not go on with a trace.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tabard.agents.intake.cutting import to_json
from tabard.agents.intake.tail.lines import Line
from tabard.agents.intake.tail.parse import LineReader, Stamp, find_level, severity_of
from tabard.agents.intake.tail.traces import continues_trace
from tabard.records import LOG_INDEX, LOG_WIDTH

FLUSH_SECONDS: Final = 0.5
"""How long a record may still get another line."""
MOST_LINES: Final = 1_000
MOST_CHARACTERS: Final = 131_072
"""A record that would grow beyond either is ended."""

_TIME: Final = LOG_INDEX["time"]
_SEVERITY: Final = LOG_INDEX["severity"]
_LEVEL: Final = LOG_INDEX["level"]
_SERVICE: Final = LOG_INDEX["service"]
_PROCESS: Final = LOG_INDEX["process"]
_MESSAGE: Final = LOG_INDEX["message"]
_ATTRIBUTES: Final = LOG_INDEX["attributes"]


@dataclass(frozen=True, slots=True)
class Style:
    """How the lines of a file are read, as its settings say."""

    form: str = "auto"
    """``auto``, ``syslog`` or ``plain`` (every line a record, only its level is looked for)."""
    first: re.Pattern[str] | None = None
    """What the first line of a record matches; None: see the module."""
    service: str = ""
    """The service of every record; "" for the one the line names, else ``fallback``."""
    fallback: str = ""
    level: str = ""
    """The level of records that say none."""


class Assembled(NamedTuple):
    """A record, and the offset in the file behind its last line."""

    record: tuple[Any, ...]
    end: int


@dataclass(slots=True)
class _Pending:
    """A record whose last line may not have come yet."""

    stamp: Stamp | None
    time: int
    since: float
    end: int
    texts: list[str] = field(default_factory=list)
    characters: int = 0
    blank: list[str] = field(default_factory=list)
    """Lines of nothing but blanks that may be followed by another line of the record."""


class Assembler:
    """Turns the lines of one file into records, holding back the one that may still grow."""

    def __init__(self, style: Style) -> None:
        self._style = style
        self._reader = LineReader(syslog=style.form == "syslog")
        self._plain = style.form == "plain"
        self._alone = self._plain and style.first is None
        self._pending: _Pending | None = None

    @property
    def due(self) -> float | None:
        """When the record that is held back has waited long enough (monotonic seconds)."""
        return None if self._pending is None else self._pending.since + FLUSH_SECONDS

    def feed(self, line: Line, now: float, wall: int) -> Iterator[Assembled]:
        """The records that this line completes; ``wall`` (ns UTC) is when it was read."""
        text = _text(line.raw)
        pending = self._pending
        if not text.strip():
            if pending is not None:
                pending.blank.append(text)
                if line.piece or len(pending.blank) >= MOST_LINES:
                    yield from self.flush()
            return
        stamp = None if self._plain else self._reader.read(text, wall)
        if pending is not None and not line.piece and self._continues(pending, stamp, text):
            _append(pending, text, line.end, now)
            if len(pending.texts) >= MOST_LINES or pending.characters >= MOST_CHARACTERS:
                yield from self.flush()
            return
        yield from self.flush()
        self._pending = _Pending(stamp, wall, now, line.end, [text], len(text))
        if line.piece or self._alone:
            yield from self.flush(line.piece)

    def flush(self, piece: int = 0) -> Iterator[Assembled]:
        """The record that is held back, as it is. ``piece`` marks it as part of one line."""
        pending, self._pending = self._pending, None
        if pending is not None:
            yield Assembled(self._record(pending, piece), pending.end)

    def _continues(self, pending: _Pending, stamp: Stamp | None, text: str) -> bool:
        if self._style.first is not None:
            return self._style.first.search(text) is None
        if stamp is not None:
            return False
        if pending.stamp is not None or text[0] in " \t":
            return True
        return not self._plain and continues_trace(pending.texts + pending.blank, text)

    def _record(self, pending: _Pending, piece: int) -> tuple[Any, ...]:
        style, stamp, first = self._style, pending.stamp, pending.texts[0]
        level, severity = find_level(first) if stamp is None else (stamp.level, stamp.severity)
        if level is None and style.level:
            level, severity = style.level, severity_of(style.level)
        values: list[Any] = [None] * LOG_WIDTH
        values[_TIME] = pending.time if stamp is None else stamp.time
        values[_SEVERITY] = severity
        values[_LEVEL] = level
        values[_SERVICE] = style.service or (stamp and stamp.service) or style.fallback or None
        values[_PROCESS] = stamp and stamp.process
        values[_MESSAGE] = "\n".join(pending.texts)
        if piece:
            values[_ATTRIBUTES] = to_json({"intake.piece": piece})
        return tuple(values)


def _append(pending: _Pending, text: str, end: int, now: float) -> None:
    pending.characters += len(text) + sum(map(len, pending.blank))
    pending.texts += pending.blank
    pending.texts.append(text)
    pending.blank.clear()
    pending.since = now
    pending.end = end


def _text(raw: bytes) -> str:
    """The line as text: bytes that are no UTF-8 stay readable as escapes.

    NULs around it are padding, and a carriage return at its end belongs to its newline.
    """
    return raw.strip(b"\0").removesuffix(b"\r").decode("utf-8", "backslashreplace")
