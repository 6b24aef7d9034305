"""When it is looked beside a path for files that were at it and went away again before they were seen."""

from __future__ import annotations

import os
from typing import Final

from tabard.agents.intake.tail.file import TailedFile
from tabard.agents.intake.tail.marks import Mark

_SEARCHES: Final = 2
"""Searches after something happened to the path: a name may change while the first is going on."""


class Search:
    """Counts what is still to be done for one path."""

    def __init__(self) -> None:
        self.last: Mark | None = None
        """The file that was seen at the path last before it changed; what rotation made since is newer."""
        self._left = 0
        self._directory = 0

    def after(self, last: Mark) -> None:
        """Something happened to the path after ``last`` was read there."""
        self.last = last
        self.start()

    def start(self) -> None:
        """Something happened to the path."""
        self._left = _SEARCHES

    def stop(self) -> None:
        """Nothing happened after all."""
        self._left = 0

    def due(self, path: str, current: TailedFile | None) -> Mark | None:
        """The file since which to search; None when there is no need. Raises OSError.

        While nothing is at the path, whenever a name in its directory changed. While so little was read of the
        file there that it does not tell whether it was emptied meanwhile, perhaps twice, whenever it changed.
        """
        if self._left == 0 and current is None and self.last is not None:
            try:
                changed = os.stat(os.path.dirname(path) or ".").st_mtime_ns
            except FileNotFoundError:
                return None
            if changed != self._directory:
                self._directory = changed
                self.start()
        if self._left == 0 and current is not None and not current.telling and current.changed():
            self.last = current.mark()
            self._left = 1
        return self.last if self._left else None

    def done(self, *, again: bool) -> None:
        """One search was made; ``again``: it did not see everything."""
        self._left = max(self._left - 1, int(again))
