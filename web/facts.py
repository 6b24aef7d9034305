"""What a node says of itself, as a person reads it: known facts by name and with units, others as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from tabard.web.scales import show_bytes

SHORT_ID: Final = 8
"""Characters of an id that only has to be told from others."""
APART: Final = frozenset({"version", "faults"})
"""Facts that have places of their own on the page."""


class Fact(NamedTuple):
    """One fact."""

    label: str
    text: str
    title: str
    """All of it, where the text is shortened."""


def facts_of(said: Mapping[str, Any]) -> list[Fact]:
    """The facts that are one value each."""
    return [
        _fact(name, value)
        for name, value in said.items()
        if name not in APART and isinstance(value, (str, int, float))
    ]


def faults_of(said: Mapping[str, Any]) -> list[str]:
    """What the node says is wrong with it."""
    faults = said.get("faults")
    return [fault for fault in faults if isinstance(fault, str)] if isinstance(faults, list) else []


def _fact(name: str, value: str | float) -> Fact:
    known = _KNOWN.get(name)
    if known is not None and isinstance(value, known[1]):
        return Fact(known[0], known[2](value), str(value))
    return Fact(name.replace("_", " "), str(value), "")


_KNOWN: Final[dict[str, tuple[str, type, Callable[[Any], str]]]] = {
    "journal_bytes": ("Journal", int, show_bytes),
    "boot": ("Boot", str, lambda text: text[:SHORT_ID]),
}
