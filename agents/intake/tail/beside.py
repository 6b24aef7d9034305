"""What is known of the files beside a path: which are read, were read, or lay there before it was followed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from tabard.agents.intake.tail.file import TailedFile
from tabard.agents.intake.tail.marks import HEAD_BYTES, Mark, holds
from tabard.agents.intake.tail.siblings import Sibling, opened, siblings
from tabard.agents.intake.tail.trail import Trail
from tabard.agents.intake.tail.unseen import Met


class Parked(NamedTuple):
    """A file that is not open, for want of descriptors, and is looked at again."""

    mark: Mark
    due: float
    size: int
    """Its size when it was closed or found."""


class Beside:
    """Judges by content, not by inode alone. ``files`` and ``parked`` are those of the path, as they are just now."""

    def __init__(self, trail: Trail, files: Sequence[TailedFile], parked: Sequence[Parked]) -> None:
        self._trail = trail
        self._files = files
        self._parked = parked
        self._older: dict[int, Mark] = {}
        self.again = False
        """Whether a file changed its name while it was looked at."""

    def forget_all_but(self, inodes: Collection[int]) -> None:
        """Only these are there still: the next file with another inode is another."""
        self._older = {inode: mark for inode, mark in self._older.items() if inode in inodes}

    def settle(self) -> None:
        """What lies beside the path now and was not taken is older than what is followed."""
        for sibling in siblings(self._trail.path):
            if sibling.number and sibling.size and self._trail.around.followed(sibling.identity) is None:
                try:
                    with opened(sibling.path) as fd:
                        mark = Mark.at_end(fd)
                except OSError:
                    continue
                self._older[mark.inode] = mark

    def met(
        self, sibling: Sibling, last: Mark, current: TailedFile | None, last_file: tuple[int, int] | None
    ) -> Met:
        """What is known of a file: ``last`` is the mark of the one at the path last, ``last_file`` where it is now."""
        around = self._trail.around
        if not sibling.number or not sibling.size or (current and current.identity == sibling.identity):
            return Met.OTHER
        if around.followed(sibling.identity):
            return Met.LAST if sibling.identity == last_file else Met.READ
        try:
            with opened(sibling.path) as fd:
                if self._is_older(sibling, fd):
                    return Met.OTHER
                if self._was_read(sibling, fd) or any(holds(file.fd, fd) for file in self._files):
                    return Met.READ
                # All that was read of short files may be the banner with which every one of them begins.
                if last.offset > HEAD_BYTES and last.telling and last.fits(fd):
                    return Met.READ
                if current is not None and self._is_copy(current, fd):
                    return Met.OTHER
        except FileNotFoundError:
            self.again = True
            return Met.OTHER
        except OSError:
            return Met.NEW  # said when it is to be read
        return Met.NEW

    @staticmethod
    def _is_copy(current: TailedFile, fd: int) -> bool:
        mark = current.mark()
        return (mark.offset > HEAD_BYTES and mark.telling and mark.fits(fd)) or holds(current.fd, fd)

    def _is_older(self, sibling: Sibling, fd: int) -> bool:
        old = self._older.get(sibling.inode)
        return old is not None and old.device == sibling.device and old.fits(fd)

    def _was_read(self, sibling: Sibling, fd: int) -> bool:
        if any(parked.mark.inode == sibling.inode and parked.mark.fits(fd) for parked in self._parked):
            return True
        mark = self._trail.around.known.of_file(fd)
        # Few bytes may begin another file that got the same inode; then the time tells them apart.
        return mark is not None and (mark.telling or (mark.offset > 0 and mark.modified == sibling.modified))

    def taken(self, sibling: Sibling) -> bool:
        """Whether a file is read already, was, or is not to be."""
        if self._trail.around.followed(sibling.identity):
            return True
        try:
            with opened(sibling.path) as fd:
                return self._is_older(sibling, fd) or self._was_read(sibling, fd)
        except OSError:
            return False
