"""What the samplers ask of an operating system."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol


class ProcessStat(NamedTuple):
    """What is read of every process at every scan, so it has to be cheap."""

    pid: int
    start: int
    """Tells processes with the same id apart; a number of the system's own."""
    ppid: int
    name: str
    state: str
    """One letter, as Linux has them: R, S, D, T, t, Z, I, X."""
    cpu: float
    """Seconds of processor time used so far."""
    rss: int
    """Bytes in memory."""
    threads: int


class ProcessSource(Protocol):
    """The processes of a system. Processes that vanish or may not be read are left out, never an error."""

    def refresh(self) -> None:
        """Look again at what seldom changes: names of users, the time of boot."""

    def stats(self) -> Iterator[ProcessStat]:
        """Every process."""

    def start_time(self, stat: ProcessStat, /) -> int:
        """When the process was started, in nanoseconds since 1970-01-01 UTC."""

    def describe(self, pid: int, /) -> tuple[str, Sequence[str]]:
        """User and command line; "" and nothing where they cannot be had."""


class HostSource(Protocol):
    """The counters of a system; each empty or 0 where they cannot be had."""

    def processor(self) -> tuple[float, float]:
        """Seconds all processors were busy, and seconds that passed for all of them, since boot."""

    def memory(self) -> dict[str, int]:
        """``mem_total``, ``mem_available``, ``mem_used``, ``swap_total``, ``swap_used`` in bytes."""

    def disks(self) -> dict[str, list[int]]:
        """By mount point of a local file system: bytes in all, bytes used."""

    def disk_io(self) -> list[int]:
        """Bytes read and bytes written by all disks since boot."""

    def net(self) -> dict[str, list[int]]:
        """By network interface: bytes received, bytes sent, errors, drops since boot."""

    def uptime(self) -> float:
        """Seconds since boot."""

    def processes(self) -> int:
        """How many processes there are."""


Sample = dict[str, Any]
"""The data of one sample, as docs/protocol.md lays it out."""
