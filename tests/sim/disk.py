"""A disk in memory that forgets what was not synced, fails on demand, and dies in the middle of a write.

`SimDisk` implements the journal's disk port. What a process wrote is visible at once; what `power_cut` leaves
of it is what was synced, and a random part of the rest: files keep a prefix of what was appended, torn or
turned into garbage, and directory entries made or removed since the directory was synced may or may not be
there. `snapshot` and `restore` are the whole disk at one moment, with other inodes than before.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import NamedTuple

from tabard.agents.journal.disk import FileStat

SECTOR = 512


class Killed(BaseException):
    """Raised when the fuse of a `SimDisk` burns down: the process is dead, at this operation."""


class _Inode:
    __slots__ = ("data", "dirty_from", "durable", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.data = bytearray()
        self.durable = b""
        self.dirty_from: int | None = None
        """Offset from which `data` differs from what is, or will be, durable; None when it does not."""

    def touch(self, offset: int) -> None:
        self.dirty_from = offset if self.dirty_from is None else min(self.dirty_from, offset)

    def sync(self) -> None:
        if self.dirty_from is not None:
            self.durable = self.kept() + bytes(self.data[self.dirty_from :])
            self.dirty_from = None

    def kept(self) -> bytes:
        """What is durable before the dirty part; pages dropped by a failed sync read as zeros."""
        assert self.dirty_from is not None
        return self.durable[: self.dirty_from].ljust(self.dirty_from, b"\0")


class _Change(NamedTuple):
    """A change of names that its directory was not synced since."""

    kind: str
    name: str
    inode: _Inode
    old: str = ""


@dataclass
class _Directory:
    names: dict[str, _Inode] = field(default_factory=dict)
    durable: dict[str, _Inode] = field(default_factory=dict)
    changes: list[_Change] = field(default_factory=list)


@dataclass
class _Fault:
    operation: str
    number: int
    part: str
    after: int
    times: int


class SimFile:
    """An open file of a `SimDisk`; goes on working when its name is gone, as POSIX says."""

    def __init__(self, disk: SimDisk, inode: _Inode, path: str, *, writable: bool) -> None:
        self._disk = disk
        self._inode = inode
        self._path = path
        self._writable = writable
        self.closed = False

    def write_at(self, data: bytes, offset: int) -> None:
        """Write, or as much as there is room or life for."""
        assert self._writable and not self.closed
        disk, content = self._disk, self._inode.data
        room = disk.room(max(0, offset + len(data) - len(content)), len(data))
        fits = disk.step(
            "write", self._path, lambda part: self._put(data[: min(part, room)], offset), len(data)
        )
        assert fits
        self._put(data[:room], offset)
        if room < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _put(self, data: bytes, offset: int) -> None:
        content = self._inode.data
        self._inode.touch(min(offset, len(content)))
        self._disk.used += max(0, offset + len(data) - len(content))
        if offset > len(content):
            content.extend(b"\0" * (offset - len(content)))
        content[offset : offset + len(data)] = data

    def read_at(self, size: int, offset: int) -> bytes:
        """What is visible."""
        assert not self.closed
        self._disk.check("read", self._path)
        data = bytes(self._inode.data[offset : offset + size])
        self._disk.bytes_read += len(data)
        return data

    def truncate(self, size: int) -> None:
        """Cut."""
        assert self._writable and not self.closed
        self._disk.step("truncate", self._path)
        content = self._inode.data
        if size < len(content):
            self._disk.used -= len(content) - size
            del content[size:]
            self._inode.touch(size)

    def sync(self) -> None:
        """Make durable. When it fails, what was dirty is dropped from the cache's to-do list: as Linux does."""
        assert not self.closed
        try:
            self._disk.step("sync", self._path)
        except OSError:
            self._inode.dirty_from = None
            raise
        self._inode.sync()

    def stat(self) -> FileStat:
        """Identity and size."""
        return FileStat((1, self._inode.number), len(self._inode.data))

    def close(self) -> None:
        """Close."""
        self.closed = True


