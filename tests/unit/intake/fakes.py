"""A loop in virtual time, and a journal that is a list."""

from __future__ import annotations

import heapq
from itertools import count

import msgpack


class Timer:
    def __init__(self, callback):
        self.callback = callback

    def cancel(self):
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
        return self.time

    def call_at(self, when, callback):
        timer = Timer(callback)
        heapq.heappush(self.timers, (when, next(self.order), timer))
        return timer

    def add_reader(self, fd, callback):
        self.readers[fd] = callback

    def remove_reader(self, fd):
        self.readers.pop(fd, None)

    def add_writer(self, fd, callback):
        self.writers[fd] = callback

    def remove_writer(self, fd):
        self.writers.pop(fd, None)

    def advance(self, seconds):
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
        self.tries += 1
        if self.error is not None:
            raise self.error
        self.batches.append((body, count, dict(marks)))
        self.marks.update(marks)

    def groups(self):
        return [group for body, _, _ in self.batches for group in msgpack.unpackb(body)]

    def records(self, source=None):
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
        return self.loop.now()

    def wall(self):
        return self.at
