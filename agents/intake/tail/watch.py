"""One path that is followed: the file that is there now, and those that were moved away from it."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Sequence
from typing import Any, Final, Protocol

from tabard.agents.intake.tail.assemble import Assembled, Style
from tabard.agents.intake.tail.file import TailedFile, Truncated, line_start, open_regular, unreadable_kind
from tabard.agents.intake.tail.marks import PREFIX, ROTATED, KnownMarks, Mark, read_head
from tabard.agents.intake.tail.siblings import (
    find_copy,
    find_moved,
    siblings,
    unseen_since,
)

READING: Final = "reading"
UNREADABLE: Final = "unreadable"
WAITING: Final = "waiting"
SKIPPED: Final = "skipped"

FASTEST: Final = 0.25
SLOWEST: Final = 2.0
"""Seconds between two looks at a file that grows, and at one that has long been quiet."""
PARTING_SECONDS: Final = 60.0
"""How long a file that was moved away or deleted has to be quiet before it is let go of."""
COPY_SECONDS: Final = 60.0
"""How long a new file that begins like one beside it may be the copy from which that one is going to be emptied."""
KEEP_SECONDS: Final = 600.0
"""How often a mark is renewed in the journal while nothing is read."""
_MOST_ROTATED: Final = 16
_LONGEST_PATH: Final = 1_000

_log = logging.getLogger(__name__)


class Surroundings(Protocol):
    """What a watched path has to know of the others, and where its records go."""

    @property
    def known(self) -> KnownMarks:
        """How far files were read that are not open."""

    @property
    def backlog(self) -> int:
        """How many bytes before its end a file is begun that is there at the first look."""

    @property
    def starting(self) -> bool:
        """Whether this is the first look at all files."""

    def wall(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""

    def deliver(self, key: str, origin: str, file: TailedFile, found: Sequence[Assembled], /) -> None:
        """Hand on records, each batch with the mark of its last."""

    def keep(self, key: str, mark: Mark, /) -> None:
        """Renew a mark."""

    def followed(self, identity: tuple[int, int], /) -> Watch | None:
        """The path under which the file with this device and inode is followed already."""

    def original(self, path: str, head: bytes, /) -> Watch | None:
        """The path beside ``path`` whose file begins with these same bytes."""

    def own(self, path: str, identity: tuple[int, int], /) -> bool:
        """Whether the file is written by Tabard itself."""


class Watch:
    """A path, looked at by `poll` when `due` has come."""

    def __init__(self, path: str, style: Style, surroundings: Surroundings, now: float) -> None:
        self.path: Final = path
        self._style = style
        self._around = surroundings
        self.shown: Final = os.fsencode(path).decode("utf-8", "backslashreplace")
        """The path as text that can be stored."""
        self._key = PREFIX + self.shown
        self._seen = now
        self._first = True
        self._older: frozenset[int] = frozenset()
        self._last: Mark | None = None
        self._current: TailedFile | None = None
        self._rotated: list[TailedFile] = []
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
        return self._current is None and not self._rotated

    def files(self) -> list[TailedFile]:
        """Every open file, the current one first."""
        return [self._current, *self._rotated] if self._current is not None else list(self._rotated)

    def source(self) -> dict[str, Any]:
        """The path's line in the listing of sources."""
        current = self._current
        return {
            "path": self.shown,
            "state": self.state,
            "why": self.why,
            "offset": current.offset if current else 0,
            "size": current.size if current else 0,
            "lag": sum(file.lag for file in self.files()),
        }

    # --- one look ---

    def poll(self, now: float) -> None:
        """Look at the path and read what is new, a chunk at most of each file; sets `due`."""
        before = [(file, file.offset) for file in self.files()]
        self._look(now)
        if self._first and (self._current is not None or not os.path.lexists(self.path)):
            self._first = False
            self._find_unfinished(now)
        # A file that was moved away is read to its end before the one that took its place.
        behind = any(self._read_rotated(file, now) for file in list(self._rotated))
        if not behind:
            behind = self._read_current(now)
        moved = behind or before != [(file, file.offset) for file in self.files()]
        self._interval = FASTEST if moved else min(self._interval * 1.5, SLOWEST)
        self.due = now if behind else now + self._interval
        for file in self.files():
            if file.due is not None:
                self.due = min(self.due, file.due)
        if now - self._kept >= KEEP_SECONDS and self._current is not None:
            self._kept = now
            self._around.keep(self._key, self._current.mark())

    def _look(self, now: float) -> None:
        """Compare what is at the path with what is open."""
        try:
            state = os.stat(self.path)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENOTDIR}:
                self._part(now)
                self._find_skipped(now)
                dangling = os.path.islink(self.path)
                self._say(WAITING, "a symbolic link to nothing" if dangling else "no such file")
            elif self._current is None:
                self._say(UNREADABLE, error.strerror or str(error))
            return
        identity = (state.st_dev, state.st_ino)
        if self._current is not None and self._current.identity == identity:
            return
        self._part(now)
        if not stat.S_ISREG(state.st_mode):
            self._say(SKIPPED, "not a regular file")
        elif len(self.shown) > _LONGEST_PATH:
            self._say(SKIPPED, f"a path of more than {_LONGEST_PATH} characters")
        elif self._around.own(self.path, identity):
            self._say(SKIPPED, "written by Tabard itself")
        elif (other := self._around.followed(identity)) is not None:
            self._say(WAITING, f"the same file as {other.shown}")
        else:
            self._open(now)

    def _part(self, now: float) -> None:
        """The open file is not at the path any more: it is read on until it has been quiet for a while."""
        if self._current is not None:
            self._current.touched = now
            self._last = self._current.mark()
            self._rotated.append(self._current)
            # Before its path gets the mark of another file, this one's is journaled under its own key.
            self._around.keep(self._rotated_key(self._current), self._current.mark())
            self._current = None

    def _rotated_key(self, file: TailedFile) -> str:
        return f"{self._key}{ROTATED}{file.identity[1]}"

    def _say(self, state: str, why: str = "") -> None:
        self.state, self.why = state, why

    # --- opening ---

    def _open(self, now: float, *, anew: bool = False) -> None:
        """Open what is at the path; ``anew``: it was emptied, and is read from its beginning."""
        try:
            fd = open_regular(self.path)
        except OSError as error:
            self._say(UNREADABLE, error.strerror or str(error))
            return
        try:
            start = 0 if anew else self._start(fd, now)
            if start is not None:
                self._current = TailedFile(fd, start, self._style, now)
        except OSError as error:
            self._say(UNREADABLE, error.strerror or str(error))
        if self._current is None:
            os.close(fd)
            return
        self._say(READING)
        if not anew:
            self._find_skipped(now)
        self._around.known.forget(self._current.identity[1])
        self._around.keep(self._key, self._current.mark())

    def _start(self, fd: int, now: float) -> int | None:
        """Where to begin to read a file that was not open; None when it is not read, or not yet."""
        state = os.fstat(fd)
        head = read_head(fd)
        if kind := unreadable_kind(self.path, head):
            self._say(SKIPPED, kind)
            return None
        mark = self._around.known.of_file(state.st_dev, state.st_ino, head)
        if mark is not None and mark.offset <= state.st_size:
            return mark.offset
        if self._around.starting and not self.marked:
            return line_start(fd, state.st_size - self._around.backlog)
        if now - self._seen < COPY_SECONDS and (other := self._around.original(self.path, head)):
            self._say(WAITING, f"perhaps a copy of {other.shown}")
            return None
        return 0

    def _find_unfinished(self, now: float) -> None:
        """After a restart: read on, wherever rotation put them, the files that were read before it."""
        known, current = self._around.known, self._current
        self._older = frozenset(sibling.inode for sibling in siblings(self.path))
        moved = [(find_moved(self.path, mark), mark) for mark in known.rotated(self.shown)]
        # Oldest first: the journal has the marks in the order in which the files were last read.
        for sibling, mark in sorted(
            ((sibling, mark) for sibling, mark in moved if sibling is not None),
            key=lambda pair: pair[0].modified,
        ):
            self._read_on(sibling.path, mark.offset, now)
        last = known.of_path(self.shown)
        if last is None or (current and last.inode == current.identity[1] and last.offset <= current.offset):
            return
        self._last = last
        found = find_moved(self.path, last) or find_copy(self.path, last)
        if found is not None:
            self._read_on(found.path, last.offset, now)
        else:
            _log.warning(
                "%s: the file that was read up to byte %d is gone; what was written to it later is not known",
                self.shown,
                last.offset,
            )
        for newer in unseen_since(self.path, last, known):
            self._read_on(newer.path, 0, now)

    def _find_skipped(self, now: float) -> None:
        """Read files that were at the path between two looks, after the one that was seen there last.

        What lay beside the path at the first look is older than that, and none of them.
        """
        if self._last is not None:
            for sibling in unseen_since(self.path, self._last, self._around.known):
                if sibling.inode not in self._older:
                    self._read_on(sibling.path, 0, now)

    def _read_on(self, path: str, offset: int, now: float) -> None:
        """Read a file beside the path from ``offset``, or from further on where that is known."""
        try:
            fd = open_regular(path)
        except OSError as error:
            _log.warning("%s: the rest of it, from byte %d, cannot be read: %s", path, offset, error.strerror)
            return
        try:
            state, head = os.fstat(fd), read_head(fd)
            mark = self._around.known.of_file(state.st_dev, state.st_ino, head)
            start = max(offset, mark.offset if mark else 0)
            taken = self._around.followed((state.st_dev, state.st_ino)) is not None
            if not taken and start <= state.st_size and not unreadable_kind(path, head):
                file = TailedFile(fd, start, self._style, now)
                self._rotated.append(file)
                self._around.known.forget(state.st_ino)
                self._around.keep(self._rotated_key(file), file.mark())
                return
        except OSError as error:
            _log.warning("%s: the rest of it, from byte %d, cannot be read: %s", path, offset, error.strerror)
        os.close(fd)

    # --- reading ---

    def _read_current(self, now: float) -> bool:
        """Read a chunk of the current file; True when there is more."""
        file = self._current
        if file is None:
            return False
        try:
            return self._read(file, self._key, now)
        except Truncated:
            self._restart(file, now)
            return True
        except OSError as error:
            self._close(file)
            self._current = None
            self._say(UNREADABLE, error.strerror or str(error))
            return False

    def _restart(self, file: TailedFile, now: float) -> None:
        """The current file was emptied: what is at the path is read from its beginning."""
        self._current = None
        self._save_rest(file, self._key, now)
        file.close()
        self._open(now, anew=True)

    def _save_rest(self, file: TailedFile, key: str, now: float) -> None:
        """What was not read of a file before it was emptied is in a copy beside it, if one was made."""
        mark = file.mark()
        copy = find_copy(self.path, mark)
        if copy is not None and copy.modified >= mark.modified:
            self._read_on(copy.path, mark.offset, now)
        else:
            self._deliver_rest(file, key, now)

    def _read_rotated(self, file: TailedFile, now: float) -> bool:
        """Read a chunk of a file that is not at the path any more, and let go of it when it is quiet."""
        key = self._rotated_key(file)
        try:
            if self._read(file, key, now):
                return True
            over = now - file.touched >= PARTING_SECONDS or len(self._rotated) > _MOST_ROTATED
        except Truncated:
            self._save_rest(file, key, now)
            self._rotated[self._rotated.index(file)] = file.anew(now)
            return True
        except OSError:
            over = True
        if over:
            self._deliver_rest(file, key, now)
            self._rotated.remove(file)
            self._close(file)
        return False

    def _read(self, file: TailedFile, key: str, now: float) -> bool:
        wall = self._around.wall()
        file.look()
        found = file.read(now, wall) if file.unread else []
        found += file.settle(now, wall)
        self._around.deliver(key, self._origin, file, found)
        return file.unread > 0

    def _deliver_rest(self, file: TailedFile, key: str, now: float) -> None:
        rest = file.settle(now, self._around.wall(), last=True)
        self._around.deliver(key, self._origin, file, rest)

    @property
    def _origin(self) -> str:
        return f"file {self.shown}"

    def _close(self, file: TailedFile) -> None:
        self._around.known.remember(file.mark())
        file.close()

    def close(self) -> None:
        """Let go of every file. Lines that are held back are read again after a restart."""
        for file in self.files():
            file.close()
        self._current = None
        self._rotated.clear()
