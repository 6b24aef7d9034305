"""How the hosts of a lab get their keys: what an operator would type, in which host, in which order. Nothing here touches the machine.

The authority is kept where the store is. Brokers are added before those who hand up to them, so that each file has the keys of whom
its host dials; the brokers' hosts take in the newest rosters at the end, and know whom they let in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tabard.ops.lab.plan import Host, Lab


class Typed(NamedTuple):
    """What is typed in a host, and the file that is carried there before, from the authority."""

    host: str
    words: tuple[str, ...]
    carried: str = ""


def authority(lab: Lab) -> Host:
    """Where the authorities of all zones are."""
    return next(host for host in lab.hosts if "recorder" in host.roles)


def founded(lab: Lab) -> Iterator[Typed]:
    """One after the other at the authority: zones, then hosts."""
    name = authority(lab).name
    root, *below = lab.zones
    yield Typed(name, ("init", "--zone", root))
    for zone in below:
        yield Typed(name, ("zone", "add", zone))
    for host in sorted(_others(lab), key=lambda host: "broker" not in host.roles):
        broker = ("--broker", host.name) if "broker" in host.roles else ()
        out = ("--out", file_for(lab, host.name))
        yield Typed(name, ("node", "add", host.name, "--zone", host.zone, *broker, *out))
    for host in _others(lab):
        if "broker" in host.roles:
            yield Typed(name, ("keys", "roster", "--out", _roster_for(lab, host)))


def joined(lab: Lab) -> Iterator[tuple[Typed, ...]]:
    """For each other host what is typed there, one after the other; hosts do not wait for each other."""
    for host in _others(lab):
        files = [file_for(lab, host.name), *([_roster_for(lab, host)] if "broker" in host.roles else [])]
        yield tuple(Typed(host.name, ("join", file), file) for file in files)


def file_for(lab: Lab, host: str) -> str:
    """The file with the keys of a host, at the authority and at the host."""
    return f"{lab.where(authority(lab).name).root}/{host}.tabard"


def _roster_for(lab: Lab, host: Host) -> str:
    return f"{lab.where(authority(lab).name).root}/{host.name}-roster.tabard"


def _others(lab: Lab) -> list[Host]:
    return [host for host in lab.hosts if host != authority(lab) and not host.bare]
