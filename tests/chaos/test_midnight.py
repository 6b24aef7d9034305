"""The recorder's day changes while records come: at midnight, by a clock that is set, and while nobody can make a partition.

The first midnight finds its partition made ahead. A clock that is set far ahead or back does not: the next commit has to make it,
and waits while somebody else has the lock for that, longer than the recorder waits at a time, and is killed meanwhile.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg2
import pytest
from psycopg2 import extensions

from tabard.consumers.store.postgresql.partitions import DAY, LOCK, Partition, day_of
from tabard.ops.bench.postgres import Postgres
from tests.chaos import rest
from tests.chaos.oracle import Sent, judge
from tests.chaos.rest import until
from tests.chaos.served import ServedFleet
from tests.chaos.sources import Producer

PATIENCE: Final = 120.0
RECORDS: Final = 12_000
SECOND: Final = 1_000_000_000
_JOURNALS: Final = {"n1": {"fsync": "20ms"}, "n2": {"fsync": "5ms"}}
_PROGRAM: Final = """\
import os, sys, time
from tabard.clock import SystemClock

SystemClock.wall = lambda self: time.time_ns() + int(os.readlink({link!r}))
from tabard.ops.main import main

sys.exit(main(sys.argv[1:]))
"""


class Shifted:
    """How far a process's clock is from this machine's."""

    def __init__(self, directory: Path) -> None:
        self._link = directory / "shift"
        self._next = directory / "shift.next"
        self.program = directory / "shifted.py"
        self.program.write_text(_PROGRAM.format(link=str(self._link)))
        self.by = 0
        self.set(0)

    def set(self, shift: int) -> None:
        """Set the clock, nanoseconds ahead of this machine's."""
        self.by = shift
        self._next.symlink_to(str(shift))
        self._next.rename(self._link)

    @property
    def today(self) -> int:
        """The day of that clock."""
        return day_of(time.time_ns() + self.by)


class Looking:
    """An administrator's view of the database."""

    def __init__(self, connection: extensions.connection) -> None:
        connection.autocommit = True
        self._connection = connection

    def one(self, text: str, *values: object) -> Any:
        """The first value of an answer."""
        with self._connection.cursor() as cursor:
            cursor.execute(text, values)
            found = cursor.fetchone()
            return found[0] if found else None

    def rows(self, day: int) -> int:
        """How many log records arrived on a day."""
        name = f"tabard_records.{Partition('log', day).name}"
        if self.one("SELECT to_regclass(%s)", name) is None:
            return 0
        return int(self.one(f"SELECT count(*) FROM {name}"))

    @contextlib.contextmanager
    def nobody_makes_partitions(self) -> Iterator[None]:
        """Hold the lock under which they are made."""
        self.one("SELECT pg_advisory_lock(%s)", LOCK)
        yield
        self.one("SELECT pg_advisory_unlock(%s)", LOCK)

    def is_waited_for(self) -> bool:
        """Whether a recorder waits for that lock."""
        return bool(
            self.one(
                "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                " AND (classid::bigint << 32 | objid::bigint) = %s)",
                LOCK,
            )
        )


@pytest.mark.timeout(400)
def test_all_is_stored_once_whatever_day_it_is(tmp_path: Path, server: Postgres) -> None:
    """Each day has its rows, and none is lost or there twice."""
    clock = Shifted(tmp_path)
    with contextlib.ExitStack() as stack:
        fleet = stack.enter_context(ServedFleet(tmp_path, tmp_path / "points", _JOURNALS, server))
        recorder = fleet.crew["recorder"]
        recorder.run_instead(clock.program)
        midnight = (day_of(time.time_ns()) + 1) * DAY
        clock.set(midnight - time.time_ns() - DAY // 2)
        # So that it is the next commit that finds no partition, and not the next look.
        settings = fleet.hub.settings_file
        settings.write_text(settings.read_text().replace('every = "1s"', 'every = "1h"'))
        for worker in fleet.crew.values():
            worker.start()
            worker.wait_ready()
        look = Looking(stack.enter_context(contextlib.closing(psycopg2.connect(fleet.url))))
        producers = [
            Producer(f"app-{node}", node, "midnight", fleet.intake(node), RECORDS) for node in fleet.homes
        ]
        for producer in producers:
            producer.start()
            stack.callback(producer.finish)

        day = clock.today
        until(lambda: look.rows(day), "nothing is stored before midnight")
        clock.set(midnight - time.time_ns() - 2 * SECOND)
        until(lambda: look.rows(day + 1), "nothing is stored after midnight")
        days = {day, day + 1}

        def jump(to: int) -> int:
            clock.set(clock.by + (to - clock.today) * DAY)
            days.add(to)
            return to

        with look.nobody_makes_partitions():
            far = jump(day + 7)
            until(look.is_waited_for, "no commit waits for the partition of its day")
            until(
                lambda: "lock" in (fleet.status("recorder").get("fault") or "").replace("clock", ""),
                "the recorder does not say what it waits for",
            )
        until(lambda: look.rows(far), "nothing is stored on a day that was not made ahead")

        with look.nobody_makes_partitions():
            back = jump(day + 4)
            until(look.is_waited_for, "no commit waits for the partition of a day in between")
            recorder.kill()
            recorder.start()
            until(look.is_waited_for, "the next recorder waits for no partition")
        until(lambda: look.rows(back), "nothing is stored on a day in between")
        before = look.rows(day + 1)
        jump(day + 1)
        until(lambda: look.rows(day + 1) > before, "nothing is stored on a day that was left")

        for producer in producers:
            producer.finish()
        for producer in producers:
            producer.join()
        rest.wait_for_rest(fleet, PATIENCE)
        for worker in fleet.crew.values():
            worker.stop()
        assert fleet.crashes == []
        assert [producer.error for producer in producers if producer.error] == []
        rows = {each: look.rows(each) for each in sorted(days)}
        sent = {each.name: Sent(each.node, each.accepted, each.given) for each in producers}
        verdict = judge(
            fleet.copied(tmp_path / "copy"), sent, may_lose=frozenset(), ignore=frozenset({rest.RELIC})
        )
    print(f"rows by day: {rows}; accepted and not stored: {verdict.missing}")
    assert min(rows.values()) > 0
    assert not verdict.wrong, f"homes kept in {tmp_path}:\\n" + "\\n".join(verdict.wrong[:40])
