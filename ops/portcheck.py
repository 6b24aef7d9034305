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
            wrong = _why_not(endpoint) if endpoint.startswith("tcp://") else None
            if wrong is not None:
                what, expected, hint = wrong
                said = SettingsError(
                    what,
                    file=origin.place,
                    line=origin.line,
                    key=f"broker {broker.name}.{lane}",
                    expected=expected,
                    found=endpoint,
                    hint=hint,
                )
                yield Finding(said, warning=True)


def unjoined(settings: Settings) -> list[str]:
    """Sentences on brokers of zones below another one that hand up to nobody, as far as this home knows."""
    dialled = {link.peer for broker in settings.brokers for link in broker.link if link.dials == "this"}
    return [
        f"Broker {broker.name} of {broker.zone} dials nobody: the broker above has to dial its up_out and down_in"
        + ("" if broker.up_out and broker.down_in else ", which no other host reaches as they are")
        for broker in settings.brokers
        if "/" in broker.zone and not (broker.parent or broker.parent_up) and broker.name not in dialled
    ]


def _why_not(endpoint: str) -> tuple[str, str, str] | None:
    """What a bind there would come to, what is expected, and what to do; None where it would do."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    host = host.strip("[]")
    if not port.isdecimal():
        return None
    try:
        found = socket.getaddrinfo(
            None if host == "*" else host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _name, address = found[0]
        with closing(socket.socket(family, kind, protocol)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
    except socket.gaierror as error:
        why = f"that name has no address ({error.strerror})"
        return f"{why}: the broker does not start", "an address of this host", "Name one: ip -brief address"
    except OSError as error:
        return _words(error, port)
    return None


def _words(error: OSError, port: str) -> tuple[str, str, str] | None:
    if error.errno == errno.EADDRINUSE:
        return (
            "somebody else listens there now: the broker does not start while they do",
            "a free address",
            f"Choose another port, or end what has it: ss -ltnp 'sport = :{port}'",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            "this host has no such address: the broker does not start",
            "an address of this host",
            "See which it has: ip -brief address. Behind an ssh tunnel it is a loopback address",
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return (
            "this user may not listen there: the broker does not start",
            "a port that it may have, as a rule from 1024 on",
            "Choose another port",
        )
    return None
