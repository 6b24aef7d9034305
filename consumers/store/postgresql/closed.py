"""Which event times a day of arrival holds that is over, so that a search opens no day in vain.

Such a day is closed when a row of `closed_day` says so. That row is never narrower than the day:

* Retention makes it (`closing`) under a lock of the partition that waits for nobody and that no writer has besides: who has
  written there is committed and counted.
* Whoever stores rows of a day takes its row away behind them, in the same transaction (`REOPEN`): a clock was set back, or a
  recorder stood still over midnight. From its first row on a writer has a lock of the partition. So closing either came
  before it, then the row is seen and goes, or comes behind the commit, and counts. That rests on statements which see what
  was committed before them: a writer asks for READ COMMITTED by its name. The present day has no row, so there is nothing
  for which recorders could wait.
* Deletions leave it too wide, which is right, and nothing changes an event time. A partition that is dropped takes its row along.
* A database that a store is moved to begins without.

A reader sees rows and records in one view. Where a day that it names was dropped since, it asks once more, of all of them.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from tabard.consumers.store.reading import LOG, POSTGRESQL
from tabard.records import INT_MAX, INT_MIN

REOPEN: Final = "DELETE FROM closed_day WHERE name = %s"
"""Run by a recorder in the transaction of its log rows, behind the last one."""
WORTH: Final = 3
"""Days are named one by one where they are at most one in so many: a long list the server plans more slowly than the whole."""
MAY_LOOK: Final = f"SELECT has_table_privilege('{POSTGRESQL.records}.closed_day', 'SELECT')"
"""Whether a reader may: rights that were given by hand need not reach every table."""
PREPARE: Final = (
    "PREPARE tabard_days (bigint, bigint) AS SELECT array_agg(name ORDER BY name) FILTER (WHERE may), count(*), bool_and(readable) FILTER (WHERE may),"  # noqa: S608
    " (sum(records) FILTER (WHERE may))::bigint FROM (SELECT quote_ident(child.relname) AS name,"
    " closed.name IS NULL OR (closed.least <= $2 AND closed.greatest >= $1) AS may,"
    " has_table_privilege(child.oid, 'SELECT') AS readable, greatest(child.reltuples, 0) AS records"
    " FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid"
    f" LEFT JOIN {POSTGRESQL.records}.closed_day AS closed ON closed.name = child.relname"
    f" WHERE inhparent = to_regclass('{POSTGRESQL.records}.log')) AS days"
)
"""For a connection: to plan it takes longer than to answer it."""
FOUND: Final = "EXECUTE tabard_days (?, ?)"
"""Asks of event times between two which days may hold one, of how many, and of about how many records."""


class Window(NamedTuple):
    """What to read for event times between two, both included."""

    low: int
    high: int
    log: str
    """Those days of the log that can hold one, under its name; or all of it, where they are not few."""
    records: int
    """About how many there are in these days."""


def given(low: int, high: int) -> tuple[int, int]:
    """The values for `FOUND`: event times are no greater, whatever is asked for."""
    return max(INT_MIN, min(low, INT_MAX)), max(INT_MIN, min(high, INT_MAX))


def window(low: int, high: int, found: tuple[Any, ...]) -> Window:
    """What the answer to `FOUND` comes to."""
    names, days, readable, records = found
    if not names or not readable or len(names) * WORTH > days:
        return Window(low, high, LOG, 0)
    parts = " UNION ALL ".join(f"SELECT * FROM {POSTGRESQL.records}.{name}" for name in names)  # noqa: S608
    return Window(low, high, f"({parts}) AS {LOG}", int(records or 0))
