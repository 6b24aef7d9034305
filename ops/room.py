"""Whether the disks of a home take what its roles write: looked at by writing, since only that tells."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tabard.home import Home

_TRIED: Final = 4096
"""Bytes: one block, so that a full disk cannot hide behind the rest of one."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def troubles(home: Home, store: str | os.PathLike[str]) -> list[str]:
    """What keeps the roles of a home from writing, one sentence for each file system; none when all is well.

    Says nothing of directories that are not there, or that belong to another user.
    """
    return [
        sentence for path in _one_of_each([home.run, home.journal, Path(store)]) for sentence in _try(path)
    ]


def _one_of_each(paths: Sequence[Path]) -> list[Path]:
    """The first of the paths on each file system."""
    found: dict[int, Path] = {}
    for path in paths:
        with contextlib.suppress(OSError):
            state = path.stat()
            if state.st_uid == os.geteuid():
                found.setdefault(state.st_dev, path)
    return list(found.values())


def _try(path: Path) -> Iterator[str]:
    probe = path / f".room-{os.getpid()}"
    try:
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, b"\0" * _TRIED)
        finally:
            os.close(descriptor)
            probe.unlink()
    except OSError as error:
        if error.errno in _FULL:
            yield f"the disk of {path} is full: nothing can be journaled or stored there until space is free"
        elif error.errno == errno.EROFS:
            yield f"the file system of {path} is mounted read-only: nothing can be journaled or stored there"
        elif error.errno not in {errno.EEXIST, errno.ENOENT}:
            yield f"{path} cannot be written: {error.strerror}"
