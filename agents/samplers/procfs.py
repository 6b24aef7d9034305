"""Reading files of /proc: a few system calls each, no Python file objects."""

from __future__ import annotations

import os
from typing import Final

_CHUNK: Final = 65_536


def read(path: str, most: int = _CHUNK) -> bytes:
    """The first ``most`` bytes of ``path`` as one read gives them. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, most)
    finally:
        os.close(fd)


def read_all(path: str) -> bytes:
    """The whole of a file that may take several reads. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, _CHUNK):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)
