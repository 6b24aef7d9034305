r"""Patterns that take a bounded time on any text: a part of the regular expressions of Python, checked before they are used.

What is allowed, since it can be seen how long it takes:

* characters, ``.``, classes (``[a-z0-9_-]``, ``[^"]``, ``\d \w \s \D \W \S``), escaped characters, ``\b``;
* behind one of those ``?``, ``{n}`` or ``{m,n}`` with n up to 256;
* ``+`` and ``*`` at the end of an alternative only: what they take is taken once, and never looked at again;
* alternatives of the whole pattern (``a|b``), and ``(?i)`` in front of it all.

No groups, so nothing is repeated within what is repeated. A repeat that may be longer or shorter is tried at each of its lengths only
where what follows could begin with what it repeats (``\d{1,9}\d``); the steps of all that are counted, and are at most 1,024 at
each character of a text. So the time grows with the length of a text, not with a power of it.
"""

from __future__ import annotations

import functools
import re
from typing import Final, NamedTuple

from tabard.brokers.trust import reasons
from tabard.errors import TrustError

MAX_PATTERN: Final = 512
"""Characters of a pattern."""
MAX_REPEAT: Final = 256
MAX_STEPS: Final = 1_024
"""Steps that a pattern may take at one character of a text."""
_CLASSES: Final = "dwsDWS"
_SPECIAL: Final = "\\.^$*+?{}[]|()"
_CONTROL: Final = {"t": "\t", "n": "\n", "r": "\r"}
_SAMPLES: Final = [*map(chr, range(128)), "\u00a0", "\u00e9", "\u00c9", "\u0661", "\u4e2d", "\u2603"]
"""One or more of each kind that the classes tell apart."""
_REPEAT: Final = re.compile(r"\{(\d{1,3})(?:,(\d{1,3}))?\}|[?*+]")


class _Part(NamedTuple):
    """One class or character with its repeat; of an anchor `text` alone."""

    text: str
    edges: tuple[str, ...] = ()
    """Characters of which one is in every overlap with another class."""
    least: int = 1
    most: int | None = 1
    """None: endless."""


