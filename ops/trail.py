"""What somebody who follows a store has to remember, so that nothing is passed over or shown twice when the store goes back.

A follower goes on from the id of the last record it read. That number means something only in the store it was read
from. What else may stand there at the next look:

* an older state of it: a backup was restored, with or without new records behind its end;
* the same, in the same files or tables, so that nothing but its rows tells;
* a store whose newest records were forgotten: SQLite gives their ids to the next ones;
* another state that has all that was read, since the backup is newer than that;
* a store that has lost its oldest records by retention, which is no change at all for who reads on at its end.

So a `Trail` keeps some of the records that were passed. Where one of them has another in its place, or the store has
another name, the follower goes on after the newest of those that still stand as they were, and leaves out what is among
those `Shown`: what the nodes send again is stored again, and is the same record. Pure: what the store holds is asked
by functions that are handed in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Final, NamedTuple

from tabard.consumers.store.results import Stored

KEPT: Final = 20_000
"""Rows shown that are remembered: some 4 MB."""
ANCHORS: Final = 64


class Shown:
    """Which rows were shown, the last so many of them."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._order: deque[tuple[Hashable, int]] = deque()
        self._known: set[Hashable] = set()
        self.forgotten = 0
        """The highest id of a record that was shown and is not remembered any more."""

    def add(self, row: Hashable, place: int) -> bool:
        """Note a row that is about to be shown, with its id, 0 for what is no record; False when it was shown before."""
        if row in self._known:
            return False
        self._known.add(row)
        self._order.append((row, place))
        if len(self._order) > self._kept:
            gone, where = self._order.popleft()
            self._known.discard(gone)
            self.forgotten = max(self.forgotten, where)
        return True


class Back(NamedTuple):
    """The store is not what it was: where to go on."""

    after: int
    """The id from which on all is to be read again."""
    since: int | None
    """Arrival of the record there; None when there is none."""
    lost: bool
    """Whether something that was passed may be missing in the store now."""


class Trail:
    """Records that were passed, some of them, the newest included."""

    def __init__(self, begun: Sequence[Stored]) -> None:
        """`begun` are some of the records up to the one behind which it begins, in the order of their ids."""
        self._anchors = list(begun)
        self._start = begun[-1].id if begun else 0

    def passed(self, record: Stored | None) -> None:
        """Keep another one. Of those that are many, each second one goes; the newest half stays."""
        if record is None or (self._anchors and record.id <= self._anchors[-1].id):
            return
        self._anchors.append(record)
        if len(self._anchors) > ANCHORS:
            half = ANCHORS // 2
            self._anchors[:half] = self._anchors[:half:2]

    def look(
        self,
        stored: Callable[[int], Stored | None],
        before: Callable[[int, int, int], Stored | None],
        last: int,
        *,
        renamed: bool,
    ) -> Back | None:
        """Compare it with the store; None while all is as it was.

        `stored` gives the record with the highest id up to one. `before` gives the last one that came before a moment,
        of those with ids between two. `last` is the highest id there. `renamed`: the store has another name than before.
        """
        broken, stands = False, len(self._anchors)
        while stands:
            anchor = self._anchors[stands - 1]
            found = stored(anchor.id)
            if found == anchor:
                break
            # One that is not there may have been removed by retention, as long as the store goes on behind it.
            broken |= anchor.id > last or (found is not None and found.id == anchor.id)
            stands -= 1
        if not (broken or renamed):
            return None
        gone = self._anchors[stands:]
        del self._anchors[stands:]
        end = self._anchors[-1] if self._anchors else None
        if gone and gone[0].id <= self._start:
            # What was there before it began, and was not shown, is not to come now. The record that is gone came with all
            # others of its commit: what came earlier is older than that, unless a clock went back farther than all took.
            self.passed(before(end.id if end else 0, gone[0].id, gone[0].arrived))
            end = self._anchors[-1] if self._anchors else None
            self._start = end.id if end else 0
        return Back(end.id if end else 0, end.arrived if end else None, bool(gone))
