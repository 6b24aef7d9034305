"""A policy as a person writes it: a file of TOML whose keys are the fields of `Policy`, and the same the other way round.

What no broker could apply is refused here, with the line where it stands.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tabard.brokers.policy.document import (
    ATTRIBUTE,
    ATTRIBUTE_KIND,
    DOWN_KINDS,
    FIELD,
    KINDS,
    MAX_LEVEL_KEY,
    MIN_LEVEL,
    NODE,
    PATTERN,
    REDACTED,
    TEXT_FIELDS,
    Matcher,
    Policy,
    Redaction,
    check,
)
from tabard.errors import SettingsError, TabardError, TrustError
from tabard.records import SEVERITIES, severity_name
from tabard.settings.document import Document, parse_document, read_limited
from tabard.settings.kinds import brief
from tabard.settings.lines import KeyPath
from tabard.units import format_size, parse_size

KEYS: Final = ("up_kinds", "up_nodes", "up_level", "rate", "down_kinds", "down_nodes", "withhold", "redact")
_LEVELS: Final = frozenset({MIN_LEVEL, MAX_LEVEL_KEY})
_MATCHED: Final = (NODE, MIN_LEVEL, MAX_LEVEL_KEY, ATTRIBUTE_KIND, *TEXT_FIELDS)
_IN: Final = "in"
_WITH: Final = "with"
_RULE: Final = (FIELD, ATTRIBUTE_KIND, PATTERN, _IN, _WITH)
_PLACE: Final = re.compile(r"(withhold|redact) (\d+)(?:: (.+))?")


def read_policy(path: Path, id_: str, zone: str, below: str) -> Policy:
    """The policy that a file describes. Raises SettingsError with the line of what is wrong."""
    data = read_limited(path)
    if data is None:
        raise SettingsError("not found", file=str(path), expected="a file of TOML that describes a policy")
    document = parse_document(str(path), data)
    _known(document, (), document.content, KEYS)
    made = Policy(
        id_,
        1,
        zone,
        below,
        up_kinds=_texts(document, ("up_kinds",), KINDS),
        up_nodes=_texts(document, ("up_nodes",), ()),
        up_level=_level(document, ("up_level",), document.content.get("up_level", 0)),
        withhold=tuple(_matcher(document, path, keys) for path, keys in _tables(document, "withhold")),
        redact=tuple(_redaction(document, path, keys) for path, keys in _tables(document, "redact")),
        rate=_rate(document),
        down_kinds=_texts(document, ("down_kinds",), DOWN_KINDS),
        down_nodes=_texts(document, ("down_nodes",), ()),
    )
    try:
        check(made)
    except TrustError as error:
        place = _path(error.where or "")
        raise _wrong(document, place, error.what, str(error.expected), str(error.found)) from error
    return made


def as_toml(policy: Policy) -> Iterator[str]:
    """The lines of a file that describes it."""
    yield f"up_kinds = [{', '.join(map(_quoted, policy.up_kinds))}]"
    yield f"up_nodes = [{', '.join(map(_quoted, policy.up_nodes))}]"
    yield f"up_level = {_shown_level(policy.up_level)}"
    yield f"rate = {_quoted(format_size(policy.rate)) if policy.rate else 0}"
    yield f"down_kinds = [{', '.join(map(_quoted, policy.down_kinds))}]"
    yield f"down_nodes = [{', '.join(map(_quoted, policy.down_nodes))}]"
    for matcher in policy.withhold:
        yield ""
        yield "[[withhold]]"
        for key, value in matcher:
            name = key
            if key.startswith(ATTRIBUTE):
                name = f"{ATTRIBUTE_KIND}.{_quoted(key.removeprefix(ATTRIBUTE))}"
            yield f"{name} = {_shown_level(int(value)) if key in _LEVELS else _quoted(str(value))}"
    for rule in policy.redact:
        yield ""
        yield "[[redact]]"
        if rule.kind == PATTERN:
            yield f"{PATTERN} = {_quoted(rule.pattern)}"
            yield f"{_IN} = {_quoted(rule.name)}"
        else:
            yield f"{rule.kind} = {_quoted(rule.name)}"
        yield f"{_WITH} = {_quoted(rule.text)}"


# --- reading ----------------------------------------------------------------------------------------------


def _tables(document: Document, name: str) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    rows = document.content.get(name, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _wrong(document, (name,), "wrong value", f"tables [[{name}]]", brief(rows))
    for number, row in enumerate(rows):
        yield (name, number), row


def _matcher(document: Document, path: KeyPath, keys: Mapping[str, Any]) -> Matcher:
    _known(document, path, keys, _MATCHED)
    pairs: list[tuple[str, str | int]] = []
    for key, value in keys.items():
        place = (*path, key)
        if key in _LEVELS:
            pairs.append((key, _level(document, place, value)))
        elif key == ATTRIBUTE_KIND:
            if not isinstance(value, dict):
                raise _wrong(
                    document, place, "wrong value", 'a table, as in attribute.customer = "*"', brief(value)
                )
            pairs += [
                (ATTRIBUTE + name, _text(document, (*place, name), glob)) for name, glob in value.items()
            ]
        else:
            pairs.append((key, _text(document, place, value)))
    levels = dict(pairs)
    lowest, highest = levels.get(MIN_LEVEL), levels.get(MAX_LEVEL_KEY)
    if isinstance(lowest, int) and isinstance(highest, int) and lowest > highest:
        raise _wrong(document, (*path, MAX_LEVEL_KEY), "no record fits, so nothing would be withheld", f"at least {MIN_LEVEL} {keys[MIN_LEVEL]}",
                     brief(keys[MAX_LEVEL_KEY]))  # fmt: skip
    return tuple(pairs)


def _redaction(document: Document, path: KeyPath, keys: Mapping[str, Any]) -> Redaction:
    _known(document, path, keys, _RULE)
    kinds = [kind for kind in (FIELD, ATTRIBUTE_KIND, PATTERN) if kind in keys]
    if len(kinds) != 1:
        raise _wrong(document, path, "a redaction of no one thing", f"one of {FIELD}, {ATTRIBUTE_KIND} and {PATTERN}",
                     " and ".join(kinds) or "none of them")  # fmt: skip
    (kind,) = kinds
    what = _text(document, (*path, kind), keys[kind])
    text = _text(document, (*path, _WITH), keys.get(_WITH, REDACTED))
    if kind != PATTERN:
        if _IN in keys:
            raise _wrong(document, (*path, _IN), "only a pattern is looked for in a field", f"no {_IN} beside {kind}",
                         brief(keys[_IN]))  # fmt: skip
        return Redaction(kind, what, text=text)
    return Redaction(kind, _text(document, (*path, _IN), keys.get(_IN, "message")), what, text)


def _texts(document: Document, path: KeyPath, default: tuple[str, ...]) -> tuple[str, ...]:
    value = document.content.get(str(path[0]), list(default))
    if not isinstance(value, list):
        raise _wrong(document, path, "wrong value", "a list of texts", brief(value))
    return tuple(_text(document, path, each) for each in value)


def _text(document: Document, path: KeyPath, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong(document, path, "wrong value", "a text in quotes", brief(value))
    return value


def _level(document: Document, path: KeyPath, value: Any) -> int:
    """A word, or an OpenTelemetry severity number."""
    if isinstance(value, str) and value.upper() in SEVERITIES:
        return SEVERITIES[value.upper()]
    if type(value) is int:
        return value
    words = ", ".join(SEVERITIES).lower()
    raise _wrong(document, path, "not a level", f"one of {words}, or a severity number", brief(value))


def _rate(document: Document) -> int:
    value = document.content.get("rate", 0)
    if type(value) is int:
        return value
    try:
        return parse_size(_text(document, ("rate",), value))
    except (ValueError, TabardError) as error:
        raise _wrong(
            document, ("rate",), "wrong value", "bytes a second, as in 64KiB", brief(value)
        ) from error


def _known(document: Document, path: KeyPath, keys: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for key in keys:
        if key not in names:
            error = _wrong(document, (*path, key), "no such key", f"one of {', '.join(names)}", key)
            close = difflib.get_close_matches(key, names, n=1)
            error.hint = f"Did you mean {close[0]}?" if close else None
            raise error


def _path(where: str) -> KeyPath:
    """Where the check of a policy found something, as a path in the file."""
    found = _PLACE.fullmatch(where)
    if found is None:
        return (where,) if where else ()
    rule, number, key = found.groups()
    if key and key.startswith(ATTRIBUTE):
        return (rule, int(number) - 1, ATTRIBUTE_KIND, key.removeprefix(ATTRIBUTE))
    return (rule, int(number) - 1, key) if key else (rule, int(number) - 1)


def _wrong(document: Document, path: KeyPath, what: str, expected: str, found: str) -> SettingsError:
    shown = ".".join(str(part + 1) if isinstance(part, int) else part for part in path)
    return SettingsError(
        what,
        file=document.file,
        key=shown or None,
        line=document.line(path) if path else None,
        expected=expected,
        found=found,
    )


# --- writing ----------------------------------------------------------------------------------------------


def _shown_level(level: int) -> str:
    name = severity_name(level)
    return _quoted(name.lower()) if name and SEVERITIES.get(name) == level else str(level)


def _quoted(text: str) -> str:
    """A basic string of TOML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return (
        '"'
        + "".join(each if each >= " " and each != "\x7f" else f"\\u{ord(each):04x}" for each in escaped)
        + '"'
    )