def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern, ready for use. Raises TrustError as `check_pattern`."""
    check_pattern(pattern, "pattern")
    return re.compile(pattern)


@functools.lru_cache(maxsize=1_024)
def check_pattern(pattern: str, where: str) -> None:
    """Raises TrustError with what is wrong unless a pattern is one of those that take a bounded time."""
    if len(pattern) > MAX_PATTERN:
        raise _wrong("a pattern is too long", f"at most {MAX_PATTERN} characters", f"{len(pattern)}", where)
    folded = pattern.startswith("(?i)")
    steps = 0
    for parts in _alternatives(pattern[4:] if folded else pattern, where):
        if not any(part.edges and part.least for part in parts):
            raise _wrong("a pattern that fits everywhere", "one that needs a character", pattern, where)
        steps += _steps(parts, re.IGNORECASE if folded else re.NOFLAG)
    if steps > MAX_STEPS:
        raise _wrong(
            "a pattern that can take too long",
            f"at most {MAX_STEPS} steps at each character: shorter repeats, or such as what follows cannot begin with",
            f"{steps} steps",
            where,
        )
    try:
        re.compile(pattern)
    except re.error as error:
        raise _wrong("not a pattern", "a regular expression", f"{error} in {pattern!r}", where) from error


def _alternatives(pattern: str, where: str) -> list[list[_Part]]:
    found: list[list[_Part]] = [[]]
    at = 0
    while at < len(pattern):
        if pattern[at] == "|":
            found.append([])
            at += 1
            continue
        part, at = _part(pattern, at, where)
        repeat = _REPEAT.match(pattern, at) if part.edges else None
        if repeat is not None:
            at = repeat.end()
            part = _repeated(part, repeat, where)
            if part.most is None and at < len(pattern) and pattern[at] != "|":
                raise _wrong(
                    "an endless repeat inside a pattern",
                    f"+ and * at the end only, and {{m,n}} with n up to {MAX_REPEAT} before",
                    pattern[: at + 1],
                    where,
                )
        found[-1].append(part)
    return found


def _repeated(part: _Part, repeat: re.Match[str], where: str) -> _Part:
    text = repeat.group()
    if text in "?*+":
        return part._replace(least=int(text == "+"), most=1 if text == "?" else None)
    least = int(repeat.group(1))
    most = int(repeat.group(2) or least)
    if not least <= most <= MAX_REPEAT or not most:
        raise _wrong("a wrong repeat", f"m to n, up to {MAX_REPEAT}", text, where)
    return part._replace(least=least, most=most)


def _part(pattern: str, at: int, where: str) -> tuple[_Part, int]:
    """The character, class or anchor at a place, and where it ends."""
    sign = pattern[at]
    if sign == "[":
        return _class(pattern, at, where)
    if sign == "\\":
        escaped = pattern[at + 1 : at + 2]
        text = sign + escaped
        if escaped == "b":
            return _Part(text), at + 2
        if escaped and escaped in _CLASSES:
            return _Part(text, (escaped,)), at + 2
        return _Part(text, (_escaped(escaped, where),)), at + 2
    if sign == ".":
        return _Part(sign, (sign,)), at + 1
    if sign in _SPECIAL:
        raise _wrong(
            "what a policy's pattern cannot have",
            "characters, classes, {m,n}, ?, and + or * at the end; a \\ before a sign that is meant itself",
            pattern[at:][:20],
            where,
        )
    return _Part(re.escape(sign), (sign,)), at + 1


def _class(pattern: str, start: int, where: str) -> tuple[_Part, int]:
    at = start + 1
    if pattern[at : at + 1] == "^":
        at += 1
    edges: list[str] = []
    while pattern[at : at + 1] not in ("", "]"):
        sign = pattern[at]
        if sign == "[" or pattern[at : at + 2] in ("--", "&&", "||", "~~"):
            raise _wrong(
                "a class of a form that is reserved", "a \\ before the sign", pattern[start:][:40], where
            )
        if sign == "\\":
            escaped = pattern[at + 1 : at + 2]
            edges.append(escaped if escaped and escaped in _CLASSES else _escaped(escaped, where))
            at += 2
        else:
            edges.append(sign)
            at += 1
    if not edges or at >= len(pattern):
        raise _wrong(
            "a class without an end", "a ] behind at least one character", pattern[start:][:40], where
        )
    return _Part(pattern[start : at + 1], tuple(edges)), at + 1


def _escaped(sign: str, where: str) -> str:
    if sign in _CONTROL:
        return _CONTROL[sign]
    if not sign or sign.isalnum():
        raise _wrong(
            "an escape that a policy's pattern cannot have",
            "one of \\d \\w \\s \\D \\W \\S \\b \\t \\n \\r",
            f"\\{sign}",
            where,
        )
    return sign


def _steps(parts: list[_Part], flags: re.RegexFlag) -> int:
    """How many steps an alternative takes at most at one character of a text, but for an endless repeat at its end."""
    steps, tries = 0, 1
    for place, part in enumerate(parts):
        if part.most is None:
            return steps + tries
        steps += tries * part.most
        if part.least < part.most and _ambiguous(part, parts[place + 1 :], flags):
            tries *= part.most - part.least + 1
    return steps


def _ambiguous(part: _Part, after: list[_Part], flags: re.RegexFlag) -> bool:
    """Whether what follows could begin with what a repeat takes."""
    for each in after:
        if each.edges and _meet(part, each, flags):
            return True
        if each.least and each.edges:
            return False
    return False


def _meet(one: _Part, other: _Part, flags: re.RegexFlag) -> bool:
    classes = [re.compile(part.text, flags) for part in (one, other)]
    edges = {*one.edges, *other.edges}
    signs = {*_SAMPLES, *edges, *(sign.swapcase() for sign in edges)}
    return any(all(each.fullmatch(sign) for each in classes) for sign in signs if len(sign) == 1)


def _wrong(what: str, expected: str, found: str, where: str) -> TrustError:
    return TrustError(what, reason=reasons.MALFORMED, expected=expected, found=found[:120], where=where)
