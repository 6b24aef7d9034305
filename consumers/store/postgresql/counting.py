"""How many rows a day has, on PostgreSQL: counted once, then kept in the transactions that delete.

The count of a day is a mark: rows below an id. What arrived within the last seconds is counted each time, since what
another recorder is still writing may have lower ids than what is there. A second mark, the day's name with ``gone``, changes
whenever rows go that are not counted: so every deletion is seen by whoever has planned others, in another recorder too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from tabard.clock import Clock
from tabard.consumers.store import marks
from tabard.consumers.store.marks import Mark
from tabard.consumers.store.postgresql.deleting import Deleting
from tabard.consumers.store.postgresql.partitions import DAY, Partition

COUNTED: Final = 8_000
"""Rows counted in one step."""
SETTLED: Final = 10 * 1_000_000_000
"""Nanoseconds after which all that arrived is visible, whoever stored it."""


class State(NamedTuple):
    """Marks of a day that change with every deletion in it."""

    counted: Mark | None
    gone: Mark | None
    """Up to where uncounted rows were deleted last, and how many in all."""


class Counting:
    """Counts the days of one store."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._whole: set[Partition] = set()
        """Days that are over and counted."""

    def forget(self, day: Partition) -> None:
        """A day is not there any more."""
        self._whole.discard(day)

    def count(
        self, work: Deleting, day: Partition, mark: Mark | None, *, at_least: bool = False
    ) -> int | None:
        """How many rows a day has; None: there is more to count. `mark` says how far it was.

        `at_least`: without those of the last seconds, which have to be counted each time.
        """
        if day in self._whole and mark is not None:
            return mark.rows
        mark = mark or Mark()
        limit = max(0, self._clock.wall() - SETTLED)
        count, end = work.one(
            "WITH next AS (SELECT id, arrived FROM"  # noqa: S608
            f" {day.name} WHERE id >= ? ORDER BY id LIMIT ?), young AS (SELECT min(id) AS id FROM next WHERE arrived >= ?)"
            " SELECT count(*), max(next.id) FROM next, young WHERE young.id IS NULL OR next.id < young.id",
            (mark.upto, COUNTED, limit),
        )
        if count:
            mark = Mark(end + 1, mark.rows + count)
            marks.write(work.reading, day.name, mark)
        if count == COUNTED:
            return None
        if (day.day + 1) * DAY <= limit:
            work.afterwards.append(lambda: self._whole.add(day))
        if at_least:
            return mark.rows
        (young,) = work.one(f"SELECT count(*) FROM {day.name} WHERE id >= ?", (mark.upto,))  # noqa: S608
        return mark.rows + int(young)


def state(work: Deleting, day: Partition) -> State:
    """What to compare later, to see whether somebody else has deleted rows of a day meanwhile."""
    names = (day.name, _gone(day))
    found = _marks(work, names)
    return State(*(found.get(name) for name in names))


def uncount(work: Deleting, day: Partition, before: State, gone: tuple[int, int], rows: int) -> State:
    """Between the ids `gone` so many rows were deleted; the state of the day after it was `before`."""
    first, end = gone
    mark = before.counted
    if not rows:
        return before
    if mark is None or first >= mark.upto:
        already = before.gone.rows if before.gone is not None else 0
        new = Mark(end + 1, already + rows)
        marks.write(work.reading, _gone(day), new)
        return State(mark, new)
    if end < mark.upto:
        mark = Mark(mark.upto, mark.rows - rows)
        marks.write(work.reading, day.name, mark)
        return State(mark, before.gone)
    marks.remove(work.reading, day.name)  # partly counted: counted anew
    return State(None, before.gone)


def known(work: Deleting, names: list[Partition]) -> dict[str, Mark]:
    """How far days are counted, and how wide their rows are, by the name of the mark."""
    return _marks(work, [name for day in names for name in (day.name, f"{day.name} width")])


def _gone(day: Partition) -> str:
    return f"{day.name} gone"


def _marks(work: Deleting, names: Sequence[str]) -> dict[str, Mark]:
    found = work.all("SELECT name, upto, rows FROM retention_mark WHERE name = ANY(?)", (list(names),))
    return {name: Mark(upto, rows) for name, upto, rows in found}
