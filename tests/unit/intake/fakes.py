"""A loop in virtual time, and a journal that is a list."""

from __future__ import annotations

import heapq
from itertools import count

import msgpack


class Timer:
    def __init__(self, callback):
        self.callback = callback

    def cancel(self):
        """Do nothing when it falls due."""
        self.callback = lambda: None


class FakeLoop:
    """Timers only; `advance` runs what falls due. Descriptors are called by hand through `readers`."""

    def __init__(self, start=1_000.0):
        self.time = start
        self.timers = []
        self.order = count()
        self.readers = {}
        self.writers = {}

    def now(self):
        """Virtual seconds."""
        return self.time

    def call_at(self, when, callback):
        """Remember the callback until `advance` reaches its time."""
        timer = Timer(callback)
        heapq.heappush(self.timers, (when, next(self.order), timer))
        return timer

    def add_reader(self, fd, callback):
        """Remember the callback."""
        self.readers[fd] = callback

    def remove_reader(self, fd):
        """Forget it."""
        self.readers.pop(fd, None)

    def add_writer(self, fd, callback):
        """Remember the callback."""
        self.writers[fd] = callback

    def remove_writer(self, fd):
        """Forget it."""
        self.writers.pop(fd, None)

    def advance(self, seconds):
        """Let time pass and run what falls due."""
        end = self.time + seconds
        while self.timers and self.timers[0][0] <= end + 1e-9:
            when, _, timer = heapq.heappop(self.timers)
            self.time = max(self.time, when)
            timer.callback()
        self.time = end


class ListJournal:
    """Keeps ``(body, count, marks)``; raises `error` when it is set. `marks` is what a restart would find."""

    def __init__(self):
        self.batches = []
        self.marks = {}
        self.error = None
        self.tries = 0

    def append(self, body, count, marks):
        """Keep the batch, or raise."""
        self.tries += 1
        if self.error is not None:
            raise self.error
        self.batches.append((body, count, dict(marks)))
        for source, mark in msgpack.unpackb(msgpack.packb(dict(marks))).items():
            self.marks.pop(source, None)  # the source heard of last stands last, as in the journal
            self.marks[source] = mark

    def groups(self):
        """Every group journaled, decoded."""
        return [group for body, _, _ in self.batches for group in msgpack.unpackb(body)]

    def records(self, source=None):
        """Every record journaled, of one source or of all."""
        return [
            record
            for name, _, _, found in self.groups()
            if source is None or name == source
            for record in found
        ]


class FakeClock:
    """Wall time stands at a given moment; monotonic time is the loop's."""

    def __init__(self, loop, wall=1_763_765_724_000_000_000):
        self.loop = loop
        self.at = wall

    def monotonic(self):
        """The loop's seconds."""
        return self.loop.now()

    def wall(self):
        """The given moment."""
        return self.at
