"""The process that plays the application: sends records to an agent's socket, as fast as it may or at a pace."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from typing import Any, Final

from tabard.brokers.wire.codec import pack
from tabard.client import IntakeClient
from tabard.errors import IntakeError
from tabard.intake_frames import ACCEPTED, HEAD, HELLO, VERSION, WELCOME, frame
from tabard.ops.bench.helper import answer, requests
from tabard.ops.bench.records import frames, record

WINDOW: Final = 64
"""Frames on their way and not yet accepted."""
TICK: Final = 0.001
"""Seconds that a paced generator sleeps between two looks at what is due."""
_PATIENCE: Final = 60.0


class Connection:
    """One client of the intake socket that sends frames somebody else has encoded."""

    def __init__(self, path: str, source: str) -> None:
        self._path = path
        self._answers = bytearray()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_PATIENCE)
        self._socket.connect(path)
        self._socket.sendall(frame(HELLO, 0, pack({"v": VERSION, "source": source, "service": ""})))
        self._hear(WELCOME)

    def send(self, prepared: Sequence[bytes]) -> None:
        """Send frames numbered from 1 and return when all are accepted. Raises IntakeError when one is not."""
        accepted = 0
        for number, data in enumerate(prepared, 1):
            while number - accepted > WINDOW:
                accepted = self._hear(ACCEPTED)
            self._socket.sendall(data)
        while accepted < len(prepared):
            accepted = self._hear(ACCEPTED)

    def _hear(self, expected: int) -> int:
        while len(self._answers) < HEAD.size:
            data = self._socket.recv(4096)
            if not data:
                raise IntakeError("the agent closed the connection", where=self._path)
            self._answers += data
        _, kind, number = HEAD.unpack_from(self._answers)
        if kind != expected:
            raise IntakeError(
                "an unexpected answer of the agent",
                expected=f"kind {expected}",
                found=f"kind {kind}",
                where=self._path,
            )
        del self._answers[: HEAD.size]
        return int(number)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def send_all(path: str, source: str, prepared: Sequence[bytes]) -> dict[str, float]:
    """Send at full speed; when it began (monotonic seconds), and the CPU and time until all was accepted."""
    connection = Connection(path, source)
    cpu = time.process_time()
    began = time.monotonic()
    connection.send(prepared)
    took = time.monotonic() - began
    cpu = time.process_time() - cpu
    connection.close()
    return {"began": began, "seconds": took, "cpu": cpu}


def pace(path: str, source: str, rate: int, count: int) -> dict[str, float]:
    """Make `count` records at `rate` a second, each stamped with the moment at which it is due, and send them.

    Being late does not move the stamps: what a slow agent delays counts against it.
    """
    client = IntakeClient(path, source)
    client.connect()
    cpu = time.process_time()
    began = time.monotonic()
    epoch = time.time_ns()
    made = 0
    latest = 0.0
    while made < count:
        now = time.monotonic()
        due = min(int((now - began) * rate), count)
        if due > made:
            latest = max(latest, now - began - (made + 1) / rate)
            client.send(
                record(number, epoch + number * 1_000_000_000 // rate) for number in range(made + 1, due + 1)
            )
            made = due
        time.sleep(TICK)
    client.flush(_PATIENCE)
    client.close()
    return {"cpu": time.process_time() - cpu, "latest": latest}


def main() -> None:
    """Serve requests until there are no more."""
    prepared: list[bytes] = []
    for request in requests():
        answer(**_serve(request, prepared))


def _serve(request: Any, prepared: list[bytes]) -> dict[str, Any]:
    if request["do"] == "prepare":
        prepared[:] = frames(request["records"], time.time_ns())
        return {"frames": len(prepared), "bytes": sum(map(len, prepared))}
    if request["do"] == "send":
        return send_all(request["socket"], request["source"], prepared)
    return pace(request["socket"], request["source"], request["rate"], request["records"])


if __name__ == "__main__":
    main()
