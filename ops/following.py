"""Following a store: what is stored from a moment on, each row once, whatever becomes of the store meanwhile.

A server that is restarted, a file that is away or held by somebody is waited for, and that is said once. A store that is
another one than before, or went back, is said too, with the place from which on it is read again; see `trail`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from tabard.consumers.store.arriving import Beside
from tabard.consumers.store.ports import StoreReader
from tabard.consumers.store.results import GapRow, LogQuery, LogRow, Stored
from tabard.errors import StoreAway, StoreMissing
from tabard.ops.listing import PAGE, Mark, Row
from tabard.ops.trail import Back, Shown, Trail

POLL: Final = 0.05
"""Seconds between two looks for new records; one costs some 0.1 ms."""
GAPS_EVERY: Final = 20
"""Looks for new records between two looks for new gaps, and at whether the store is what it was."""
RETRY: Final = 1.0
"""Seconds between two tries while the store is away."""


class Follower:
    """Follows one store after a mark. Every method raises StoreError."""

    def __init__(
        self, reader: StoreReader, query: LogQuery, mark: Mark, told: Callable[[str], None] = lambda _: None
    ) -> None:
        """`told` is given a sentence when the store is away, is back, or is not what it was."""
        self._reader = reader
        self._query = replace(query, limit=PAGE)
        self._told = told
        self._after = mark.record
        self._beside: Beside | None = mark.beside
        self._since = mark.beside.arrived
        """Where that place is not known, since the store went back: what arrived later than this is to be read again."""
        self._more = False
        self._which = mark.which
        self._trail = Trail(mark.before)
        self._shown = Shown()
        self._epochs: dict[int, str] = {}
        self._away = False
        self._looks = 0

    def note(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Rows that are shown before the first look, one by one; whatever comes of them again is left out."""
        for row in rows:
            if isinstance(row, LogRow) and row.epoch_id not in self._epochs:
                self._epochs.update(self._reader.epochs([row.epoch_id]))
            self._shown.add(self._name(row), _id_of(row))
            yield row

    def look(self) -> tuple[list[Row], float]:
        """What is new, and after how many seconds to look again."""
        try:
            return self._look()
        except (StoreAway, StoreMissing) as error:
            if not self._away:
                self._told(f"{error}; waiting for it")
            self._away = True
            return [], RETRY

    def _look(self) -> tuple[list[Row], float]:
        rows, reached = self._reader.tail(self._query, self._after)
        new: list[Row] = list(rows)
        due = self._away or self._more or self._looks % GAPS_EVERY == 0
        beside, more = self._beside or self._reader.beside_end(since=self._since), False
        if due:
            gaps, beside = self._reader.beside(self._query, beside, PAGE)
            more = bool(gaps)
            new += gaps
        if unknown := {row.epoch_id for row in rows} - self._epochs.keys():
            self._epochs.update(self._reader.epochs(sorted(unknown)))
        # After all that was read: what another store said is not shown as if it were of this one.
        which = self._reader.which()
        if self._away:
            self._told("the store is there again; going on")
            self._away = False
        idle = reached == self._after and not more
        went_back = idle and self._reader.last_id() < self._after
        if (which != self._which or due or went_back) and (back := self._compare(which)) is not None:
            self._go_back(which, back)
            return [], 0.0
        self._looks += 1
        self._after, self._beside, self._more = reached, beside, more
        if rows:
            last = rows[-1]
            self._trail.passed(Stored(last.id, last.arrived, self._epochs.get(last.epoch_id, ""), last.seq))
        elif due:
            self._trail.passed(self._reader.stored(reached))
        return [row for row in new if self._shown.add(self._name(row), _id_of(row))], POLL if idle else 0.0

    def _compare(self, which: str) -> Back | None:
        reader = self._reader
        back = self._trail.look(
            reader.stored, reader.stored_before, reader.last_id(), renamed=which != self._which
        )
        if back is not None and reader.which() != which:
            raise StoreAway("the store is being replaced")  # again, once that is over
        return back

    def _go_back(self, which: str, back: Back) -> None:
        renamed, self._which = which != self._which, which
        self._after = back.after
        self._beside, self._since = None, max(self._since, back.since or 0)
        self._epochs.clear()
        what = (
            "the store was replaced (by a restored backup?)"
            if renamed
            else "the newest records of the store were taken away (by an older state of it, or since they were forgotten)"
        )
        if back.lost:
            what += ", and some of what was shown may be missing in it"
        begin = "its beginning" if back.since is None else f"what it stored until {_local(back.since)}"
        rest = "what was shown already is left out"
        if self._shown.forgotten > back.after:
            rest = "much was shown since then, and some of that may come again"
        self._told(f"{what}; going on after {begin}: {rest}")

    def _name(self, row: Row) -> Hashable:
        """What says that two rows are the same, whichever state of the store they are from."""
        if isinstance(row, GapRow):
            return _name_of_gap(row)
        return (self._epochs.get(row.epoch_id, row.epoch_id), row.seq)


def follow(follower: Follower, wait: Callable[[float], None] = time.sleep) -> Iterator[list[Row]]:
    """What is new, as it comes: records by id, gaps page by page. Does not end by itself.

    Yields an empty list when nothing new was found, so that a caller can notice that nobody reads it any more. Raises
    StoreError when the store is there and cannot be read.
    """
    while True:
        rows, pause = follower.look()
        yield rows
        if pause:
            wait(pause)


def _name_of_gap(row: GapRow) -> Hashable:
    return (row.kind, row.epoch, row.first, row.last, row.reason)


def _id_of(row: Row) -> int:
    return row.id if isinstance(row, LogRow) else 0


def _local(moment: int) -> str:
    """In the time of this host, as the log's own lines say it."""
    return f"{datetime.fromtimestamp(moment / 1e9, UTC).astimezone():%Y-%m-%d %H:%M:%S}"
