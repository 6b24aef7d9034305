"""Deleting what is too old or too much, in steps so small that ingest does not notice.

Age is arrival time: the clock of a node can neither delete its records early nor keep them for ever. Rows go
oldest first, by id, on the writer's own connection between two commits; a step that took too long makes the next
one smaller. What comes in fast cannot outrun it: over a limit, each commit is followed by the deletion of more
than it stored. Pages that become free are used again by new rows; only when a good part of the file is free, as
after a limit was lowered, is the file itself shortened.
"""

from __future__ import annotations

import functools
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from tabard.brokers.delivery.ports import StoreUnavailable
from tabard.brokers.wire.streams import CONTROL, LOGS, SAMPLES
from tabard.clock import Clock, SystemClock
from tabard.consumers.store.attached import Attached
from tabard.consumers.store.forgetting import Forgetting
from tabard.consumers.store.layout import FILES, RECORDS, FileKind
from tabard.consumers.store.limits import Level, RetentionLimits
from tabard.consumers.store.overrun import Overrun
from tabard.consumers.store.pace import FEWEST_ROWS, Pace
from tabard.consumers.store.reserve import RESERVE_BYTES
from tabard.consumers.store.room import give_back, kind_of, space
from tabard.consumers.store.sqlite import SqliteStore
from tabard.consumers.store.sweeping import Sweeper

LONG_LOG: Final = 64 * 2**20
"""Bytes of the write-ahead log from which on deletions wait that are not to keep up with what comes in."""
FREE_SHARE: Final = 0.25
"""Share of free pages from which on the file is shortened."""
PAGE_BYTES: Final = 4096
FREE_BYTES: Final = 64 * 2**20
"""Free bytes below which it never is: the next minutes' rows will use them."""
FOLLOW_AT: Final = 256
"""Stored rows that are followed by deletions at once; fewer wait for the next commit, or for the pass."""
FOLLOW_MOST: Final = 16
"""Most rows deleted after a commit for each one that it stored."""

ROWS_BY_SIZE: Final = (LOGS, SAMPLES, CONTROL)

_log = logging.getLogger(__name__)


