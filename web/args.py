"""Reading the parameters of a URL: each by its own rule, every fault named, none fatal."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from tabard.errors import TabardError
from tabard.records import clean_text

T = TypeVar("T")

MAX_TEXT: Final = 1000
"""Characters of one parameter."""


@dataclass(frozen=True)
class Problem:
    """One parameter that could not be used."""

    parameter: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.parameter} was left out: expected {self.expected}; found {self.found}"


class Args:
    """The parameters of one request. Those that cannot be used are left out and listed in `problems`."""

    def __init__(self, items: Iterable[tuple[str, str]], known: Iterable[str]) -> None:
        """``items`` are names and values as often as they stand in the URL: the last of a name counts.

        Empty ones are dropped, since a form sends every field it has.
        """
        self.raw = {clean_text(name): clean_text(value) for name, value in items if value.strip()}
        self.problems: list[Problem] = []
        names = list(known)
        for name in list(self.raw):
            if name not in names:
                self.raw.pop(name)
                near = difflib.get_close_matches(name, names, n=1)
                expected = f"{near[0]}, perhaps" if near else f"one of {', '.join(names)}"
                self.reject(shorten(name), expected, "a parameter this page does not have")
            elif len(self.raw[name]) > MAX_TEXT:
                self.reject(name, f"at most {MAX_TEXT} characters", str(len(self.raw.pop(name))))

    def reject(self, name: str, expected: str, found: str) -> None:
        """Note that the parameter ``name`` is not used, and why."""
        self.problems.append(Problem(name, expected, found))

    def read(self, name: str, parse: Callable[[str], T], default: T) -> T:
        """The parameter ``name`` as ``parse`` understands it, ``default`` when it is absent or at fault."""
        text = self.raw.get(name)
        if text is None:
            return default
        try:
            return parse(text.strip())
        except TabardError as error:
            self.reject(name, error.expected or error.what, error.found or repr(shorten(text)))
            return default


def whole_number(text: str, lowest: int, highest: int) -> int:
    """``text`` as a number from ``lowest`` to ``highest``. Raises TabardError."""
    if not is_number(text) or not lowest <= int(text) <= highest:
        wanted = f"a number from {lowest} to {highest}"
        raise TabardError("not a number in range", expected=wanted, found=repr(shorten(text)))
    return int(text)


def one_of(text: str, choices: Mapping[str, T]) -> T:
    """The choice called ``text``. Raises TabardError, which names them all."""
    if text not in choices:
        raise TabardError("not a choice", expected=f"one of {', '.join(choices)}", found=repr(shorten(text)))
    return choices[text]


def is_number(text: str) -> bool:
    """Whether ``text`` is a decimal number without sign that fits a database column."""
    return text.isascii() and text.isdigit() and len(text) <= 19 and int(text) < 2**63


def shorten(text: str, limit: int = 60) -> str:
    """``text`` cut to ``limit`` characters, for a message."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
