"""The terminal that ``tabard up`` was started in: when it is closed, SIGHUP means the end and not a reload."""

from __future__ import annotations

import os
import select

_STDIN = 0


class Terminal:
    """Remembers whether standard input was a terminal at the start."""

    def __init__(self) -> None:
        self._was = os.isatty(_STDIN)

    def is_gone(self) -> bool:
        """Whether there was one and it has been closed since."""
        if not self._was:
            return False
        poll = select.poll()
        poll.register(_STDIN, 0)
        return any(events & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, events in poll.poll(0))