class Retention:
    """Keeps one store within its limits. `limits` may be replaced at any time."""

    def __init__(self, store: SqliteStore, limits: RetentionLimits, clock: Clock | None = None) -> None:
        self._store = store
        self._overrun = Overrun()
        self._sweeper = Sweeper(store, limits, clock or SystemClock(), self._overrun)
        self._attached = Attached(store, self._sweeper)
        self._pace = Pace()
        self._paces: dict[Level, Pace] = {}
        self._due = float("-inf")
        self._pass: Iterator[None] | None = None
        self._rescuing = False
        self._forgetting = {kind: Forgetting(store, kind) for kind in FILES}
        self._stored: Counter[int] = Counter()
        """Rows stored since the last deletion that followed a commit."""

    @property
    def limits(self) -> RetentionLimits:
        """What may stay."""
        return self._sweeper.limits

    @limits.setter
    def limits(self, limits: RetentionLimits) -> None:
        if limits != self._sweeper.limits and self._pass is not None:
            self._due = float("-inf")  # what was begun for other limits must not go on: a pass begins anew
        self._sweeper.limits = limits

    @property
    def fault(self) -> str | None:
        """Which limit is not held, by how much, and whether holds are the reason; None while all are."""
        return self._overrun.fault(self.limits)

    def step(self, now: float) -> bool:
        """Do a few milliseconds of work; `now` is monotonic seconds. True: call again soon, there is more.

        Never raises for the store's sake: when it cannot be written the pass ends, and the next one tries again.
        """
        if now >= self._due:  # a pass that ingest keeps busy begins anew too: nothing is to wait for its end
            self._due = now + self.limits.every
            if self._pass is None or not self._rescuing:
                self._pass = self._work()
        elif self._pass is None:
            return False
        if self._log_is_long() and not self._rescuing:
            self._store.after_commit()
            return True
        try:
            next(self._pass)
        except StopIteration:
            self._pass = self._work() if self._rescuing else None
            self._rescuing = False
        except StoreUnavailable as error:
            self._pass = None
            if self._store.begin_rescue():
                _log.warning("the disk is full: old rows are deleted with the room of the reserve")
                self._rescuing = True
                self._pass = self._win_room()
            else:
                self._rescuing = False
                _log.warning("old rows stay for now: %s", error)
        else:
            self._store.after_commit()
        return self._pass is not None

    def _log_is_long(self) -> bool:
        """Whether the write-ahead log has yet to be moved: then nothing is added to it that can wait."""
        return self._store.log_length(RECORDS) > LONG_LOG

    def follow(self) -> None:
        """After a commit: over a limit, delete half as much again as was stored since the last time.

        More when the old rows were smaller than the new ones, so that in the end the store does not grow. Then the
        store may see to its write-ahead log. Never raises for the store's sake.
        """
        self._stored.update(self._store.take_stored())
        for stream in ROWS_BY_SIZE:
            stored = self._stored[stream]
            if stored < FOLLOW_AT:
                continue
            self._stored[stream] = 0
            try:
                self._follow(stream, stored)
            except StoreUnavailable as error:
                _log.warning("old rows stay for now: %s", error)
                break
        self._store.after_commit()

    def _follow(self, stream: int, stored: int) -> None:
        kind = kind_of(stream)
        before = self._overrun.of(kind, stream).bytes
        with self._store.looking(kind) as connection:
            over = self._sweeper.look(connection, stream)
        # While the log is long it is enough that the store does not grow.
        wanted = stored if self._log_is_long() else stored + stored // 2
        done = passed = 0
        while over and (done < wanted or over.bytes > before) and passed < stored * FOLLOW_MOST:
            most = min(self.limits.budget_rows, max(wanted - done, FEWEST_ROWS))
            swept = self._sweeper.delete(stream, most, by_age=False)
            if not swept.passed:
                break
            done, passed = done + swept.deleted, passed + swept.passed
            over = self._overrun.of(kind, stream)
        if done:
            self._attached.delete_headers(stream, self.limits.budget_rows)

    def _work(self) -> Iterator[None]:
        """One pass over everything that can grow, in turns; yields after each step."""
        self._store.keep_reserve()
        jobs: list[Callable[[], object]] = []
        for kind in FILES:
            jobs += [functools.partial(self._delete_of, stream) for stream in sorted(kind.streams)]
            jobs.append(functools.partial(self._delete_quarantined, kind))
            if self._forgetting[kind].begin(self._due):
                limit = self._sweeper.ago(self.limits.longest(kind))
                jobs.append(functools.partial(self._forgetting[kind].step, limit))
        jobs += [functools.partial(self._delete_level, level) for level in self.limits.levels]
        jobs += (
            self._attached.next_heartbeats(),
            lambda: self._attached.delete_versions(self._pace.rows),
        )
        while jobs:
            for job in tuple(jobs):
                if not job():
                    jobs.remove(job)
                yield
        while self._shorten():
            yield

    def _win_room(self) -> Iterator[None]:
        """On a full disk: delete what has to go until there is room for the reserve, and as much again.

        Each step is small, and its write-ahead log is given back before the next: all of it happens in the reserve.
        """
        try:
            self._pace.rows = FEWEST_ROWS
            deleting = True
            while deleting and self._free()[1] < 2 * RESERVE_BYTES:
                deleting = any(
                    [
                        self._delete_of(LOGS),
                        self._delete_of(SAMPLES),
                        self._attached.delete_quarantined(RECORDS, self._pace.rows),
                    ]
                )
                self._store.truncate()
                yield
            pages, free = self._free()
            while free and self._free()[0] > pages - 2 * RESERVE_BYTES:
                with self._store.upkeep(RECORDS) as connection:
                    give_back(connection, FEWEST_ROWS)
                self._store.truncate()
                free = self._free()[1]
                yield
        finally:
            self._store.end_rescue()

    def _free(self) -> tuple[int, int]:
        """Bytes of the records file, and those of them that are free."""
        with self._store.looking(RECORDS) as connection:
            return space(connection)

    def _delete_of(self, stream: int) -> bool:
        """One step for a stream: rows, and what goes with them. False: nothing had to go."""
        started = time.perf_counter()
        most = min(self._pace.rows, self.limits.budget_rows)
        swept = self._sweeper.delete(stream, most)
        if swept.passed:
            self._pace.adapt(time.perf_counter() - started, self.limits.budget_rows)
        done = (
            swept.passed,
            self._attached.delete_headers(stream, self._pace.rows),
            self._attached.delete_gaps(stream, self._pace.rows),
            self._attached.delete_withheld(stream, self._pace.rows),
        )
        return any(done)

    def _delete_quarantined(self, kind: FileKind) -> bool:
        return self._attached.delete_quarantined(kind, self._pace.rows) > 0

    def _delete_level(self, level: Level) -> bool:
        """One step for the log records that go early. False: nothing is left to be looked at."""
        pace = self._paces.setdefault(level, Pace())
        started = time.perf_counter()
        swept = self._sweeper.delete_level(level, min(pace.rows, self.limits.budget_rows))
        if swept.passed:
            pace.adapt(time.perf_counter() - started, self.limits.budget_rows)
        return swept.passed > 0

    def _shorten(self) -> bool:
        """Give free pages at the end of the file back to the file system. False: there is nothing worth it."""
        with self._store.upkeep(RECORDS) as connection:
            size, free = space(connection)
            if free < FREE_BYTES or free < size * FREE_SHARE:
                return False
            started = time.perf_counter()
            pages = max(FEWEST_ROWS, self._pace.rows // 8)
            give_back(connection, pages)
        # Each is written where it goes, and so is what points to it; no row tells of that.
        self._store.moved(RECORDS, pages * 2 * PAGE_BYTES)
        self._pace.adapt(time.perf_counter() - started, self.limits.budget_rows)
        return True
