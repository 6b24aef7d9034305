"""Finds where a file went: rotation leaves it, or a copy of it, beside its old path."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from tabard.agents.intake.tail.marks import Mark

_MOST_ENTRIES: Final = 100_000
_TRIES: Final = 5
_NUMBER: Final = r"\d[\dT:_.-]*"
_COMPRESSED: Final = (".gz", ".xz", ".bz2", ".zst", ".lz4", ".Z", ".zip")


class Sibling(NamedTuple):
    """A regular file whose name says that it comes from the same log."""

    path: str
    device: int
    inode: int
    size: int
    modified: int
    """Time of the last change of its content (ns), which anybody may set."""
    changed: int
    """Time of the last change of anything about it (ns): not before it got this name."""
    number: str
    """The number or date that only rotation adds to the old name; "" when the name is made otherwise."""

    @property
    def identity(self) -> tuple[int, int]:
        """Device and inode."""
        return self.device, self.inode


def siblings(path: str) -> Iterator[Sibling]:
    """Files beside ``path`` that rotation may have made of it: app.log.1, app.log-20251121, app-1.log."""
    directory, name = os.path.split(path)
    stem = os.path.splitext(name)[0]
    starts = (name, stem + "-", stem + ".", stem + "_")
    try:
        with os.scandir(directory) as entries:
            for _, entry in zip(range(_MOST_ENTRIES), entries, strict=False):
                if entry.name == name or not entry.name.startswith(starts):
                    continue
                if entry.name.endswith(_COMPRESSED):
                    continue
                with contextlib.suppress(OSError):  # gone since it was listed, to another name perhaps
                    state = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(state.st_mode):
                        yield Sibling(
                            entry.path,
                            state.st_dev,
                            state.st_ino,
                            state.st_size,
                            state.st_mtime_ns,
                            state.st_ctime_ns,
                            number_in(name, entry.name),
                        )
    except OSError:
        return  # a directory that cannot be listed has no siblings to offer


def settled(path: str) -> tuple[list[Sibling], bool]:
    """What `siblings` finds, and whether it does so twice: a file may be missing whose name changes meanwhile."""
    found = list(siblings(path))
    for _ in range(_TRIES):
        before, found = found, list(siblings(path))
        if _names(before) == _names(found):
            return found, True
    return found, False


def _names(found: Iterable[Sibling]) -> set[tuple[str, int]]:
    return {(sibling.path, sibling.inode) for sibling in found if sibling.number}


def number_in(name: str, other: str) -> str:
    """The number or date that makes ``other`` a name that rotation gives to ``name``; "" when it is none."""
    match = _numbered(name).fullmatch(other)
    return (match[1] or match[2]) if match else ""


@lru_cache(maxsize=64)
def _numbered(name: str) -> re.Pattern[str]:
    stem, extension = os.path.splitext(name)
    return re.compile(
        rf"{re.escape(name)}[.-]({_NUMBER})|{re.escape(stem)}[._-]({_NUMBER}){re.escape(extension)}", re.ASCII
    )


def find_moved(found: Iterable[Sibling], mark: Mark) -> Sibling | None:
    """The marked file itself, renamed: same inode, same first bytes, same bytes before the position."""
    for sibling in found:
        if sibling.inode == mark.inode and _fits(sibling, mark):
            return sibling
    return None


def find_copy(found: Iterable[Sibling], mark: Mark, taken: Callable[[Sibling], bool]) -> Sibling | None:
    """The copy of the marked file that goes on where it was read to.

    That is the oldest that rotation made since then and that is not ``taken``, else the newest there is; but of
    an old one few bytes do not tell whether it is a copy or another file.
    """
    copies = [sibling for sibling in found if sibling.inode != mark.inode and _fits(sibling, mark)]
    made = [
        sibling
        for sibling in copies
        if mark.length
        and sibling.number
        and max(sibling.modified, sibling.changed) >= mark.modified
        and not taken(sibling)
    ]
    # A tool may have given it another time: that counts where no time tells.
    fresh = [sibling for sibling in made if sibling.modified >= mark.modified] or made
    if fresh:
        return min(fresh, key=lambda sibling: sibling.modified)
    return max(copies, key=lambda sibling: sibling.modified, default=None) if mark.telling else None


def _fits(sibling: Sibling, mark: Mark) -> bool:
    if sibling.size < mark.offset:
        return False
    with contextlib.suppress(OSError), opened(sibling.path) as fd:
        return mark.fits(fd)
    return False


@contextlib.contextmanager
def opened(path: str) -> Iterator[int]:
    """A descriptor of the file at ``path``, closed at the end. Never waits. Raises OSError."""
    fd = open_regular(path)
    try:
        yield fd
    finally:
        os.close(fd)


def open_regular(path: str) -> int:
    """A descriptor of the file at ``path``, links followed; the caller closes it. Never waits. Raises OSError."""
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
