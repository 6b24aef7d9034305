"""What the intake knows of each producer, so that a frame sent twice is accepted once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tabard.agents.intake.connection import Connection

MOST: Final = 4_096
"""Sources remembered, like in the journal: those that were longest away are forgotten first."""


class Source:
    """One producer, by the id it gave itself. Outlives its connections."""

    __slots__ = ("accepted", "connection", "key", "received")

    def __init__(self, key: str, accepted: int = 0) -> None:
        self.key = key
        """Its name in the journal's marks; "" for one that gave no id and cannot come back."""
        self.accepted = accepted
        """The last frame that is journaled."""
        self.received = accepted
        """The last frame taken in: those beyond `accepted` wait to be journaled."""
        self.connection: Connection | None = None

    @property
    def settled(self) -> bool:
        """Whether nothing it sent is waiting."""
        return self.accepted >= self.received


class Sources:
    """All producers by key, starting from the marks of the journal."""

    def __init__(self, marks: Mapping[str, Any]) -> None:
        self._known: dict[str, Source] = {}
        for key, mark in marks.items():
            if key.startswith(("socket:", "tcp:")) and type(mark) is int and mark > 0:
                self._known[key] = Source(key, mark)

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: str) -> Source:
        """The producer called ``key``, as new if it was never seen or is forgotten."""
        source = self._known.pop(key, None)
        if source is None:
            self._forget()
            source = Source(key)
        self._known[key] = source  # now the last to be forgotten
        return source

    def _forget(self) -> None:
        if len(self._known) < MOST:
            return
        for key, source in self._known.items():
            if source.connection is None and source.settled:
                del self._known[key]
                return
