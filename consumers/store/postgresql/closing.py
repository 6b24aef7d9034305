"""Noting which event times a day of arrival holds once it is over; see `closed` for why that is never too narrow."""

from __future__ import annotations

from tabard.consumers.store.postgresql import partitions
from tabard.consumers.store.postgresql.deleting import Deleting
from tabard.consumers.store.postgresql.partitions import Partition
from tabard.consumers.store.reading import POSTGRESQL
from tabard.records import TIME_MAX, TIME_MIN


def still_open(work: Deleting) -> list[Partition]:
    """Days of the log that are over and not closed yet, oldest first. Raises psycopg2.Error."""
    (now,) = work.one(f"SELECT {POSTGRESQL.now}")
    closed = {name for (name,) in work.all("SELECT name FROM closed_day")}
    today = partitions.day_of(int(now))
    days = partitions.existing(work.reading.connection, "log")
    return [day for day in days if day.day < today and day.name not in closed]


def close(work: Deleting, day: Partition) -> bool:
    """Note what a day holds. False: somebody writes in it at this moment. Raises psycopg2.Error."""
    if not work.tried(f"LOCK TABLE {day.name} IN SHARE MODE NOWAIT"):
        return False
    # Of a day without a record, what no search meets.
    work.run(
        f"INSERT INTO closed_day SELECT ?, coalesce(min(time), ?), coalesce(max(time), ?) FROM {day.name}",  # noqa: S608
        (day.name, TIME_MAX + 1, TIME_MIN - 1),
    )
    return True
