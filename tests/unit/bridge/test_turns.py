"""The line in which clients are read one after the other."""

from __future__ import annotations

import pytest

from tabard.agents.intake.bridge.turns import MOST_READS, QUIET_SECONDS, READS, Turns
from tests.unit.intake.fakes import FakeLoop


class Line:
    """A line of clients that have something left to be read so many times; an endless one ends never."""

    def __init__(self, **left: int) -> None:
        self.left = left
        self.events: list[str] = []
        self.loop = FakeLoop()
        self.turns: Turns[str] = Turns(self.loop, self._take, lambda name: self.events.append(f"{name} done"))

    def _take(self, name: str) -> bool:
        if self.left[name] == 0:
            return False
        self.left[name] -= 1
        self.events.append(name)
        return True


@pytest.fixture
def line() -> Line:
    """Two clients with a backlog, and one that says nothing."""
    return Line(old=20, new=10, quiet=0)


def test_one_after_the_other_in_their_order(line: Line) -> None:
    """The first is read until it is silent, however many turns that takes, then the second."""
    line.turns.add(["old", "quiet", "new"])
    line.turns.add(["old", "new"])  # who stands there stays where he is
    assert line.turns
    line.loop.advance(1)
    assert line.events == [*["old"] * 20, "old done", "quiet done", *["new"] * 10, "new done"]
    assert not line.turns


def test_everything_else_has_its_turn_in_between(line: Line) -> None:
    """A turn of the loop reads a bounded part of one client."""
    line.turns.add(["old", "new"])
    (_, _, timer) = line.loop.timers.pop()
    timer.callback()
    assert line.events == ["old"] * READS
    assert len(line.loop.timers) == 1


def test_what_comes_a_moment_later_still_belongs_to_a_backlog(line: Line) -> None:
    """The sender's kernel sends the rest when there is room: the next client waits for a short silence."""
    line.left = {"old": 4, "new": 1}
    line.turns.add(["old", "new"])
    line.loop.advance(0)
    assert line.events == ["old"] * 4
    line.left["old"] = 1
    line.loop.advance(3 * QUIET_SECONDS)
    assert line.events == [*["old"] * 5, "old done", "new", "new done"]


def test_one_that_never_ends_does_not_keep_the_others_for_ever(line: Line) -> None:
    """What it says beyond what kernels hold is new, and others may speak meanwhile."""
    line.left["old"] = 10**9
    line.turns.add(["old", "new"])
    line.loop.advance(1)
    assert line.events[: MOST_READS + 1] == [*["old"] * MOST_READS, "old done"]
    assert line.events[-1] == "new done"


def test_one_that_speaks_now_and_then_is_not_waited_for(line: Line) -> None:
    """It has no backlog: its next word is new."""
    line.left = {"old": 1, "new": 1}
    line.turns.add(["old", "new"])
    line.loop.advance(0)
    assert line.events == ["old", "old done", "new", "new done"]


def test_who_has_ended_or_was_told_to_wait_is_not_read(line: Line) -> None:
    """Also when that happens while it is read."""
    line.turns.add(["old", "new"])
    line.turns.forget("old")
    assert "old" not in line.turns
    line.loop.advance(1)
    assert "old" not in line.events
    line.turns.add(["old"])
    line.turns.clear()
    line.loop.advance(1)
    assert "old" not in line.events
