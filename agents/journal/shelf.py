"""The directory of one journal: whole files put in place atomically, damaged ones set aside."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from tabard.agents.journal.disk import Disk, File, FileStat
from tabard.agents.journal.faults import DiskRefused, Faults
from tabard.agents.journal.segment import SUFFIX, segment_name, segment_number
from tabard.agents.journal.tidemark import FILE as TIDEMARK

QUARANTINE: Final = "quarantine"
RESERVE: Final = "reserve"
"""A file that is removed when the disk is full, so that one more segment can be begun."""
RESERVE_BYTES: Final = 65_536
MAX_QUARANTINED: Final = 64
"""Files kept in the quarantine; the oldest goes when there is one more."""
_TEMPORARY: Final = ".tmp"
_READ_TRIES: Final = 4
"""How often a block is asked for until it counts as unreadable."""
_PATIENCE: Final = 3
"""How often a file is left alone though a block of it is unreadable."""
_RUINED: Final = frozenset(
    {errno.ENOENT, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENODEV, errno.EBADMSG}
    | {getattr(errno, "EUCLEAN", errno.EBADMSG)}
)
_READ_STEP: Final = 4_096


class Shelf:
    """File operations of a journal, relative to its directory."""

    def __init__(self, disk: Disk, directory: str, faults: Faults) -> None:
        self.disk = disk
        self.directory = directory
        self.faults = faults
        self._refused_reads: Counter[str] = Counter()

    def refused(self, what: str, error: OSError) -> DiskRefused:
        """Remember the `error` that the disk answered with, and the exception to raise for it."""
        return self.faults.refused(what, self.directory, error)

    def unreadable(self, error: OSError) -> DiskRefused:
        """What to raise when a file of the journal cannot be opened; it is left where it is."""
        path = error.filename if isinstance(error.filename, str) else self.directory
        hint = "Try again. If it stays so, move that file away: what it holds is a gap then."
        if error.errno in {errno.EACCES, errno.EPERM}:
            stat = self.stat(path.removeprefix(self.directory + "/"))
            owner = f"uid {stat.owner}" if stat and stat.owner is not None else "another user"
            hint = f"It belongs to {owner}: give it to the agent's user, or run the agent as that one."
        return self.faults.refused("the journal cannot be read now", path, error, hint=hint)

    def path(self, name: str) -> str:
        """The full path of `name`."""
        return f"{self.directory}/{name}"

    def prepare(self) -> list[str]:
        """Make the directory and say what is in it. Raises JournalError when it cannot be used at all."""
        cause: OSError | None = None
        try:
            self.disk.make_directory(self.directory)
        except OSError as error:
            cause = error  # it may exist all the same, on a read-only disk: listing it tells
        try:
            return sorted(self.disk.names(self.directory))
        except OSError as error:
            raise self.faults.refused(
                "the journal's directory cannot be used", self.directory, cause or error
            ) from error

    def numbers(self) -> list[int]:
        """The numbers of the segments there, rising; what else lies there is set aside or named."""
        numbers = []
        self._tell_quarantine()
        for name in self.prepare():
            number = segment_number(name)
            if number is not None:
                numbers.append(number)
            elif name.endswith(_TEMPORARY):
                self.remove(name)
            elif name.endswith(SUFFIX):
                self.set_aside(name, "its name is not a segment's")
            elif name not in (QUARANTINE, RESERVE, TIDEMARK):
                self.faults.note("foreign", self.path(name), "not a file of the journal; it is left alone")
        return numbers

    def _tell_quarantine(self) -> None:
        path = self.path(QUARANTINE)
        with suppress(OSError):  # there is none
            count = len(self.disk.names(path))
            self.faults.note("quarantined", path, f"{count} damaged files are kept here to be looked at")

    def read(self, name: str, size: int = -1, *, patient: bool = False) -> bytes:
        """The first `size` bytes of a file, or all; unreadable blocks come back as zeros.

        Raises OSError when the file cannot be opened; when `patient`, also the first times that a block of it
        cannot be read, since the next time it may.
        """
        file = self.disk.open(self.path(name))
        try:
            wanted = file.stat().size if size < 0 else size
            try:
                return file.read_at(wanted, 0)
            except OSError as error:
                data, unreadable = _read_blocks(file, min(wanted, file.stat().size))
                if unreadable and patient and self._refused_reads[name] < _PATIENCE:
                    self._refused_reads[name] += 1
                    raise OSError(error.errno, error.strerror, self.path(name)) from error
                return data
        finally:
            file.close()

    def stat(self, name: str) -> FileStat | None:
        """What `name` is now; None when it is gone or cannot be asked."""
        try:
            return self.disk.stat(self.path(name))
        except OSError:
            return None

    def write_whole(self, name: str, image: Iterable[bytes]) -> int:
        """Write a file under a temporary name, durably; `publish` gives it its own. Returns its size.

        Raises OSError; nothing is left behind then.
        """
        path = self.path(name + _TEMPORARY)
        with suppress(FileNotFoundError):
            self.disk.unlink(path)
        file = self.disk.create(path)
        try:
            size = 0
            for part in image:
                file.write_at(part, size)
                size += len(part)
            file.sync()
        except OSError:
            self.remove(name + _TEMPORARY)
            raise
        finally:
            file.close()
        return size

    def publish(self, name: str) -> None:
        """Give the file written by `write_whole` its name, replacing what had it, and sync the directory."""
        self.disk.rename(self.path(name + _TEMPORARY), self.path(name))
        self.sync()

    def replace(self, number: int, image: Iterable[bytes]) -> int:
        """Put a whole segment in place of what has its number, atomically and durably. Raises OSError."""
        size = self.write_whole(segment_name(number), image)
        self.publish(segment_name(number))
        return size

    def sync(self) -> None:
        """Make the names in the directory durable. Raises OSError."""
        self.disk.sync_directory(self.directory)

    def remove(self, name: str) -> bool:
        """Take a name away; False when the disk does not let us."""
        try:
            self.disk.unlink(self.path(name))
        except FileNotFoundError:
            return True
        except OSError as error:
            self.faults.refused("a file of the journal cannot be removed", self.path(name), error)
            return False
        return True

    def take_reserve(self) -> None:
        """Occupy a little space for when the disk is full; nothing happens when that fails."""
        if self.stat(RESERVE) is None:
            with suppress(OSError):
                self.write_whole(RESERVE, [bytes(RESERVE_BYTES)])
                self.disk.rename(self.path(RESERVE + _TEMPORARY), self.path(RESERVE))

    def give_reserve(self) -> bool:
        """Free that space; False when there is none."""
        return self.stat(RESERVE) is not None and self.remove(RESERVE)

    def keep_copy(self, name: str, why: str) -> None:
        """Give a damaged file a second name in the quarantine, before a mended one takes its place.

        Raises OSError; a file that is gone needs no copy.
        """
        place = self._place(name)
        with suppress(FileNotFoundError):
            self.disk.link(self.path(name), place)
            self.disk.sync_directory(self.path(QUARANTINE))
            self.faults.note("quarantined", place, why)

    def set_aside(self, name: str, why: str) -> bool:
        """Move a file that is of no use into the quarantine; False when the disk does not let us."""
        try:
            place = self._place(name)
            self.disk.rename(self.path(name), place)
            self.disk.sync_directory(self.path(QUARANTINE))
            self.sync()
        except OSError as error:
            self.faults.note("damaged", self.path(name), f"{why}; it cannot be set aside: {error.strerror}")
            return False
        self.faults.note("quarantined", place, why)
        return True

    def _place(self, name: str) -> str:
        quarantine = self.path(QUARANTINE)
        self.disk.make_directory(quarantine)
        taken = sorted(self.disk.names(quarantine))
        if len(taken) >= MAX_QUARANTINED:
            self.disk.unlink(f"{quarantine}/{taken[0]}")
        tries = (f"{name}.{number}" if number else name for number in range(len(taken) + 1))
        return f"{quarantine}/{next(free for free in tries if free not in taken)}"


def passing(error: OSError) -> bool:
    """Whether an `error` of reading says nothing about the file: too many open files, no memory, interrupted."""
    return error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN}


def blameless(error: OSError) -> bool:
    """Whether an `error` of opening says nothing about the file's content.

    Wrong rights, a disk that is away for a moment and the like may pass, and then all is there. A file that is
    gone, is no file, or whose place in the file system is ruined, stays so.
    """
    return error.errno not in _RUINED


def _read_blocks(file: File, size: int) -> tuple[bytes, bool]:
    """The file block by block, with zeros for those that are unreadable; and whether there are any."""
    parts = []
    unreadable = False
    for offset in range(0, size, _READ_STEP):
        wanted = min(_READ_STEP, size - offset)
        part = _read_block(file, wanted, offset)
        unreadable |= part is None
        parts.append((part or b"").ljust(wanted, b"\0"))
    return b"".join(parts), unreadable


def _read_block(file: File, size: int, offset: int) -> bytes | None:
    for _ in range(_READ_TRIES):
        with suppress(OSError):
            return file.read_at(size, offset)
    return None
