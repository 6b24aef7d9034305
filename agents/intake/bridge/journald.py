"""The intakes for the systemd journal: the one that grows, followed, and files of it, each read once."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tabard.agents.intake.bridge.journald_files import FilesIntake
from tabard.agents.intake.bridge.journald_place import Place, when
from tabard.agents.intake.bridge.journald_reader import JournalReader
from tabard.agents.intake.bridge.journald_unfinished import Unfinished
from tabard.agents.intake.bridge.ports import Intake, Report, Surroundings
from tabard.agents.intake.bridge.troubles import Troubles
from tabard.agents.intake.ports import Handle
from tabard.errors import IntakeError
from tabard.settings import Settings

SYSTEM: Final = "auto"
"""The setting's word for the journal of this host."""
SYSTEM_PLACES: Final = ("/var/log/journal", "/run/log/journal")
RETRY_FIRST: Final = 1.0
RETRY_MOST: Final = 60.0
"""Seconds between two starts of a journalctl that ended: doubled each time, up to the most."""
_STEADY_SECONDS: Final = 60.0
"""How long it has to run to be trusted again."""
_KEEP_SECONDS: Final = 600.0
"""How often the mark of a quiet journal is journaled anew, so that it is not forgotten."""
_WHOLE_SECONDS: Final = 60.0
_MOST_LOOKED_AT: Final = 4_096


class JournalIntake:
    """Follows the journal ``journal``: `SYSTEM`, or a directory. ``backlog``: seconds of it to begin with."""

    def __init__(self, journal: str, backlog: float, around: Surroundings) -> None:
        self._journal = journal
        self._backlog = backlog
        self._around = around
        self._counters: Counter[str] = Counter()
        self._troubles = Troubles("journal", around.loop)
        self._source = f"journal:{journal}"
        mark = around.marks.get(self._source)
        self._first = not isinstance(mark, str)
        since = max(around.clock.wall() // 1_000 - int(backlog * 1_000_000), 0)
        self._reader = JournalReader(
            around,
            self._source,
            [] if journal == SYSTEM else [f"--directory={journal}"],
            Place(mark if isinstance(mark, str) else "", since),
            mark=lambda cursor: cursor,
            whole=self._whole,
            ended=self._ended,
            unfinished=Unfinished(self._counters),
            counters=self._counters,
            troubles=self._troubles,
        )
        self._since = since
        self._pause = RETRY_FIRST
        self._again = 0
        """How often journalctl failed at the same entry."""
        self._started_at = 0.0
        self._timer: Handle | None = None
        self._keeper: Handle | None = None
        self._looked_at: float | None = None
        self._all_there = False

    # --- the port ---

    def open(self) -> None:
        """Begin to read. Raises IntakeError where there is no journalctl."""
        if shutil.which("journalctl") is None:
            raise no_journalctl("intake.journal")
        if self._first:
            self._reader.tell(
                9,
                "INFO",
                f"the systemd journal is read from {when(self._since)} on; what is older is left out",
                {"intake": "journal begun"},
            )
        self._around.batcher.on_blocked.append(self._reader.pause)
        self._around.batcher.on_ready.append(self._reader.resume)
        self._start()
        self._keep()

    def close(self) -> None:
        """Read no more: the mark says where to go on."""
        for handle in (self._timer, self._keeper):
            if handle is not None:
                handle.cancel()
        self._reader.stop()
        self._reader.say()
        for callbacks, own in (
            (self._around.batcher.on_blocked, self._reader.pause),
            (self._around.batcher.on_ready, self._reader.resume),
        ):
            if own in callbacks:
                callbacks.remove(own)

    def report(self) -> Report:
        """How it is doing."""
        faults = list(self._troubles.current())
        if self._reader.running is None and self._timer is not None:
            faults.append("journalctl does not run; it is started again")
        return Report(
            "journal",
            "of this host" if self._journal == SYSTEM else self._journal,
            self._reader.records,
            dict(self._counters),
            faults=tuple(faults),
            position=self._reader.place.cursor,
            behind=self._reader.behind,
        )

    # --- the child ---

    def _start(self) -> None:
        self._timer = None
        self._started_at = self._around.loop.now()
        try:
            self._reader.start()
        except OSError as error:
            self._troubles.note(f"journalctl cannot be started: {error.strerror or error}")
            self._ended(1)

    def _ended(self, code: int) -> None:
        """It never ends by itself while there is a journal: start it again, not too often."""
        loop = self._around.loop
        self._counters["restarts"] += 1
        if loop.now() - self._started_at > _STEADY_SECONDS:
            self._pause = RETRY_FIRST
        if code == 0 or not self._reader.complaint:
            self._troubles.note(f"journalctl ended with {code}")
        if self._reader.failed and self._again >= 1 and self._reader.place.pass_over():
            self._pause = RETRY_FIRST / 10
        self._again = self._again + 1 if self._reader.failed else 0
        self._timer = loop.call_at(loop.now() + self._pause, self._start)
        self._pause = min(self._pause * 2, RETRY_MOST)

    def _keep(self) -> None:
        self._keeper = self._around.loop.call_at(self._around.loop.now() + _KEEP_SECONDS, self._keep)
        self._reader.keep()

    def _whole(self) -> bool:
        """Whether every file of the journal is there and can be read by this user; looked at once a minute."""
        now = self._around.loop.now()
        if self._looked_at is None or now - self._looked_at > _WHOLE_SECONDS:
            self._looked_at, self._all_there = now, self._look()
        return self._all_there

    def _look(self) -> bool:
        places = SYSTEM_PLACES if self._journal == SYSTEM else (self._journal,)
        files = (path for place in places for path in Path(place).rglob("*.journal*"))
        found = False
        for looked_at, path in enumerate(files):
            if looked_at >= _MOST_LOOKED_AT or not os.access(path, os.R_OK):
                return False
            found = found or not path.name.startswith("user-")  # those of users alone lack all other numbers
        return found


def made(settings: Settings, surroundings: Surroundings) -> Iterator[Intake]:
    """Those that the settings ask for."""
    if journal := settings.str("intake.journal"):
        yield JournalIntake(
            os.path.expanduser(journal), settings.seconds("intake.journal_backlog"), surroundings
        )
    if patterns := settings.strings("intake.journal_files"):
        yield FilesIntake([os.path.expanduser(pattern) for pattern in patterns], surroundings)


def no_journalctl(setting: str) -> IntakeError:
    """The error where systemd's tool is missing."""
    return IntakeError(
        "cannot read the systemd journal",
        expected="journalctl on the PATH",
        found="none",
        where=setting,
        hint=f"Install systemd's tools, or take {setting} out of the settings",
    )
