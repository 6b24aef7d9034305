"""The network of a lab as lines for ``ip -batch``. Nothing here touches the machine.

A cable is a pair of interfaces: one is the host's, the other one a port of a bridge in the namespace of the lab's first
process. To cut it, the port is taken off the bridge: both ends stay up, what is sent vanishes, and nobody is told. Neighbours
are written down in every host, so that no host notices by asking for an address. To slow it, a process passes the packets on
between the port and a second pair of interfaces.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from tabard.ops.lab.plan import End, Host, Lab


class Slow(NamedTuple):
    """How slow a cable is."""

    delay: float
    """Seconds that each packet waits."""
    rate: float
    """Bytes a second in each direction; 0 for as many as pass."""


class Wear(NamedTuple):
    """What is wrong with one cable."""

    cut: bool = False
    slow: Slow | None = None


SOUND: Final = Wear()


def fabric(lab: Lab) -> list[str]:
    """The bridges. The kernel does not speak on them itself."""
    lines = ["link set dev lo up"]
    for segment in lab.segments:
        lines += [
            f"link add name {segment.bridge} type bridge stp_state 0 mcast_snooping 0",
            f"link set dev {segment.bridge} up",
        ]
    return lines


def cables(lab: Lab, host: Host, pid: int) -> list[str]:
    """Plug in a host whose namespace is that of the process ``pid``."""
    lines = []
    for end in lab.ends_of(host.name):
        lines += [
            f"link add name {end.port} type veth peer name {end.device} address {end.mac} netns {pid}",
            f"link set dev {end.port} up",
            f"link set dev {end.port} master {lab.segment_of(end.port).bridge}",
        ]
    return lines


def addresses(lab: Lab, host: Host) -> list[str]:
    """What a host does with its own ends."""
    lines = ["link set dev lo up"]
    for end in lab.ends_of(host.name):
        segment = lab.segment_of(end.port)
        lines += [
            f"address add {end.address}/{segment.prefix} dev {end.device}",
            f"link set dev {end.device} up",
        ]
        lines += [
            f"neighbour replace {other.address} lladdr {other.mac} dev {end.device} nud permanent"
            for other in segment.ends
            if other.host != host.name
        ]
    return lines


def slow_pair(port: str) -> tuple[str, str]:
    """The interfaces through which a slow cable comes back to its bridge: the bridge's, and that of the process."""
    number = port.removeprefix("p")
    return f"s{number}", f"t{number}"


def changes(lab: Lab, port: str, before: Wear, after: Wear) -> list[str]:
    """What turns a cable of one state into another. The process of a slow one is started after it, and ended before it."""
    outer, inner = slow_pair(port)
    was, joins = _joining(port, outer, before), _joining(port, outer, after)
    lines = []
    if was is not None and was != joins:
        lines.append(f"link set dev {was} nomaster")
    if before.slow and not after.slow:
        lines.append(f"link delete dev {outer}")
    if after.slow and not before.slow:
        lines += [
            f"link add name {outer} type veth peer name {inner}",
            f"link set dev {outer} up",
            f"link set dev {inner} up",
        ]
    if joins is not None and was != joins:
        lines.append(f"link set dev {joins} master {lab.segment_of(port).bridge}")
    return lines


def _joining(port: str, outer: str, wear: Wear) -> str | None:
    """Which interface is a port of the bridge."""
    if wear.cut:
        return None
    return outer if wear.slow else port


def hosts_file(lab: Lab) -> str:
    """The names of all hosts, for ``/etc/hosts``: which of them a host reaches is another matter."""
    return "".join(["127.0.0.1 localhost\n", *(f"{end.address} {end.host}\n" for end in _own(lab))])


def _own(lab: Lab) -> Iterator[End]:
    return (lab.ends_of(host.name)[0] for host in lab.hosts)