class SimDisk:
    """Directories of files. Every operation takes no time."""

    def __init__(self) -> None:
        self._directories: dict[str, _Directory] = {}
        self._numbers = count(1)
        self._faults: list[_Fault] = []
        self.used = 0
        """Bytes of all visible files."""
        self.capacity: int | None = None
        """Bytes that fit; None for no bound."""
        self.read_only = False
        self.operations = 0
        """Changing operations so far, syncs included."""
        self.bytes_read = 0
        """So far."""
        self.fuse: int | None = None
        """At which operation the process dies, in the middle of it; None for never."""

    # --- the port ------------------------------------------------------------------------------

    def make_directory(self, path: str) -> None:
        """Make a directory; directories themselves are never lost."""
        if path not in self._directories:
            self.step("mkdir", path)
            self._directories[path] = _Directory()

    def names(self, directory: str) -> list[str]:
        """The names in it."""
        return list(self._directory(directory).names)

    def create(self, path: str) -> SimFile:
        """Make a file."""
        directory, name = self._split(path)
        if name in directory.names:
            raise FileExistsError(errno.EEXIST, "exists", path)
        self.step("create", path)
        inode = _Inode(next(self._numbers))
        directory.names[name] = inode
        directory.changes.append(_Change("add", name, inode))
        return SimFile(self, inode, path, writable=True)

    def open(self, path: str, *, write: bool = False) -> SimFile:
        """Open a file."""
        directory, name = self._split(path)
        if name not in directory.names:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        self.check("open", path)
        if write and self.read_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return SimFile(self, directory.names[name], path, writable=write)

    def stat(self, path: str) -> FileStat | None:
        """What it is."""
        directory, name = self._split(path)
        inode = directory.names.get(name)
        return FileStat((1, inode.number), len(inode.data)) if inode else None

    def rename(self, old: str, new: str) -> None:
        """Rename, replacing."""
        source, old_name = self._split(old)
        target, new_name = self._split(new)
        if old_name not in source.names:
            raise FileNotFoundError(errno.ENOENT, "no such file", old)
        self.step("rename", new)
        inode = source.names.pop(old_name)
        self._forget(target.names.get(new_name))
        target.names[new_name] = inode
        if source is target:
            source.changes.append(_Change("rename", new_name, inode, old_name))
        else:  # the new name first, so that no cut leaves neither
            target.durable[new_name] = inode
            target.changes.append(_Change("add", new_name, inode))
            source.changes.append(_Change("remove", old_name, inode))

    def link(self, old: str, new: str) -> None:
        """Add a second name."""
        source, old_name = self._split(old)
        target, new_name = self._split(new)
        if old_name not in source.names:
            raise FileNotFoundError(errno.ENOENT, "no such file", old)
        if new_name in target.names:
            raise FileExistsError(errno.EEXIST, "exists", new)
        self.step("link", new)
        inode = source.names[old_name]
        target.names[new_name] = inode
        self.used += len(inode.data)
        target.changes.append(_Change("add", new_name, inode))

    def unlink(self, path: str) -> None:
        """Remove a name."""
        directory, name = self._split(path)
        if name not in directory.names:
            raise FileNotFoundError(errno.ENOENT, "no such file", path)
        self.step("unlink", path)
        inode = directory.names.pop(name)
        self._forget(inode)
        directory.changes.append(_Change("remove", name, inode))

    def sync_directory(self, path: str) -> None:
        """Make the names durable."""
        directory = self._directory(path)
        self.step("syncdir", path)
        directory.durable = dict(directory.names)
        directory.changes.clear()

    # --- what tests do to it -------------------------------------------------------------------

    def fail(
        self, operation: str, number: int = errno.EIO, *, part: str = "", after: int = 0, times: int = 1
    ) -> None:
        """Make `operation` on a path with `part` in it fail with an errno, `after` so many, so many `times`.

        Operations: write, truncate, sync, mkdir, create, rename, link, unlink, syncdir, open, read.
        """
        self._faults.append(_Fault(operation, number, part, after, times))

    def heal(self) -> None:
        """No faults, room enough, writable."""
        self._faults.clear()
        self.capacity, self.read_only = None, False

    def power_cut(self, rng: Random) -> None:
        """Lose what was not synced, or some of it, or have it come back as garbage."""
        for directory in self._directories.values():
            names = dict(directory.durable)
            keep = rng.random()
            for change in directory.changes:
                if rng.random() < keep:
                    _apply(change, names)
            directory.names = names
        self._settle(lambda inode: _after_cut(inode, rng))

    def lose_nothing(self) -> None:
        """An orderly shutdown: everything written is durable."""
        for directory in self._directories.values():
            for inode in directory.names.values():
                inode.dirty_from = 0
                inode.sync()
        self._settle(lambda inode: bytes(inode.data))

    def _settle(self, content: Callable[[_Inode], bytes]) -> None:
        known: dict[int, _Inode] = {}
        self.used = 0
        for directory in self._directories.values():
            for name, inode in directory.names.items():
                if inode.number not in known:
                    fresh = _Inode(inode.number)
                    fresh.durable = content(inode)
                    fresh.data = bytearray(fresh.durable)
                    known[inode.number] = fresh
                directory.names[name] = known[inode.number]
                self.used += len(known[inode.number].data)
            directory.durable = dict(directory.names)
            directory.changes.clear()

    def snapshot(self) -> dict[str, dict[str, bytes]]:
        """All visible files, by directory and name."""
        return {
            path: {name: bytes(inode.data) for name, inode in directory.names.items()}
            for path, directory in self._directories.items()
        }

    def restore(self, snapshot: dict[str, dict[str, bytes]]) -> None:
        """Put the files of a snapshot back, durably, in place of all there are. Open files become orphans."""
        self._directories.clear()
        self.used = 0
        for path, files in snapshot.items():
            directory = self._directories[path] = _Directory()
            for name, data in files.items():
                self._place(directory, name, data)

    def put(self, path: str, data: bytes) -> None:
        """Put a file there, durably, as if by another process."""
        directory, name = self._split(path)
        self._forget(directory.names.get(name))
        self._place(directory, name, data)

    def get(self, path: str) -> bytes:
        """The visible bytes of a file."""
        directory, name = self._split(path)
        return bytes(directory.names[name].data)

    def corrupt(self, path: str, offset: int, data: bytes) -> None:
        """Change bytes in place, durably, behind everybody's back."""
        directory, name = self._split(path)
        inode = directory.names[name]
        inode.data[offset : offset + len(data)] = data
        inode.durable = inode.durable[:offset] + data + inode.durable[offset + len(data) :]

    def _place(self, directory: _Directory, name: str, data: bytes) -> None:
        inode = _Inode(next(self._numbers))
        inode.data, inode.durable = bytearray(data), bytes(data)
        directory.names[name] = directory.durable[name] = inode
        self.used += len(data)

    # --- shared with SimFile -------------------------------------------------------------------

    def check(self, operation: str, path: str) -> None:
        """Fail when it is this operation's turn."""
        for fault in self._faults:
            if fault.operation == operation and fault.part in path:
                if fault.after:
                    fault.after -= 1
                elif fault.times:
                    fault.times -= 1
                    raise OSError(fault.number, os.strerror(fault.number), path)

    def step(
        self, operation: str, path: str, partly: Callable[[int], None] | None = None, size: int = 0
    ) -> bool:
        """Count a changing operation; fail, or die in the middle of it, when its turn has come."""
        self.operations += 1
        if self.fuse is not None and self.operations >= self.fuse:
            if partly is not None and size > 1:
                partly(hash((self.operations, size)) % (size - 1))
            raise Killed(operation, path)
        if self.read_only:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        self.check(operation, path)
        if operation == "create" and self.capacity is not None and self.used >= self.capacity:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        return True

    def room(self, growth: int, size: int) -> int:
        """How many of `size` bytes can be written when the file would grow by `growth`."""
        if self.capacity is None or self.used + growth <= self.capacity:
            return size
        return max(0, size - (self.used + growth - self.capacity))

    def _forget(self, inode: _Inode | None) -> None:
        if inode is not None:
            self.used -= len(inode.data)

    def _directory(self, path: str) -> _Directory:
        if path not in self._directories:
            raise FileNotFoundError(errno.ENOENT, "no such directory", path)
        return self._directories[path]

    def _split(self, path: str) -> tuple[_Directory, str]:
        directory, _, name = path.rpartition("/")
        return self._directory(directory), name


