"""What every long-running role has in common: one instance, signals, a status file, an orderly end.

A role started by ``tabard up`` gets a lifeline: the read end of a pipe whose write end only ``up`` has.
When it closes, however ``up`` ended, the role ends too.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from tabard import locks
from tabard._version import VERSION
from tabard.brokers.loop import Loop
from tabard.home import Home

LIFELINE: Final = "TABARD_LIFELINE"
"""Environment variable with the number of the lifeline's descriptor."""
_log = logging.getLogger(__name__)

STATUS_EVERY: Final = 2.0
"""Seconds between two writings of the status file."""


class StatusFile:
    """``run/ROLE.json``: what a role says of itself, replaced as a whole at each writing."""

    def __init__(self, name: str, home: Home) -> None:
        self._name = name
        self._file = home.run / f"{name}.json"
        self._written = True

    def write(self, status: Mapping[str, Any]) -> None:
        """Replace the content; a disk that refuses is said once and does not stop the role."""
        content = {"role": self._name, "pid": os.getpid(), "version": VERSION, **status}
        temporary = self._file.with_suffix(".tmp")
        try:
            temporary.write_text(json.dumps(content, default=str))
            temporary.replace(self._file)
        except OSError as error:
            if self._written:
                _log.warning("cannot write the status file %s: %s", self._file, error)
            self._written = False
        else:
            self._written = True

    def remove(self) -> None:
        """The role ends: nobody shall take old numbers for new ones."""
        with contextlib.suppress(OSError):
            self._file.unlink()


class Role:
    """A running role: its loop and its status file."""

    def __init__(self, name: str, home: Home) -> None:
        self.name = name
        self.home = home
        self.loop = Loop()
        self._status: Callable[[], Mapping[str, Any]] = dict
        self._file = StatusFile(name, home)

    def report(self, status: Callable[[], Mapping[str, Any]]) -> None:
        """Write what `status` returns to the status file from now on."""
        self._status = status
        self.loop.every(STATUS_EVERY, self.write_status)
        self.write_status()

    def write_status(self) -> None:
        """Write it now."""
        self._file.write(self._status())

    def remove_status(self) -> None:
        """The role ends."""
        self._file.remove()


def running(home: Home, name: str) -> dict[str, Any] | None:
    """The status file of a role that runs now, None when it does not run or says nothing."""
    if locks.held(home.lock(name)) is None:
        return None
    try:
        content = json.loads((home.run / f"{name}.json").read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


@contextlib.contextmanager
def role(name: str, home: Home, reload: Callable[[], None] | None = None) -> Iterator[Role]:
    """Hold the role's lock and give it a loop that ends on SIGTERM, SIGINT or a closed lifeline.

    Raises:
        AlreadyRunning: another process has this role in this home.
        HomeError: the home cannot be used.
    """
    home.ensure()
    with locks.hold(home.lock(name)):
        process = Role(name, home)
        loop = process.loop
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.on_signal(number, loop.stop)
        loop.on_signal(signal.SIGHUP, reload or (lambda: _log.info("nothing that a reload could change")))
        fd = lifeline()
        if fd is not None:
            loop.add_reader(fd, loop.stop)
        try:
            yield process
        finally:
            process.remove_status()
            loop.close()


def lifeline() -> int | None:
    """The descriptor that becomes readable when `up` has ended; None for a role that was started by hand."""
    text = os.environ.pop(LIFELINE, "")
    if not text.isdigit():
        return None
    os.set_inheritable(int(text), False)
    return int(text)
