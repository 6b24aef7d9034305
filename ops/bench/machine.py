"""On what the figures were measured, as far as it moves them."""

from __future__ import annotations

import os
import platform
import sqlite3
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, Final

from tabard import __version__

_SYNCS: Final = 20
_BLOCK: Final = b"\0" * 4096


def describe() -> dict[str, Any]:
    """Facts of this machine, and how long its disk takes to keep a block."""
    directory = tempfile.gettempdir()
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _cpu(),
        "load": os.getloadavg()[0],
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "tabard": __version__,
        "directory": directory,
        "filesystem": _filesystem(directory),
        "sync_ms": _sync_ms(),
    }


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _filesystem(directory: str) -> str:
    """The type of the file system that holds `directory`: the mount with the longest matching path."""
    found = ("", "unknown")
    here = os.path.realpath(directory)
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if os.path.commonpath((place, here)) == place and len(place) >= len(found[0]):
            found = (place, kind)
    return found[1]


def _sync_ms() -> float:
    """Median time to append a block to a file and have it on the disk."""
    took = []
    with tempfile.NamedTemporaryFile(buffering=0) as file:
        for _ in range(_SYNCS):
            began = time.perf_counter()
            file.write(_BLOCK)
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    return round(median(took) * 1000, 3)
