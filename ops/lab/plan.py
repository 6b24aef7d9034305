"""What a lab consists of: zones, hosts, links and tunnels, with their names and addresses. Nothing here touches the machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from tabard.errors import UsageError

UP: Final = 7101
"""Port at which a zone's broker takes the up lane from the hosts of its zone, and from zones below."""
DOWN: Final = 7102
"""Port at which they hear it."""
ABOVE_UP: Final = 7103
"""Port at which a broker is heard by the zone above, where that one dials."""
ABOVE_DOWN: Final = 7104
"""Port at which that zone speaks to it."""
TUNNELS: Final = 7200
"""First local port of tunnels; each takes ten."""
HIGH_SSH: Final = 7022
"""Port of ssh servers where those below 1024 are root's."""
PAGE: Final = 8024
"""Port of the page in its host."""
NET: Final = "10.77"
"""The first half of every address. The machine's own network never sees one of them."""
ZONES: Final = ("hq", "hq/dmz", "hq/dmz/plant")
KINDS: Final = {
    "openssh": ("openssh",),
    "openssh-remote": ("openssh-remote",),
    "sshtunnel": ("sshtunnel",),
    "external": ("external",),
    "mixed": ("openssh", "sshtunnel", "openssh-remote", "external"),
}
"""What the tunnels of a lab may be: the kinds that its links have in turn. ``openssh-remote`` is ssh's ``-R``."""
_REMOTE: Final = "openssh-remote"
SMALL: Final = 96 << 20
LARGE: Final = 512 << 20


class Host(NamedTuple):
    """One host of the lab, which is one node."""

    name: str
    zone: str
    roles: tuple[str, ...]
    """In the order they start: each finds those it dials."""
    brokers: tuple[str, ...]
    """The hosts whose broker its agent hands up to, the preferred one first."""
    disk: int
    """Bytes of the disk that is its own."""

    @property
    def bare(self) -> bool:
        """Whether it has an ssh server and a cron, and nothing of Tabard."""
        return not self.roles


class End(NamedTuple):
    """Where a host is plugged in: its interface there, and the port on the other side of the cable."""

    host: str
    device: str
    address: str
    mac: str
    port: str


class Segment(NamedTuple):
    """What joins hosts: the network of a zone, or a link between two of them. Packets pass between its ends only."""

    name: str
    bridge: str
    prefix: int
    ends: tuple[End, ...]
    link: bool

    @property
    def names(self) -> tuple[str, str]:
        """What it may be called: a link either way round."""
        return self.name, "-".join(end.host for end in reversed(self.ends))


class Tunnel(NamedTuple):
    """An ssh connection that carries both lanes over a link."""

    name: str
    """Of the link."""
    host: str
    """Who dials."""
    peer: str
    """Whose ssh server is dialled."""
    address: str
    """Of the peer, on the link."""
    forwards: tuple[tuple[int, str, int], ...]
    """(port on a loopback, address and port as the other side reaches them): up lane, down lane."""
    kind: str = "openssh"

    @property
    def backend(self) -> str:
        """Who keeps it up, as the settings call it."""
        return self.kind.partition("-")[0]

    @property
    def remote(self) -> bool:
        """Whether the peer listens (``-R``), and not who dials."""
        return self.kind == _REMOTE

    @property
    def ends(self) -> tuple[str, str]:
        """Whose loopback it listens on, and whose broker is at its other end."""
        return (self.peer, self.host) if self.remote else (self.host, self.peer)


class Where(NamedTuple):
    """Where a host keeps what is its own, as its processes name it."""

    root: str
    """The home directory of who works there."""
    home: str
    """The home of Tabard."""
    ssh: str
    """Files of its ssh server and of the lab."""
    logs: str
    """What its programs print; its agent tails it."""


class Loop(NamedTuple):
    """What a lab without namespaces has in place of networks and disks."""

    net: str
    """The first half of its addresses, all of the loopback."""
    disks: str
    """The directory with one for each host."""
    page: int
    """The port of the page."""
    user: str
    """Who builds it, and so who logs in to its ssh servers."""


_IN_NAMESPACES: Final = Where("/root", "/root/.tabard", "/run/lab", "/var/log/lab")


class Wired(NamedTuple):
    """One port of one host as another one dials it, in a lab without namespaces."""

    listen: tuple[str, int]
    to: tuple[str, int]
    cables: tuple[str, str]
    """The ports of the cables that lie in between."""


