"""The processes of Linux, read from /proc without a library: about 10 us a process and scan."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from typing import Final

from tabard.agents.samplers.ports import ProcessStat
from tabard.agents.samplers.procfs import read, read_all
from tabard.agents.samplers.users import Users

_MOST_ARGUMENTS: Final = 4_096
"""Bytes of a command line that are read."""
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_SECOND: Final = 1_000_000_000
_WORK: Final = re.compile("[-+]")


class LinuxProcesses:
    """All processes below ``root`` (/proc)."""

    def __init__(self, users: Users | None = None, root: str = "/proc") -> None:
        self._users = users or Users()
        self._root = root
        self._boot = 0
        self.refresh()

    def refresh(self) -> None:
        """Read the users and the time of boot again: the clock may have been set since."""
        self._users.refresh()
        try:
            for line in read_all(f"{self._root}/stat").splitlines():
                if line.startswith(b"btime "):
                    self._boot = int(line.split()[1])
        except (OSError, ValueError):
            return

    def stats(self) -> Iterator[ProcessStat]:
        """One ``stat`` file read for each process."""
        try:
            names = os.listdir(self._root)
        except OSError:
            return
        for name in names:
            if name.isdigit():
                try:
                    yield parse_stat(int(name), read(f"{self._root}/{name}/stat", 1_024))
                except (OSError, ValueError, IndexError):
                    continue  # it ended just now

    def start_time(self, stat: ProcessStat) -> int:
        """From the time of boot and the ticks since then."""
        return self._boot * _SECOND + stat.start * _SECOND // _TICKS

    def describe(self, pid: int) -> tuple[str, Sequence[str]]:
        """The effective user, by name where the host knows one, and the arguments."""
        user = ""
        argv: list[str] = []
        with contextlib.suppress(
            OSError, ValueError, IndexError
        ):  # another user's on a host that hides them, or it ended just now
            status = read(f"{self._root}/{pid}/status", 4_096)
            uid = int(status.partition(b"\nUid:")[2].split(maxsplit=2)[1])
            user = self._users.name(uid) or str(uid)
            raw = read(f"{self._root}/{pid}/cmdline", _MOST_ARGUMENTS)
            argv = raw.rstrip(b"\0 ").decode("utf-8", "backslashreplace").split("\0") if raw else []
        return user, argv


def parse_stat(pid: int, raw: bytes) -> ProcessStat:
    """The fields of ``/proc/PID/stat``. The name may hold anything, brackets too: the last one closes it.

    Raises ValueError or IndexError on anything else.
    """
    start, end = raw.index(b"("), raw.rindex(b")")
    fields = raw[end + 2 :].split(None, 22)
    name = raw[start + 1 : end].decode("utf-8", "backslashreplace")
    if name.startswith("kworker/"):  # kernel threads that show in their name what they do just now
        name = _WORK.split(name, 1)[0]
    return ProcessStat(
        pid,
        int(fields[19]),
        int(fields[1]),
        name,
        fields[0].decode("ascii"),
        (int(fields[11]) + int(fields[12])) / _TICKS,
        int(fields[21]) * _PAGE,
        int(fields[17]),
    )
