"""Which records of a store on PostgreSQL go: whole days where a whole day has to go, else rows, a few at a time.

* A day that is too old, or too much with half of the limit left in others, is dropped: that costs ingest nothing.
* Rows go one by one, oldest first, where less than a day has to go: by count, of a day that alone is over the limit of
  size, or that holds keep. Their room in the day's files is used again by the rows of the same day, and given back with it.
* Log records that go early by their level are found on one way through each day, which never goes back.

The size of a day of which rows were deleted is that of the rows left, at the width a row had when the first one was
deleted: its files do not become smaller. How many rows there are is counted once and then kept, in the transactions
that change it; only what arrived within the last seconds is counted each time, since it may not all be visible yet.
"""

from __future__ import annotations

import math
import time
from typing import Final

from tabard import failpoints
from tabard.brokers.wire.streams import LOGS
from tabard.clock import Clock
from tabard.consumers.store import holds, marks
from tabard.consumers.store.holds import NOTHING, Hold
from tabard.consumers.store.layout import FILES, RECORDS, ROW_TABLES, FileKind
from tabard.consumers.store.limits import Level, RetentionLimits
from tabard.consumers.store.marks import Mark
from tabard.consumers.store.overrun import CHUNK, Over, Overrun
from tabard.consumers.store.postgresql import counting, partitions
from tabard.consumers.store.postgresql.counting import Counting
from tabard.consumers.store.postgresql.deleting import Deleting
from tabard.consumers.store.postgresql.partitions import DAY, Partition
from tabard.consumers.store.postgresql.seen import THOUSANDTHS, Day, Passed, Plan, View
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.reading import POSTGRESQL
from tabard.consumers.store.room import kind_of

VIEWED: Final = 0.5
"""Seconds for which it is good to know which days there are, and how large."""
WORTH: Final = 100
"""A plan is good for so many times what it took to make it, since records wait meanwhile."""
PLANNED: Final = 5.0
"""Seconds for which a plan is good at most."""


