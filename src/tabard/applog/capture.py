"""What is kept of a ``logging.LogRecord`` at the moment it is logged, by the thread that logs.

This is the only part of logging that an application waits for, so it does as little as it can: it takes the
fields and leaves all formatting to the background thread. What may have changed until then is turned into text at
once: a message or an argument that is no plain value, exceptions, and extras.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import threading
from bisect import bisect_right
from collections.abc import Mapping
from operator import attrgetter
from typing import Any, Final, NamedTuple

TEXT_LIMIT: Final = 48_000
"""Characters kept of a message, an exception, a stack, or the extras of one record: the four fit a frame."""

_NAMES: Final = (
    "created",
    "levelno",
    "levelname",
    "name",
    "module",
    "funcName",
    "lineno",
    "thread",
    "threadName",
    "msg",
    "args",
    "exc_info",
    "stack_info",
) + (("taskName",) if sys.version_info >= (3, 12) else ())
_read: Final = attrgetter(*_NAMES)
_MSG: Final = _NAMES.index("msg")
_ARGS: Final = _NAMES.index("args")
MORE: Final = _NAMES.index("exc_info")
"""Where an entry holds its `More`; what else stands there says nothing."""
_STACK: Final = _NAMES.index("stack_info")

_bare: Final = logging.makeLogRecord({})
_WIDTH: Final = len(vars(_bare))
_STANDARD: Final = frozenset(vars(_bare)) | {"message", "asctime", "taskName"}
_PLAIN: Final = frozenset({str, int, float, bool, complex, bytes, type(None)})
"""Types whose values cannot change and whose text is made by Python itself."""
FIELDS: Final = {
    **{name: name for name in ("product", "system", "subsystem", "subsubsystem", "user1", "user2")},
    **{name: name for name in ("service", "package", "version", "trace_id", "span_id")},
    "PRODUCT_ID": "product",
    "PRODUKT_ID": "product",
    "SYSTEM_ID": "system",
    "SUB_SYSTEM_ID": "subsystem",
    "SUB_SUB_SYSTEM_ID": "subsubsystem",
    "USER_SPEC_1": "user1",
    "USER_SPEC_2": "user2",
    "package_version": "version",
}
"""Extras that are fields of a record, and the field that each of them is."""

Entry = tuple[Any, ...]
"""The values of `_NAMES`, with arguments that cannot change, and a `More` or nothing."""


class More(NamedTuple):
    """What few records have."""

    exception: str | None
    stack: str | None
    attributes: str | None
    """A JSON object."""
    fields: Mapping[str, str]
    """Of `FIELDS`, those that this record says itself."""


class _Busy(threading.local):
    """Whether this thread is just making a text: what is logged from there must not begin another."""

    now = False


_busy: Final = _Busy()


def capture(record: logging.LogRecord) -> Entry:
    """The record as it is now. What hostile objects in it raise becomes part of the text."""
    entry: Entry = _read(record)
    if (
        type(entry[_MSG]) is str
        and (not (args := entry[_ARGS]) or (type(args) is tuple and _PLAIN.issuperset(map(type, args))))
        and not entry[MORE]
        and not entry[_STACK]
        and len(record.__dict__) <= _WIDTH
        and len(entry[_MSG]) <= TEXT_LIMIT
    ):
        return entry
    if _busy.now:
        return _settled(entry, "a record logged while another was being made into text", _NOTHING)
    _busy.now = True
    try:
        return _settled(entry, cut(_message(record)), _more(record))
    finally:
        _busy.now = False


def cut(text: str, most: int = TEXT_LIMIT) -> str:
    """At most ``most`` characters of ``text``, and how many are missing."""
    if len(text) <= most:
        return text
    return f"{text[:most]}... ({len(text) - most} more characters)"


def mismatched(message: object, args: object) -> str:
    """What to say of a record whose arguments do not fit its message: a mistake, and still worth reading."""
    count = len(args) if isinstance(args, (tuple, dict)) else 1
    return f"{told(message)} with {count} arguments that do not fit"


def told(value: object) -> str:
    """``repr`` of anything; for what has none, its type."""
    try:
        return repr(value)
    except Exception as error:
        return f"<{type(value).__name__} whose repr raised {type(error).__name__}>"


_NOTHING: Final = More(None, None, None, {})


def _settled(entry: Entry, message: str, more: More) -> Entry:
    values = list(entry)
    values[_MSG], values[_ARGS], values[MORE], values[_STACK] = message, (), more, None
    return tuple(values)


def _message(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
        return text if type(text) is str else str.__str__(text)
    except Exception as error:
        if record.args:
            return mismatched(record.msg, record.args)
        return f"<{type(record.msg).__name__} whose text raised {type(error).__name__}>"


def _more(record: logging.LogRecord) -> More:
    exception, stack = _raised(record)
    said = vars(record)
    fields: dict[str, str] = {}
    others: dict[str, Any] = {}
    for name in said.keys() - _STANDARD:
        field = FIELDS.get(name)
        if field is None:
            others[str(name)] = said[name]
        elif said[name] is not None:
            fields[field] = cut(_text(said[name]))
    return More(exception, stack, _attributes(others) if others else None, fields)


def _raised(record: logging.LogRecord) -> tuple[str | None, str | None]:
    """The exception in one line, and the whole trace."""
    info = record.exc_info
    if not isinstance(info, tuple) or info[1] is None:
        stack = record.exc_text or record.stack_info
        return None, cut(str(stack)) if stack else None
    name = type(info[1]).__name__
    said = " ".join(_text(info[1]).split())
    try:
        trace = logging.Formatter().formatException(info)
    except Exception as error:
        trace = f"no trace: formatting it raised {type(error).__name__}"
    if record.stack_info:
        trace = f"{trace}\n{record.stack_info}"
    return cut(f"{name}: {said}" if said else name), cut(trace)


def _attributes(extras: Mapping[str, Any]) -> str:
    """A JSON object of at most `TEXT_LIMIT` characters."""
    with contextlib.suppress(Exception):  # what JSON cannot have: recursion, hostile subclasses, no numbers
        text = _json(extras)
        if len(text) <= TEXT_LIMIT:
            return text
    return _shared_out(extras)


def _json(value: object) -> str:
    return json.dumps(value, default=told, skipkeys=True, allow_nan=False)


class _Extra(NamedTuple):
    """One of many extras, as parts of JSON."""

    name: str
    value: str
    text: str
    """What is cut when the value is too long: the text that it is, or its JSON."""

    @classmethod
    def of(cls, name: str, value: object) -> _Extra:
        """The parts of any value: one that JSON cannot have is shown as text, and spoils no other."""
        try:
            made = _json(value)
            return cls(name, made, str.__str__(value) if isinstance(value, str) else made)
        except Exception:
            text = told(value)
            return cls(name, json.dumps(text), text)

    @property
    def least(self) -> int:
        """The characters it needs, however much is cut."""
        return len(self.name) + min(len(self.value), len(_CUT)) + len(": , ")

    @property
    def more(self) -> int:
        """The characters it needs beyond these to be whole."""
        return max(len(self.value) - len(_CUT), 0)


_CUT: Final = '"..."'
"""What is left of a value where there is no room for a part of it."""
_LEFT_OUT: Final = '"...": "%d more attributes"'


def _shared_out(extras: Mapping[str, Any]) -> str:
    """The extras within the bound: small ones are whole, and those that are cut get the same room each."""
    most = max(200, TEXT_LIMIT // 2 // len(extras))
    named = {json.dumps(cut(name, most)): value for name, value in extras.items()}
    smallest = sorted(
        (_Extra.of(name, value) for name, value in named.items()), key=lambda extra: extra.least
    )
    room = TEXT_LIMIT - len("{}") - len(_LEFT_OUT % len(extras))
    kept: list[_Extra] = []
    for extra in smallest:
        if extra.least <= room:
            room -= extra.least
            kept.append(extra)
    kept.sort(key=lambda extra: extra.more)
    parts = []
    for at, extra in enumerate(kept):
        share = room // (len(kept) - at)
        value = extra.value if extra.more <= share else _part(extra.text, len(_CUT) + share)
        room -= max(len(value) - len(_CUT), 0)
        parts.append(f"{extra.name}: {value}")
    if len(kept) < len(extras):
        parts.append(_LEFT_OUT % (len(extras) - len(kept)))
    return f"{{{', '.join(parts)}}}"


def _part(text: str, most: int) -> str:
    """As much of the beginning as is JSON of at most ``most`` characters, and how many characters are missing."""
    room = most - len(json.dumps(cut(text, 0)))
    if room < 0:
        return _CUT
    fitting = bisect_right(range(room + 1), room, key=lambda count: len(json.dumps(text[:count])) - len('""'))
    return json.dumps(cut(text, fitting - 1))


def _text(value: object) -> str:
    try:
        return str.__str__(str(value))
    except Exception as error:
        return f"<{type(value).__name__} whose text raised {type(error).__name__}>"
