"""What a bench runs in: an environment without traces of this user's own Tabard, a directory that goes away."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Final

_FORGOTTEN: Final = ("DEV_STAGE", "PYTHONDONTWRITEBYTECODE", "PYTHONPROFILEIMPORTTIME", "PYTHONTRACEMALLOC")


def environment() -> dict[str, str]:
    """The variables for everything a bench starts, so that it runs as an installation does.

    Settings of this user and what slows Python down are left out; bytecode is cached as usual.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if name not in _FORGOTTEN and not name.startswith("TABARD_")
    }


class _Ending:
    """Ctrl-C, SIGTERM or a closed terminal: taken once, and not in the middle of what must be whole."""

    def __init__(self) -> None:
        self._whole = 0
        self._told = False

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Raise KeyboardInterrupt within when told to end; what follows it is not interrupted again."""
        self._told = False
        before = {number: signal.signal(number, self._tell) for number in _ENDINGS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    @contextlib.contextmanager
    def held_off(self) -> Iterator[None]:
        """Let nothing interrupt what is within; it is made up for at the end."""
        told = self._told
        self._whole += 1
        try:
            yield
        finally:
            self._whole -= 1
        if self._told and not told:
            raise KeyboardInterrupt

    def _tell(self, _number: int, _frame: FrameType | None) -> None:
        if not self._told:
            self._told = True
            if not self._whole:
                raise KeyboardInterrupt


_ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ending: Final = _Ending()
unbroken: Final = _ending.held_off
"""A context in which a process is started and noted: an interruption in between would leave it to nobody."""


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A directory of this user alone that is removed at the end, also when the bench is told to end.

    To be entered in the main thread, before anything is started that has to be ended.
    """
    with _ending.taken(), tempfile.TemporaryDirectory(prefix="tabard-bench-") as directory:
        yield Path(directory)


_given: Final[set[int]] = set()
"""Ports that were given out: the system may name one again that nobody has taken yet."""


def free_port() -> int:
    """A port of this host that nobody listens on now, and that no earlier call gave."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port
