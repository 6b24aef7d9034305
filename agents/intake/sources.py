"""What the intake knows of each producer: a frame sent twice is accepted once, a refused one never seems accepted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

from tabard.agents.intake.connection import Connection
from tabard.intake_frames import MOST_UNANSWERED
from tabard.records import INT_MAX

MOST: Final = 4_096
"""Sources remembered, like in the journal: those that were longest away are forgotten first."""


class Source:
    """One producer, by the id it gave itself. Outlives its connections."""

    __slots__ = ("_refused", "accepted", "connection", "key", "received")

    def __init__(self, key: str, accepted: int = 0) -> None:
        self.key = key
        """Its name in the journal's marks; "" for one that gave no id and cannot come back."""
        self.accepted = accepted
        """The last frame that is journaled."""
        self.received = accepted
        """The last frame taken in: those beyond `accepted` wait to be journaled."""
        self.connection: Connection | None = None
        self._refused: list[int] = []
        """Rising numbers of frames that were refused, among the last that the client can be in doubt about."""

    @classmethod
    def marked(cls, key: str, mark: Any) -> Self | None:
        """The producer that `mark` was journaled for; None when that is no mark of a producer."""
        numbers = mark if isinstance(mark, (list, tuple)) else [mark]
        if not numbers or not _is_number(numbers[0]):
            return None
        source = cls(key, numbers[0])
        source._refused = sorted(number for number in numbers[1:] if _is_number(number))
        return source

    def mark(self, number: int) -> int | list[int]:
        """What is journaled with frame `number`: the number, and those refused before it if there are any."""
        self._refused = [
            refused for refused in self._refused if refused > number - MOST_UNANSWERED and refused != number
        ]
        refused = self.refused_to(number)
        return [number, *refused] if refused else number

    def refuse(self, number: int) -> None:
        """Remember that a frame was refused: the answer may be lost, and the frames after it be accepted.

        A number that no frame can be accepted under need not be remembered.
        """
        if _is_number(number) and number not in self._refused:
            self._refused = sorted([*self._refused, number])[-MOST_UNANSWERED:]

    def refused_to(self, number: int) -> list[int]:
        """The frames up to `number` that were refused, of those a client can be in doubt about."""
        return [refused for refused in self._refused if refused <= number]

    @property
    def settled(self) -> bool:
        """Whether nothing it sent is waiting."""
        return self.accepted >= self.received


def _is_number(value: Any) -> bool:
    return type(value) is int and 1 <= value <= INT_MAX


class Sources:
    """All producers by key, starting from the marks of the journal."""

    def __init__(self, marks: Mapping[str, Any]) -> None:
        self._known: dict[str, Source] = {}
        for key, mark in marks.items():
            source = Source.marked(key, mark) if key.startswith(("socket:", "tcp:")) else None
            if source is not None:
                self._known[key] = source

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
