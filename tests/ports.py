"""TCP ports for tests: free ones that nobody else is given meanwhile."""

from __future__ import annotations

import contextlib
import random
import socket
from typing import Final

_PORTS: Final = range(20_000, 32_000)
"""Below what the kernel gives to those who dial, so that none of them takes a port before its listener does, or while it is away."""


def free_ports(count: int) -> list[int]:
    """As many that nobody listens on now."""
    found: list[int] = []
    order = random.SystemRandom()
    while len(found) < count:
        port = order.choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in found:
                found.append(port)
    return found


def free_port() -> int:
    """One that nobody listens on now."""
    return free_ports(1)[0]
