"""What every long-running role has in common: one instance, a loop, signals, a status file, an orderly end."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tabard import locks
from tabard.brokers.loop import Loop
from tabard.brokers.rising import Rises
from tabard.home import Home
from tabard.status import StatusFile, lifeline


class Role:
    """A running role: its loop and its status file."""

    def __init__(self, name: str, home: Home) -> None:
        self.name = name
        self.home = home
        self.loop = Loop()
        self.ending = False
        """Whether it was told to end."""
        self._status: Callable[[], Mapping[str, Any]] = dict
        self._reporting = False
        self._last: Mapping[str, Any] = {}
        self._writing = threading.Lock()
        self._file = StatusFile(name, home)
        self._rises = Rises(self.loop.now())

    def report(self, status: Callable[[], Mapping[str, Any]], every: float) -> None:
        """Write what `status` returns now and each ``every`` seconds, in place of what was reported before.

        The ``every`` of the first call holds for the life of the role.
        """
        if not self._reporting:
            self._reporting = True
            self.loop.every(every, self.write_status)
        self._status = status
        self.write_status()

    def write_status(self) -> None:
        """Write it now, and with it how much the counters of trouble in it rose lately."""
        said = self._status()
        said = {**said, "risen": self._rises.of(self.loop.now(), said.get("counters", {}))}
        with self._writing:
            self._last = said
            self._file.write(said)

    def speak_for(self, fault: str) -> None:
        """Write again what was written last, with that fault: of another thread, while the loop waits for something."""
        with self._writing:
            self._file.write({**self._last, "fault": fault})

    def end(self) -> None:
        """End the loop, and whatever would run it again."""
        self.ending = True
        self.loop.stop()

    def remove_status(self) -> None:
        """The role ends."""
        self._file.remove()


@contextlib.contextmanager
def role(name: str, home: Home, reload: Callable[[], None] = lambda: None) -> Iterator[Role]:
    """Hold the role's lock and give it a loop that ends on SIGTERM, SIGINT or a closed lifeline.

    SIGHUP calls ``reload`` within the loop.

    Raises:
        AlreadyRunning: another process has this role in this home.
        HomeError: the home cannot be used.
    """
    home.ensure()
    with locks.hold(home.lock(name)):
        process = Role(name, home)
        loop = process.loop
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.on_signal(number, process.end)
        loop.on_signal(signal.SIGHUP, reload)
        fd = lifeline()
        if fd is not None:
            loop.add_reader(fd, process.end)
        try:
            yield process
        finally:
            process.remove_status()
            loop.close()
