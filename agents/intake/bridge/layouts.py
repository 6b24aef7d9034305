"""Reads the many pickles of one form quickly: as the one before it, with other values in the same places.

Handlers pickle every LogRecord alike, so that most bytes of a record are those of the last one: the names of
the attributes, their order, the memo's numbers. A layout is learned from a record that the interpreter read:
a few regular expressions hold the bytes that stay, and groups the values that change. A text's group ends where
the bytes behind it begin, and counts only when its length is the one written before it. Then each opcode of
the record is known to stand where the layout has it, and the record means what the interpreter would say; in
every other case the layout says nothing, and the interpreter reads.

No group is tried twice (they are atomic), so that no input takes longer than its length.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from operator import itemgetter
from typing import Any, Final

from tabard.agents.intake.bridge.logrecord import (
    EXTRAS,
    LEFT_OUT,
    STANDARD,
    UNREMARKABLE,
    last_line,
    nanoseconds,
    severity_number,
)
from tabard.agents.intake.bridge.plain import object_text
from tabard.agents.intake.bridge.tokens import FLAG, FLOAT, NOTHING, TEXT, WHOLE, Part
from tabard.records import LOG_FIELDS, TIME_MAX

LONGEST: Final = 255
"""Bytes of a text that is matched; those of message, trace and stack are cut out by their length instead."""
_CUT: Final = ("msg", "exc_text", "stack_info")
_SEVERITIES: Final[dict[bytes, int]] = {}
_WHOLES: Final[dict[bytes, int]] = {}
_U4: Final = struct.Struct("<I").unpack_from
_F8: Final = struct.Struct(">d").unpack_from

Record = tuple[Any, ...]
_Get = Callable[[Any], Any]


class Layout:
    """One form of pickled LogRecords. Raises ValueError when the record of ``parts`` has none."""

    def __init__(self, parts: list[Part]) -> None:
        self._patterns: list[re.Pattern[bytes]] = []
        self._texts: list[str] = []
        self._cuts: list[str] = []
        self._cut_widths: list[int] = []
        self._numbers: dict[str, int] = {}
        self._compile(parts)
        self._assign(parts)

    # --- the pattern -----------------------------------------------------------------------

    def _compile(self, parts: list[Part]) -> None:
        pattern = bytearray()
        lengths, contents = [], []
        widths = "<"
        group = 0
        for part in parts:
            fixed = re.escape(part.after)
            if part.kind == NOTHING:
                pattern += fixed
            elif part.kind == TEXT and part.key in _CUT:
                self._cuts.append(part.key)
                self._cut_widths.append(part.width)
                pattern += re.escape(part.before)
                self._patterns.append(re.compile(bytes(pattern), re.DOTALL))
                pattern = bytearray(fixed)
            elif part.kind == TEXT:
                self._texts.append(part.key)
                if not part.after:
                    raise ValueError(part.key)
                pattern += b"%b(?>(.{%d})(.{0,%d}?)%b)" % (
                    re.escape(part.before),
                    part.width,
                    LONGEST,
                    fixed,
                )
                widths += "I" if part.width == 4 else "B"
                lengths.append(group)
                contents.append(group + 1)
                group += 2
            else:
                self._numbers[part.key] = group
                group += 1
                pattern += b"(%b)%b" % (part.kind.encode("latin-1"), fixed)
        if len(self._texts) < 2 or len(parts) > 100:
            raise ValueError("an odd record")
        self._patterns.append(re.compile(bytes(pattern) + rb"\Z", re.DOTALL))
        self._lengths: _Get = itemgetter(*lengths)
        self._contents: _Get = itemgetter(*contents)
        self._unpack = struct.Struct(widths).unpack

    # --- what becomes of the values --------------------------------------------------------

    def _assign(self, parts: list[Part]) -> None:
        """Where each field of a log record is found: among the texts, the cut texts, what is counted out, nothing."""
        kinds = {part.key: part.kind for part in parts if part.key}
        same = {part.key: part.same for part in parts if part.same}
        if not (
            kinds.get("msg") == TEXT and kinds.get("args") == NOTHING and kinds.get("exc_info") == NOTHING
        ):
            raise ValueError("msg")
        if kinds.get("created") != FLOAT or kinds.get("levelno") != WHOLE:
            raise ValueError("created")
        places = {key: place for place, key in enumerate((*self._texts, *self._cuts))}
        first = len(places)
        computed = ("time", "severity", "line", "process", "exception", "stack", "attributes", None)
        slots: dict[str | None, int] = {name: first + place for place, name in enumerate(computed)}
        found: dict[str, int] = {"message": places["msg"]}
        self._extra: list[tuple[str, int | None, str]] = []
        self._usual: list[tuple[int, Any]] = []
        for key, said in kinds.items():
            kind = TEXT if key in same else said
            place = places.get(same.get(key, key))
            field = STANDARD.get(key)
            added = EXTRAS.get(key.lower())
            if field in {"line", "process"}:
                if kind not in {WHOLE, NOTHING}:
                    raise ValueError(key)
                if kind == WHOLE:
                    found[field] = slots[field]
            elif field is not None:
                if kind not in {TEXT, NOTHING}:
                    raise ValueError(key)
                if place is not None:
                    found[field] = place
            elif (
                key in LEFT_OUT
                or (key in UNREMARKABLE and kind == NOTHING and UNREMARKABLE[key] is None)
                or (added is not None and kind == NOTHING)
            ):
                continue
            elif added is not None and kind == TEXT and added not in found and place is not None:
                found[added] = place
            else:
                self._extra.append((key, place, kind))
                if place is not None and key in UNREMARKABLE:
                    self._usual.append((place, UNREMARKABLE[key]))
        found |= {name: slots[name] for name in ("time", "severity", "exception", "stack", "attributes")}
        self._record: _Get = itemgetter(*(found.get(field, slots[None]) for field in LOG_FIELDS))
        self._line = self._numbers.get("lineno") if "line" in found else None
        self._process = self._numbers.get("process") if "process" in found else None
        # Most records say nothing unusual, which is seen at once.
        self._only_usual = 0 < len(self._usual) == len(self._extra)
        if self._only_usual:
            self._usual_texts: _Get = itemgetter(*(place for place, _ in self._usual))
            values = tuple(usual for _, usual in self._usual)
            self._usual_values: Any = values if len(values) > 1 else values[0]
        self._created, self._level = self._numbers["created"], self._numbers["levelno"]

    # --- reading ---------------------------------------------------------------------------

    def read(self, data: bytes, start: int, end: int) -> Record | None:
        """The log record of the pickle in ``data[start:end]``; None when it is not of this form, or needs care."""
        groups: tuple[bytes, ...] = ()
        cuts: list[bytes] = []
        at = start
        last = self._patterns[-1]
        for pattern in self._patterns:
            match = pattern.match(data, at, end)
            if match is None:
                return None
            groups += match.groups()
            if pattern is last:
                break
            width = self._cut_widths[len(cuts)]
            at = match.end() + width
            if at > end:
                return None
            behind = at + (_U4(data, at - 4)[0] if width == 4 else data[at - 1])
            if behind >= end:
                return None
            cuts.append(data[at:behind])
            at = behind
        contents = self._contents(groups)
        if self._unpack(b"".join(self._lengths(groups))) != tuple(map(len, contents)):
            return None
        try:
            texts = b"\0".join((*contents, *cuts)).decode().split("\0")
        except UnicodeDecodeError:
            return None
        if len(texts) != len(contents) + len(cuts):  # a NUL, which is not stored as it is
            return None
        return self._made(texts, groups)

    def _made(self, texts: list[str], groups: tuple[bytes, ...]) -> Record | None:
        (created,) = _F8(groups[self._created], 1)
        if not 0 <= created <= _LATEST:
            return None
        level = groups[self._level]
        severity = _SEVERITIES.get(level)
        if severity is None:
            severity = _severity(level)
            if severity is None:
                return None
        attributes = None
        if self._extra and not (self._only_usual and self._usual_texts(texts) == self._usual_values):
            attributes = self._attributes(texts, groups)
        exception = stack = None
        if len(self._cuts) > 1:
            exception, stack = self._traces(texts)
        values = (
            nanoseconds(created),
            severity,
            None if self._line is None else _known(groups[self._line]),
            None if self._process is None else _known(groups[self._process]),
            exception,
            stack,
            attributes,
            None,
        )
        record: Record = self._record((*texts, *values))
        return record

    def _traces(self, texts: list[str]) -> tuple[str | None, str | None]:
        said = dict(zip(self._cuts, texts[-len(self._cuts) :], strict=True))
        trace, stack = said.get("exc_text"), said.get("stack_info")
        exception = last_line(trace) if trace else None
        return exception, "\n".join(filter(None, (trace, stack))) or None

    def _attributes(self, texts: list[str], groups: tuple[bytes, ...]) -> str | None:
        extra: dict[str, Any] = {}
        for key, place, kind in self._extra:
            if place is not None:
                if key not in UNREMARKABLE or texts[place] != UNREMARKABLE[key]:
                    extra[key] = texts[place]
            elif kind == NOTHING:
                extra[key] = None
            else:
                extra[key] = _value(kind, groups[self._numbers[key]])
        return object_text(extra) if extra else None


_LATEST: Final = TIME_MAX // 1_000_000_000


def _whole(raw: bytes) -> int:
    """BININT1, BININT2 and BININT: of these only the last has a sign."""
    return int.from_bytes(raw[1:], "little", signed=len(raw) == 5)


def _known(raw: bytes) -> int:
    """The same, remembered: a program has few lines that log, and few processes."""
    number = _WHOLES.get(raw)
    if number is None:
        if len(_WHOLES) > 4_096:
            _WHOLES.clear()
        number = _WHOLES[raw] = _whole(raw)
    return number


def _value(kind: str, raw: bytes) -> Any:
    if kind == WHOLE:
        return _whole(raw)
    if kind == FLOAT:
        return float(_F8(raw, 1)[0])
    return raw in {b"\x88", b"I01\n"} if kind == FLAG else int(raw[1:].rstrip(b"L\n"))


def _severity(raw: bytes) -> int | None:
    number = _whole(raw)
    if number <= 0:
        return None  # the word decides
    if len(_SEVERITIES) > 1_000:
        _SEVERITIES.clear()
    severity = _SEVERITIES[raw] = severity_number(number, None)
    return severity
