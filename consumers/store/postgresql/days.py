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

from typing import Final, NamedTuple

from tabard import failpoints
from tabard.clock import Clock
from tabard.consumers.store import holds, marks
from tabard.consumers.store.holds import NOTHING, Hold
from tabard.consumers.store.layout import FILES, RECORDS, ROW_TABLES, FileKind
from tabard.consumers.store.limits import Level, RetentionLimits
from tabard.consumers.store.marks import Mark
from tabard.consumers.store.overrun import CHUNK, Over, Overrun
from tabard.consumers.store.postgresql import partitions
from tabard.consumers.store.postgresql.deleting import Deleting
from tabard.consumers.store.postgresql.partitions import DAY, Partition
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.reading import POSTGRESQL
from tabard.consumers.store.room import kind_of

COUNTED: Final = 5_000
"""Rows counted in one step."""
SETTLED: Final = 10 * 1_000_000_000
"""Nanoseconds after which all that arrived is visible, whoever stored it."""
_THOUSAND: Final = 1000
"""Widths are kept in thousandths of bytes."""


class _Passed(NamedTuple):
    """Of one day: the id below which nothing is left but what holds cover, and how many rows that are."""

    upto: int = 0
    held: int = 0


class _Day(NamedTuple):
    """One day as it is."""

    day: Partition
    files: int
    """Bytes on the disk."""
    rows: int | None
    """None where nobody has to know."""
    held: int
    """Rows that holds keep, as far as they were passed over."""
    width: int | None
    """None: no rows were deleted one by one."""

    @property
    def size(self) -> int:
        """Bytes that it takes: of rows that are there."""
        if self.width is None or self.rows is None:
            return self.files
        return min(self.files, self.rows * self.width // _THOUSAND)

    @property
    def held_size(self) -> int:
        """Bytes of what holds keep."""
        return self.size * self.held // max(self.rows or 0, self.held, 1)


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
        self._counted: set[Partition] = set()
        """Days that are over and counted."""
        self._passed: dict[Partition, _Passed] = {}
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
        kind, table = kind_of(stream), ROW_TABLES[stream]
        self.notice(kind, work)
        names = partitions.existing(work.reading.connection, table)
        newest = next((day for day in reversed(names) if _has_rows(work, day)), None)
        known = self._look_at(work, stream, names, newest)
        if known is None:
            return 1
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
            return self._delete_rows(work, stream, oldest.day, most, last=last)
        if newest is None or oldest.day > newest or not over:
            return 0
        if over.bytes > 0:
            if oldest.width is None and not self._begin(work, oldest, newest):
                return 1
        elif over.rows > 0:
            most = min(most, over.rows)
        return self._delete_rows(work, stream, oldest.day, most, last=last, cut=not too_old)

    def _look_at(
        self, work: Deleting, stream: int, names: list[Partition], newest: Partition | None
    ) -> list[_Day] | None:
        """Every day; None: there is more to count first."""
        today = partitions.day_of(self._clock.wall())
        fresh = [day for day in names if day not in self._files]
        found = work.all(
            "SELECT name, coalesce(pg_total_relation_size(to_regclass(name)), 0) FROM unnest(?::text[]) AS name",
            ([day.name for day in fresh],),
        )
        files = {name: int(size) for name, size in found}
        marked = _marks(work, names)
        known = []
        for day in names:
            size = self._files.get(day, files.get(day.name, 0))
            if day.day < today - 1:
                self._files[day] = size
            width = marked.get(f"{day.name} width")
            rows = None
            filled = newest is not None and day <= newest
            if filled and (self.limits.count(stream) or width is not None or day in self._passed):
                rows = self._count(work, day, marked.get(day.name))
                if rows is None:
                    return None
            held = self._passed.get(day, _Passed()).held
            known.append(_Day(day, size, rows, held, None if width is None else width.upto))
        return known

    def _over(self, stream: int, known: list[_Day]) -> Over:
        count = self.limits.count(stream)
        kept = [each.size if each.day in self._kept else each.held_size for each in known]
        held = sum(each.held for each in known)
        return Over(
            bytes=sum(each.size for each in known) - sum(kept) - self.limits.size(stream),
            rows=sum(each.rows or 0 for each in known) - held - count if count else 0,
            held_bytes=sum(kept),
            held_rows=held,
        )

    def _begin(self, work: Deleting, oldest: _Day, newest: Partition) -> bool:
        """Note how wide a row is before the first one is deleted. False: the rows are not counted yet."""
        rows = oldest.rows
        if rows is None:
            rows = self._count(work, oldest.day, marks.read(work.reading, oldest.day.name))
        if not rows:
            return rows is not None
        name = oldest.day.name
        marks.write(work.reading, f"{name} width", Mark(oldest.files * _THOUSAND // rows, rows))
        if oldest.day == newest:  # its room is wanted again soon
            work.tried(f"ALTER TABLE {name} SET (autovacuum_vacuum_scale_factor = 0.05)")
        return True

    def _drop(self, work: Deleting, kind: FileKind, day: Partition) -> None:
        work.run(f"DROP TABLE {day.name}")
        work.run(
            "DELETE FROM retention_mark WHERE name = ? OR starts_with(name, ?)", (day.name, f"{day.name} ")
        )
        failpoints.hit(CHUNK)
        work.afterwards.append(lambda: self._forget(kind, day))

    def _forget(self, kind: FileKind, day: Partition) -> None:
        self._store.forget_days(kind)
        self._files.pop(day, None)
        self._passed.pop(day, None)
        self._counted.discard(day)
        self._kept.discard(day)

    def _delete_rows(
        self, work: Deleting, stream: int, day: Partition, most: int, *, last: bool, cut: bool = False
    ) -> int:
        """Go past the next rows of a day; the newest row of a stream stays. 0: there are none."""
        passed = self._passed.get(day, _Passed())
        newest = f" AND id < (SELECT max(id) FROM {day.name})" if last else ""  # noqa: S608
        first, end, there = work.one(
            "SELECT min(id), max(id), count(*) FROM (SELECT id FROM"  # noqa: S608
            f" {day.name} WHERE id >= ?{newest} ORDER BY id LIMIT ?) AS next",
            (passed.upto, most),
        )
        if not there:
            return 0 if last else self._end(work, stream, day)
        held = work.held(day.table)
        done = work.run(
            f"DELETE FROM {day.name} AS {day.table} WHERE id BETWEEN ? AND ? AND {held.free}",  # noqa: S608
            (first, end, *held.values),
        )
        self._uncount(work, day, first, end, done)
        if cut:
            after = work.one(f"SELECT arrived FROM {day.name} WHERE id > ? ORDER BY id LIMIT 1", (end,))  # noqa: S608
            oldest = (day.day + 1) * DAY if after is None else int(after[0])
            work.afterwards.append(lambda: self.cut.update({stream: oldest}))
        failpoints.hit(CHUNK)
        if held is not NOTHING:
            work.afterwards.append(
                lambda: self._passed.update({day: _Passed(end + 1, passed.held + there - done)})
            )
        return int(there)

    def _end(self, work: Deleting, stream: int, day: Partition) -> int:
        """All of a day was gone past: drop it, or keep what holds cover."""
        if day.day >= partitions.day_of(self._clock.wall()):
            return 0
        if _has_rows(work, day):
            work.afterwards.append(lambda: self._kept.add(day))
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

    # --- counting ---------------------------------------------------------------------------------------

    def _count(self, work: Deleting, day: Partition, mark: Mark | None) -> int | None:
        """How many rows a day has; None: there is more to count. `mark` says how far it was."""
        if day in self._counted and mark is not None:
            return mark.rows
        mark = mark or Mark()
        limit = self.ago(0.0) - SETTLED
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
            work.afterwards.append(lambda: self._counted.add(day))
        (young,) = work.one(f"SELECT count(*) FROM {day.name} WHERE id >= ?", (mark.upto,))  # noqa: S608
        return mark.rows + int(young)

    def _uncount(self, work: Deleting, day: Partition, first: int, end: int, done: int) -> None:
        """Rows from `first` to `end` are gone, so many of them."""
        mark = marks.read(work.reading, day.name)
        if mark is None or first >= mark.upto or not done:
            return
        if end < mark.upto:
            marks.write(work.reading, day.name, Mark(mark.upto, mark.rows - done))
        else:
            marks.remove(work.reading, day.name)

    # --- by level ---------------------------------------------------------------------------------------

    def delete_level(self, work: Deleting, level: Level, most: int) -> int:
        """Go past the next log records that are too old for their level; 0: there are none."""
        self.notice(RECORDS, work)
        limit = self.ago(level.age)
        days = partitions.existing(work.reading.connection, "log")
        newest = next((day for day in reversed(days) if _has_rows(work, day)), None)
        for day in days:
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
        held = work.held("log")
        done = work.run(
            f"DELETE FROM {day.name} AS log WHERE id BETWEEN ? AND ? AND severity BETWEEN ? AND ? AND {held.free}",  # noqa: S608
            (first, end, level.low, level.high, *held.values),
        )
        self._uncount(work, day, first, end, done)
        marks.write(work.reading, name, Mark(end + 1))
        if done:
            failpoints.hit(CHUNK)
        return int(there)


def _marks(work: Deleting, names: list[Partition]) -> dict[str, Mark]:
    """How far days are counted, and how wide their rows are, by the name of the mark."""
    wanted = [name for day in names for name in (day.name, f"{day.name} width")]
    found = work.all("SELECT name, upto, rows FROM retention_mark WHERE name = ANY(?)", (wanted,))
    return {name: Mark(upto, rows) for name, upto, rows in found}


def _has_rows(work: Deleting, day: Partition) -> bool:
    return bool(work.one(f"SELECT EXISTS (SELECT 1 FROM {day.name})")[0])  # noqa: S608
