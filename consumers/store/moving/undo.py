"""Taking a move back, as long as the store has not gone on in the other place."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from tabard.consumers.store.layout import VERSION
from tabard.consumers.store.moving.compare import differing, sums_of, sums_text
from tabard.consumers.store.moving.source import Source
from tabard.consumers.store.moving.tables import TABLES, Carried, How
from tabard.consumers.store.moving.target import Target
from tabard.errors import RefusedError, StoreError

UNREACHED: Final = "the store goes on where it was; the database that it was copied to could not be emptied"
EMPTIED: Final = "the store goes on where it was; the database that it was copied to is empty"


_CHANGING: Final = {"epoch": ("version",), "presence": ("beacon",), "command": ("changed",)}
"""Of tables whose rows change, the number that tells."""
_NUMBERS: Final = {"command_mark": ("value",)}
"""Of tables whose key is a text, what is compared in place of it."""


def undo(source: Source, target: Callable[[str], AbstractContextManager[Target]]) -> str:
    """Let the store go on where it was; what was done, in words. `target` connects to a URL.

    Raises:
        RefusedError: it was not being moved, or records were stored in the other place since.
        StoreError: only the other place knows whether it is the store, and it cannot be asked.
    """
    begun = source.begun()
    state = source.state()
    if begun is None:
        raise RefusedError("the store is not being moved", where=str(source.directory))
    needed = state != VERSION and source.decides
    if not needed:
        source.reopen()
    try:
        with target(begun.url) as reached:
            if needed:
                if reached.whole(begun.id):
                    _refuse_used(source, reached)
                source.reopen()
            if reached.holds(begun.id):
                reached.release()
    except StoreError:
        if needed:
            raise
        source.forget()
        return UNREACHED
    source.forget()
    return EMPTIED


def _refuse_used(source: Source, target: Target) -> None:
    """See that nobody takes the target for a store any more, and that nothing was stored there."""
    target.close_again()
    found = "a recorder that writes there" if target.recorders() else _more_than(source, target)
    if found:
        target.open_again()
        raise RefusedError(
            "the store has gone on where it moved to",
            expected="a database in which nothing was stored since",
            found=found,
            hint="What was stored there would be lost",
        )


def _more_than(source: Source, target: Target) -> str:
    for table in TABLES:
        if table.how is How.LEFT:
            continue
        block = table if table.how is How.UPWARD else _as_blocks(table)
        here = sums_of(block, source.ask(table.kind, sums_text(block, table.name)))
        if differing(here, target.sums(block)):
            return f"other rows in {table.name} of {table.kind.name}"
    return ""


def _as_blocks(table: Carried) -> Carried:
    """A small table as one that is compared by sums; of a cursor, how often it was set, of a command, when it changed."""
    key = _NUMBERS.get(table.name, table.key)
    return table._replace(block=(f"{key[0]} / 1024",), compared=(*key, *_CHANGING.get(table.name, ())))