class Days:
    """Deletes records of one store. `limits` may be replaced at any time."""

    def __init__(self, store: PostgresStore, limits: RetentionLimits, clock: Clock, overrun: Overrun) -> None:
        self.limits = limits
        self.cut: dict[int, int] = {}
        """By stream, the arrival before which size or count, not age, has taken rows."""
        self._store = store
        self._clock = clock
        self._overrun = overrun
        self._files: dict[Partition, int] = {}
        """Sizes of days that are over."""
        self._views: dict[int, View] = {}
        """By stream; looked at anew now and then."""
        self._plans: dict[int, Plan] = {}
        self._counted: set[int] = set()
        """Streams of which all rows above the limit were found in this pass."""
        self.took = 0.0
        """Seconds that the last deletion of rows took, without finding out about them."""
        self._counting = Counting(clock)
        self._passed: dict[Partition, Passed] = {}
        self._kept: set[Partition] = set()
        """Days of which only what holds cover is left."""
        self._swept: set[tuple[Partition, Level]] = set()
        """Days that are over and of which a level is gone."""
        self._known: dict[FileKind, frozenset[Hold]] = dict.fromkeys(FILES, frozenset())
        self._releases = dict.fromkeys(FILES, 0)

    def ago(self, age: float) -> int:
        """The time `age` seconds ago; not before the beginning of time."""
        return max(0, self._clock.wall() - round(age * 1e9))

    def notice(self, kind: FileKind, work: Deleting) -> None:
        """What holds made this pass over is looked at again once one is gone."""
        known = frozenset(work.holds)
        if self._known[kind] - known:
            self._releases[kind] += 1
            self._plans.clear()
            gone = {ROW_TABLES[stream] for stream in kind.streams}
            self._passed = {day: done for day, done in self._passed.items() if day.table not in gone}
            self._kept = {day for day in self._kept if day.table not in gone}
            self._swept = {done for done in self._swept if done[0].table not in gone}
        self._known[kind] = known

    def releases(self, kind: FileKind) -> int:
        """How often holds of a part were found to be gone."""
        return self._releases[kind]

    def oldest(self, work: Deleting, stream: int) -> Partition:
        """The oldest day that is not there because of holds alone."""
        days = partitions.existing(work.reading.connection, ROW_TABLES[stream])
        return next((day for day in days if day not in self._kept), days[-1])

    # --- by age, size and count -------------------------------------------------------------------------

    def delete(self, work: Deleting, stream: int, most: int) -> int:
        """Delete of the oldest day what has to go, at most so many rows; 0: nothing has to."""
        kind = kind_of(stream)
        self.notice(kind, work)
        plan = self._plans.get(stream)
        began = time.monotonic()
        if plan is not None and plan.left > 0 and began < plan.until:
            return self._delete_rows(work, stream, plan, most)
        view = self._view(work, stream)
        newest = view.newest
        found = self._look_at(work, stream, view)
        if found is None:
            return 1
        known, exact = found
        over = self._overrun.note(kind, stream, self._over(stream, known))
        left = [each for each in known if each.day not in self._kept]
        oldest = left[0]
        today = partitions.day_of(self._clock.wall())
        too_old = (oldest.day.day + 1) * DAY <= self.ago(self.limits.age(stream))
        droppable = oldest.day.day < today
        last = newest is None or oldest.day >= newest
        limit = self.limits.size(stream)
        others = sum(each.size - each.held_size for each in left[1:])
        whole = too_old or (not last and over.bytes > 0 and 2 * others >= limit)
        whole = whole or (not last and oldest.rows is not None and 0 < oldest.rows - oldest.held <= over.rows)
        if droppable and whole:
            if not too_old:
                work.afterwards.append(lambda: self.cut.update({stream: (oldest.day.day + 1) * DAY}))
            if not self._may_be_held(work, oldest.day):
                self._drop(work, kind, oldest.day)
                return 1
            return self._planned(work, stream, oldest.day, math.inf, most, began, last=last, cut=False)
        if newest is None or oldest.day > newest or not over:
            return 0
        if over.bytes <= 0:
            if stream in self._counted and over.rows <= most:
                return 0  # what came meanwhile: the next pass has it, without a count for every few rows
            if exact:
                work.afterwards.append(lambda: self._counted.add(stream))
            return self._planned(work, stream, oldest.day, over.rows, most, began, last=last, cut=True)
        width = oldest.width or self._begin(work, oldest, newest)
        if width is None:
            return 1
        rows = max(over.rows, over.bytes * THOUSANDTHS // max(width, 1) + 1)
        return self._planned(work, stream, oldest.day, rows, most, began, last=last, cut=True)

    def _planned(
        self,
        work: Deleting,
        stream: int,
        day: Partition,
        rows: float,
        most: int,
        began: float,
        *,
        last: bool,
        cut: bool,
    ) -> int:
        """Delete by a new plan, to make which was `began` then."""
        state = counting.state(work, day)
        now = time.monotonic()
        until = now + min(max(VIEWED, WORTH * (now - began)), PLANNED)
        plan = self._plans[stream] = Plan(day, rows, last, cut, until, state)
        return self._delete_rows(work, stream, plan, most)

    def _view(self, work: Deleting, stream: int) -> View:
        now = time.monotonic()
        known = self._views.get(stream)
        if known is not None and now < known.until:
            return known
        days = partitions.existing(work.reading.connection, ROW_TABLES[stream])
        newest = next((day for day in reversed(days) if _has_rows(work, day)), None)
        fresh = [day.name for day in days if day not in self._files]
        found = work.all(
            "SELECT name, coalesce(pg_total_relation_size(to_regclass(name)), 0) FROM unnest(?::text[]) AS name",
            (fresh,),
        )
        files = {name: int(size) for name, size in found}
        files |= {day.name: self._files[day] for day in days if day in self._files}
        view = self._views[stream] = View(days, newest, files, now + VIEWED)
        return view

    def begin(self) -> None:
        """A pass begins: whatever was seen is looked at anew."""
        self._counted.clear()
        self._views.clear()
        self._plans.clear()

    def _look_at(self, work: Deleting, stream: int, view: View) -> tuple[list[Day], bool] | None:
        """Every day, and whether all their rows were counted; None: there is more to count first."""
        today = partitions.day_of(self._clock.wall())
        names, newest = view.days, view.newest
        marked = counting.known(work, names)
        limit = self.limits.count(stream)
        known_rows = sum(marked[day.name].rows for day in names if day.name in marked)
        held_rows = sum(self._passed[day].held for day in names if day in self._passed)
        plenty = 0 < limit < known_rows - held_rows  # so much has to go that the last seconds can wait
        known = []
        for day in names:
            size = view.files.get(day.name, 0)
            if day.day < today - 1:
                self._files[day] = size
            width = marked.get(f"{day.name} width")
            rows = None
            filled = newest is not None and day <= newest
            held = self._passed.get(day, Passed()).held
            if filled and (limit or width is not None or held):
                rows = self._counting.count(
                    work, day, marked.get(day.name), at_least=plenty and day == newest
                )
                if rows is None:
                    return None
            known.append(Day(day, size, rows, held, None if width is None else width.upto))
        return known, not plenty

    def _over(self, stream: int, known: list[Day]) -> Over:
        count = self.limits.count(stream)
        kept = [each.size if each.day in self._kept else each.held_size for each in known]
        held = sum(each.held for each in known)
        return Over(
            bytes=sum(each.size for each in known) - sum(kept) - self.limits.size(stream),
            rows=sum(each.rows or 0 for each in known) - held - count if count else 0,
            held_bytes=sum(kept),
            held_rows=held,
        )

    def _begin(self, work: Deleting, oldest: Day, newest: Partition) -> int | None:
        """Note how wide a row is before the first one is deleted; None: the rows are not counted yet."""
        rows = self._counting.count(work, oldest.day, marks.read(work.reading, oldest.day.name))
        if rows is None:
            return None
        name, width = oldest.day.name, oldest.files * THOUSANDTHS // max(rows, 1)
        if rows:
            marks.write(work.reading, f"{name} width", Mark(width, rows))
        if oldest.day == newest:  # its room is wanted again soon
            work.tried(f"ALTER TABLE {name} SET (autovacuum_vacuum_scale_factor = 0.05)")
        return width

    def _drop(self, work: Deleting, kind: FileKind, day: Partition) -> None:
        work.run(f"DROP TABLE {day.name}")
        work.run(
            "DELETE FROM retention_mark WHERE name = ? OR starts_with(name, ?)", (day.name, f"{day.name} ")
        )
        if day.table == "log":
            work.run("DELETE FROM closed_day WHERE name = ?", (day.name,))
        failpoints.hit(CHUNK)
        work.afterwards.append(lambda: self._forget(kind, day))

    def _forget(self, kind: FileKind, day: Partition) -> None:
        self._store.forget_days(kind)
        self._views.clear()
        self._plans.clear()
        self._files.pop(day, None)
        self._passed.pop(day, None)
        self._counting.forget(day)
        self._kept.discard(day)

    def _delete_rows(self, work: Deleting, stream: int, plan: Plan, most: int) -> int:
        """Go past the next rows of a day; the newest row of a stream stays. 0: there are none."""
        day = plan.day
        passed = self._passed.get(day, Passed())
        if counting.state(work, day) != plan.state:
            self._plans.pop(stream)
            return 1
        newest = f" AND id < (SELECT max(id) FROM {day.name})" if plan.last else ""  # noqa: S608
        first, end, there = work.one(
            "SELECT min(id), max(id), count(*) FROM (SELECT id FROM"  # noqa: S608
            f" {day.name} WHERE id >= ?{newest} ORDER BY id LIMIT ?) AS next",
            (passed.upto, min(most, plan.left)),
        )
        if not there:
            self._plans.pop(stream)
            return 0 if plan.last else self._end(work, stream, day)
        held, began = work.held(day.table), time.perf_counter()
        done = work.run(
            f"DELETE FROM {day.name} AS {day.table} WHERE id BETWEEN ? AND ? AND {held.free}",  # noqa: S608
            (first, end, *held.values),
        )
        self.took = time.perf_counter() - began
        state = counting.uncount(work, day, plan.state, (first, end), done)
        if plan.cut:
            after = work.one(f"SELECT arrived FROM {day.name} WHERE id > ? ORDER BY id LIMIT 1", (end,))  # noqa: S608
            oldest = (day.day + 1) * DAY if after is None else int(after[0])
            work.afterwards.append(lambda: self.cut.update({stream: oldest}))
        failpoints.hit(CHUNK)

        def passed_by() -> None:
            # Also without a hold: the index still has the entries of what is gone, until the server cleans it.
            self._passed[day] = Passed(end + 1, passed.held + there - done)
            plan.left -= there
            plan.state = state

        work.afterwards.append(passed_by)
        return int(there)

    def _end(self, work: Deleting, stream: int, day: Partition) -> int:
        """All of a day was gone past: drop it, or keep what holds cover."""
        if day.day >= partitions.day_of(self._clock.wall()):
            return 0
        if _has_rows(work, day) and self._passed.get(day, Passed()).held:
            work.afterwards.append(lambda: self._kept.add(day))
        elif _has_rows(work, day):  # of another recorder, with ids that it had drawn long before
            work.afterwards.append(lambda: self._passed.pop(day, None))
        else:
            self._drop(work, kind_of(stream), day)
        return 1

    def _may_be_held(self, work: Deleting, day: Partition) -> bool:
        """Whether rows of a day may fall under a hold, by what an index tells."""
        for hold in work.holds:
            if holds.condition([hold], day.table, POSTGRESQL) is NOTHING:
                continue
            bounded = hold.since is not None or hold.until is not None
            since, until = hold.since or 0, hold.until if hold.until is not None else 2**63 - 1
            arrives = since < (day.day + 1) * DAY and until > day.day * DAY
            wide = hold._replace(service=None, text=None)
            if not bounded or arrives:
                wide = wide._replace(since=None, until=None)
            found = holds.condition([wide], day.table, POSTGRESQL, event_time=True)
            text = f"SELECT EXISTS (SELECT 1 FROM {day.name} AS {day.table} WHERE {found.text})"  # noqa: S608
            if work.one(text, found.values)[0]:
                return True
        return False

    # --- by level ---------------------------------------------------------------------------------------

    def delete_level(self, work: Deleting, level: Level, most: int) -> int:
        """Go past the next log records that are too old for their level; 0: there are none."""
        self.notice(RECORDS, work)
        limit = self.ago(level.age)
        view = self._view(work, LOGS)
        newest = view.newest
        for day in view.days:
            if newest is None or day > newest or day.day * DAY >= limit:
                break
            if (day, level) in self._swept or day in self._kept:
                continue
            found = self._sweep(work, day, level, limit, most, last=day == newest)
            if found:
                return found
            if (day.day + 1) * DAY <= limit and day != newest:
                self._swept.add((day, level))
        return 0

    def _sweep(
        self, work: Deleting, day: Partition, level: Level, limit: int, most: int, *, last: bool
    ) -> int:
        name = f"{day.name} {level.low}-{level.high}"
        mark = marks.read(work.reading, name) or Mark()
        newest = f" AND id < (SELECT max(id) FROM {day.name})" if last else ""  # noqa: S608
        there, first, end = work.one(
            "WITH next AS (SELECT id, arrived FROM"  # noqa: S608
            f" {day.name} WHERE id >= ?{newest} ORDER BY id LIMIT ?), young AS (SELECT min(id) AS id FROM next WHERE arrived >= ?)"
            " SELECT count(*), min(next.id), max(next.id) FROM next, young WHERE young.id IS NULL OR next.id < young.id",
            (mark.upto, most, limit),
        )
        if not there:
            return 0
        held, began = work.held("log"), time.perf_counter()
        done = work.run(
            f"DELETE FROM {day.name} AS log WHERE id BETWEEN ? AND ? AND severity BETWEEN ? AND ? AND {held.free}",  # noqa: S608
            (first, end, level.low, level.high, *held.values),
        )
        self.took = time.perf_counter() - began
        counting.uncount(work, day, counting.state(work, day), (first, end), done)
        marks.write(work.reading, name, Mark(end + 1))
        if done:
            failpoints.hit(CHUNK)
        return int(there)


def _has_rows(work: Deleting, day: Partition) -> bool:
    # By the end of an index: at the front of the table there may be nothing but what was deleted.
    return work.one(f"SELECT max(id) FROM {day.name}")[0] is not None  # noqa: S608
