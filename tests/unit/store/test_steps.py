"""Retention's steps in the recorder's loop."""

from __future__ import annotations

from tabard.consumers.recorder.steps import REST_SECONDS, Steps
from tests.contract.retention import NEVER
from tests.unit.intake.fakes import FakeLoop


class Work:
    """Something to do for so many steps."""

    fault = None
    limits = NEVER

    def __init__(self, loop, left):
        self.loop = loop
        self.left = left
        self.times = []

    def step(self, now):
        """One of them."""
        self.times.append(now)
        self.left -= 1
        return self.left > 0

    def follow(self):
        """Nothing."""


def test_it_rests_between_two_steps_however_often_it_is_told_to_go():
    """Told once a second while a long pass goes on, it does not work faster with each of them."""
    loop = FakeLoop()
    work = Work(loop, 1_000)
    waits = []
    steps = Steps(loop, work, lambda: waits.append(1))
    for _ in range(5):
        steps.go()
        loop.advance(1.0)
    assert 5 / REST_SECONDS <= len(work.times) <= 5 / REST_SECONDS + 5
    assert len(waits) == len(work.times)


def test_it_stops_when_there_is_no_more_to_do():
    """And goes again when it is told to."""
    loop = FakeLoop()
    work = Work(loop, 3)
    steps = Steps(loop, work, lambda: None)
    steps.go()
    loop.advance(1.0)
    assert len(work.times) == 3
    steps.go()
    loop.advance(1.0)
    assert len(work.times) == 4


def test_nothing_to_keep_up():
    """A store without limits waits for nothing."""
    waits = []
    Steps(FakeLoop(), None, lambda: waits.append(1)).go()
    assert not waits
