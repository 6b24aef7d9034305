"""Some room on the disk that is kept for the day on which there is no other: deleting needs space too."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

RESERVE_BYTES: Final = 8 * 2**20
"""For the write-ahead log of a few steps of deletion, and what of it was not moved into the file yet."""


class Reserve:
    """A file beside the databases of a store that holds nothing."""

    def __init__(self, store: Path) -> None:
        self._path = store / "reserve"

    def take(self) -> bool:
        """Make the file if it is not there; whether it is. A disk without that much room has none."""
        if self._path.exists():
            return True
        part = self._path.with_name("reserve.part")
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
            finally:
                os.close(descriptor)
            part.rename(self._path)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()
            return False
        return True

    def give(self) -> bool:
        """Remove the file, so that its room can be used; whether there was any."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
