"""Telling a dispatcher of the same home that control records were stored: nodes may have answered commands."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tabard.brokers.delivery.ports import EpochWork
from tabard.brokers.wire.streams import CONTROL

SOCKET: Final = "inbox.wake"
"""The name of the dispatcher's socket in the home."""


class Waking:
    """Sends an empty datagram. Nobody has to be there: a dispatcher looks by itself, only later."""

    def __init__(self, path: Path) -> None:
        self._path = os.fspath(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def __call__(self, works: Sequence[EpochWork]) -> None:
        """What was committed."""
        if any(work.stream == CONTROL for work in works):
            with contextlib.suppress(OSError):
                self._socket.sendto(b"", self._path)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()
