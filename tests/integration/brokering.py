"""Three real brokers in a row, and the sockets of those at its ends."""

from __future__ import annotations

import ipaddress
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

import zmq

from tabard.brokers.loop import Loop
from tabard.brokers.sockets import Sockets
from tabard.brokers.topology import LANES
from tabard.brokers.wire import topics
from tabard.home import Home
from tabard.status import running
from tests import keys
from tests.integration.upping import Started, wait_for_end
from tests.ports import free_port

ZONES: Final = {"b1": "hq/dmz/cell", "b2": "hq/dmz", "b3": "hq"}
"""The brokers, the outermost first."""
NODE: Final = "n1"
OTHER: Final = "n2"
OTHER_ZONE: Final = "hq/dmz/other"
"""A node of another cell of the same zone."""
SINKS: Final = tuple(f"s{number}" for number in range(40))
"""Sinks of which one is asked for by each test."""
PATIENCE: Final = 60.0
"""Seconds after which what should happen will not."""
Socket = zmq.Socket[bytes]
Frames = list[bytes]


def hear_until(sock: Socket, expected: bytes) -> list[bytes]:
    """Every subscription that a publisher hears of, up to the one expected."""
    heard = [b""]
    while heard[-1] != expected:
        frames = hear(sock)
        assert frames is not None, f"{expected!r} was not heard, only {heard[1:]}"
        heard += frames
    return heard[1:]


def message(topic: bytes, body: bytes = b"body") -> Frames:
    """Six frames as a node or a sink sends them."""
    return [topic, b"envelope", b"head", b"signature", body, b""]


def up_message(sink: str, body: bytes = b"body") -> Frames:
    """A batch of the node in the innermost cell."""
    return message(topics.up_topic(sink, ZONES["b1"], NODE, "logs"), body)


