"""A slow cable: passes packets on between two interfaces, each after a while and no more than so many bytes a second.

It works on packets, not on connections, so it slows down whatever goes along a cable, and no connection breaks when it comes or goes.
The kernel's own emulation (netem) would do the same, and is often not there.

``python -m tabard.ops.lab.cable INTERFACE INTERFACE DELAY RATE``
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import sys
import time
from collections import deque
from typing import Final

_ALL: Final = 3  # ETH_P_ALL
_SOL_PACKET: Final = 263
_VNET_HDR: Final = 15
_IGNORE_OUTGOING: Final = 23
_LARGEST: Final = 70_000
QUEUE: Final = 4 << 20
"""Bytes that wait in each direction; what comes on top of them is dropped, as a router would."""


class Lane:
    """One direction of a slow cable: which packet may leave when. Knows no interface and no clock."""

    def __init__(self, delay: float, rate: float) -> None:
        self._delay = delay
        self._rate = rate
        self._free = 0.0
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._bytes = 0

    def take(self, packet: bytes, now: float) -> bool:
        """Keep a packet until it is due; False when the queue is full and it is dropped."""
        if self._bytes + len(packet) > QUEUE:
            return False
        if self._rate:
            self._free = max(self._free, now) + len(packet) / self._rate
        self._waiting.append(((self._free if self._rate else now) + self._delay, packet))
        self._bytes += len(packet)
        return True

    def due(self) -> float | None:
        """When the next packet may leave; None when none waits."""
        return self._waiting[0][0] if self._waiting else None

    def leaving(self, now: float) -> list[bytes]:
        """The packets whose time has come."""
        found = []
        while self._waiting and self._waiting[0][0] <= now:
            packet = self._waiting.popleft()[1]
            self._bytes -= len(packet)
            found.append(packet)
        return found


def main(words: list[str]) -> int:
    """Pass packets on until killed. Raises OSError for an interface that is not there."""
    first, second, delay, rate = words
    ends = (_opened(first), _opened(second))
    lanes = {ends[0]: Lane(float(delay), float(rate)), ends[1]: Lane(float(delay), float(rate))}
    other = {ends[0]: ends[1], ends[1]: ends[0]}
    sys.stdout.write("made\n")
    sys.stdout.flush()
    while True:
        now = time.monotonic()
        due = [each for lane in lanes.values() if (each := lane.due()) is not None]
        ready, _, _ = select.select(ends, [], [], max(0.0, min(due) - now) if due else None)
        now = time.monotonic()
        for end in ready:
            with contextlib.suppress(BlockingIOError):
                lanes[end].take(end.recv(_LARGEST), now)
        for end, lane in lanes.items():
            for packet in lane.leaving(now):
                _pass_on(other[end], packet)


def _pass_on(end: socket.socket, packet: bytes) -> None:
    try:
        end.send(packet)
    except OSError as error:
        if error.errno not in {errno.ENOBUFS, errno.ENETDOWN, errno.EAGAIN}:
            raise


def _opened(interface: str) -> socket.socket:
    """All that arrives at an interface, with what the kernel has not worked out of it yet (large segments, checksums)."""
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    end.setsockopt(_SOL_PACKET, _VNET_HDR, 1)
    end.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE)
    end.bind((interface, _ALL))
    end.setblocking(False)
    return end


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
