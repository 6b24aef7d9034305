"""Keeping the store within its limits: the order of a pass, and what goes with the records.

Age is arrival time. A day that is dropped needs its table for itself for a moment; when a reader does not leave it soon
the day waits for the next pass. What a hold covers stays.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from tabard.brokers.delivery.ports import StoreUnavailable
from tabard.brokers.wire.streams import CONTROL, LOGS, SAMPLES
from tabard.clock import Clock, SystemClock
from tabard.consumers.store.layout import FILES, QUARANTINED, RECORDS, ROW_TABLES, FileKind
from tabard.consumers.store.limits import Level, RetentionLimits
from tabard.consumers.store.overrun import Over, Overrun
from tabard.consumers.store.pace import Pace
from tabard.consumers.store.postgresql import closing, partitions
from tabard.consumers.store.postgresql.days import Days
from tabard.consumers.store.postgresql.deleting import Deleting, deleting
from tabard.consumers.store.postgresql.forgetting import Forgetting
from tabard.consumers.store.postgresql.partitions import DAY, Partition
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.room import kind_of

LOCK_SECONDS: Final = 0.2
"""How long a drop waits for readers, during which new readers and commits wait behind it."""
NODES_PER_STEP: Final = 200
_STREAMS: Final = (LOGS, SAMPLES, CONTROL)
_BYTES: Final = "octet_length(header) + octet_length(signature) + octet_length(body)"

_log = logging.getLogger(__name__)


class PostgresUpkeep:
    """Keeps one store within its limits. `limits` may be replaced at any time."""

    def __init__(self, store: PostgresStore, limits: RetentionLimits, clock: Clock | None = None) -> None:
        self._store = store
        self._clock = clock or SystemClock()
        self._overrun = Overrun()
        self._days = Days(store, limits, self._clock, self._overrun)
        self._forgetting = {kind: Forgetting(store, kind) for kind in FILES}
        self._paces: dict[int | Level, Pace] = {}
        self._due = float("-inf")
        self._pass: Iterator[None] | None = None
        self._headers: dict[int, tuple[int, int]] = {}
        """By stream, arrival up to which all headers were looked at, and the releases of holds by then."""

    @property
    def limits(self) -> RetentionLimits:
        """What may stay."""
        return self._days.limits

    @limits.setter
    def limits(self, limits: RetentionLimits) -> None:
        if limits != self._days.limits and self._pass is not None:
            self._due = float("-inf")  # what was begun for other limits must not go on: a pass begins anew
        self._days.limits = limits

    @property
    def fault(self) -> str | None:
        """Which limit is not held, by how much, and whether holds are the reason; None while all are."""
        return self._overrun.fault(self.limits)

    def step(self, now: float) -> bool:
        """Do one piece of a pass; `now` is monotonic seconds. True: call again soon, there is more.

        Never raises for the store's sake: when it cannot be written the pass ends, and the next one tries again.
        """
        if now >= self._due:
            self._due = now + self.limits.every
            self._pass = self._work()
        elif self._pass is None:
            return False
        try:
            next(self._pass)
        except StopIteration:
            self._pass = None
        except StoreUnavailable as error:
            self._pass = None
            _log.warning("old rows stay for now: %s", error)
        return self._pass is not None

    def follow(self) -> None:
        """Nothing: whole days cannot go after every commit."""

    def _work(self) -> Iterator[None]:
        """One pass over everything that can grow; yields after each step."""
        self._days.begin()
        jobs: list[Callable[[], object]] = []
        for stream in _STREAMS:
            self._make_ahead(stream)
            yield
            jobs += [
                functools.partial(self._delete, stream),
                functools.partial(self._delete_headers, stream),
                functools.partial(self._delete_gaps, stream),
                functools.partial(self._delete_withheld, stream),
            ]
        jobs += [functools.partial(self._delete_level, level) for level in self.limits.levels]
        jobs += [functools.partial(self._delete_quarantined, kind) for kind in FILES]
        jobs += (self._next_heartbeats(), self._delete_versions, self._next_close())
        for kind in FILES:  # behind all that may have been the last of an epoch
            if self._forgetting[kind].begin(self._due):
                limit = max(0, self._clock.wall() - round(self.limits.longest(kind) * 1e9))
                jobs.append(functools.partial(self._forgetting[kind].step, limit))
        for job in jobs:
            while job():
                yield
            yield

    def _make_ahead(self, stream: int) -> None:
        today = partitions.day_of(self._clock.wall())
        with self._store.guarded(kind_of(stream)) as writer:
            for day in range(today, today + partitions.AHEAD + 1):
                partitions.ensure(writer.connection, ROW_TABLES[stream], day)

    # --- records --------------------------------------------------------------------------------------

    def _delete(self, stream: int) -> bool:
        return self._at_pace(
            stream, kind_of(stream), lambda work, most: self._days.delete(work, stream, most)
        )

    def _delete_level(self, level: Level) -> bool:
        return self._at_pace(level, RECORDS, lambda work, most: self._days.delete_level(work, level, most))

    def _at_pace(self, what: int | Level, kind: FileKind, step: Callable[[Deleting, int], int]) -> bool:
        """One step that touches as many rows as fit some milliseconds. False: nothing was left to do."""
        pace = self._paces.setdefault(what, Pace())
        budget = self.limits.budget_rows
        with deleting(self._store, kind, LOCK_SECONDS) as work:
            if work is None:
                return False
            most = min(pace.rows, budget)
            done = step(work, most)
        if done == most:
            pace.adapt(self._days.took, budget)
        return done > 0

    # --- what goes with them --------------------------------------------------------------------------

    def _delete_headers(self, stream: int) -> bool:
        """Delete headers that are older than the oldest day left, unless a hold keeps their records. False: none was."""
        kind = kind_of(stream)
        with deleting(self._store, kind, LOCK_SECONDS) as work:
            if work is None:
                return False
            self._days.notice(kind, work)
            limit, most = self._days.oldest(work, stream).day * DAY, self.limits.budget_rows
            if not work.holds:
                going = "SELECT epoch_id, first FROM batch WHERE stream = ? AND arrived < ? ORDER BY arrived LIMIT ?"
                return _delete_with_attestations(work, going, (stream, limit, most))
            releases = self._days.releases(kind)
            since, known = self._headers.get(stream, (-1, releases))
            since = since if known == releases else -1
            found = work.all(
                "SELECT arrived FROM batch WHERE stream = ? AND arrived > ? AND arrived < ? ORDER BY arrived LIMIT ?",
                (stream, since, limit, most),
            )
            if not found:
                return False
            # All of one commit have the same time: they are looked at together.
            last = int(found[-1][0])
            _delete_with_attestations(
                work,
                "SELECT epoch_id, first FROM batch WHERE stream = ? AND arrived > ? AND arrived <= ? AND NOT EXISTS"  # noqa: S608
                f" (SELECT 1 FROM {ROW_TABLES[stream]} AS record WHERE record.epoch_id = batch.epoch_id"
                " AND record.arrived = batch.arrived AND record.seq >= batch.first"
                " AND record.seq < batch.first + batch.count)",
                (stream, since, last),
            )
            work.afterwards.append(lambda: self._headers.update({stream: (last, releases)}))
            return True

    def _delete_gaps(self, stream: int) -> bool:
        """Delete gaps that are too old, and those whose records on both sides had to go because of size or count.

        A loss is not to become silence: whatever happens to the records of others, a gap keeps its age.
        """
        table, most = ROW_TABLES[stream], self.limits.budget_rows
        with deleting(self._store, kind_of(stream), LOCK_SECONDS) as work:
            if work is None:
                return False
            held = work.held("gap")
            done = work.run(
                "DELETE FROM gap WHERE id IN (SELECT id FROM gap WHERE stream = ? AND arrived < ?"  # noqa: S608
                f" AND {held.free} ORDER BY arrived LIMIT ?)",
                (stream, self._days.ago(self.limits.age(stream)), *held.values, most),
            )
            done += work.run(
                "DELETE FROM gap WHERE id IN (SELECT id FROM gap WHERE stream = ? AND arrived < ?"  # noqa: S608
                f" AND NOT EXISTS (SELECT 1 FROM {table} WHERE epoch_id = gap.epoch_id AND seq = gap.first - 1)"
                f" AND NOT EXISTS (SELECT 1 FROM {table} WHERE epoch_id = gap.epoch_id AND seq > gap.first"
                f" AND seq <= coalesce(gap.last + 1, gap.first)) AND {held.free} ORDER BY arrived LIMIT ?)",
                (stream, self._days.cut.get(stream, 0), *held.values, most),
            )
        return bool(done)

    def _delete_withheld(self, stream: int) -> bool:
        """Delete what is said of records that were withheld, as old as records that go: it is no loss that has to stay."""
        with deleting(self._store, kind_of(stream), LOCK_SECONDS) as work:
            if work is None:
                return False
            held = work.held("withheld")
            limit = max(self._days.ago(self.limits.age(stream)), self._days.cut.get(stream, 0))
            return bool(
                work.run(
                    "DELETE FROM withheld WHERE id IN (SELECT id FROM withheld WHERE stream = ? AND arrived < ?"  # noqa: S608
                    f" AND {held.free} ORDER BY arrived LIMIT ?)",
                    (stream, limit, *held.values, self.limits.budget_rows),
                )
            )

    def _delete_quarantined(self, kind: FileKind) -> bool:
        """Delete the oldest quarantined batches beyond their own age and size, whatever records there are."""
        with deleting(self._store, kind, LOCK_SECONDS) as work:
            if work is None:
                return False
            (taken,) = work.one(f"SELECT coalesce(sum({_BYTES}), 0)::bigint FROM quarantine")  # noqa: S608
            over = int(taken) - self.limits.quarantine_bytes
            limit = self._days.ago(self.limits.quarantine_age)
            held = work.held("quarantine")
            going = []
            for row_id, arrived, size in work.all(
                f"SELECT id, arrived, {_BYTES} FROM quarantine WHERE {held.free} ORDER BY id LIMIT ?",  # noqa: S608
                (*held.values, self.limits.budget_rows),
            ):
                if over <= 0 and arrived >= limit:
                    break
                over -= size
                going.append(row_id)
            self._overrun.note(kind, QUARANTINED, Over(over))
            return bool(going and work.run("DELETE FROM quarantine WHERE id = ANY(?)", (going,)))

    def _next_close(self) -> Callable[[], bool]:
        """What closes at each call one day of the log that is over.

        One in which somebody works, and one that is opened again meanwhile, waits for the next pass.
        """
        tried: set[Partition] = set()

        def step() -> bool:
            with deleting(self._store, RECORDS, LOCK_SECONDS) as work:
                if work is None:
                    return False
                left = [day for day in closing.still_open(work) if day not in tried]
                if left:
                    tried.add(left[0])
                    closing.close(work, left[0])
            return len(left) > 1

        return step

    def _next_heartbeats(self) -> Callable[[], bool]:
        """What deletes heartbeats of a few nodes at each call; False after the last ones."""
        left: list[int] | None = None

        def step() -> bool:
            nonlocal left
            with deleting(self._store, RECORDS, LOCK_SECONDS) as work:
                if work is None:
                    return False
                if left is None:
                    left = [int(row[0]) for row in work.all("SELECT id FROM node ORDER BY id")]
                held = work.held("heartbeat")
                work.run(
                    f"DELETE FROM heartbeat WHERE node_id = ANY(?) AND minute < ? AND {held.free}",  # noqa: S608
                    (left[:NODES_PER_STEP], self._days.ago(self.limits.samples_age), *held.values),
                )
                del left[:NODES_PER_STEP]
                return bool(left)

        return step

    def _delete_versions(self) -> bool:
        """Delete what ran too long ago, then the configurations that nothing speaks of any more."""
        most = self.limits.budget_rows
        with deleting(self._store, RECORDS, LOCK_SECONDS) as work:
            if work is None:
                return False
            held = work.held("deployment")
            done = work.run(
                "DELETE FROM deployment WHERE id IN (SELECT id FROM deployment WHERE last < ?"  # noqa: S608
                f" AND {held.free} LIMIT ?)",
                (self._days.ago(self.limits.versions_age), *held.values, most),
            )
            done += work.run(
                "DELETE FROM configuration WHERE id IN (SELECT id FROM configuration WHERE NOT EXISTS"
                " (SELECT 1 FROM deployment WHERE configuration_id = configuration.id) LIMIT ?)",
                (most,),
            )
        return bool(done)


def _delete_with_attestations(work: Deleting, going: str, values: Sequence[int]) -> bool:
    """Delete the headers of batches and who attests them; `going` answers their epochs and first numbers."""
    done = 0
    for table in ("attestation", "batch"):
        done = work.run(f"DELETE FROM {table} WHERE (epoch_id, first) IN ({going})", values)  # noqa: S608
    return bool(done)
