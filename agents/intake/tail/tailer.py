"""Follows all files: looks for new ones, polls each in its own time, hands their records to the batcher.

Polling costs a ``stat`` a file, every 0.25 s while it grows and every 2 s while it does not. It works on
every file system, and rotation needs no special case.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tabard.agents.intake.batcher import Batcher
from tabard.agents.intake.defaults import NO_DEFAULTS, Defaults
from tabard.agents.intake.grouping import encode_groups
from tabard.agents.intake.ports import Handle, Loop
from tabard.agents.intake.tail.assemble import Assembled
from tabard.agents.intake.tail.choice import MOST_FILES, Choice
from tabard.agents.intake.tail.descriptors import most_open
from tabard.agents.intake.tail.file import TailedFile, Truncated
from tabard.agents.intake.tail.marks import TELLING_BYTES, KnownMarks, Mark, holds
from tabard.agents.intake.tail.siblings import number_in
from tabard.agents.intake.tail.specs import TailSpec
from tabard.agents.intake.tail.trail import UNREADABLE, WAITING
from tabard.agents.intake.tail.watch import Watch
from tabard.clock import Clock

SCAN_SECONDS: Final = 2.0
"""How often the patterns are looked up."""


class Tailer:
    """All tailed files of an agent.

    ``specs`` are the configured ones first: a path belongs to the first that matches. ``marks`` are the
    journal's at the start. ``backlog`` is how many bytes before its end a file is read from that is there
    at the first start. Files below the directories ``exclude`` are Tabard's own. ``defaults`` fill what lines
    do not say. ``open_files``: how many may be open at a time; 0 for what the limit of the process allows.
    """

    def __init__(
        self,
        loop: Loop,
        batcher: Batcher,
        clock: Clock,
        specs: Sequence[TailSpec],
        *,
        marks: Mapping[str, Any] | None = None,
        backlog: int = 262_144,
        exclude: Sequence[str] = (),
        defaults: Defaults = NO_DEFAULTS,
        open_files: int = 0,
    ) -> None:
        self._loop = loop
        self._batcher = batcher
        self._clock = clock
        self._specs = specs
        self.known: Final = KnownMarks(marks or {})
        self.backlog = backlog
        self._defaults = defaults
        self.starting = True
        self._exclude = tuple(os.path.join(os.path.realpath(path), "") for path in exclude)
        self._outputs = _outputs()
        self._watches: dict[str, Watch] = {}
        self._choice = Choice(MOST_FILES)
        self._open_files = open_files or most_open()
        self._scan_due = 0.0
        self._timer: Handle | None = None

    def start(self) -> None:
        """Look for files and follow them from now on."""
        self._batcher.on_blocked.append(self._pause)
        self._batcher.on_ready.append(self._tick)
        self._tick()

    def take(self, specs: Sequence[TailSpec], *, backlog: int) -> None:
        """Follow these from now on, as if the agent had been started with them.

        A file that none of them matches is let go of at once, and read on from there when one does again. A file
        whose lines are to be read otherwise goes on with what is not a record yet.
        """
        self._specs, self.backlog = specs, backlog
        for path, watch in list(self._watches.items()):
            spec = next((spec for spec in specs if spec.matches(path)), None)
            if spec is not None:
                watch.restyle(spec.style(path), binary=spec.binary)
            else:
                watch.leave()
                del self._watches[path]
        if not self._watches and self.known.none:
            self.starting = True
        self._scan_due = self._loop.now()
        if not self._batcher.blocked:
            self._tick()

    def close(self) -> None:
        """Stop and let go of every file. The marks in the journal say where to go on."""
        self._pause()
        for callbacks, own in ((self._batcher.on_blocked, self._pause), (self._batcher.on_ready, self._tick)):
            if own in callbacks:
                callbacks.remove(own)
        for watch in self._watches.values():
            watch.close()
        self._watches.clear()

    def sources(self) -> list[dict[str, Any]]:
        """Every path with path, state (reading, unreadable, waiting, skipped), why, offset, size, lag (bytes).

        Patterns that the user asked for and that match nothing are there too.
        """
        rows = [watch.source() for watch in self._watches.values()]
        rows += [
            _row(spec.path, WAITING, "no file matches")
            for spec in self._specs
            if not spec.default and next(spec.paths(), None) is None
        ]
        if self._choice.left_out:
            rows.append(_row("", UNREADABLE, self._left_out()))
        return rows

    def faults(self) -> list[tuple[str, str, str]]:
        """What is not followed although it should be, as (kind, where, what)."""
        return [("tail", "intake.tail", self._left_out())] if self._choice.left_out else []

    def _left_out(self) -> str:
        return f"{self._choice.left_out} more files match; the {MOST_FILES} that changed last are followed"

    # --- time ---

    def _pause(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._pause()
        now = self._loop.now()
        if now >= self._scan_due:
            self._scan_due = now + SCAN_SECONDS
            self._scan(now)
        watches = list(self._watches.values())
        if self.starting:
            # Those the journal has marks of claim files first that others would take for new ones.
            watches.sort(key=lambda watch: not watch.marked)
        for watch in watches:
            if self._batcher.blocked:
                return  # on_ready brings us back
            if watch.due <= now:
                watch.poll(now)
        self.starting = False
        due = min((watch.due for watch in self._watches.values()), default=self._scan_due)
        self._timer = self._loop.call_at(min(due, self._scan_due), self._tick)

    def _scan(self, now: float) -> None:
        matching: dict[str, TailSpec] = {}
        for spec in self._specs:
            # A file that was moved away while no agent ran is looked for beside the path it had.
            known = (
                self.known.paths() if self.starting else (spec.path,) if spec.path in self._watches else ()
            )
            for path in (*spec.paths(), *filter(spec.matches, known)):
                matching.setdefault(path, spec)
        for path in [path for path in self._watches if path not in matching]:
            watch = self._watches[path]
            if watch.idle and watch.due > now:
                watch.leave()
                del self._watches[path]
        chosen = self._choice.of(matching, self._watches, now)
        for path in [path for path in self._watches if path in matching and path not in chosen]:
            if self._watches[path].quiet:
                self._watches.pop(path).leave()
        for path in chosen:
            if path not in self._watches:
                spec = matching[path]
                self._watches[path] = Watch(path, spec.style(path), self, now, binary=spec.binary)

    # --- what the watches ask for ---

    def wall(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""
        return self._clock.wall()

    def deliver(self, key: str, origin: str, file: TailedFile, found: Sequence[Assembled]) -> None:
        """Hand records to the batcher, each group with the mark behind its last record."""
        position = 0
        for group in encode_groups((item.record for item in found), self._defaults):
            position += group.total
            file.record(found[position - 1].end)
            self._batcher.add(key, file.mark(), origin, group.records, group.total)

    def keep(self, key: str, mark: Mark) -> None:
        """Renew a mark in the journal along with the next records."""
        self._batcher.keep(key, mark)

    def followed(self, identity: tuple[int, int]) -> Watch | None:
        """The path under which a file is followed already."""
        for watch in self._watches.values():
            if any(file.identity == identity for file in watch.files()):
                return watch
        return None

    def reads(self, mark: Mark) -> bool:
        """Whether the marked file itself is open, at whatever path."""
        for watch in self._watches.values():
            for file in watch.all_files():
                with contextlib.suppress(OSError):
                    if file.identity[1] == mark.inode and mark.fits(file.fd):
                        return True
        return False

    def original(self, path: str, fd: int) -> Watch | None:
        """The path in the same directory of whose file the open one may be a copy, or become one."""
        for watch, file, least in self._beside(path):
            mark = file.mark()
            if mark.offset and mark.length >= least and mark.fits(fd):
                return watch
            if os.fstat(fd).st_size >= least and holds(file.fd, fd):
                return watch
        return None

    def rotated_name(self, path: str) -> bool:
        """Whether rotation would give this name to the file of a path that is followed."""
        directory, name = os.path.split(path)
        return any(
            number_in(os.path.basename(watch.path), name)
            for watch in self._watches.values()
            if os.path.dirname(watch.path) == directory
        )

    def emptied(self, path: str, fd: int) -> bool:
        """Whether the open file is the copy of one beside ``path`` that was emptied since it was looked at."""
        for _watch, file, least in self._beside(path):
            mark = file.mark()
            try:
                if mark.offset and mark.length >= least and mark.fits(fd):
                    file.check()
            except Truncated:
                return True
            except OSError:
                continue
        return False

    def _beside(self, path: str) -> Iterator[tuple[Watch, TailedFile, int]]:
        """The files in the same directory, and how many first bytes of a copy have to be the same."""
        directory, name = os.path.split(path)
        for watch in self._watches.values():
            if watch.path != path and os.path.dirname(watch.path) == directory:
                # A name that rotation gives to the other path needs less to be believed.
                rotated = number_in(os.path.basename(watch.path), name) != ""
                for file in watch.all_files() if rotated else watch.files():
                    yield watch, file, 1 if rotated else TELLING_BYTES

    def room(self, *, urgent: bool = False) -> bool:
        """Whether one more file may be opened; ``urgent``: the quietest that was moved away makes room for it."""
        if sum(watch.open for watch in self._watches.values()) < self._open_files:
            return True
        if not urgent:
            return False
        read = [
            (file.touched, watch, file)
            for watch in self._watches.values()
            for file in watch.away.files
            if not file.unread
        ]
        if not read:
            return False
        _, watch, file = min(read, key=lambda item: item[0])
        watch.away.park(file, self._loop.now())
        return True

    def own(self, path: str, identity: tuple[int, int]) -> bool:
        """Whether Tabard writes the file: below its home, or this process's own output."""
        return identity in self._outputs or os.path.realpath(path).startswith(self._exclude)


def _row(path: str, state: str, why: str) -> dict[str, Any]:
    return {"path": path, "state": state, "why": why, "offset": 0, "size": 0, "lag": 0}


def _outputs() -> set[tuple[int, int]]:
    """The files that standard output and standard error of this process go to."""
    found = set()
    for fd in (1, 2):
        try:
            state = os.fstat(fd)
        except OSError:
            continue
        found.add((state.st_dev, state.st_ino))
    return found