def _apply(change: _Change, names: dict[str, _Inode]) -> None:
    if change.kind == "add":
        names[change.name] = change.inode
    elif change.kind == "remove":
        if names.get(change.name) is change.inode:
            del names[change.name]
    else:  # a rename whose creation was lost takes the file along: a name is added, the old one goes if it is there
        if names.get(change.old) is change.inode:
            del names[change.old]
        names[change.name] = change.inode


def _after_cut(inode: _Inode, rng: Random) -> bytes:
    if inode.dirty_from is None:
        return inode.durable
    start = inode.dirty_from
    fresh = bytes(inode.data[start:])
    old = inode.durable[start:]
    outcome = rng.random()
    if outcome < 0.25:
        rest = old
    elif outcome < 0.5:
        rest = fresh
    else:  # what was overwritten is old or new; only what was added can be torn or garbage
        reached = rng.randrange(len(fresh) + 1)
        rest = fresh[:reached] + old[reached:]
        if outcome > 0.8 and len(rest) > len(old):
            at = rng.randrange(len(old), len(rest))
            size = min(SECTOR, len(rest) - at)
            ruin = b"\0" * size if outcome > 0.9 else rng.randbytes(size)
            rest = rest[:at] + ruin + rest[at + size :]
    return inode.kept() + rest
