"""How an index serves one search: what it finds when that is little, and what it spares when it is much."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

INDEX: Final = "index"
PARTLY: Final = "partly"
SCAN: Final = "scan"
"""How a search went; see `results.LogPage.index`."""

Condition = tuple[str, tuple[Any, ...]]
"""A text of SQL and its values; the text is empty when it asks for nothing."""


class Asked(Protocol):
    """A search, as far as an index has to know it."""

    @property
    def conditions(self) -> Condition:
        """All that is asked of a record, its place in time included, as ``AND ...``; not bound to any index."""

    @property
    def log(self) -> str:
        """What is read as ``log``."""

    @property
    def falling(self) -> bool:
        """Whether the newest are met first."""


class Hits(Protocol):
    """What an index knows of one search, within one view of the data."""

    how: str
    """``index`` or ``partly``."""
    faults: tuple[type[Exception], ...]
    """How it shows that it is damaged while it is asked."""
    uncovered: Condition
    """Which records it does not know, as ``AND ...``; empty when it knows all."""

    def few(self, asked: Asked, candidates: int, most: int | None) -> Condition | None:
        """The condition for the records it knows that may be meant, the first `most` of them at least, or all (None).

        None when there are more than so many `candidates`: the way by time may be the shorter one then.
        """

    def take(self, asked: Asked, candidates: int, columns: str, limit: int) -> list[Any] | None:
        """These columns of all that `few` would name, in any order, at one go.

        None: they are too many, so many that `limit` of them are soon found along the way, or `few` is as good. The
        columns are of ``log`` and ``node``.
        """

    def narrow(self, first: int, last: int, size: int) -> Condition:
        """What spares looking at most of `size` records whose ids lie between two, as ``AND ...``; empty: nothing does."""


class Unnarrowed:
    """An index that knows of no stretch of the way what is in it."""

    def narrow(self, first: int, last: int, size: int) -> Condition:  # noqa: ARG002 -- that is the point
        """Nothing."""
        return "", ()


def listed(values: Sequence[int]) -> str:
    """Numbers in a text of SQL."""
    return ", ".join(map(str, values))
