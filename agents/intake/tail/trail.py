"""What all files of one followed path have in common: its name, where its records go, what was said of it."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Sequence
from typing import Final, Protocol

from tabard.agents.intake.tail.assemble import Assembled, Style
from tabard.agents.intake.tail.file import TailedFile
from tabard.agents.intake.tail.marks import PREFIX, ROTATED, KnownMarks, Mark

READING: Final = "reading"
UNREADABLE: Final = "unreadable"
WAITING: Final = "waiting"
SKIPPED: Final = "skipped"
"""States of a path in the listing of sources."""

_MOST_SAID: Final = 256
_LONGEST_PATH: Final = 1_000

_log = logging.getLogger(__name__)


class Original(Protocol):
    """A path beside another, whose file begins with the same bytes."""

    @property
    def shown(self) -> str:
        """The path as text that can be stored."""


class Surroundings(Protocol):
    """What a watched path has to know of the others, and where its records go."""

    @property
    def known(self) -> KnownMarks:
        """How far files were read that are not open."""

    @property
    def backlog(self) -> int:
        """How many bytes before its end a file is begun that is there at the first look of all."""

    @property
    def starting(self) -> bool:
        """Whether this is the first look at all files since the agent started."""

    def wall(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""

    def deliver(self, key: str, origin: str, file: TailedFile, found: Sequence[Assembled], /) -> None:
        """Hand on records, each batch with the mark of its last."""

    def keep(self, key: str, mark: Mark, /) -> None:
        """Renew a mark."""

    def followed(self, identity: tuple[int, int], /) -> Original | None:
        """The path under which the file with this device and inode is followed already."""

    def reads(self, mark: Mark, /) -> bool:
        """Whether the marked file itself is open, at whatever path."""

    def original(self, path: str, fd: int, /) -> Original | None:
        """The path beside ``path`` of whose file the open one may be a copy, or become one."""

    def rotated_name(self, path: str, /) -> bool:
        """Whether rotation would give this name to the file of a path that is followed."""

    def emptied(self, path: str, fd: int, /) -> bool:
        """Whether the open file, from ``path``, is the copy of one that was emptied, which will look for it."""

    def own(self, path: str, identity: tuple[int, int], /) -> bool:
        """Whether the file is written by Tabard itself."""

    def room(self, *, urgent: bool = False) -> bool:
        """Whether one more file may be opened; ``urgent``: others that are read are let go of for it."""


class Trail:
    """One path. ``binary``: what it holds is read as lines whatever it looks like."""

    def __init__(self, path: str, style: Style, around: Surroundings, *, binary: bool = False) -> None:
        self.path: Final = path
        self.style = style
        self.around: Final = around
        self.binary = binary
        self.shown: Final = os.fsencode(path).decode("utf-8", "backslashreplace")
        """The path as text that can be stored."""
        self.key: Final = PREFIX + self.shown
        """Under which the journal has the mark of the file at the path."""
        self.notice = ""
        """What was said last of what may be missing."""
        self._origin = f"file {self.shown}"
        self._said: set[tuple[object, ...]] = set()

    def away_key(self, file: TailedFile | Mark) -> str:
        """Under which the journal has the mark of a file that was moved away from the path."""
        return PREFIX + self.away_name(file)

    def away_name(self, file: TailedFile | Mark) -> str:
        """The same as the marks name it in memory."""
        inode = file.inode if isinstance(file, Mark) else file.identity[1]
        return f"{self.shown}{ROTATED}{inode}"

    def obstacle(self, state: os.stat_result) -> tuple[str, str] | None:
        """Why what is at the path is not opened, as state and reason; None when it may be."""
        identity = (state.st_dev, state.st_ino)
        if not stat.S_ISREG(state.st_mode):
            return SKIPPED, "not a regular file"
        if len(self.shown) > _LONGEST_PATH:
            return SKIPPED, f"a path of more than {_LONGEST_PATH} characters"
        if self.around.own(self.path, identity):
            return SKIPPED, "written by Tabard itself"
        if (other := self.around.followed(identity)) is not None:
            return WAITING, f"the same file as {other.shown}"
        return None

    def read(self, file: TailedFile, key: str, now: float) -> bool:
        """Hand on the next chunk of a file; True when there is more. Raises Truncated and OSError."""
        wall = self.around.wall()
        file.look()
        found = file.read(now, wall) if file.unread else []
        found += file.settle(now, wall)
        self.around.deliver(key, self._origin, file, found)
        return file.unread > 0

    def finish(self, file: TailedFile, key: str, now: float) -> None:
        """Hand on what is held back of a file."""
        rest = file.settle(now, self.around.wall(), last=True)
        self.around.deliver(key, self._origin, file, rest)

    def restyle(self, file: TailedFile, key: str) -> None:
        """Hand on what is held back of a file, and read what follows as `style` says by now."""
        self.around.deliver(key, self._origin, file, file.restyle(self.style))

    def close(self, file: TailedFile) -> None:
        """Let go of a file, and remember how far it was read."""
        self.around.known.remember(file.mark())
        file.close()

    def warn(self, notice: str, *about: object) -> None:
        """Say, in a record and in the listing, what may be missing; once for the same words and ``about``."""
        if (notice, *about) in self._said:
            return
        if len(self._said) >= _MOST_SAID:
            self._said.clear()
        self._said.add((notice, *about))
        self.notice = notice
        _log.warning("%s: %s", self.shown, notice)
