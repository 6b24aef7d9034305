"""What a page says of a store that it cannot read: each kind of fault has its own title and its own advice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tabard.errors import NewerStore, StoreError

LOOK_AGAIN: Final = 5
"""Seconds after which a page without a store asks again by itself."""


@dataclass(frozen=True)
class StoreFault:
    """A store that cannot be read, in words."""

    title: str
    lines: list[str]
    command: str | None
    """What to type; None where that is in the error itself, or nobody knows."""
    again: int = LOOK_AGAIN


def describe(error: StoreError) -> StoreFault:
    """Tell a store that is not there yet from one of another version and from one that is broken."""
    if error.what == "store not found":
        lines = ["Herald shows what a recorder has stored. The agent, a broker and the recorder start with:"]
        return StoreFault("There is no log to show yet", [str(error), *lines], "tabard up")
    if isinstance(error, NewerStore) or "schema" in error.what:
        return StoreFault("The store is of another version than herald", [str(error)], None)
    lines = ["Which roles run, and what is wrong with their home, is on the page Status."]
    return StoreFault("The store cannot be read", [str(error), *lines], None)
