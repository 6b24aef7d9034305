"""What the kernel says a process has used."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

_TICK: Final = 1 / os.sysconf("SC_CLK_TCK")
_UTIME: Final = 11
"""Place of the user time in ``/proc/PID/stat`` behind the command's closing parenthesis; the system time follows."""


class Memory(NamedTuple):
    """Bytes of one process. ``pss`` counts a page that n processes share as one n-th."""

    pss: int
    rss: int
    private: int


def cpu_seconds(pid: int, *, ended: bool = False) -> float:
    """CPU time of all threads since the process began, in steps of 10 ms on most kernels. Raises OSError.

    With that of its children that have `ended`, if wanted.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[_UTIME : _UTIME + (4 if ended else 2)])) * _TICK


def core_wait(pid: int) -> float:
    """Seconds that the main thread could have run and had no core: how much others disturbed it. Raises OSError."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def memory(pid: int) -> Memory:
    """Memory of the process now. Raises OSError."""
    found: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        found[name] = int(rest.split()[0]) * 1024
    return Memory(found["Pss"], found["Rss"], found["Private_Clean"] + found["Private_Dirty"])


def processes() -> int:
    """How many processes this host has now, those of the kernel included."""
    return sum(name.isdigit() for name in os.listdir("/proc"))
