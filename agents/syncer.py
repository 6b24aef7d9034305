"""The thread that makes the journal durable, so that the agent's loop never waits for the disk.

Group commit: one sync covers everything written before it began. Nothing is published before it is durable, so
the next sync begins as soon as the disk can bear it: syncs take at most a quarter of the time, unless the
interval, which is how long a record may stay without one, demands more.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from tabard.agents.journal.journal import Journal
from tabard.agents.journal.writer import SyncJob
from tabard.brokers.loop import Loop
from tabard.errors import JournalError

RETRY: Final = 1.0
"""Seconds until a sync that failed is tried again."""
SHORTEST: Final = 0.005
"""Seconds from the beginning of one sync to that of the next, at least."""
SHARE: Final = 4
"""How many times as long as a sync takes it is from its beginning to that of the next."""

_log = logging.getLogger(__name__)


class Syncing(Protocol):
    """A journal whose writes can be made durable from another thread."""

    def sync_job(self) -> SyncJob | None:
        """What is to be synced now, None when all is durable. Raises JournalError."""

    def finish_sync(self, job: SyncJob) -> None:
        """Take the outcome into account. Raises JournalError when it failed."""


class SyncedJournal:
    """A journal that asks for a sync after every write."""

    def __init__(self, journal: Journal, written: Callable[[], None]) -> None:
        self._journal = journal
        self._written = written

    def append(self, body: bytes, count: int, marks: Mapping[str, Any], /) -> object:
        """Keep a batch body, see `Journal.append`."""
        batch = self._journal.append(body, count, marks)
        self._written()
        return batch


class Syncer:
    """Owns the thread; `close` joins it. All methods are for the loop's thread."""

    def __init__(
        self, loop: Loop, journals: Sequence[Syncing], interval: float, synced: Callable[[], None]
    ) -> None:
        self.interval = interval
        self._loop = loop
        self._journals = list(journals)
        self._synced = synced
        self._jobs: list[tuple[Syncing, SyncJob]] = []
        self._go = threading.Semaphore(0)
        self._busy = False
        self._again = False
        self._closing = False
        self._began = 0.0
        self._next = float("-inf")
        self._thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)
        self._thread.start()

    def request(self) -> None:
        """Something was written: see that it becomes durable."""
        if self._busy:
            self._again = True
            return
        self._busy = True
        if self._next <= self._loop.now():
            self._begin()
        else:
            self._loop.call_at(self._next, self._begin)

    def _begin(self) -> None:
        self._began = self._loop.now()
        self._next = self._began + self.interval
        self._again = False
        self._jobs = []
        for journal in self._journals:
            try:
                job = journal.sync_job()
            except JournalError as error:
                self._failed(error)
                continue
            if job is not None:
                self._jobs.append((journal, job))
        if self._jobs:
            self._go.release()
        else:
            self._end()

    def _run(self) -> None:
        while True:
            self._go.acquire()
            # Also on closing: a job that was begun is taken for done when the thread has ended.
            for _, job in self._jobs:
                job.run()
            if self._closing:
                return
            self._loop.call_soon(self._finish)

    def _finish(self) -> None:
        took = self._loop.now() - self._began
        self._next = min(self._next, self._began + max(SHORTEST, SHARE * took))
        for journal, job in self._jobs:
            try:
                journal.finish_sync(job)
            except JournalError as error:
                self._failed(error)
        self._jobs = []
        self._synced()
        self._end()

    def _failed(self, error: JournalError) -> None:
        _log.error("the journal could not be synced, nothing new is published: %s", error)
        self._again = True
        self._next = self._loop.now() + RETRY

    def _end(self) -> None:
        self._busy = False
        if self._again:
            self.request()

    def close(self) -> None:
        """End the thread after what it is doing now."""
        self._closing = True
        self._go.release()
        self._thread.join()
        for journal, job in self._jobs:
            try:
                journal.finish_sync(job)
            except JournalError as error:
                _log.error("the last sync failed: %s", error)
        self._jobs = []
