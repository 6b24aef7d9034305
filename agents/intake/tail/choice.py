"""Which of the files that match are followed, when there are too many: those that changed last."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Final

from tabard.agents.intake.tail.specs import TailSpec
from tabard.agents.intake.tail.trail import SKIPPED
from tabard.agents.intake.tail.watch import Watch

MOST_FILES: Final = 512
"""Files followed at a time; each costs a descriptor."""
_MANY: Final = 4_096
_SECONDS: Final = 30.0
"""How often more than `_MANY` files are asked for their times."""


class Choice:
    """At most ``most`` paths. Remembers them while there are too many to choose anew at every look."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.left_out = 0
        """Files that match and are not followed."""
        self._chosen: Collection[str] = ()
        self._due = 0.0

    def of(
        self, matching: Mapping[str, TailSpec], watches: Mapping[str, Watch], now: float
    ) -> Collection[str]:
        """The paths to follow: first those asked for in the settings, of these the ones changed last.

        Paths at which there is nothing to be followed (binary files, directories) do not count.
        """
        counting = [path for path in matching if path not in watches or watches[path].state != SKIPPED]
        if len(counting) <= self._most:
            self.left_out = 0
            return matching
        if len(counting) > _MANY and now < self._due:
            return self._chosen
        self._due = now + _SECONDS
        counting.sort(key=lambda path: (matching[path].default, -_modified(path)))
        self.left_out = len(counting) - self._most
        skipped = [path for path in watches if path in matching and watches[path].state == SKIPPED]
        self._chosen = [*counting[: self._most], *skipped[: self._most]]
        return self._chosen


def _modified(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
