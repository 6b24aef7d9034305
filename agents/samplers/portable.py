"""Processes and counters through psutil, for systems that are not Linux. It costs more memory and time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Final

import psutil

from tabard.agents.samplers.ports import ProcessStat

_LETTERS: Final = {
    psutil.STATUS_RUNNING: "R",
    psutil.STATUS_SLEEPING: "S",
    psutil.STATUS_DISK_SLEEP: "D",
    psutil.STATUS_STOPPED: "T",
    psutil.STATUS_TRACING_STOP: "t",
    psutil.STATUS_ZOMBIE: "Z",
    psutil.STATUS_IDLE: "I",
    psutil.STATUS_DEAD: "X",
}
_NETWORK: Final = ("nfs", "smb", "cifs", "afp", "webdav", "fuse", "osxfuse", "9p")
_SECOND: Final = 1_000_000_000


class PortableProcesses:
    """The processes psutil sees."""

    def refresh(self) -> None:
        """Nothing is remembered between scans."""

    def stats(self) -> Iterator[ProcessStat]:
        """One pass over all processes."""
        for process in psutil.process_iter():
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    yield ProcessStat(
                        process.pid,
                        int(process.create_time() * _SECOND),
                        process.ppid(),
                        process.name(),
                        _LETTERS.get(process.status(), "S"),
                        times.user + times.system,
                        process.memory_info().rss,
                        process.num_threads(),
                    )
            except (psutil.Error, OSError):
                continue  # it ended just now, or is another user's on a system that hides them

    def start_time(self, stat: ProcessStat) -> int:
        """What psutil says already."""
        return stat.start

    def describe(self, pid: int) -> tuple[str, Sequence[str]]:
        """User and arguments, as far as this user may know them."""
        user = ""
        argv: list[str] = []
        with contextlib.suppress(psutil.Error, OSError, KeyError):  # it ended just now, or is another user's
            process = psutil.Process(pid)
            user = process.username()
            argv = process.cmdline()
        return user, argv


class PortableHost:
    """The counters psutil knows on this system."""

    def processor(self) -> tuple[float, float]:
        """Sums over all processors."""
        times = psutil.cpu_times()
        total = float(sum(times))
        return total - times.idle - getattr(times, "iowait", 0.0), total

    def memory(self) -> dict[str, int]:
        """Used is what is not available."""
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        return {
            "mem_total": memory.total,
            "mem_available": memory.available,
            "mem_used": memory.total - memory.available,
            "swap_total": swap.total,
            "swap_used": swap.used,
        }

    def disks(self) -> dict[str, list[int]]:
        """Local file systems; a server that is away would hang the agent."""
        found: dict[str, list[int]] = {}
        for part in psutil.disk_partitions(all=False):
            if not part.fstype.lower().startswith(_NETWORK):
                try:
                    usage = psutil.disk_usage(part.mountpoint)
                except OSError:
                    continue
                found[part.mountpoint] = [usage.total, usage.used]
        return found

    def disk_io(self) -> list[int]:
        """Sums over all disks."""
        counters = psutil.disk_io_counters()
        return [0, 0] if counters is None else [counters.read_bytes, counters.write_bytes]

    def net(self) -> dict[str, list[int]]:
        """By interface."""
        return {
            name: [nic.bytes_recv, nic.bytes_sent, nic.errin + nic.errout, nic.dropin + nic.dropout]
            for name, nic in sorted(psutil.net_io_counters(pernic=True).items())
        }

    def uptime(self) -> float:
        """Since psutil's time of boot."""
        return max(time.time() - psutil.boot_time(), 0.0)

    def processes(self) -> int:
        """How many there are."""
        return len(psutil.pids())
