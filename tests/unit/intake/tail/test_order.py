"""The lines of a log come in the order in which they were written, however far behind the agent is."""

from __future__ import annotations

import os

import pytest

from tabard.agents.intake.batcher import Batcher
from tabard.agents.intake.tail import away
from tabard.agents.intake.tail.file import CHUNK
from tabard.agents.intake.tail.siblings import open_regular
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

    def fall_behind(self, rotations):
        """So many files full of lines are moved away, and one more is there, before the agent looks again."""
        for _ in range(rotations):
            self.write()
            self.rotate()
        self.write()

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

    def read_until_killed(self, batches):
        """Let the agent read, and kill it when it has journaled so many batches more."""
        append, left = self.journal.append, iter(range(batches - 1))

        def append_and_die(*batch):
            append(*batch)
            if next(left, None) is None:
                raise _Killed

        self.journal.append = append_and_die  # type: ignore[method-assign]
        with pytest.raises(_Killed):
            self.read(self.number + 1)
        self.journal.append = append  # type: ignore[method-assign]
        self.crash()

    def stored(self):
        """The numbers of the lines in the order of the journal."""
        return [int(record[LOG_INDEX["message"]].split()[0]) for record in self.journal.records()]

    def read(self, lines):
        """Let the agent read until so many lines are journaled."""
        while len(self.stored()) < lines:
            self.loop.advance(0.01)


class _Killed(BaseException):
    """Nothing catches it, as nothing catches a signal."""


@pytest.fixture
def log(tmp_path):
    """One that is there before its agent."""
    log = Log(tmp_path)
    log.path.touch()
    log.start()
    log.loop.advance(5.0)
    return log


@pytest.mark.parametrize("batches", range(1, 27))
def test_files_that_were_rotated_before_they_were_read(log, batches):
    """One is read in part, others have not been begun, when the agent is killed: the next one begins with the first."""
    log.fall_behind(5)
    log.read_until_killed(batches)
    assert log.stored() == list(range(1, len(log.stored()) + 1))
    log.start()
    log.read(log.number)
    log.loop.advance(100.0)
    assert log.stored() == list(range(1, log.number + 1))
    log.crash()


@pytest.mark.parametrize("batches", [2, 7, 12])
def test_rotated_again_and_killed_again(log, batches):
    """Whatever is rotated while no agent runs comes after what was rotated under the one before, and so the next time."""
    for _ in range(4):
        log.fall_behind(2)
        log.read_until_killed(batches)
        log.write()
        log.rotate()
        log.start()
    log.read(log.number)
    assert log.stored() == list(range(1, log.number + 1))
    log.crash()


@pytest.mark.parametrize("batches", [3, 9, 15])
def test_marks_of_old_have_no_turn(log, batches):
    """The times of the files tell which to read first."""
    log.fall_behind(4)
    log.read_until_killed(batches)
    log.journal.marks = {key: mark[:9] for key, mark in log.journal.marks.items()}
    log.start()
    log.read(log.number)
    assert log.stored() == list(range(1, log.number + 1))
    log.crash()


@pytest.mark.parametrize("opened", range(1, 4))
def test_rotated_while_it_is_looked_for_what_was_rotated(log, monkeypatch, opened):
    """A file that was found has another name when it is opened: it is found again before any that came after it."""
    opens = iter(range(opened - 1))

    def open_after_rotation(path):
        if next(opens, None) is None:
            monkeypatch.undo()
            log.rotate()
            log.write()
        return open_regular(path)

    log.fall_behind(4)
    monkeypatch.setattr(away, "open_regular", open_after_rotation)
    log.read(log.number + PER_FILE)
    assert log.stored() == list(range(1, log.number + 1))
    log.crash()


def test_names_that_never_stand_still(log, monkeypatch):
    """Somebody makes and removes files beside it all the time: the log is read all the same."""
    made = iter(range(100_000))
    listing = os.scandir

    def list_and_rename(directory):
        (log.path.parent / f"app.log.{100 + next(made)}").write_text("x")
        return listing(directory)

    monkeypatch.setattr(os, "scandir", list_and_rename)
    log.fall_behind(1)
    log.read(log.number)
    log.crash()