class Lab(NamedTuple):
    """All of it."""

    hosts: tuple[Host, ...]
    segments: tuple[Segment, ...]
    tunnels: tuple[Tunnel, ...]
    loop: Loop | None = None
    """Set where the hosts are directories and addresses of the loopback, and no namespaces."""

    def host(self, name: str) -> Host:
        """The host of that name. Raises UsageError for another."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise UsageError(
            "no such node", expected=", ".join(host.name for host in self.hosts), found=repr(name)
        )

    @property
    def zones(self) -> tuple[str, ...]:
        """Those of its hosts, each above what is below it."""
        return tuple(dict.fromkeys(host.zone for host in self.hosts))

    def ends(self, target: str) -> tuple[End, ...]:
        """What a fault of ``target`` is done to: one end of a link, or all that a node is plugged in with.

        Raises UsageError for a name that is neither.
        """
        for segment in self.segments:
            if segment.link and target in segment.names:
                return segment.ends[:1]
        found = self.ends_of(target)
        if not found:
            names = [segment.name for segment in self.segments if segment.link]
            raise UsageError(
                "no such link and no such node",
                expected=f"a link ({', '.join(names)}) or a node ({', '.join(host.name for host in self.hosts)})",
                found=repr(target),
            )
        return found

    def mended(self, target: str) -> tuple[End, ...]:
        """What is made whole for ``target``: a link at both ends, and with a node its links.

        Raises UsageError for a name that is neither.
        """
        own = self.ends(target)
        links = [each for each in map(self.segment_of, (end.port for end in own)) if each.link]
        return tuple(dict.fromkeys((*own, *(end for link in links for end in link.ends))))

    def ends_of(self, host: str) -> tuple[End, ...]:
        """All that a host is plugged in with, its own zone first."""
        return tuple(end for segment in self.segments for end in segment.ends if end.host == host)

    def segment_of(self, port: str) -> Segment:
        """Where a port belongs."""
        return next(each for each in self.segments if any(end.port == port for end in each.ends))

    def address(self, host: str) -> str:
        """The address at which a host listens for its own zone."""
        return self.ends_of(host)[0].address if self.loop is None else self.seen(host, host)

    def here(self, host: str) -> str:
        """The address at which a host listens for itself."""
        return "127.0.0.1" if self.loop is None else self.address(host)

    def seen(self, dialling: str, host: str) -> str:
        """The address at which one host dials another one of its zone, or over the link between them."""
        if self.loop is not None:
            numbers = {each.name: number for number, each in enumerate(self.hosts, 11)}
            return f"{self.loop.net}.{numbers[dialling]}.{numbers[host]}"
        for segment in self.segments:
            ends = {end.host: end.address for end in segment.ends}
            if {dialling, host} <= ends.keys():
                return ends[host]
        raise ValueError(f"{dialling} and {host} are not joined")

    def where(self, host: str) -> Where:
        """Where that host keeps what is its own."""
        if self.loop is None:
            return _IN_NAMESPACES
        own = f"{self.loop.disks}/{host}"
        return Where(own, f"{own}/home", f"{own}/lab", f"{own}/log")

    def file(self, pid: int, path: str) -> str:
        """A path of the host with that first process, as this machine names it."""
        return f"/proc/{pid}/root{path}" if self.loop is None else path

    @property
    def ssh_port(self) -> int:
        """Where ssh servers listen."""
        return 22 if self.loop is None else HIGH_SSH

    def wires(self) -> Iterator[Wired]:
        """What hosts of a lab without namespaces dial, and where that leads."""
        dialled = [
            (host.name, peer, port)
            for host in self.hosts
            for peer in host.brokers
            if peer != host.name
            for port in (UP, DOWN)
        ]
        dialled += [(tunnel.host, tunnel.peer, self.ssh_port) for tunnel in self.tunnels]
        for host, peer, port in dialled:
            ends = next(
                found
                for segment in self.segments
                if {host, peer} <= (found := {end.host: end.port for end in segment.ends}).keys()
            )
            yield Wired((self.seen(host, peer), port), (self.address(peer), port), (ends[host], ends[peer]))


def planned(kind: str = "openssh", loop: Loop | None = None) -> Lab:
    """The lab: three zones, a pair of brokers in the middle one, twelve nodes; its tunnels are of a kind of ``KINDS``.

    With ``loop`` it is one without namespaces.
    """
    hosts = (
        _host("hq1", 0, "broker", "recorder", "dispatcher", "herald", brokers=("hq1",)),
        _host("office1", 0, brokers=("hq1",)),
        _host("office2", 0, brokers=("hq1",)),
        _host("dmz1", 1, "broker", brokers=("dmz1", "dmz2")),
        _host("dmz2", 1, "broker", brokers=("dmz2", "dmz1")),
        _host("web1", 1, brokers=("dmz1", "dmz2")),
        _host("web2", 1, brokers=("dmz2", "dmz1")),
        _host("mail1", 1, brokers=("dmz1", "dmz2")),
        _host("plant1", 2, "broker", brokers=("plant1",)),
        _host("press1", 2, brokers=("plant1",)),
        _host("press2", 2, brokers=("plant1",)),
        _host("robot1", 2, brokers=("plant1",)),
    )
    # Whoever dials stands first. hq dials out, so nothing of the dmz opens a connection inwards; the plant dials up.
    dialled = (("hq1", "dmz1"), ("hq1", "dmz2"), ("plant1", "dmz1"), ("plant1", "dmz2"))
    segments = tuple(_segments(hosts, dialled))
    lab = Lab(hosts, segments, (), loop)
    return lab._replace(tunnels=tuple(_tunnels(lab, KINDS[kind])))


def planned_bare(count: int) -> Lab:
    """One host with all that a zone needs, and ``count`` bare ones beside it that let its root in by ssh."""
    hosts = (
        _host("hq1", 0, "broker", "recorder", "dispatcher", "herald", brokers=("hq1",)),
        *(Host(f"bare{number}", ZONES[0], (), (), LARGE) for number in range(1, count + 1)),
    )
    return Lab(hosts, tuple(_segments(hosts, ())), ())


def _host(name: str, zone: int, *roles: str, brokers: tuple[str, ...]) -> Host:
    return Host(name, ZONES[zone], (*roles, "agent"), brokers, LARGE if "recorder" in roles else SMALL)


def _segments(hosts: tuple[Host, ...], dialled: tuple[tuple[str, str], ...]) -> Iterator[Segment]:
    count = 0
    devices = dict.fromkeys((host.name for host in hosts), 0)

    def end(host: str, address: str) -> End:
        nonlocal count
        count += 1
        number = devices[host]
        devices[host] += 1
        return End(host, f"eth{number}", address, f"02:00:00:00:00:{count:02x}", f"p{count}")

    for number, zone in enumerate(dict.fromkeys(host.zone for host in hosts)):
        members = [host.name for host in hosts if host.zone == zone]
        ends = tuple(end(name, f"{NET}.{number}.{place}") for place, name in enumerate(members, 11))
        yield Segment(zone, f"b{number}", 24, ends, link=False)
    for number, (host, peer) in enumerate(dialled):
        net = f"{NET}.{128 + number}"
        ends = (end(host, f"{net}.1"), end(peer, f"{net}.2"))
        yield Segment(f"{host}-{peer}", f"b{len(ZONES) + number}", 30, ends, link=True)


def _tunnels(lab: Lab, kinds: tuple[str, ...]) -> Iterator[Tunnel]:
    links = [segment for segment in lab.segments if segment.link]
    for number, link in enumerate(links):
        kind = kinds[number % len(kinds)]
        port = TUNNELS + 10 * number
        ends = link.ends
        if kind == _REMOTE:  # the inner zone dials, and lets the outer one listen for its broker
            ends = tuple(sorted(ends, key=lambda end: _depth(lab.host(end.host))))
        host, peer = (lab.host(end.host) for end in ends)
        if kind == _REMOTE:
            there = ((lab.address(host.name), UP), (lab.address(host.name), DOWN))
        elif _depth(host) < _depth(peer):  # the inner zone dials: it fetches what the outer broker has
            there = ((lab.here(peer.name), ABOVE_UP), (lab.here(peer.name), ABOVE_DOWN))
        else:
            there = ((lab.address(peer.name), UP), (lab.address(peer.name), DOWN))
        forwards = tuple((port + place, *each) for place, each in enumerate(there, 1))
        yield Tunnel(link.name, host.name, peer.name, lab.seen(host.name, peer.name), forwards, kind)


def _depth(host: Host) -> int:
    return host.zone.count("/")
