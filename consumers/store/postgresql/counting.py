"""How many rows a day has, on PostgreSQL: counted once, then kept in the transactions that delete.

The count of a day is a mark: rows below an id. What arrived within the last seconds is counted each time, since what
another recorder is still writing may have lower ids than what is there.
"""

from __future__ import annotations

from typing import Final

from tabard.clock import Clock
from tabard.consumers.store import marks
from tabard.consumers.store.marks import Mark
from tabard.consumers.store.postgresql.deleting import Deleting
from tabard.consumers.store.postgresql.partitions import DAY, Partition

COUNTED: Final = 8_000
"""Rows counted in one step."""
SETTLED: Final = 10 * 1_000_000_000
"""Nanoseconds after which all that arrived is visible, whoever stored it."""


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


def uncount(
    work: Deleting, day: Partition, mark: Mark | None, gone: tuple[int, int], rows: int
) -> Mark | None:
    """Between the ids `gone` so many rows were deleted; the mark of the day after it was `mark`."""
    first, end = gone
    if mark is None or first >= mark.upto or not rows:
        return mark
    if end < mark.upto:
        mark = Mark(mark.upto, mark.rows - rows)
        marks.write(work.reading, day.name, mark)
        return mark
    marks.remove(work.reading, day.name)  # partly counted: counted anew
    return None


def known(work: Deleting, names: list[Partition]) -> dict[str, Mark]:
    """How far days are counted, and how wide their rows are, by the name of the mark."""
    wanted = [name for day in names for name in (day.name, f"{day.name} width")]
    found = work.all("SELECT name, upto, rows FROM retention_mark WHERE name = ANY(?)", (wanted,))
    return {name: Mark(upto, rows) for name, upto, rows in found}
