"""The lines of a log come in the order in which they were written, however far behind the agent is."""

from __future__ import annotations

import pytest

from tabard.agents.intake.batcher import Batcher
from tabard.agents.intake.tail.file import CHUNK
from tabard.agents.intake.tail.specs import TailSpec
from tabard.agents.intake.tail.tailer import Tailer
from tabard.records import LOG_INDEX
from tests.unit.intake.fakes import FakeClock, FakeLoop, ListJournal

LINE = "x" * 90
PER_FILE = 4 * CHUNK // len(LINE)
"""Lines of a file that takes several turns to read."""


class Log:
    """A log that is rotated by renaming, and the agents that read it one after the other."""

    def __init__(self, directory):
        self.path = directory / "app.log"
        self.rotations = self.number = 0
        self.times = 10**18
        self.loop, self.journal = FakeLoop(), ListJournal()

    def write(self):
        """A file full of lines, each with its number."""
        first, self.number = self.number + 1, self.number + PER_FILE
        lines = (f"{number:07} {LINE}\n" for number in range(first, self.number + 1))
        with open(self.path, "a") as file:
            file.writelines(lines)

    def rotate(self):
        """Move it away, and all before it by one."""
        for number in range(self.rotations, 0, -1):
            self.path.with_name(f"app.log.{number}").rename(self.path.with_name(f"app.log.{number + 1}"))
        self.rotations += 1
        self.path.rename(self.path.with_name("app.log.1"))

    def start(self):
        """An agent that goes on from what the journal has."""
        batcher = Batcher(self.journal, self.loop, linger=0.01)
        self.tailer = Tailer(
            self.loop,
            batcher,
            FakeClock(self.loop),
            [TailSpec(str(self.path), "plain")],
            marks=dict(self.journal.marks),
            backlog=10**9,
        )
        self.tailer.start()

    def crash(self):
        """Kill it."""
        self.tailer.close()
        self.loop.timers.clear()

    def stored(self):
        """The numbers of the lines in the order of the journal."""
        return [int(record[LOG_INDEX["message"]].split()[0]) for record in self.journal.records()]

    def read(self, lines):
        """Let the agent read until so many lines are journaled."""
        while len(self.stored()) < lines:
            self.loop.advance(0.01)


@pytest.fixture
def log(tmp_path):
    """One that is there before its agent."""
    log = Log(tmp_path)
    log.path.touch()
    log.start()
    log.loop.advance(5.0)
    return log


@pytest.mark.parametrize("at", range(1, 24, 3))
def test_files_that_were_rotated_before_they_were_read(log, at):
    """One is read in part, others have not been begun, when the agent is killed: the next one begins with the first."""
    for _ in range(5):
        log.write()
        log.rotate()
    log.write()
    log.read(at * CHUNK // len(LINE))
    log.crash()
    log.start()
    log.read(log.number)
    log.loop.advance(100.0)
    assert log.stored() == list(range(1, log.number + 1))
    log.crash()
