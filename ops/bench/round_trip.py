"""Bare ZeroMQ on the way of a command: processes of libzmq's own proxy in the place of brokers, with CURVE over TCP.

One process stands for each of the product's. The dispatcher's asks, the node's sends back what it gets, and the recorder's takes what comes
up and wakes the asking one by a datagram, as a recorder does. Nothing is looked at, kept or signed.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import zmq

from tabard.ops.bench.helper import Helper, answer, requests
from tabard.ops.bench.surroundings import free_port

SIZE: Final = 2_000
"""Bytes of a message, about those of a command."""
_MODULE: Final = "tabard.ops.bench.round_trip"
_WAIT: Final = 10.0
_PATIENCE: Final = 60.0


class RoundTrip:
    """The processes, for so many brokers. As a context it ends them."""

    def __init__(self, place: Path, brokers: int) -> None:
        self.processes = brokers + 3
        self._socket = place / f"bare{brokers}.sock"
        self._brokers = brokers
        self._stack = ExitStack()
        self._asker: Helper

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        (public, secret), mine = zmq.curve_keypair(), zmq.curve_keypair()
        keys = {"keys": [key.decode() for key in (public, secret, *mine)]}
        # One more than brokers: the first of `down` is the first broker's, the last is the node's.
        down = [free_port() for _ in range(self._brokers + 1)]
        up = [free_port() for _ in range(self._brokers + 1)]
        lanes = [
            [[down[each], down[each + 1]], [up[each], up[each + 1]]]  # from, and to
            for each in range(self._brokers)
        ]
        for pairs in (*lanes, [[down[-1], up[0]]]):
            self._part(part="forward", pairs=pairs, **keys)
        self._asker = self._part(part="ask", where=str(self._socket), to=down[0], **keys)
        self._part(part="take", where=str(self._socket), at=up[-1], **keys)

    def _part(self, **request: Any) -> Helper:
        helper = self._stack.enter_context(Helper(_MODULE))
        helper.ask(_PATIENCE, **request)
        return helper

    def measure(self, count: int) -> list[float]:
        """Seconds of so many round trips, one after the other. Raises TabardError when one gets lost."""
        found: list[float] = self._asker.ask(_PATIENCE, count=count)["seconds"]
        return found


def _socket(
    context: zmq.Context[zmq.Socket[bytes]], kind: int, port: int, keys: list[str]
) -> zmq.Socket[bytes]:
    """Who takes in listens."""
    made = context.socket(kind)
    public, secret, mine, my_secret = (key.encode() for key in keys)
    if kind == zmq.PULL:
        made.curve_server, made.curve_secretkey = True, secret
        made.bind(f"tcp://127.0.0.1:{port}")
    else:
        made.curve_serverkey, made.curve_publickey, made.curve_secretkey = public, mine, my_secret
        made.connect(f"tcp://127.0.0.1:{port}")
    return made


def _forward(context: zmq.Context[zmq.Socket[bytes]], request: Mapping[str, Any]) -> None:
    for at, to in request["pairs"]:
        ends = [
            _socket(context, kind, port, request["keys"]) for kind, port in ((zmq.PULL, at), (zmq.PUSH, to))
        ]
        threading.Thread(target=zmq.proxy, args=ends, daemon=True).start()


def _take(context: zmq.Context[zmq.Socket[bytes]], request: Mapping[str, Any]) -> None:
    source = _socket(context, zmq.PULL, request["at"], request["keys"])
    wakes = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def take() -> None:
        while True:
            source.recv()
            wakes.sendto(b"", request["where"])

    threading.Thread(target=take, daemon=True).start()


def _asked(out: zmq.Socket[bytes], woken: socket.socket, count: int) -> list[float]:
    message = os.urandom(SIZE)
    took = []
    for _ in range(count):
        began = time.perf_counter()
        out.send(message)
        woken.recv(1)
        took.append(time.perf_counter() - began)
    return took


def main() -> None:
    """Be one of the processes: the first request says which, others how often to ask."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    woken = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    woken.settimeout(_WAIT)
    out: zmq.Socket[bytes] | None = None
    for request in requests():
        part = request.get("part")
        if part == "ask":
            woken.bind(request["where"])
            out = _socket(context, zmq.PUSH, request["to"], request["keys"])
        elif part is not None:
            {"forward": _forward, "take": _take}[part](context, request)
        elif out is not None:
            answer(seconds=_asked(out, woken, request["count"]))
            continue
        answer()
    os._exit(0)  # libzmq's proxy never returns


if __name__ == "__main__":
    main()
