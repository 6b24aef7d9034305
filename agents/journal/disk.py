"""The disk as the journal needs it: a port, so that the simulation can cut the power.

Nothing is promised beyond POSIX: written bytes survive the death of the process, synced bytes survive
a power cut, and a name survives one when its directory was synced.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NamedTuple, Protocol


class FileStat(NamedTuple):
    """Which file it is, and how long."""

    identity: tuple[int, int]
    """Device and inode: two files are one when this is equal."""
    size: int
    owner: int | None = None
    """The user it belongs to, where that is known."""


class File(Protocol):
    """An open file. Every method may raise OSError."""

    def write_at(self, data: bytes, offset: int) -> None:
        """Write all of `data` at `offset`; after an error, some of it may have been written."""
        ...

    def read_at(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only where the file ends."""
        ...

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes."""
        ...

    def sync(self) -> None:
        """Make all that was written durable. May run in another thread than the other methods."""
        ...

    def stat(self) -> FileStat:
        """Identity and size of what is open."""
        ...

    def close(self) -> None:
        """Give the handle back; a second call does nothing."""
        ...


class Disk(Protocol):
    """Files by path. Every method may raise OSError."""

    def make_directory(self, path: str) -> None:
        """Make a private directory, and those above it; nothing when it exists."""
        ...

    def names(self, directory: str) -> list[str]:
        """What is in `directory`, in no order."""
        ...

    def create(self, path: str) -> File:
        """Make a new file and open it for writing. Raises FileExistsError when there is one."""
        ...

    def open(self, path: str, *, write: bool = False) -> File:
        """Open an existing regular file for reading, or for both."""
        ...

    def stat(self, path: str) -> FileStat | None:
        """What `path` names, None when it names nothing."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Give `old` the name `new`, replacing what had it, in one step."""
        ...

    def link(self, old: str, new: str) -> None:
        """Give the file `old` a second name. Raises FileExistsError when it is taken."""
        ...

    def unlink(self, path: str) -> None:
        """Take a name away."""
        ...

    def sync_directory(self, path: str) -> None:
        """Make the names in `path` durable."""
        ...


class RealFile:
    """A file of the operating system."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write_at(self, data: bytes, offset: int) -> None:
        """Write all of `data`; a short write goes on where it stopped."""
        written = os.pwrite(self._descriptor, data, offset)
        while written < len(data):
            written += os.pwrite(self._descriptor, memoryview(data)[written:], offset + written)

    def read_at(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`."""
        data = os.pread(self._descriptor, size, offset)
        while len(data) < size:
            more = os.pread(self._descriptor, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def truncate(self, size: int) -> None:
        """Cut to `size` bytes."""
        os.ftruncate(self._descriptor, size)

    def sync(self) -> None:
        """Sync data, length and the way to find them."""
        os.fsync(self._descriptor)

    def stat(self) -> FileStat:
        """Identity and size."""
        found = os.fstat(self._descriptor)
        return FileStat((found.st_dev, found.st_ino), found.st_size)

    def close(self) -> None:
        """Close the descriptor, once."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class RealDisk:
    """The file system of the host. Files are private to the user (mode 0600, directories 0700)."""

    def make_directory(self, path: str) -> None:
        """Make `path` with mode 0700."""
        os.makedirs(path, mode=0o700, exist_ok=True)

    def names(self, directory: str) -> list[str]:
        """All names but ``.`` and ``..``."""
        return os.listdir(directory)

    def create(self, path: str) -> File:
        """A new file, read and write."""
        return RealFile(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def open(self, path: str, *, write: bool = False) -> File:
        """An existing file; never follows a link nor waits for a pipe's other end."""
        access = os.O_RDWR if write else os.O_RDONLY
        return RealFile(os.open(path, access | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK))

    def stat(self, path: str) -> FileStat | None:
        """Identity and size of the name itself, None when there is none."""
        with suppress(FileNotFoundError):
            found = os.lstat(path)
            return FileStat((found.st_dev, found.st_ino), found.st_size, found.st_uid)
        return None

    def rename(self, old: str, new: str) -> None:
        """Rename, replacing the target."""
        os.rename(old, new)

    def link(self, old: str, new: str) -> None:
        """Make a hard link."""
        os.link(old, new)

    def unlink(self, path: str) -> None:
        """Remove the name."""
        os.unlink(path)

    def sync_directory(self, path: str) -> None:
        """Sync the directory itself."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
