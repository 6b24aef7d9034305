"""The hosts that are looked after from this home: how each is reached, and what it runs as far as is known here. A file of the home, whole or not there.

Several threads and processes change it, each one host at a time, under a lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from tabard import files
from tabard.errors import HomeError, UsageError
from tabard.home import Home
from tabard.ops.hosts.remote import Way

INSTALLING: Final = "installing"
INSTALLED: Final = "installed"
UNINSTALLING: Final = "uninstalling"
STATES: Final = (INSTALLING, INSTALLED, UNINSTALLING)
KEEPERS: Final = ("cron", "none")
"""What keeps roles running on a host: lines of its crontab, or somebody else."""
_VERSION: Final = 1


class Listed(NamedTuple):
    """One host."""

    name: str
    zone: str
    way: Way
    home: str
    """Home directory of Tabard there, as it was asked for."""
    keep: str
    state: str
    current: str | None = None
    previous: str | None = None
    changed: int = 0
    """When this was written, nanoseconds UTC."""


class Register:
    """Raises HomeError where the file cannot be read or written."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._path: Final = home.path / "hosts.json"

    def all(self) -> list[Listed]:
        """Every host, by name."""
        with _disk(self._path):
            if not self._path.exists():
                return []
            content = files.read_json(self._path)
        try:
            return _hosts(content or {})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise HomeError(
                "the register of hosts makes no sense",
                expected=f"what tabard host writes, version {_VERSION}",
                found=repr(error)[:200],
                where=str(self._path),
                hint="Take it from a backup of this home, or move it away and install each host again: what is there is found",
            ) from error

    def get(self, name: str) -> Listed:
        """One host. Raises UsageError when there is none of that name."""
        known = {each.name: each for each in self.all()}
        if name not in known:
            raise UsageError(
                "no such host", expected=", ".join(known) or "one that tabard host install was run for", found=name,
                hint="See them with: tabard host list",
            )  # fmt: skip
        return known[name]

    def put(self, host: Listed) -> None:
        """Keep one host as it is now."""
        with self._alone():
            self._write({each.name: each for each in self.all()} | {host.name: host})

    def drop(self, name: str) -> None:
        """Forget one host, known or not."""
        with self._alone():
            self._write({each.name: each for each in self.all() if each.name != name})

    def _write(self, hosts: dict[str, Listed]) -> None:
        said = {name: {**host._asdict(), "way": host.way._asdict()} for name, host in sorted(hosts.items())}
        files.write_json(self._path, {"version": _VERSION, "hosts": said})
        files.sync(self._path.parent)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with _disk(self._path):
            self._home.ensure()
            descriptor = os.open(
                self._home.run / "hosts.register", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)  # it is held for the time of one small write
                yield
            finally:
                os.close(descriptor)


def _hosts(content: dict[str, Any]) -> list[Listed]:
    if content["version"] != _VERSION:
        raise ValueError(f"version {content['version']}")
    return [_read(name, said) for name, said in sorted(content["hosts"].items())]


def _read(name: str, said: dict[str, Any]) -> Listed:
    host = Listed(**{**said, "way": Way(**said["way"])})
    if host.name != name or host.state not in STATES or host.keep not in KEEPERS:
        raise ValueError(name)
    host.way.words()
    return host


@contextlib.contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HomeError(
            "the register of hosts cannot be read or written", expected="a home that this user can write to",
            found=error.strerror or str(error), where=str(error.filename or path),
        ) from error  # fmt: skip
