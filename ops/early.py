"""Signals in the first moments of a role, before its own loop has them. Imports next to nothing, so as to come first.

SIGTERM and Ctrl-C end the process in order, with what is open closed and with 0. SIGHUP does not end it: it is kept, and
sent again when the role listens to it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

ROLES = frozenset({"agent", "broker", "recorder", "herald", "tunnel", "dispatcher"})


def names_role(arguments: Sequence[str]) -> bool:
    """Whether the first word of a command line, behind ``--home DIR``, is that of a role."""
    words = iter(arguments)
    for word in words:
        if word == "--home":
            next(words, None)
        elif not word.startswith("--home="):
            return word in ROLES
    return False


class Early:
    """The handlers, and whether there was a SIGHUP."""

    def __init__(self) -> None:
        self._hung_up = False

    def listen(self) -> None:
        """Take the three signals."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _end)
        signal.signal(signal.SIGHUP, self._note)

    def hand_on(self) -> None:
        """Send a SIGHUP that came too early again, now that the role listens."""
        if self._hung_up:
            self._hung_up = False
            os.kill(os.getpid(), signal.SIGHUP)

    def _note(self, _number: int, _frame: object) -> None:
        self._hung_up = True


EARLY = Early()
"""Those of this process."""


def _end(_number: int, _frame: object) -> None:
    sys.exit(0)
