"""What a long search owes to the writer: a moment without a view, so that the write-ahead log can begin anew.

That takes a moment in which nobody reads an older view than the newest. A search in parts takes its next view as soon
as it has let go of the last one; while records come in there would be no such moment, and the log would grow as long
as the search takes. So between two parts it waits while the log is long and growing: a second or two, once for each
time that it became long. When that was in vain, because somebody else reads on, there is no waiting for this log again.
"""

from __future__ import annotations

import os
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from tabard.consumers.store.wal import KEPT

PATIENCE: Final = 3.0
"""Seconds: for the writer's next idle moment, for moving the log, and for the commit after that."""
LOOK_EVERY: Final = 0.02
_HEADER: Final = 32
"""Bytes at the beginning of the log; they change when it begins anew."""


class Courtesy:
    """Of one search towards the writer of one file."""

    def __init__(self, database: Path) -> None:
        self._log = database.with_name(database.name + "-wal")
        self._size, _ = self._look()
        self._vain: bytes | None = None

    def give_way(self) -> None:
        """Between two views: wait if the log needs it. Never raises."""
        size, beginning = self._look()
        grows, self._size = size > self._size, size
        if not grows or size <= KEPT or beginning == self._vain:
            return
        deadline = monotonic() + PATIENCE
        while self._look()[1] == beginning:
            if monotonic() >= deadline:
                self._vain = beginning
                return
            sleep(LOOK_EVERY)

    def _look(self) -> tuple[int, bytes]:
        try:
            with self._log.open("rb") as file:
                beginning = file.read(_HEADER)
                return file.seek(0, os.SEEK_END), beginning
        except OSError:
            return 0, b""
