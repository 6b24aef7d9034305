"""Values in commands: each is one word, by construction.

While a command template is rendered, a mark stands for each value. The text is split into words, or read as a
shell would read it, before any value is in it: what a value contains can change nothing about where words begin.
"""

from __future__ import annotations

import datetime as dt
import decimal
import os
import re
import secrets
import shlex
from typing import Any, Final

_OPEN, _CLOSE = "\ue000", "\ue001"
_SHAPE: Final = re.compile(f"{_OPEN}[0-9]{{20}}\\.[0-9]+{_CLOSE}")
_OPERATORS: Final = frozenset(
    {"|", "||", "&&", "&", ";", ">", ">>", "<", "<<", "2>", "2>>", "2>&1", "&>", "|&", "(", ")", "`"}
)
_PLAIN: Final = (str, int, float, decimal.Decimal, dt.date, dt.time, os.PathLike)


class Unquoted(str):
    """Text that a template puts into a command as it is, and says so."""

    __slots__ = ()


class Option(str):
    """A value that may begin with a dash, and says so."""

    __slots__ = ()


class BadValue(ValueError):
    """Raised when a value cannot be a word. The sentence says what was expected and found."""


def marked(value: object) -> bool:
    """Whether ``value`` is text with marks in it."""
    return isinstance(value, str) and _OPEN in value and _SHAPE.search(value) is not None


class Marks:
    """The values of one rendering, and what stands for them in its text."""

    def __init__(self) -> None:
        self._token = f"{secrets.randbits(64):020d}"
        self._values: list[Any] = []
        self.pattern: Final = re.compile(f"{_OPEN}{self._token}\\.([0-9]+){_CLOSE}")

    def mark(self, value: Any) -> str:
        """What to put in the place of ``value``. Raises BadValue when it can be no word."""
        if isinstance(value, Unquoted):
            return str(value)
        if isinstance(value, (list, tuple)):
            kept: Any = [self._text(item) for item in value]
        elif isinstance(value, Option):
            kept = Option(self._text(value))
        else:
            kept = self._text(value)
        self._values.append(kept)
        return f"{_OPEN}{self._token}.{len(self._values) - 1}{_CLOSE}"

    def check(self, text: str) -> None:
        """Raise BadValue when something has changed a mark in ``text``: its value would be lost."""
        rest = self.pattern.sub("", text)
        if self._token in rest or _OPEN in rest or _CLOSE in rest:
            raise BadValue(
                "expected values as they were put in, found one that was changed with the text round it: write "
                "{{ value|filter }}, and no filter on what a macro or a block gives"
            )

    def value(self, match: re.Match[str]) -> Any:
        """The value that a mark stands for: text, or a list of it."""
        return self._values[int(match[1])]

    def risky(self, value: Any) -> bool:
        """Whether a value would be taken for an option."""
        first = value[0] if isinstance(value, list) and value else value
        return isinstance(first, str) and first.startswith("-") and not isinstance(value, Option)

    def plain(self, text: str) -> str:
        """``text`` with every mark replaced by its value, for reading."""
        return self.pattern.sub(lambda match: _joined(self.value(match)), text)

    def _text(self, value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, _PLAIN):
            what = "nothing (None)" if value is None else f"{type(value).__name__} {value!r}"[:200]
            raise BadValue(f"expected text, a number, a path, or a list of these, found {what}")
        text = os.fspath(value) if isinstance(value, os.PathLike) else str(value)
        if not isinstance(text, str) or "\0" in text:
            raise BadValue(f"expected text without NUL, found {text!r}"[:200])
        # A number begins with a dash by being negative; it is no option.
        text = self.plain(text)
        return Option(text) if isinstance(value, (int, float, decimal.Decimal)) else text


def argv(text: str, marks: Marks) -> list[str]:
    """The words of a command without a shell. Raises BadValue for what is no list of words."""
    marks.check(text)
    text = text.replace("\\\n", " ")
    try:
        words = shlex.split(text)
        raw = shlex.split(text, posix=False)
    except ValueError as error:
        raise BadValue(f"expected words, found {str(error).lower()}") from error
    for word in raw:
        if word in _OPERATORS:
            raise BadValue(f"expected words, found {word!r}: pipes and redirections need a template sh")
    result: list[str] = []
    for word in words:
        whole = marks.pattern.fullmatch(word)
        first = marks.pattern.match(word)
        if first and "--" not in result and result and marks.risky(marks.value(first)):
            raise BadValue(dash(marks.value(first)))
        if whole and isinstance(marks.value(whole), list):
            result += marks.value(whole)
            continue
        result.append(marks.pattern.sub(lambda match: _single(marks.value(match)), word))
    if not result:
        raise BadValue("expected a command, found no words")
    return result


def dash(value: Any) -> str:
    """Why a value that begins with a dash is refused."""
    return (
        f"expected no value that the command would take for an option, found {_joined(value)!r}: "
        "put -- before it, or say {{ value|option }}"
    )


def _single(value: Any) -> str:
    if isinstance(value, list):
        raise BadValue("expected one value within a word, found a list: let it stand alone")
    return str(value)


def _joined(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else str(value)
