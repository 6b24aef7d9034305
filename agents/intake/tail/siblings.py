"""Finds where a file went: rotation leaves it, or a copy of it, beside its old path."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import Final, NamedTuple

from tabard.agents.intake.tail.marks import TELLING_BYTES, KnownMarks, Mark, read_head

_MOST_ENTRIES: Final = 10_000
_NUMBER: Final = r"\d[\dT:_.-]*"
_COMPRESSED: Final = (".gz", ".xz", ".bz2", ".zst", ".lz4", ".Z", ".zip")


class Sibling(NamedTuple):
    """A regular file whose name says that it comes from the same log."""

    path: str
    device: int
    inode: int
    size: int
    modified: int
    """Time of the last change (ns)."""
    numbered: bool
    """Whether the name is the old one with a number or date, as only rotation gives them."""


def siblings(path: str) -> Iterator[Sibling]:
    """Files beside ``path`` that rotation may have made of it: app.log.1, app.log-20251121, app-1.log."""
    directory, name = os.path.split(path)
    stem, extension = os.path.splitext(name)
    starts = (name, stem + "-", stem + ".", stem + "_")
    numbered = re.compile(
        rf"{re.escape(name)}[.-]{_NUMBER}|{re.escape(stem)}[._-]{_NUMBER}{re.escape(extension)}", re.ASCII
    )
    try:
        with os.scandir(directory) as entries:
            for _, entry in zip(range(_MOST_ENTRIES), entries, strict=False):
                if entry.name == name or not entry.name.startswith(starts):
                    continue
                if entry.name.endswith(_COMPRESSED):
                    continue
                state = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(state.st_mode):
                    yield Sibling(
                        entry.path,
                        state.st_dev,
                        state.st_ino,
                        state.st_size,
                        state.st_mtime_ns,
                        numbered.fullmatch(entry.name) is not None,
                    )
    except OSError:
        return  # a directory that cannot be listed has no siblings to offer


def find_moved(path: str, mark: Mark) -> Sibling | None:
    """The marked file itself, renamed: same inode, same first bytes."""
    for sibling in siblings(path):
        if sibling.inode == mark.inode and mark.fits(head_of(sibling.path)):
            return sibling
    return None


def find_copy(path: str, mark: Mark) -> Sibling | None:
    """The newest copy of the marked file that goes at least as far as it was read.

    None too when the mark has too few first bytes to tell a copy from another file.
    """
    if mark.length < TELLING_BYTES:
        return None
    found = [
        sibling
        for sibling in siblings(path)
        if sibling.inode != mark.inode and sibling.size >= mark.offset and mark.fits(head_of(sibling.path))
    ]
    return max(found, key=lambda sibling: sibling.modified, default=None)


def unseen_since(path: str, mark: Mark, known: KnownMarks) -> list[Sibling]:
    """Files that rotation made of ``path`` after the marked one was read, oldest first.

    They come about when the log was rotated more than once between two looks, or emptied and rotated.
    Without those that were read before, and without the marked one and its copies.
    """
    found = []
    for sibling in siblings(path):
        if sibling.numbered and sibling.modified >= mark.modified:
            head = head_of(sibling.path)
            copied = mark.length >= TELLING_BYTES and mark.fits(head)
            if not copied and known.of_file(sibling.device, sibling.inode, head) is None:
                found.append(sibling)
    return sorted(found, key=lambda sibling: sibling.modified)


def head_of(path: str) -> bytes:
    """The first bytes of the file at ``path``, none when it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return read_head(fd)
    except OSError:
        return b""
    finally:
        os.close(fd)
