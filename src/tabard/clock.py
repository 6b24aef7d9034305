"""Time as it is handed to everything that decides: two readings, never confused.

``monotonic`` drives every timer and age, ``wall`` only stamps what people read. Passing a clock in is
what lets the simulation run production code in virtual time.
"""

from __future__ import annotations

import os
import time
from functools import cache
from typing import Final, Protocol

SHIFT: Final = "_TABARD_LAB_CLOCK"
"""Environment variable of the hosts of ``tabard lab``: a file with the seconds by which the host's clock is wrong.

It is for trying out what a wrong clock does, and read at every look at the clock, so that the clock jumps under a process that
runs. Whoever sets a role's environment could as well set the clock of its host.
"""
_shift: Final = os.environ.get(SHIFT)


class Clock(Protocol):
    """What a component may ask of time."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary point; never goes back, comparable within one boot only."""

    def wall(self) -> int:
        """Nanoseconds since 1970-01-01 UTC, as this host believes; may jump either way."""


class SystemClock:
    """The clock of the host."""

    def monotonic(self) -> float:
        """Seconds of the kernel's monotonic clock."""
        return time.monotonic()

    def wall(self) -> int:
        """Nanoseconds since 1970-01-01 UTC by the kernel's real-time clock."""
        return wall()


def wall() -> int:
    """Nanoseconds since 1970-01-01 UTC, as this host believes."""
    return time.time_ns() if _shift is None else time.time_ns() + _wrong_by(_shift)


def _wrong_by(path: str) -> int:
    """Nanoseconds by which the clock of a lab's host is wrong; none where nothing is written down."""
    try:
        with open(path, encoding="ascii") as file:
            return round(float(file.read(64)) * 1e9)
    except (OSError, ValueError, OverflowError):
        return 0


@cache
def boot_id() -> str:
    """A word that changes with every boot, so that a monotonic reading kept on disk is not misread.

    Linux says it itself; elsewhere it is made of the time of boot. It is read once, so that a process that
    runs out of descriptors later still knows it. Raises OSError when it is there and cannot be read: a word
    of the other kind would look like another boot.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        import psutil  # costs milliseconds, and only systems without the file need it

        return f"booted-{int(psutil.boot_time())}"
