"""The counters of a Linux host, read from /proc and /sys without a library."""

from __future__ import annotations

import contextlib
import os
import re
from typing import Final

from tabard.agents.samplers.procfs import read, read_all

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_SECTOR: Final = 512
"""Bytes; /proc/diskstats counts in these whatever the disk has."""
_MOST: Final = 64
"""Mounts and interfaces in a sample: hosts of containers have hundreds."""
_NOT_A_DISK: Final = ("loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd")
"""Devices without a medium of their own, whose bytes are counted on another already."""
_READ_ONLY_IMAGES: Final = frozenset({"squashfs", "iso9660", "erofs", "cramfs"})
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")


class LinuxHost:
    """Counters below ``/proc`` and ``/sys``; another ``root`` is for hosts seen from a container, and for tests."""

    def __init__(self, root: str = "") -> None:
        self._proc = f"{root}/proc"
        self._sys = f"{root}/sys"

    def processor(self) -> tuple[float, float]:
        """The line of all processors in ``stat``."""
        try:
            # user nice system idle iowait irq softirq steal; guests are in user and nice already.
            ticks = [
                int(field) for field in read(f"{self._proc}/stat", 1_024).split(b"\n", 1)[0].split()[1:9]
            ]
            total = sum(ticks)
            return (total - ticks[3] - ticks[4]) / _TICKS, total / _TICKS
        except (OSError, ValueError, IndexError):
            return 0.0, 0.0

    def memory(self) -> dict[str, int]:
        """From ``meminfo``; used is what is not available."""
        sizes: dict[bytes, int] = {}
        with contextlib.suppress(OSError, ValueError, IndexError):  # what was read until then is still true
            for line in read(f"{self._proc}/meminfo").splitlines():
                name, _, rest = line.partition(b":")
                sizes[name] = int(rest.split()[0]) * 1_024
        total, available = sizes.get(b"MemTotal", 0), sizes.get(b"MemAvailable", 0)
        swap = sizes.get(b"SwapTotal", 0)
        return {
            "mem_total": total,
            "mem_available": available,
            "mem_used": total - available,
            "swap_total": swap,
            "swap_used": swap - sizes.get(b"SwapFree", 0),
        }

    def disks(self) -> dict[str, list[int]]:
        """Mounted local file systems. Network file systems are not asked: a dead server would hang the agent."""
        found: dict[str, list[int]] = {}
        for point in self._mounts():
            try:
                state = os.statvfs(point)
            except OSError:
                continue
            if state.f_blocks:
                used = (state.f_blocks - state.f_bfree) * state.f_frsize
                found[point.encode("utf-8", "replace").decode()] = [state.f_blocks * state.f_frsize, used]
        return found

    def _mounts(self) -> list[str]:
        try:
            mounts = os.fsdecode(read_all(f"{self._proc}/self/mounts"))
            virtual = {
                line.split()[1]
                for line in read_all(f"{self._proc}/filesystems").decode().splitlines()
                if line.startswith("nodev")
            } - {"zfs"}
        except (OSError, ValueError, IndexError):
            return ["/"]
        points: dict[str, str] = {}
        for line in mounts.splitlines():
            device, point, kind, *_ = [*line.split(" "), "", "", ""]
            if point != "/" and (kind in virtual or kind in _READ_ONLY_IMAGES or kind.startswith("fuse")):
                continue
            # A device mounted in several places (bind mounts) counts once, where the path is shortest.
            known = points.get(device)
            if known is None or len(point) < len(known):
                points[device] = point
        plain = (
            _ESCAPE.sub(lambda match: chr(int(match[1], 8)), point) for point in points.values() if point
        )
        return sorted(plain)[:_MOST]

    def disk_io(self) -> list[int]:
        """Sums over whole disks, from ``diskstats``."""
        received = written = 0
        with contextlib.suppress(OSError, ValueError, IndexError):  # a container may not see its disks
            disks = {name for name in os.listdir(f"{self._sys}/block") if not name.startswith(_NOT_A_DISK)}
            for line in read_all(f"{self._proc}/diskstats").decode().splitlines():
                fields = line.split()
                if fields[2] in disks:
                    received += int(fields[5]) * _SECTOR
                    written += int(fields[9]) * _SECTOR
        return [received, written]

    def net(self) -> dict[str, list[int]]:
        """From ``net/dev``; the busiest when there are very many."""
        found: dict[str, list[int]] = {}
        with contextlib.suppress(OSError, ValueError, IndexError):  # what was read until then is still true
            for line in read_all(f"{self._proc}/net/dev").decode("utf-8", "replace").splitlines()[2:]:
                name, _, rest = line.rpartition(":")
                counts = [int(field) for field in rest.split()]
                found[name.strip()] = [counts[0], counts[8], counts[2] + counts[10], counts[3] + counts[11]]
        busiest = sorted(found, key=lambda name: -(found[name][0] + found[name][1]))[:_MOST]
        return {name: found[name] for name in sorted(busiest)}

    def uptime(self) -> float:
        """From ``uptime``."""
        try:
            return float(read(f"{self._proc}/uptime", 64).split()[0])
        except (OSError, ValueError, IndexError):
            return 0.0

    def processes(self) -> int:
        """The directories in /proc that are numbers."""
        try:
            return sum(name.isdigit() for name in os.listdir(self._proc))
        except OSError:
            return 0
