"""The host sample: processors, memory, disks, load and network at one moment."""

from __future__ import annotations

import os
from typing import Final

from tabard.agents.samplers.ports import HostSource, Sample
from tabard.agents.samplers.systems import sources
from tabard.clock import Clock

DISKS_SECONDS: Final = 30.0
"""How often file systems are asked how full they are; one that is busy may take its time to answer."""


class HostSampler:
    """Samples this host, or what ``source`` shows of one."""

    def __init__(self, clock: Clock, source: HostSource | None = None) -> None:
        self._clock = clock
        self._source = source or sources()[1]
        self._busy, self._total = self._source.processor()
        self._disks: dict[str, list[int]] = {}
        self._disks_at: float | None = None

    def sample(self) -> Sample:
        """The data of a sample of kind ``host``; ``cpu`` is of the time since the sample before."""
        source = self._source
        busy, total = source.processor()
        passed = total - self._total
        cpu = 100.0 * (busy - self._busy) / passed if passed > 0 else 0.0
        self._busy, self._total = busy, total
        now = self._clock.monotonic()
        if self._disks_at is None or now - self._disks_at >= DISKS_SECONDS:
            self._disks_at = now
            self._disks = source.disks()
        return {
            "cpu": round(min(max(cpu, 0.0), 100.0), 1),
            "cpus": os.cpu_count() or 1,
            "load": [round(value, 2) for value in _load()],
            **source.memory(),
            "disks": self._disks,
            "disk_io": source.disk_io(),
            "net": source.net(),
            "uptime": int(source.uptime()),
            "procs": source.processes(),
        }


def _load() -> tuple[float, float, float]:
    try:
        return os.getloadavg()
    except OSError:
        return 0.0, 0.0, 0.0
