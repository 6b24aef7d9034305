"""The thread that syncs: what it hands back as done was done, at the end of the agent too."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest

from tabard.agents.syncer import Syncer
from tabard.brokers.loop import Loop
from tabard.errors import JournalError


class Job:
    """A sync that waits until it may run."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.error: OSError | None = None
        self.done = False

    def run(self) -> None:
        """Sync, when the disk is ready."""
        self._journal.running.set()
        assert self._journal.ready.wait(30)
        self.error = self._journal.failure
        self.done = True


class Journal:
    """Counts what was made durable; its disk can be slow, or fail."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.running = threading.Event()
        self.failure: OSError | None = None
        self.dirty = False
        self.synced = 0
        self.taken_undone = 0

    def write(self) -> None:
        """There is something to be synced."""
        self.dirty = True

    def sync_job(self) -> Job | None:
        """A sync of what was written."""
        dirty, self.dirty = self.dirty, False
        return Job(self) if dirty else None

    def finish_sync(self, job: Job) -> None:
        """Take the outcome into account."""
        self.taken_undone += not job.done
        if job.error is not None:
            self.dirty = True
            raise JournalError("a sync failed")
        self.synced += 1


@pytest.fixture
def loop() -> Iterator[Loop]:
    """The agent's loop."""
    made = Loop()
    yield made
    made.close()


def test_a_sync_asked_for_just_before_the_end_is_done_and_not_only_said_to_be(loop: Loop) -> None:
    """Closing waits for the sync that was begun, however late the thread comes to it."""
    for _ in range(200):
        journal = Journal()
        journal.ready.set()
        syncer = Syncer(loop, [cast(Any, journal)], 0.0, lambda: None)
        journal.write()
        syncer.request()
        syncer.close()
        assert (journal.synced, journal.taken_undone) == (1, 0)


def test_what_is_written_during_a_sync_is_synced_after_it(loop: Loop) -> None:
    """One sync at a time; another follows, and the publisher is told after each."""
    journal = Journal()
    told: list[int] = []
    syncer = Syncer(loop, [cast(Any, journal)], 0.0, lambda: told.append(journal.synced))
    journal.write()
    syncer.request()
    assert journal.running.wait(30)
    journal.write()
    syncer.request()
    journal.ready.set()
    while len(told) < 2:
        loop.turn(1.0)
    assert told == [1, 2]
    syncer.close()


def test_the_interval_is_the_longest_wait_and_not_the_shortest(loop: Loop) -> None:
    """With a quick disk each write is durable soon after it, whatever the interval allows."""
    journal = Journal()
    journal.ready.set()
    syncer = Syncer(loop, [cast(Any, journal)], 3600.0, lambda: None)
    for number in (1, 2, 3):
        journal.write()
        syncer.request()
        while journal.synced < number:
            loop.turn(1.0)
    syncer.close()


def test_a_sync_that_failed_is_tried_again(loop: Loop) -> None:
    """The disk comes back, and everything becomes durable without being asked again."""
    journal = Journal()
    journal.failure = OSError(5, "the disk failed")
    journal.ready.set()
    told: list[int] = []
    syncer = Syncer(loop, [cast(Any, journal)], 0.0, lambda: told.append(journal.synced))
    journal.write()
    syncer.request()
    while not told:
        loop.turn(1.0)
    assert told == [0]
    journal.failure = None
    while journal.synced == 0:
        loop.turn(2.0)
    syncer.close()


def test_a_journal_that_cannot_be_synced_keeps_no_other_from_it(loop: Loop) -> None:
    """Each has its own disk and its own trouble."""

    class Broken(Journal):
        def sync_job(self) -> Job | None:
            raise JournalError("a segment cannot be written again")

    sound = Journal()
    sound.ready.set()
    syncer = Syncer(loop, [cast(Any, Broken()), cast(Any, sound)], 0.0, lambda: None)
    sound.write()
    syncer.request()
    syncer.close()
    assert sound.synced == 1
