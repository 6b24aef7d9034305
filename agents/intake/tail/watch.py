"""One path that is followed: the file that is there now; those that were moved away from it are in `away`."""

from __future__ import annotations

import errno
import os
from typing import Any, Final

from tabard.agents.intake.tail.assemble import Style
from tabard.agents.intake.tail.away import Away
from tabard.agents.intake.tail.file import TailedFile, Truncated, line_start, unreadable_kind
from tabard.agents.intake.tail.marks import Mark, read_head
from tabard.agents.intake.tail.search import Search
from tabard.agents.intake.tail.siblings import open_regular
from tabard.agents.intake.tail.trail import READING, SKIPPED, UNREADABLE, WAITING, Surroundings, Trail

FASTEST: Final = 0.25
SLOWEST: Final = 2.0
"""Seconds between two looks at a file that grows, and at one that has long been quiet."""
COPY_SECONDS: Final = 60.0
"""How long a new file that begins like one beside it may be the copy from which that one is going to be emptied."""
KEEP_SECONDS: Final = 600.0
"""How often a mark is renewed in the journal while nothing is read."""


class Watch:
    """A path, looked at by `poll` when `due` has come. ``binary``: read whatever it looks like."""

    def __init__(
        self, path: str, style: Style, surroundings: Surroundings, now: float, *, binary: bool = False
    ) -> None:
        self._trail = Trail(path, style, surroundings, binary=binary)
        self._around = surroundings
        self.path: Final = path
        self.shown: Final = self._trail.shown
        """The path as text that can be stored."""
        self._away = Away(self._trail)
        self._begin_late = surroundings.starting and surroundings.known.none
        self._seen = now
        self._resumed = False
        self._search = Search()
        self._current: TailedFile | None = None
        self._certain = False
        """Whether the current file is known to be no copy of another, and may be read."""
        self._interval = FASTEST
        self._kept = now
        self.state = WAITING
        self.why = ""
        self.due = now

    @property
    def marked(self) -> bool:
        """Whether the journal knows a file of this path from before the start."""
        return self._around.known.of_path(self.shown) is not None

    @property
    def idle(self) -> bool:
        """Whether no file is open."""
        return self._current is None and self._away.idle

    @property
    def quiet(self) -> bool:
        """Whether all there is was read, so that nothing is lost when it is not followed for a while."""
        return self._away.idle and (self._current is None or self._current.read_whole)

    @property
    def open(self) -> int:
        """How many files are open."""
        return len(self._away.files) + (self._current is not None)

    @property
    def away(self) -> Away:
        """The files that are not at the path any more."""
        return self._away

    def files(self) -> list[TailedFile]:
        """Every file that is read, the current one first."""
        return self.all_files() if self._certain else list(self._away.files)

    def all_files(self) -> list[TailedFile]:
        """Also the current one of which it is not known whether it is to be read."""
        return ([self._current] if self._current is not None else []) + self._away.files

    def source(self) -> dict[str, Any]:
        """The path's line in the listing of sources."""
        current = self._current
        return {
            "path": self.shown,
            "state": self.state,
            "why": self.why or self._trail.notice,
            "offset": current.offset if current else 0,
            "size": current.size if current else 0,
            "lag": self._away.lag + (current.lag if current and self._certain else 0),
        }

    # --- one look ---

    def poll(self, now: float) -> None:
        """Look at the path and read what is new, a chunk at most of each file; sets `due`."""
        before = [(file, file.offset) for file in self.files()]
        looked = self._look(now)
        if looked and not self._resumed:
            self._resumed = True
            self._resume(now)
        try:
            self._look_beside(now)
            # A file that was moved away is read to its end before the one that took its place.
            behind = self._away.read(now) or self._away.unsettled or self._read_current(now)
        except OSError as error:
            self._lose(error)
            behind = False
        moved = behind or before != [(file, file.offset) for file in self.files()]
        self._interval = FASTEST if moved else min(self._interval * 1.5, SLOWEST)
        self.due = now if behind else now + self._interval
        for file in self.files():
            if file.due is not None:
                self.due = min(self.due, file.due)
        if now - self._kept >= KEEP_SECONDS and self._current is not None:
            self._kept = now
            self._around.keep(self._trail.key, self._current.mark())

    def _look(self, now: float) -> bool:
        """Compare what is at the path with what is open; whether it is known now what is there."""
        try:
            state = os.stat(self.path)
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENOTDIR}:
                if self._current is None:
                    self._say(UNREADABLE, error.strerror or str(error))
                return False
            self._part(now)
            self._say(WAITING, "a symbolic link to nothing" if os.path.islink(self.path) else "no such file")
            return True
        identity = (state.st_dev, state.st_ino)
        if self._current is not None and self._current.identity == identity:
            return True
        self._part(now)
        if (obstacle := self._trail.obstacle(state)) is not None:
            self._say(*obstacle)
            return True
        return self._open(now)

    def _part(self, now: float) -> None:
        """The open file is not at the path any more: it is read on until it has been quiet for a while."""
        file, self._current = self._current, None
        if file is None:
            return
        if not self._certain and (
            self._around.followed(file.identity) or self._around.emptied(self.path, file.fd)
        ):
            file.close()  # it is read, or will be, by the path that it is from
            return
        if not self._certain:
            file = self._read_since(file, now)
        self._search.after(file.mark())
        self._away.take(file, now)

    def _say(self, state: str, why: str = "") -> None:
        self.state, self.why = state, why

    def _look_beside(self, now: float) -> None:
        """Look for files that were at the path and went away again before they were seen."""
        last = self._search.due(self.path, self._current)
        if last is None:
            return
        if self._current is not None:
            try:
                self._current.check()
            except Truncated:
                self._emptied(self._current, now)
        self._away.find_unseen(last, self._current, now)
        self._search.done(again=self._away.again)

    def _emptied(self, file: TailedFile, now: float) -> None:
        """What is there is read from its beginning, after what was not read of it before."""
        self._search.after(file.mark())
        self._away.save_rest(file, self._trail.key, now)
        self._current = file.anew(now)
        self._around.keep(self._trail.key, self._current.mark())

    # --- opening ---

    def _open(self, now: float) -> bool:
        """Open what is at the path; whether it is known now what that is."""
        if not self._around.room(urgent=True):
            self._say(WAITING, "too many files are open")
            return False
        try:
            fd = open_regular(self.path)
        except OSError as error:
            self._say(UNREADABLE, error.strerror or str(error))
            return False
        looked = False
        try:
            looked = self._take(fd, now)
        except OSError as error:
            self._say(UNREADABLE, error.strerror or str(error))
        file = self._current
        if file is None:
            os.close(fd)
            return looked
        self._say(READING)
        self._search.start()
        self._around.known.forget(file.identity[1])
        self._around.keep(self._trail.key, file.mark())
        return True

    def _take(self, fd: int, now: float) -> bool:
        """Make the open file the current one, from where it is to be read; True when it is known what it is."""
        state = os.fstat(fd)
        if self._around.followed((state.st_dev, state.st_ino)) is not None:
            return False  # it came to the path only just now
        mark = self._around.known.of_file(fd)
        if mark is None and not self._trail.binary and (kind := unreadable_kind(self.path, read_head(fd))):
            self._say(SKIPPED, kind)
            return True
        start = mark.offset if mark is not None else 0
        self._certain = start > 0
        if mark is None and self._begin_late:
            self._certain = True
            start = line_start(fd, state.st_size - self._around.backlog)
            if start:
                self._trail.warn(
                    f"{start} bytes before byte {start} were left out at the first start, as intake.tail_backlog says"
                )
        self._begin_late = False
        self._current = TailedFile(fd, start, self._trail.style, now)
        self._seen = now
        return True

    def _resume(self, now: float) -> None:
        """After a restart: read on, wherever rotation put them, the files that were read before it."""
        known, current = self._around.known, self._current
        self._begin_late = False
        marks = known.rotated(self.shown)
        # The journal has the marks in the order in which the files were last read.
        for mark in [mark for mark in marks if mark.length]:
            self._away.resume(mark, now)
        last, goes_on = known.of_path(self.shown), False
        if last is not None:
            self._search.after(last)
            goes_on = current is not None and current.identity[1] == last.inode and _fits(last, current)
            done = last.over or any(mark.over and mark[1:5] == last[1:5] for mark in marks)
            if not goes_on and not done:
                self._away.find_rest(last, now)
                if current is None:
                    self._around.keep(self._trail.key, last._replace(over=True))
        # Files that were empty are known by nothing but their inode: what is known better comes first.
        for mark in [mark for mark in marks if not mark.length]:
            self._away.resume(mark, now)
        if last is not None and goes_on and last.telling:
            self._search.stop()
        elif last is not None:
            self._away.find_unseen(last, current, now)
        self._away.settle()

    # --- reading ---

    def _read_current(self, now: float) -> bool:
        """Read a chunk of the current file; True when there is more."""
        file = self._current
        if file is None:
            return False
        try:
            if not self._certain:
                if not self._is_certain(file, now):
                    return False
                file = self._current = self._read_since(file, now)
            return self._trail.read(file, self._trail.key, now)
        except Truncated:
            self._emptied(file, now)
            return True

    def _read_since(self, file: TailedFile, now: float) -> TailedFile:
        """The same open file from where it was read to under another path, which has let go of it since it was opened."""
        try:
            mark = self._around.known.of_file(file.fd)
            if mark is None or mark.offset <= file.offset:
                return file
            found = TailedFile(file.fd, mark.offset, self._trail.style, now)
        except OSError:
            return file  # said when it is read
        self._around.known.forget(mark.inode)
        return found

    def _lose(self, error: OSError) -> None:
        """The open file cannot be read; it is opened again at the next look."""
        if self._current is not None:
            self._trail.close(self._current)
            self._current = None
        self._say(UNREADABLE, error.strerror or str(error))

    def _is_certain(self, file: TailedFile, now: float) -> bool:
        """Whether a file of which nothing was read yet is no copy of one that is about to be emptied."""
        file.look()
        if not file.size or self._around.starting:  # others that know it better may not be open yet
            return False
        if (other := self._around.followed(file.identity)) is not None:
            self._current = None
            file.close()
            self._say(WAITING, f"the same file as {other.shown}")
            return False
        if now - self._seen <= SLOWEST and self._around.rotated_name(self.path):
            return False  # its original may have come to its path only after that was looked at last
        if now - self._seen < COPY_SECONDS and (copied := self._around.original(self.path, file.fd)):
            self._say(WAITING, f"perhaps a copy of {copied.shown}")
            return False
        self._certain = True
        self._say(READING)
        return True

    def restyle(self, style: Style, *, binary: bool) -> None:
        """Read what follows as ``style`` says, and whatever it looks like if it is ``binary``."""
        if (style, binary) == (self._trail.style, self._trail.binary):
            return
        self._trail.style, self._trail.binary = style, binary
        if self._current is not None:
            self._trail.restyle(self._current, self._trail.key)
        self._away.restyle()

    def leave(self) -> None:
        """Nothing is followed here any more: hand on what is held back, close what is open, note how far it was read."""
        if self._current is not None:
            self._trail.restyle(self._current, self._trail.key)
            self._around.known.leave(self.shown, self._current.mark())
            self._trail.close(self._current)
            self._current = None
        elif self._search.last is not None:
            self._around.known.leave(self.shown, self._search.last)
        self._away.leave()

    def close(self) -> None:
        """Let go of every file. Lines that are held back are read again after a restart."""
        if self._current is not None:
            self._current.close()
            self._current = None
        self._away.close()


def _fits(mark: Mark, file: TailedFile) -> bool:
    try:
        return mark.fits(file.fd)
    except OSError:
        return False
