"""Which TCP ports the roles of a home listen on, by the kernel's own tables, and which of them others reach."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final, NamedTuple

from tabard.ops.doctor.finding import FAULT, WARNING, Finding

_LISTEN: Final = "0A"
_TABLES: Final = ("tcp", "tcp6")


class Port(NamedTuple):
    """One port that a role listens on."""

    role: str
    """With the name of its instance: ``broker.b1``."""
    address: str
    port: int


def exposed(ports: Iterable[Port], *, keys: bool) -> Iterator[Finding]:
    """Of each port that hosts other than this one reach what that means; ``keys`` whether the home has keys."""
    for role, address, port in ports:
        at = ip_address(address)
        if at.is_loopback or (isinstance(at, IPv6Address) and at.ipv4_mapped and at.ipv4_mapped.is_loopback):
            continue
        what = f"listens at {address} port {port}, which other hosts reach"
        if role.startswith("herald"):
            do = "Let it listen at 127.0.0.1, behind a proxy with TLS or an ssh tunnel: herald.host"
            yield Finding("listening", WARNING, role, f"{what}; the page is not encrypted", do)
        elif role.startswith("agent"):
            do = "Let senders of other hosts hand in to an agent of their own, and this one listen at 127.0.0.1"
            yield Finding("listening", WARNING, role, f"{what}; anybody there can write records", do)
        elif not keys:
            do = "Make keys (tabard init, tabard join), or let it listen at 127.0.0.1 behind an ssh tunnel"
            yield Finding(
                "listening", FAULT, role, f"{what}, and the home has no keys: nothing is encrypted", do
            )


def ports_of(pids: Mapping[str, int]) -> list[Port]:
    """The ports that processes listen on, and their children's; of other users' processes nothing is known."""
    owner = {inode: role for role, pid in pids.items() for each in _family(pid) for inode in _sockets(each)}
    return [Port(owner[inode], str(address), port) for inode, address, port in _listening() if inode in owner]


def _family(pid: int) -> Iterator[int]:
    """A process and those below it."""
    yield pid
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text(encoding="ascii").split():
                yield from _family(int(child))


def _sockets(pid: int) -> Iterator[str]:
    """The inodes of the sockets that a process has."""
    folder = f"/proc/{pid}/fd"
    names: list[str] = []
    with contextlib.suppress(OSError):
        names = os.listdir(folder)
    for name in names:
        with contextlib.suppress(OSError):
            target = os.readlink(f"{folder}/{name}")
            if target.startswith("socket:["):
                yield target[8:-1]


def _listening() -> Iterator[tuple[str, IPv4Address | IPv6Address, int]]:
    """Inode, address and port of every TCP socket of this network that listens."""
    for table in _TABLES:
        lines: list[str] = []
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/self/net/{table}").read_text(encoding="ascii").splitlines()[1:]
        for words in map(str.split, lines):
            if words[3] == _LISTEN:
                address, _, port = words[1].partition(":")
                yield words[9], _address(address), int(port, 16)


def _address(text: str) -> IPv4Address | IPv6Address:
    """The kernel writes an address as words of 32 bits, each in the order of this machine."""
    words = (int(text[at : at + 8], 16) for at in range(0, len(text), 8))
    raw = b"".join(struct.pack("=I", word) for word in words)
    return ip_address(socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw))
