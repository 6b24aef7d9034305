"""Walks through values that somebody else put together, and writes them as JSON of bounded size.

Lists may hold themselves, and a text may be referred to ten thousand times: depth, members and characters
are counted, and what exceeds them is left out visibly. Where texts are too much together the longest are cut,
so that one large attribute costs neither its own name nor the small ones beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, Final

from tabard.agents.intake.cutting import to_json

DEPTH: Final = 8
MEMBERS: Final = 2_000
"""Values within values, in all."""
CHARACTERS: Final = 65_536
"""Of all names and texts together, with the words that say what was cut from them."""
_MORE: Final = "<more>"
_NAMES: Final = CHARACTERS // 2
"""The part of them that names may take."""
_LEAST: Final = 32
"""Characters that a text is never cut below; where that is too much, there are fewer members."""


class _Walk:
    """One way through the values, on which a name and a text may be so long; without limits it measures them."""

    __slots__ = ("_members", "_name", "_text", "names", "spent", "texts")

    def __init__(self, members: int = MEMBERS, name: int | None = None, text: int | None = None) -> None:
        self._members = members
        self._name = name
        self._text = text
        self.spent = 0
        """Characters of all names and texts, if nothing is cut."""
        self.names: list[int] = []
        self.texts: list[int] = []
        """How many each has; of bytes how many they may become."""

    def value(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self._shown(value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return value if -(2**63) <= value < 2**64 else self._shown(str(value))
        if isinstance(value, float):
            return value if isfinite(value) else str(value)
        if isinstance(value, bytes):
            return self._decoded(value)
        if isinstance(value, (list, tuple)):
            return self._list(value, depth)
        if isinstance(value, dict):
            return self.mapping(value, depth)
        return self._shown(str(value))

    def mapping(self, values: Mapping[str, Any], depth: int) -> Any:
        if depth >= DEPTH:
            return _MORE
        found: dict[str, Any] = {}
        for key, value in values.items():
            if self._full():
                found[_MORE] = _MORE
                break
            self.spent += len(key)
            self.names.append(len(key))
            name = key if self._name is None or len(key) <= self._name else _cut(key, self._name)
            if name in found:  # names that differ only where they were cut
                name = f"{name}<{len(found)}>"
            found[name] = self.value(value, depth + 1)
        return found

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

    def _shown(self, value: str) -> str:
        self.spent += len(value)
        self.texts.append(len(value))
        return value if self._text is None or len(value) <= self._text else _cut(value, self._text)

    def _decoded(self, value: bytes) -> str:
        most = (
            len(value) if len(value) > CHARACTERS or value.isascii() else 4 * len(value)
        )  # each may be written \xff
        self.spent += most
        self.texts.append(most)
        if self._text is not None:
            return _cut_bytes(value, self._text)
        return _text_of(value) if self.spent <= CHARACTERS else ""  # only measured then

    def _full(self) -> bool:
        self._members -= 1
        return self._members < 0


def _bounded(way: Callable[[_Walk], Any]) -> Any:
    """What ``way`` finds, its names and texts cut where they are more than `CHARACTERS`."""
    walk = _Walk()
    found = way(walk)
    if walk.spent <= CHARACTERS:
        return found
    members = MEMBERS
    while True:
        name = _limit(walk.names, _NAMES)
        text = _limit(walk.texts, CHARACTERS - sum(min(length, name) for length in walk.names))
        if min(name, text) >= _LEAST:
            return way(_Walk(members, name, text))
        members = members * 3 // 4
        walk = _Walk(members)
        way(walk)


def _limit(lengths: list[int], most: int) -> int:
    """How long each may be so that all take ``most`` together: the short ones leave their share to the long ones."""
    for done, length in enumerate(sorted(lengths)):
        share = most // (len(lengths) - done)
        if length > share:
            return share
        most -= length
    return CHARACTERS


def _cut(text: str, most: int) -> str:
    kept = max(most - len(f"<{len(text)} more characters>"), 0)
    return f"{text[:kept]}<{len(text) - kept} more characters>"


def _cut_bytes(value: bytes, most: int) -> str:
    text = _text_of(value[: most + 1])
    if len(value) <= most and len(text) <= most:
        return text
    kept = max(most - len(f"<{len(value)} more bytes>"), 0)
    if len(text := _text_of(value[:kept])) > kept:
        kept //= 4
        text = _text_of(value[:kept])
    return f"{text}<{len(value) - kept} more bytes>"


def _text_of(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def object_text(values: Mapping[str, Any]) -> str:
    """A JSON object of them, in their order."""
    return to_json(_bounded(lambda walk: walk.mapping(values, 0)))


def value_text(value: Any) -> str:
    """One value as text: a text as it is, everything else as JSON."""
    if isinstance(value, str):
        return value
    found = _bounded(lambda walk: walk.value(value, 0))
    return found if isinstance(found, str) else to_json(found)
