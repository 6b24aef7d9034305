"""The kinds of values a setting can have: how each is read, shown and described.

A kind reads two things: what TOML decoded (``read``) and text from the environment or the command line
(``read_text``). ``show`` is the way back: ``read_text(show(value)) == value`` for every value.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Final

from tabard import units
from tabard.errors import TabardError

_FLAG_WORDS: Final = {
    "true": True, "yes": True, "on": True, "1": True,
    "false": False, "no": False, "off": False, "0": False,
}  # fmt: skip


class Kind(ABC):
    """One kind of value. ``form`` completes the sentence "expected ..."; ``reach`` is its bounds or words."""

    name = "text"
    form = "text"
    reach = ""

    @abstractmethod
    def read(self, raw: object) -> Any:
        """The value of a decoded TOML value; raises TabardError with what was expected."""

    def read_text(self, text: str) -> Any:
        """The value of text from the environment or the command line."""
        return self.read(text)

    def show(self, value: Any) -> str:
        """``value`` as a person would write it."""
        return str(value)

    def toml(self, value: Any) -> str:
        """``value`` as it stands in the settings file."""
        return quoted(self.show(value))

    def refuse(self, raw: object) -> TabardError:
        """The error for a value of another form."""
        return TabardError("wrong value", expected=self.form, found=brief(raw))


class Text(Kind):
    """One line of text of at most ``limit`` characters, further narrowed by ``check``.

    ``check`` returns the value or raises TabardError. ``empty`` says that "" is allowed, and means what
    the setting's help says.
    """

    def __init__(
        self,
        form: str = "one line of text",
        *,
        check: Callable[[str], str] | None = None,
        empty: bool = False,
        limit: int = 255,
        name: str = "text",
    ) -> None:
        self.form = f'{form}, or ""' if empty and check else form
        self.name = name
        self._check = check
        self._empty = empty
        self._limit = limit

    def read(self, raw: object) -> str:
        """The value of a decoded TOML value."""
        if not isinstance(raw, str) or len(raw) > self._limit or not (raw.isprintable() or raw == ""):
            raise self.refuse(raw)
        if not raw:
            if not self._empty:
                raise self.refuse(raw)
            return raw
        if self._check is None:
            return raw
        try:
            return self._check(raw)
        except TabardError as error:
            raise self.refuse(raw) from error


class Choice(Kind):
    """One of a few words."""

    name = "one of"

    def __init__(self, *words: str) -> None:
        self.reach = ", ".join(words)
        self.form = f"one of {self.reach}"
        self._words = words

    def read(self, raw: object) -> str:
        """The value of a decoded TOML value."""
        if not isinstance(raw, str) or raw not in self._words:
            raise self.refuse(raw)
        return raw


class Level(Kind):
    """A level of the logging module, in any case; WARN and FATAL are read as WARNING and CRITICAL."""

    name = "level"
    reach = "DEBUG, INFO, WARNING, ERROR, CRITICAL"
    form = f"one of {reach}"
    _ALIASES: Final = {"WARN": "WARNING", "FATAL": "CRITICAL"}

    def read(self, raw: object) -> str:
        """The value of a decoded TOML value."""
        word = raw.strip().upper() if isinstance(raw, str) else ""
        word = self._ALIASES.get(word, word)
        if word not in self.reach.split(", "):
            raise self.refuse(raw)
        return word


class Flag(Kind):
    """true or false."""

    name = "flag"
    form = "true or false"

    def read(self, raw: object) -> bool:
        """The value of a decoded TOML value."""
        if not isinstance(raw, bool):
            raise self.refuse(raw)
        return raw

    def read_text(self, text: str) -> bool:
        """The value of text from outside the file."""
        value = _FLAG_WORDS.get(text.strip().lower())
        if value is None:
            raise self.refuse(text)
        return value

    def show(self, value: bool) -> str:
        """As a person would write it."""
        return "true" if value else "false"

    def toml(self, value: bool) -> str:
        """As it stands in the file."""
        return self.show(value)


class Integer(Kind):
    """A whole number between ``low`` and ``high``, both included."""

    name = "number"

    def __init__(self, low: int, high: int) -> None:
        self.reach = f"{low} to {high}"
        self.form = f"a whole number from {self.reach}"
        self._low = low
        self._high = high

    def read(self, raw: object) -> int:
        """The value of a decoded TOML value."""
        if not isinstance(raw, int) or isinstance(raw, bool) or not self._low <= raw <= self._high:
            raise self.refuse(raw)
        return raw

    def read_text(self, text: str) -> int:
        """The value of text from outside the file."""
        digits = text.strip().removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
            raise self.refuse(text)
        return self.read(int(text))

    def toml(self, value: int) -> str:
        """As it stands in the file."""
        return str(value)


class Number(Kind):
    """A number with a fraction between ``low`` and ``high``, both included; ``unit`` is for people."""

    name = "number"

    def __init__(self, low: float, high: float, unit: str = "") -> None:
        self.reach = f"{low:g} to {high:g}{' ' + unit if unit else ''}"
        self.form = f"a number from {self.reach}"
        self._low = low
        self._high = high

    def read(self, raw: object) -> float:
        """The value of a decoded TOML value."""
        if not isinstance(raw, (int, float)) or isinstance(raw, bool) or not self._low <= raw <= self._high:
            raise self.refuse(raw)
        return float(raw)

    def read_text(self, text: str) -> float:
        """The value of text from outside the file."""
        try:
            return self.read(float(text))
        except ValueError as error:
            raise self.refuse(text) from error

    def show(self, value: float) -> str:
        """The shortest text that is read as the same number."""
        return repr(value)

    def toml(self, value: float) -> str:
        """As it stands in the file."""
        return repr(value)


class Duration(Kind):
    """Seconds, written with a unit, between ``low`` and ``high`` (written the same way).

    ``empty`` says that "" is allowed, which is read as 0 and means what the setting's help says.
    """

    name = "duration"

    def __init__(self, low: str, high: str, *, empty: bool = False) -> None:
        self.reach = f"{low} to {high}"
        self.form = f"{units.DURATION_FORM}, from {self.reach}" + (', or ""' if empty else "")
        self._low = units.parse_duration(low)
        self._high = units.parse_duration(high)
        self._empty = empty

    def read(self, raw: object) -> float:
        """The value of a decoded TOML value."""
        if not isinstance(raw, str):
            raise self.refuse(raw)
        if self._empty and not raw.strip():
            return 0.0
        try:
            seconds = units.parse_duration(raw)
        except TabardError as error:
            raise self.refuse(raw) from error
        if not self._low <= seconds <= self._high:
            raise self.refuse(raw)
        return seconds

    def show(self, value: float) -> str:
        """As a person would write it."""
        return "" if self._empty and not value else units.format_duration(value)


class Size(Kind):
    """Bytes, as a number or with a unit, between ``low`` and ``high`` (written with one)."""

    name = "size"

    def __init__(self, low: str, high: str) -> None:
        self.reach = f"{low} to {high}"
        self.form = f"{units.SIZE_FORM}, from {self.reach}"
        self._low = units.parse_size(low)
        self._high = units.parse_size(high)

    def read(self, raw: object) -> int:
        """The value of a decoded TOML value."""
        if not isinstance(raw, (str, int)) or isinstance(raw, bool):
            raise self.refuse(raw)
        try:
            size = raw if isinstance(raw, int) else units.parse_size(raw)
        except TabardError as error:
            raise self.refuse(raw) from error
        if not self._low <= size <= self._high:
            raise self.refuse(raw)
        return size

    def show(self, value: int) -> str:
        """As a person would write it."""
        return units.format_size(value)


class Rate(Size):
    """Bytes a second, as a size, or 0 for no limit."""

    name = "rate"

    def __init__(self, low: str, high: str) -> None:
        super().__init__(low, high)
        self.reach = f"{low} to {high}, or 0"
        self.form = f"bytes a second as {units.SIZE_FORM}, from {low} to {high}, or 0 for any"

    def read(self, raw: object) -> int:
        """The value of a decoded TOML value."""
        if raw == 0 and type(raw) is int:
            return 0
        try:
            if isinstance(raw, str) and units.parse_size(raw) == 0:
                return 0
        except TabardError as error:
            raise self.refuse(raw) from error
        return super().read(raw)

    def show(self, value: int) -> str:
        """As a person would write it."""
        return super().show(value) if value else "0"


class Words(Kind):
    """A list of 1 to 64 different texts of one kind, or of none; comma-separated outside the settings file.

    There an item that holds a comma, or begins or ends with a quote or blank, stands in double quotes, twice for one.
    """

    name = "list of"

    def __init__(self, item: Text, *, empty: bool = False, again: bool = False) -> None:
        """`again`: an item may stand in it more than once."""
        self.reach = item.name
        self._least = 0 if empty else 1
        self.form = f"a list of {self._least} to 64{'' if again else ' different'} items, each {item.form}"
        self._item = item
        self._again = again

    def read(self, raw: object) -> tuple[str, ...]:
        """The value of a decoded TOML value."""
        if not isinstance(raw, list) or not self._least <= len(raw) <= 64:
            raise self.refuse(raw)
        items = tuple(self._item.read(item) for item in raw)
        if len(set(items)) != len(items) and not self._again:
            raise self.refuse(raw)
        return items

    def read_text(self, text: str) -> tuple[str, ...]:
        """The value of text from outside the file."""
        return self.read(self._items(text) if text.strip() or self._least else [])

    def show(self, value: Sequence[str]) -> str:
        """As a person would write it."""
        return ",".join(map(_listed, value)) if value != ("",) else '""'

    def _items(self, text: str) -> list[str]:
        items = []
        for match in _ITEM.finditer(text):
            quote, plain = match[1], match[2]
            items.append(plain.strip() if quote is None else quote.replace('""', '"'))
        return items

    def toml(self, value: Sequence[str]) -> str:
        """As it stands in the file."""
        return "[" + ", ".join(quoted(item) for item in value) + "]"


_ITEM: Final = re.compile(r'(?:(?<=,)|\A)(?:\s*"((?:[^"]|"")*)"\s*(?=,|\Z)|([^,]*)(?=,|\Z))')
"""One item of a list: in quotes, or all up to the next comma."""


def _listed(item: str) -> str:
    if item and "," not in item and item == item.strip() and not item.startswith('"'):
        return item
    return '"' + item.replace('"', '""') + '"'


def quoted(text: str) -> str:
    """``text`` as a TOML string: literal where that is readable, escaped where it must be."""
    if "\\" in text and "'" not in text:
        return f"'{text}'"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def brief(raw: object) -> str:
    """A found value as an error shows it: as written, without passwords inside, cut when it is long."""
    if isinstance(raw, dict):
        return "a table"
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, list):
        return "a list" if any(isinstance(item, (list, dict)) for item in raw) else _cut(repr(raw))
    if isinstance(raw, (str, int, float)):
        return _cut(repr(raw))
    return _cut(str(raw))


def _cut(text: str) -> str:
    from tabard.masking import (
        visible,
    )  # only on the way to an error; what is cut first cannot be recognised any more

    text = visible(text)
    return text if len(text) <= 80 else text[:77] + "..."
