"""Files of a systemd journal, archived ones above all: each is read once, one after the other.

A file is known by the id in its header, whatever it is called. One that was written to since is read on.
"""

from __future__ import annotations

import glob
import os
import shutil
import stat
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from tabard.agents.intake.bridge.journald_place import Place
from tabard.agents.intake.bridge.journald_reader import JournalReader, arguments_of
from tabard.agents.intake.bridge.journald_unfinished import Unfinished
from tabard.agents.intake.bridge.ports import Report, Surroundings
from tabard.agents.intake.bridge.troubles import Troubles
from tabard.agents.intake.ports import Handle
from tabard.errors import IntakeError

LOOK_SECONDS: Final = 60.0
"""How often the patterns are looked up."""
MOST_FILES: Final = 512
"""Files read altogether; further ones are a fault."""
KEEP_EVERY: Final = 10
"""Looks after which the marks of all files are journaled anew, so that they are not forgotten."""
_MAGIC: Final = b"LPKSHHRH"
_HEADER: Final = 40
_ID: Final = slice(24, 40)


class File(NamedTuple):
    """A journal file that was found."""

    path: str
    identity: str
    """Of its header."""
    changed: int
    """When it was written to last (nanoseconds)."""

    @property
    def source(self) -> str:
        """Its name among the marks."""
        return f"journal-file:{self.identity}"


class FilesIntake:
    """Reads the files that match ``patterns``."""

    def __init__(self, patterns: Sequence[str], around: Surroundings) -> None:
        self._patterns = patterns
        self._around = around
        self._counters: Counter[str] = Counter()
        self._troubles = Troubles("journal_files", around.loop)
        self._unfinished = Unfinished(self._counters)
        self._marks: dict[str, list[Any]] = {
            source: [mark[0], mark[1]]
            for source, mark in around.marks.items()
            if source.startswith("journal-file:") and _is_mark(mark)
        }
        """Cursor, and how old the file was when it was read to its end (0: it was not)."""
        self._queue: deque[File] = deque()
        self._reader: JournalReader | None = None
        self._file: File | None = None
        self._read = 0
        self._looks = 0
        self._timer: Handle | None = None
        self._found = 0

    # --- the port ---

    def open(self) -> None:
        """Look for files, and begin to read. Raises IntakeError where there is no journalctl."""
        if shutil.which("journalctl") is None:
            raise IntakeError(
                "cannot read files of the systemd journal",
                expected="journalctl on the PATH",
                found="none",
                where="intake.journal_files",
                hint="Install systemd's tools, or set intake.journal_files to []",
            )
        self._around.batcher.on_blocked.append(self._pause)
        self._around.batcher.on_ready.append(self._resume)
        self._look()

    def close(self) -> None:
        """Read no more: the marks say where to go on."""
        if self._timer is not None:
            self._timer.cancel()
        if self._reader is not None:
            self._reader.stop()
        for callbacks, own in (
            (self._around.batcher.on_blocked, self._pause),
            (self._around.batcher.on_ready, self._resume),
        ):
            if own in callbacks:
                callbacks.remove(own)

    def report(self) -> Report:
        """How it is doing."""
        records = self._read + (self._reader.records if self._reader else 0)
        waiting = len(self._queue) + (self._file is not None)
        return Report(
            "journal_files",
            " ".join(self._patterns),
            records,
            {**self._counters, "files": self._found, "unread files": waiting},
            faults=self._troubles.current(),
            position=self._file.path if self._file else "",
        )

    def _pause(self) -> None:
        if self._reader is not None:
            self._reader.pause()

    def _resume(self) -> None:
        if self._reader is not None:
            self._reader.resume()

    # --- which files ---

    def _look(self) -> None:
        loop = self._around.loop
        self._timer = loop.call_at(loop.now() + LOOK_SECONDS, self._look)
        self._looks += 1
        files: dict[str, File] = {}
        for pattern in self._patterns:
            paths = glob.glob(pattern)
            if not paths:
                self._troubles.note(f"no file is called {pattern}")
            for path in sorted(paths):
                if (file := self._identified(path)) is not None:
                    files.setdefault(file.identity, file)
        if len(files) > MOST_FILES:
            self._troubles.note(f"{len(files)} journal files are found, {MOST_FILES} of them are read")
        self._found = min(len(files), MOST_FILES)
        chosen = list(files.values())[:MOST_FILES]
        if self._looks % KEEP_EVERY == 1:
            for file in chosen:
                if mark := self._marks.get(file.source):
                    self._around.batcher.keep(file.source, mark)
        known = {file.identity for file in self._queue} | ({self._file.identity} if self._file else set())
        for file in chosen:
            mark = self._marks.get(file.source)
            if file.identity not in known and (mark is None or mark[1] != file.changed):
                self._queue.append(file)
        self._next()

    def _identified(self, path: str) -> File | None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            self._troubles.note(f"{path} cannot be read: {error.strerror}")
            return None
        try:
            state = os.fstat(descriptor)
            head = os.read(descriptor, _HEADER) if stat.S_ISREG(state.st_mode) else b""
        except OSError as error:
            self._troubles.note(f"{path} cannot be read: {error.strerror}")
            return None
        finally:
            os.close(descriptor)
        if len(head) < _HEADER or not head.startswith(_MAGIC):
            self._counters["no journals"] += 1
            self._troubles.note(f"{path} is no journal of systemd")
            return None
        return File(path, head[_ID].hex(), state.st_mtime_ns)

    # --- reading ---

    def _next(self) -> None:
        while self._file is None and self._queue:
            file = self._file = self._queue.popleft()
            mark = self._marks.setdefault(file.source, ["", 0])
            self._reader = JournalReader(
                self._around,
                file.source,
                arguments_of([file.path]),
                Place(mark[0]),
                mark=lambda cursor: [cursor, 0],
                whole=lambda: False,  # a file of one user lacks the numbers of all others
                ended=self._ended,
                follow=False,
                unfinished=self._unfinished,
                counters=self._counters,
                troubles=self._troubles,
            )
            try:
                self._reader.start()
            except OSError as error:
                self._troubles.note(f"journalctl cannot be started: {error.strerror or error}")
                self._done(complete=False)

    def _ended(self, code: int) -> None:
        reader = self._reader
        if reader is not None and code and self._goes_on(reader) and not self._again(reader):
            return
        if code and self._file is not None:
            self._counters["unreadable"] += 1
            self._troubles.note(f"{self._file.path} cannot be read to its end: journalctl ended with {code}")
        self._done(complete=not code)
        self._next()

    @staticmethod
    def _goes_on(reader: JournalReader) -> bool:
        """Whether to try once more: by time, if the cursor was none, or behind what is damaged."""
        return reader.gave_up or reader.moved or (reader.failed and reader.place.pass_over())

    def _again(self, reader: JournalReader) -> bool:
        """Start once more. Whether that failed."""
        try:
            reader.start()
        except OSError:
            return True
        return False

    def _done(self, *, complete: bool) -> None:
        """What could not be read to its end is tried again at the next look, from where it stopped."""
        assert self._file is not None
        assert self._reader is not None
        file, reader = self._file, self._reader
        if complete:
            reader.end()
        self._read += reader.records
        self._marks[file.source] = [reader.place.cursor, file.changed if complete else 0]
        if reader.place.cursor:
            self._around.batcher.keep(file.source, self._marks[file.source])
        self._file = self._reader = None


def _is_mark(mark: Any) -> bool:
    return (
        isinstance(mark, (list, tuple))
        and len(mark) == 2
        and isinstance(mark[0], str)
        and isinstance(mark[1], int)
    )
