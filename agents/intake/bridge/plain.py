"""Walks through values that somebody else put together, and writes them as JSON of bounded size.

Lists may hold themselves, and a text may be referred to ten thousand times: depth, members and characters
are counted, and what exceeds them is left out visibly.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from tabard.agents.intake.cutting import to_json

DEPTH: Final = 8
MEMBERS: Final = 2_000
"""Values within values, in all."""
CHARACTERS: Final = 65_536
_MORE: Final = "<more>"


class _Walk:
    __slots__ = ("characters", "members")

    def __init__(self) -> None:
        self.members = MEMBERS
        self.characters = CHARACTERS

    def text(self, value: str) -> str:
        if len(value) > self.characters:
            value = f"{value[: self.characters]}<{len(value) - self.characters} more characters>"
        self.characters -= min(len(value), self.characters)
        return value

    def value(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return value if -(2**63) <= value < 2**64 else self.text(str(value))
        if isinstance(value, float):
            return value if isfinite(value) else str(value)
        if isinstance(value, bytes):
            return self.text(value[: CHARACTERS + 1].decode("utf-8", "backslashreplace"))
        if isinstance(value, (list, tuple)):
            return self._list(value, depth)
        if isinstance(value, dict):
            return self.mapping(value, depth)
        return self.text(str(value))

    def _list(self, values: list[Any] | tuple[Any, ...], depth: int) -> Any:
        if depth >= DEPTH:
            return _MORE
        found = []
        for value in values:
            if self._full():
                found.append(_MORE)
                break
            found.append(self.value(value, depth + 1))
        return found

    def mapping(self, values: Mapping[str, Any], depth: int) -> Any:
        if depth >= DEPTH:
            return _MORE
        found = {}
        for key, value in values.items():
            if self._full():
                found[_MORE] = _MORE
                break
            found[self.text(key)] = self.value(value, depth + 1)
        return found

    def _full(self) -> bool:
        self.members -= 1
        return self.members < 0 or self.characters <= 0


def object_text(values: Mapping[str, Any]) -> str:
    """A JSON object of them, in their order."""
    return to_json(_Walk().mapping(values, 0))


def value_text(value: Any) -> str:
    """One value as text: a text as it is, everything else as JSON."""
    if isinstance(value, str):
        return value
    found = _Walk().value(value, 0)
    return found if isinstance(found, str) else to_json(found)
