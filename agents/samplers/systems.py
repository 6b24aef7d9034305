"""Which implementation of the samplers' sources is used on which system: one table."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from tabard.agents.samplers.ports import HostSource, ProcessSource


def _linux() -> tuple[ProcessSource, HostSource]:
    from tabard.agents.samplers.linux_host import LinuxHost
    from tabard.agents.samplers.linux_processes import LinuxProcesses

    return LinuxProcesses(), LinuxHost()


def _portable() -> tuple[ProcessSource, HostSource]:
    from tabard.agents.samplers.portable import PortableHost, PortableProcesses

    return PortableProcesses(), PortableHost()


_SYSTEMS: Final[dict[str, Callable[[], tuple[ProcessSource, HostSource]]]] = {"linux": _linux}
"""By ``sys.platform``; what is not listed is sampled through psutil."""


def sources(platform: str = sys.platform) -> tuple[ProcessSource, HostSource]:
    """The sources of processes and counters for ``platform``; only theirs are imported."""
    return _SYSTEMS.get(platform, _portable)()
