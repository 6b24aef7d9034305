"""What ``tabard up`` says: to the terminal, and as records to the agent or, while there is none, to ``log/up.log``."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from types import TracebackType
from typing import Self, TextIO

from tabard.applog import role_handler
from tabard.home import Home
from tabard.ops.output import printable

_log = logging.getLogger("tabard.ops.up")


class Voice:
    """Says one line at a time. A terminal that is gone, or a disk that is full, does not disturb it."""

    def __init__(self, home: Home) -> None:
        # The agent has ended when the last words are said: they go to the file, and nothing waits for an answer.
        self._handler = role_handler("up", home, exit_wait=0.0)
        _log.addHandler(self._handler)
        _log.setLevel(logging.INFO)
        _log.propagate = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _log.removeHandler(self._handler)
        self._handler.close()

    def show(self, text: str) -> None:
        """For the person at the terminal only."""
        _print(text, sys.stdout)

    def note(self, text: str) -> None:
        """What happened as it should."""
        _log.info("%s", text)
        _print(text, sys.stderr)

    def warn(self, text: str) -> None:
        """What happened and should not."""
        _log.warning("%s", text)
        _print(f"{time.strftime('%H:%M:%S')} {printable(text)}", sys.stderr)

    def quote(self, child: str, text: str) -> None:
        """A line that a child printed, which it does only when it cannot log: kept, not shown."""
        _log.warning("%s printed: %s", child, text)


def _print(text: str, stream: TextIO) -> None:
    try:
        print(text, file=stream, flush=True)
    except OSError:
        # Nobody is there any more. What stays in the buffer must not fail a second time when the process ends.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
