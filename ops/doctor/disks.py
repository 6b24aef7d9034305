"""Whether a file system has room: pure, and how it is asked."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tabard.ops.doctor.finding import FAULT, WARNING, Finding
from tabard.web.scales import show_bytes

MEGABYTE: Final = 1_000_000
LITTLE: Final = (0.05, 5_000 * MEGABYTE)
"""A warning below both: this share, these bytes. Of a large disk a small share is much, of a small one few bytes are many."""
LEAST: Final = (0.01, 500 * MEGABYTE)
"""A fault below both."""
FEW_INODES: Final = 0.02
"""Share of free inodes below which a file system is told of."""


class Disk(NamedTuple):
    """One file system, by a directory on it."""

    path: str
    size: int
    """Bytes."""
    free: int
    """Bytes that this user may take."""
    inodes: int
    """0 where the file system does not count them."""
    inodes_free: int


def disks(paths: Iterable[Path]) -> list[Disk]:
    """The file systems of those of the paths that are there, each once."""
    found: dict[int, Disk] = {}
    for path in paths:
        with contextlib.suppress(OSError):
            device, said = os.stat(path).st_dev, os.statvfs(path)
            size, free = said.f_blocks * said.f_frsize, said.f_bavail * said.f_frsize
            found.setdefault(device, Disk(str(path), size, free, said.f_files, said.f_favail))
    return list(found.values())


def space(found: Iterable[Disk]) -> Iterator[Finding]:
    """Those that are nearly full."""
    for disk in found:
        for severity, (share, bytes_) in ((FAULT, LEAST), (WARNING, LITTLE)):
            if disk.size and disk.free < disk.size * share and disk.free < bytes_:
                what = (
                    f"{show_bytes(disk.free)} of {show_bytes(disk.size)} are free on the disk of {disk.path}"
                )
                do = "Make room, or lower the limits of journal and store: tabard settings"
                yield Finding("disk-space", severity, "home", what, do)
                break


def inodes(found: Iterable[Disk]) -> Iterator[Finding]:
    """Those that can hold few more files, however much room there is."""
    for disk in found:
        if disk.inodes and disk.inodes_free < disk.inodes * FEW_INODES:
            what = f"{disk.inodes_free} of {disk.inodes} inodes are free on the disk of {disk.path}"
            do = "Remove files there: df -i shows the disk, du --inodes -x who has them"
            yield Finding("disk-inodes", FAULT, "home", what, do)
