"""Cursors as the store keeps them: rows of `epoch` to `EpochCursor` and back, and the order of epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tabard.brokers.delivery.ports import EpochCursor
from tabard.brokers.delivery.ranges import decode_ranges

StateRow = Sequence[Any]
"""id, uid, version, ranges, previous, previous_last, opened, ended, finished."""

_ID: Final = 0
_FINISHED: Final = 8


def cursor_of(row: StateRow) -> EpochCursor:
    """The cursor in a row of `epoch`. Raises WireError when its ranges are damaged."""
    _id, uid, version, ranges, previous, previous_last, opened, ended, _finished = row
    return EpochCursor(uid, version, decode_ranges(ranges), previous, previous_last, bool(opened), ended)


def state_of(cursor: EpochCursor, version: int) -> tuple[Any, ...]:
    """The columns of `epoch` that a commit sets, in the order of the statement."""
    finished = cursor.ended is not None and cursor.ranges.solid >= cursor.ended
    return (
        version,
        cursor.ranges.encode(),
        cursor.previous,
        cursor.previous_last,
        int(cursor.opened),
        cursor.ended,
        int(finished),
    )


def unfinished(rows: Sequence[StateRow]) -> list[EpochCursor]:
    """Those whose end is unknown or not reached, oldest first, out of all epochs of one stream of a node."""
    return [cursor_of(row) for row in _by_chain(rows) if not row[_FINISHED]]


def _by_chain(rows: Sequence[StateRow]) -> list[StateRow]:
    """Oldest first. Epochs may have been stored in another order than they were opened in (backfill).

    Every epoch comes after the one it names as its predecessor; where the chain is not known, the order in
    which they were stored decides.
    """
    by_uid = {row[1]: row for row in rows}
    placed: dict[bytes, StateRow] = {}
    for row in sorted(rows, key=lambda row: row[_ID]):
        chain: list[StateRow] = []
        at: StateRow | None = row
        while at is not None and at[1] not in placed and at not in chain:
            chain.append(at)
            at = by_uid.get(at[4]) if at[4] is not None else None
        placed.update((link[1], link) for link in reversed(chain))
    return list(placed.values())
