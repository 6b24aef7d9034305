"""What `tabard check` says of the addresses that brokers of this home would bind: whether somebody else has them now."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import closing

from tabard import locks
from tabard.brokers.topology import LANES
from tabard.errors import SettingsError
from tabard.home import Home
from tabard.settings import Finding, Settings


def port_findings(home: Home, settings: Settings) -> Iterator[Finding]:
    """A broker that runs has its addresses itself, and is not asked about. Raises HomeError."""
    for broker, origin in settings.tables["broker"]:
        if locks.held(home.lock(f"broker.{broker.name}")) is not None:
            continue
        ends = (broker.up_in, broker.up_out, broker.down_in, broker.down_out)
        for lane, endpoint in zip(LANES, ends, strict=True):
            if endpoint.startswith("tcp://") and _is_taken(endpoint):
                taken = SettingsError(
                    "somebody else listens there now: the broker does not start while they do",
                    file=origin.place,
                    line=origin.line,
                    key=f"broker {broker.name}.{lane}",
                    expected="a free address",
                    found=endpoint,
                    hint=f"Choose another port, or end what has it: ss -ltnp 'sport = :{endpoint.rpartition(':')[2]}'",
                )
                yield Finding(taken, warning=True)


def unjoined(settings: Settings) -> list[str]:
    """Sentences on brokers of zones below another one that hand up to nobody, as far as this home knows."""
    dialled = {link.peer for broker in settings.brokers for link in broker.link if link.dials == "this"}
    return [
        f"Broker {broker.name} of {broker.zone} dials nobody: the broker above has to dial its up_out and down_in"
        + ("" if broker.up_out and broker.down_in else ", which no other host reaches as they are")
        for broker in settings.brokers
        if "/" in broker.zone and not (broker.parent or broker.parent_up) and broker.name not in dialled
    ]


def _is_taken(endpoint: str) -> bool:
    """Whether a bind would find the address in use; an address that is none of this host's says something else."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    host = host.strip("[]")
    if not port.isdecimal():
        return False
    try:
        found = socket.getaddrinfo(
            None if host == "*" else host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _name, address = found[0]
        with closing(socket.socket(family, kind, protocol)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False
