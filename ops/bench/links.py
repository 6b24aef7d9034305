"""How the brokers of a bench's chain are joined: over TCP with CURVE, as zones are, or in unix sockets, as ``tabard up`` does.

And what CURVE costs, measured apart from the chain: the same messages through one connection of the product's own sockets over TCP,
with keys and without.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import zmq

from tabard.brokers import sockets
from tabard.brokers.topology import LANES
from tabard.errors import TabardError
from tabard.home import Home
from tabard.ops.bench.surroundings import free_port
from tabard.records import MAX_RECORDS

TCP, UNIX = "tcp", "unix"
KINDS: Final = (TCP, UNIX)
"""The first is what zones have, and what the aims are about before all."""
BROKERS: Final = ("b1", "b2", "b3")
HOPS: Final = len(BROKERS) + 1
"""Connections that a batch passes from its agent to the recorder."""
MESSAGES: Final = 400
ROUNDS: Final = 5
_SMALL: Final = (bytes(40), bytes(40), bytes(120), bytes(64))
"""Topic, envelope, head and signature."""
_WAIT: Final = 10_000


def describe(home: Path, kind: str) -> Mapping[str, str]:
    """What a home's settings say of a chain of three brokers; over TCP that needs a file, which is written."""
    if kind == UNIX:
        return {"up.brokers": str(len(BROKERS))}
    lines = []
    for name, parent in zip(BROKERS, (*BROKERS[1:], ""), strict=True):
        lines += ["[[broker]]", f'name = "{name}"', 'zone = "local"', f'parent = "{parent}"']
        lines += [f'{lane} = "tcp://127.0.0.1:{free_port()}"' for lane in LANES]
    Home(home).ensure().settings_file.write_text("\n".join(lines) + "\n")
    return {}


def measure(bytes_per_record: float) -> dict[str, float]:
    """Microseconds of CPU that CURVE adds to a record in a full batch: for one connection, and for those of the whole chain."""
    body = os.urandom(int(bytes_per_record * MAX_RECORDS))
    plain, curve = (min(_cost(body, keys=keys) for _ in range(ROUNDS)) for keys in (False, True))
    hop = (curve - plain) / MAX_RECORDS
    return {
        "plain_us_per_batch_and_hop": plain,
        "curve_us_per_batch_and_hop": curve,
        "us_per_record_and_hop": hop,
        "us_per_record": hop * HOPS,
    }


def _cost(body: bytes, *, keys: bool) -> float:
    """CPU microseconds of this process, which is both ends, for a message: sent, and received as a broker does."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    sender, receiver = context.socket(zmq.XPUB), context.socket(zmq.XSUB)
    for sock in (sender, receiver):
        sock.setsockopt(zmq.LINGER, 0)
        sock.setsockopt(zmq.SNDHWM, 2 * MESSAGES)
        sock.setsockopt(zmq.RCVHWM, 2 * MESSAGES)
    try:
        if keys:
            public, secret = zmq.curve_keypair()
            receiver.curve_server, receiver.curve_secretkey = True, secret
            sender.curve_publickey, sender.curve_secretkey = zmq.curve_keypair()
            sender.curve_serverkey = public
        port = receiver.bind_to_random_port("tcp://127.0.0.1")
        receiver.send(b"\x01")
        sender.connect(f"tcp://127.0.0.1:{port}")
        end = time.monotonic() + _WAIT / 1000
        while not sender.poll(1):
            receiver.poll(0)  # it takes notice of who connects when it is asked for something
            if time.monotonic() > end:
                raise TabardError(
                    "two sockets of one process do not meet", expected="a connection over loopback"
                )
        sender.recv()
        frames = [*_SMALL, body, b""]
        began = time.process_time()
        for _ in range(MESSAGES):
            sockets.send(sender, frames)
            while receiver.poll(_WAIT) and sockets.receive_known(receiver) is None:
                pass
        return (time.process_time() - began) / MESSAGES * 1e6
    finally:
        context.destroy(linger=0)
