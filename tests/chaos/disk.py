"""What a chaos run does to disks: a small one that fills up, and bytes that change."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

_BLOCK: Final = 65_536


@contextlib.contextmanager
def small_disk(path: Path, size: str) -> Iterator[None]:
    """A file system of `size` (as ``8m``) at the directory `path`. Raises CalledProcessError where that is not allowed."""
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tabard-chaos", path],
        check=True,
        capture_output=True,
    )
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True, capture_output=True)


def may_mount(path: Path) -> bool:
    """Whether this user can make a `small_disk`."""
    try:
        with small_disk(path, "64k"):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def fill(directory: Path) -> None:
    """Take all the space that is left on the disk of `directory`."""
    descriptor = os.open(directory / "somebody-elses-file", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for size in (_BLOCK, 4_096, 1):
            with contextlib.suppress(OSError):
                while True:
                    os.write(descriptor, bytes(size))
    finally:
        os.close(descriptor)


def free(directory: Path) -> None:
    """Give the space back."""
    with contextlib.suppress(FileNotFoundError):
        (directory / "somebody-elses-file").unlink()


def damage(segments: list[Path], random: Random) -> str:
    """Flip bytes in one of the closed segments (all but the last); says where, "" when there was none."""
    closed = segments[:-1]
    random.shuffle(closed)
    for path in closed:
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:  # stored everywhere and removed meanwhile
            continue
        try:
            size = os.fstat(descriptor).st_size
            places = sorted(random.randrange(size) for _ in range(random.randrange(1, 4)))
            for place in places:
                _flip(descriptor, place, random.randrange(1, 32))
        finally:
            os.close(descriptor)
        return f"{path.name} at {places}"
    return ""


def _flip(descriptor: int, place: int, width: int) -> None:
    found = os.pread(descriptor, width, place)
    if not found:
        raise OSError(errno.EIO, "nothing there to be flipped")
    os.pwrite(descriptor, bytes(byte ^ 0xA5 for byte in found), place)