def wait_until(holds: Callable[[], Any], what: str) -> None:
    """Return once it holds. For what another process does and tells nobody."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f"not seen in {PATIENCE:.0f} s: {what}"
        time.sleep(0.02)


def hear(sock: Socket, seconds: float = PATIENCE) -> Frames | None:
    """The next message, None when none comes in time."""
    return sock.recv_multipart() if sock.poll(int(seconds * 1000)) else None


class Chain:
    """Three brokers in one home, each a process of its own. Use as a context manager."""

    def __init__(self, home: Path, *, tcp: bool, parent_dials: bool, hwm: int = 0) -> None:
        self.home = Home(home).ensure()
        self.ends: dict[str, dict[str, str]] = {
            name: {lane: self._end(name, lane, tcp) for lane in LANES} for name in ZONES
        }
        few = f"[brokers]\nhwm = {hwm}\n[recorder]\ncredit_batches = {hwm // 2}\n" if hwm else ""
        self.home.settings_file.write_text(few + "\n".join(self._tables(parent_dials)))
        self._started: dict[str, Started] = {}
        self._loop = Loop()
        self._made: dict[tuple[str, str], Sockets] = {}
        self.keys: keys.Keys | None = None
        if tcp:
            brokers = [keys.broker(name, zone) for name, zone in ZONES.items()]
            nodes = [keys.node(NODE, ZONES["b1"]), keys.node(OTHER, OTHER_ZONE)]
            recorders = [keys.recorder(f"of-{sink}", "hq", sink) for sink in (*SINKS, keys.SINK)]
            self.keys = keys.Keys(home.parent, "hq", [*brokers, *nodes, *recorders])
            self.keys.give(self.home, *(f"broker.{name}" for name in ZONES))

    def _end(self, name: str, lane: str, tcp: bool) -> str:
        return f"tcp://127.0.0.1:{free_port()}" if tcp else f"ipc://{self.home.sockets}/{name}.{lane}"

    def _tables(self, parent_dials: bool) -> Iterator[str]:
        child = ""
        for name, parent in zip(ZONES, [*list(ZONES)[1:], ""], strict=True):
            yield f'[[broker]]\nname = "{name}"\nzone = "{ZONES[name]}"\nparent = "{parent}"'
            yield from (f'{lane} = "{end}"' for lane, end in self.ends[name].items())
            if parent_dials and child:
                yield f'[[broker.link]]\npeer = "{child}"\ndials = "this"'
                yield f'up = "{self.ends[child]["up_out"]}"\ndown = "{self.ends[child]["down_in"]}"'
            child = name

    def __enter__(self) -> Self:
        try:
            for name in ZONES:
                self._started[name] = Started(self.home.path, "broker", name)
            for name in ZONES:
                self._wait_for(name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for made in self._made.values():
            made.close()
        self._loop.close()
        for started in self._started.values():
            if started.process.poll() is None:
                started.signal(signal.SIGCONT)
            started.__exit__()

    def _wait_for(self, name: str) -> None:
        process = self._started[name].process
        wait_until(
            lambda: process.poll() is not None or running(self.home, f"broker.{name}"), f"{name} is running"
        )
        assert process.poll() is None, self._started[name].rest() or self._started[name].said

    def pid(self, name: str) -> int:
        """Of a broker that runs."""
        process = self._started[name].process
        assert process.poll() is None
        return process.pid

    def freeze(self, name: str) -> None:
        """It does nothing any more, and its connections stay until others give them up."""
        self._started[name].signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """It goes on."""
        self._started[name].signal(signal.SIGCONT)

    def kill_and_restart(self, name: str) -> None:
        """As a crash and a supervisor do it."""
        pid = self.pid(name)
        self._started[name].signal(signal.SIGKILL)
        wait_for_end(pid)
        self._started[name].rest()
        self._started[name] = Started(self.home.path, "broker", name)
        self._wait_for(name)

    def counters(self, name: str) -> dict[str, int]:
        """As its status file has them, which is written every few seconds."""
        said = running(self.home, f"broker.{name}")
        return said["counters"] if said else {}

    def sockets(self, role: str, name: str) -> Sockets:
        """Those of somebody, with keys where they are needed."""
        if (role, name) not in self._made:
            where = {end: broker for broker, ends in self.ends.items() for end in ends.values()}
            self._made[role, name] = (
                self.keys.sockets(role, name, self._loop, where) if self.keys else Sockets(max_frame=2**26)
            )
        return self._made[role, name]

    def _whose(self, lane: str, topics: tuple[bytes, ...] = ()) -> Sockets:
        """Of who would do this: the node of the innermost cell, or the other one; the recorder of the sink."""
        if lane in {"up_in", "down_out"}:
            other = any(topic.endswith(f"/{OTHER}/".encode()) for topic in topics)
            return self.sockets("node", OTHER if other else NODE)
        sinks = [topic.split(b"/")[1].decode() for topic in topics if topic.startswith(b"u/")]
        return self.sockets("recorder", f"of-{sinks[0] if sinks else keys.SINK}")

    @contextmanager
    def publishing(self, name: str, lane: str) -> Iterator[Socket]:
        """A publisher that hears who subscribes, at a broker's `up_in` (as a node) or `down_in` (as a sink)."""
        made = self._whose(lane)
        sock = made.forward_out()
        sock.setsockopt(zmq.XPUB_MANUAL, 0)
        made.connect(sock, self.ends[name][lane])
        try:
            yield sock
        finally:
            made.close_one(sock)

    @contextmanager
    def listening(self, name: str, lane: str, *prefixes: bytes) -> Iterator[Socket]:
        """A subscriber at a broker's `up_out` (as a sink) or `down_out` (as a node)."""
        made = self._whose(lane, prefixes)
        sock = made.subscriber()
        for prefix in prefixes:
            sock.subscribe(prefix)
        made.connect(sock, self.ends[name][lane])
        try:
            yield sock
        finally:
            made.close_one(sock)


def listeners(pids: set[int]) -> set[tuple[str, str]]:
    """Where these processes listen: ("tcp", "127.0.0.1:8024"), ("unix", path), as the kernel has it."""
    inodes = {link for pid in pids for link in _sockets_of(pid)}
    found = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if rest[5] in inodes and (state == "0A" or table.startswith("udp")):
                found.add((table.removesuffix("6"), _address(local)))
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        _, _, _, flags, _, _, inode, *path = line.split(maxsplit=7)
        if inode in inodes and int(flags, 16) & 0x10000:  # __SO_ACCEPTCON
            found.add(("unix", path[0] if path else ""))
    return found


def _sockets_of(pid: int) -> Iterator[str]:
    with os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # a file that has just been closed
                target = os.readlink(entry.path)
                if target.startswith("socket:["):
                    yield target.removeprefix("socket:[").rstrip("]")


def _address(local: str) -> str:
    """The kernel's words of hexadecimal digits, each in this machine's order of bytes, as an endpoint has them."""
    host, port = local.split(":")
    words = bytes.fromhex(host)
    raw = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
    address = ipaddress.ip_address(raw)
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped  # sockets here speak both, so an IPv4 address is bound as such a one
        shown = str(mapped) if mapped else f"[{address}]"
    else:
        shown = str(address)
    return f"{shown}:{int(port, 16)}"


def family(pid: int) -> set[int]:
    """A process and all below it, as far as they are still there."""
    below: set[int] = set()
    with suppress(FileNotFoundError, ProcessLookupError), os.scandir(f"/proc/{pid}/task") as tasks:
        for task in tasks:
            with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
                below.update(map(int, Path(task.path, "children").read_text().split()))
    return {pid}.union(*(family(child) for child in below))
