"""A log that is written and rotated in every way while an agent reads it, stops, and starts again; from a seed."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from tabard.agents.intake.batcher import Batcher
from tabard.agents.intake.tail.specs import TailSpec
from tabard.agents.intake.tail.tailer import Tailer
from tabard.errors import JournalError
from tabard.records import LOG_INDEX
from tests.unit.intake.fakes import FakeClock, FakeLoop, ListJournal

BANNER = "".join(f"{'=' * 40} the same in every file\n" for _ in range(5))
LONG = 400.0


class Said(logging.Handler):
    """Keeps what was warned of."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        """Keep the message."""
        self.texts.append(record.getMessage())


class Siege:
    """One schedule. ``ways``: how the log is rotated; the other traits are drawn from the seed."""

    def __init__(self, seed, ways=("rename", "copy"), **traits):
        self.random = random.Random(seed)
        self.seed = seed
        self.ways = ways
        self.directory = Path(tempfile.mkdtemp(prefix="siege"))
        drawn = self.random
        self.banner = traits.get("banner", drawn.random() < 0.3)
        self.short = traits.get("short", drawn.random() < 0.3)
        self.star = traits.get("star", drawn.random() < 0.3)
        self.open_files = traits.get("open_files", 0 if self.star else drawn.choice([0, 0, 3]))
        self.keep = traits.get("keep", 40)
        self.aged = traits.get("aged", False)
        self.path = self.directory / "app.log"
        self.expected = []
        self.deleted = []
        """Sets of lines that were in files when they were deleted or emptied, which the agent may not have read."""
        self.history = []
        self.number = 0
        self.loop, self.journal = FakeLoop(), ListJournal()
        self.running = False
        self.late = None
        self.said = Said()
        if traits.get("older", drawn.random() < 0.5):
            for number in range(1, 4):
                self.rotated(number).write_text(f"{BANNER if self.banner else ''}never read {number}\n" * 9)
        self.start()

    # --- the agent ---

    def start(self):
        """Start an agent on what the journal has."""
        pattern = "*.log" if self.star else "app.log"
        self.batcher = Batcher(self.journal, self.loop, linger=0.01)
        self.tailer = Tailer(
            self.loop,
            self.batcher,
            FakeClock(self.loop),
            [TailSpec(str(self.directory / pattern), "plain")],
            marks=dict(self.journal.marks),
            backlog=0 if self.star and not self.journal.marks else 1_000_000,
            open_files=self.open_files,
        )
        self.tailer.start()
        self.running = True

    def crash(self):
        """Kill it."""
        self.tailer.close()
        self.loop.timers.clear()
        self.running = False

    # --- the log ---

    def rotated(self, number):
        """The path of a rotated file."""
        return self.directory / (f"app-{number}.log" if self.star else f"app.log.{number}")

    def line(self):
        """A line that is like no other."""
        self.number += 1
        size = 2 if self.short else self.random.choice([3, 30, 90, 90, 20_000])
        self.expected.append(f"{self.number:06}" + "x" * self.random.randrange(size))
        return self.expected[-1] + "\n"

    def append(self):
        """Write some lines, to a new file if there is none."""
        count = self.random.choice([1, 1, 3, 8, 40])
        text = "".join(self.line() for _ in range(count))
        with open(self.path, "a") as file:
            if self.banner and not file.tell():
                file.write(BANNER)
            file.write(text)

    def shift(self):
        """Make room for another rotated file; the oldest goes."""
        self.note_deleted(self.rotated(self.keep))
        self.rotated(self.keep).unlink(missing_ok=True)
        for number in range(self.keep - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                self.rotated(number).rename(self.rotated(number + 1))

    def rotate(self):
        """Rotate in one of the ways."""
        if not self.path.exists():
            return
        way = self.random.choice(self.ways)
        self.history.append(way)
        self.shift()
        if way == "copy":
            shutil.copyfile(self.path, self.rotated(1))
            if self.random.random() < 0.3 and self.running:
                self.loop.advance(self.random.choice([0.3, 2.1]))
            os.truncate(self.path, 0)
        else:
            self.end_late()
            self.late = open(self.path, "a")  # noqa: SIM115 - a daemon that has not yet opened the new one
            self.path.rename(self.rotated(1))
            if self.random.random() < 0.5:
                self.path.touch()
        if self.aged and self.random.random() < 0.5:
            os.utime(self.rotated(1), ns=(0, os.stat(self.rotated(1)).st_mtime_ns - 7_200 * 10**9))

    def write_late(self):
        """The daemon writes to the file it has open, though that was moved away."""
        if self.late is not None and self.running:
            self.late.write(self.line())
            self.late.flush()

    def end_late(self):
        """It opens the new one."""
        if self.late is not None:
            self.late.close()
            self.late = None

    def note_deleted(self, path):
        """What is in this file now may be lost."""
        if path.exists():
            lines = set(path.read_text().split("\n"))
            self.deleted.append(lines & set(self.expected))

    def remove(self):
        """Delete the log."""
        self.note_deleted(self.path)
        self.path.unlink(missing_ok=True)

    def rewrite(self):
        """Write it anew, as ``>`` does."""
        if self.path.exists():
            self.note_deleted(self.path)
            os.truncate(self.path, 0)
        self.append()

    # --- one schedule ---

    def step(self, remove):
        """One thing happens."""
        draw = self.random.random()
        if draw < 0.35:
            self.history.append("append")
            self.append()
        elif draw < 0.55:
            self.rotate()
        elif draw < 0.60:
            self.history.append("late")
            self.write_late()
        elif draw < 0.65 and remove:
            self.history.append(what := self.random.choice(["remove", "rewrite"]))
            getattr(self, what)()
        elif draw < 0.75:
            self.history.append("crash" if self.running else "start")
            self.crash() if self.running else self.start()
        elif draw < 0.80:
            self.history.append("block")
            self.journal.error = None if self.journal.error else JournalError("the disk is full")
        if self.running and self.random.random() < 0.5:
            seconds = self.random.choice([0.0, 0.3, 2.1, 2.1, 10.0, 70.0])
            self.history.append(seconds)
            if seconds >= 70:
                self.end_late()
            self.loop.advance(seconds)

    def run(self, steps=40, *, remove=False):
        """Everything, and a quiet end; returns (missing, doubled, what was said)."""
        log = logging.getLogger("tabard.agents.intake.tail")
        log.addHandler(self.said)
        try:
            self.loop.advance(3.0)
            self.append()
            self.loop.advance(5.0)
            for _ in range(steps):
                self.step(remove)
            self.journal.error = None
            if not self.running:
                self.start()
            self.loop.advance(LONG)
            self.crash()
            self.start()
            self.loop.advance(LONG)
        finally:
            log.removeHandler(self.said)
            self.crash()
            self.end_late()
            shutil.rmtree(self.directory)
        ours = (BANNER.split("\n")[0], "never read")
        found = Counter(
            text
            for record in self.journal.records()
            if not (text := record[LOG_INDEX["message"]]).startswith(ours)
        )
        expected = Counter(self.expected)
        missing = sorted((expected - found).elements())
        doubled = sorted((found - expected).elements())
        return missing, doubled, self.said.texts

    def followed_and_lost(self, missing):
        """Of the ``missing`` lines those that nobody could take for a file that was never seen.

        All of them, but for files that were deleted and of which not one line was read.
        """
        lost = set(missing)
        unseen = [lines for lines in self.deleted if lines <= lost]
        return sorted(lost.difference(*unseen))
