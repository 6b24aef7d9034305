"""What has to be said on the next host of this zone, so that its agent reaches the broker of this home."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tabard.settings import Broker, Settings

_EVERYWHERE = frozenset({"*", "0.0.0.0", "[::]", "localhost"})  # noqa: S104 -- recognised here, never bound
_FIRST: Final = range(7101, 8000, 100)
"""The first of the two ports that are suggested: what the how-to about chains has, or the next that this home does not use."""


def next_host(settings: Settings, *, keys: bool = False) -> list[str]:
    """Lines for a person, with ``keys`` for a zone whose hosts have some; none on a host whose agent hands to a broker elsewhere, since another home adds hosts there."""
    if settings.str("agent.up"):
        return []
    zone = settings.str("node.zone")
    broker = serving(settings, zone)
    if broker is None:
        return [
            f"To add a host to zone {zone}: the broker of this home can be reached from this host alone. Describe it:",
            *_described(settings, "b1", zone),
        ]
    if not (broker.up_in.startswith("tcp://") and broker.down_out.startswith("tcp://")):
        return [
            f"To add a host to zone {broker.zone}: broker {broker.name} can be reached from this host alone. Give it addresses:",
            *_described(settings, broker.name, broker.zone),
        ]
    bound = [end.removeprefix("tcp://").rpartition(":")[::2] for end in (broker.up_in, broker.down_out)]
    ports = [port for _, port in bound]
    forwards = " ".join(f"-L {port}:{_seen_from_here(host)}:{port}" for host, port in bound)
    made = f"tabard node add NAME --zone {broker.zone} --out NAME.tabard"
    joined = [f"Its keys, made where the zone's authority is: {made}, and there: tabard join NAME.tabard"]
    return [
        f"To add a host to zone {broker.zone}, this goes into its tabard.toml:",
        f'  [node]\n  zone = "{broker.zone}"',
        f'  [agent]\n  up = "tcp://127.0.0.1:{ports[0]}"\n  down = "tcp://127.0.0.1:{ports[1]}"\n  broker = "{broker.name}"',
        f"and this is its way here: ssh -N {forwards} THIS-HOST",
        *(joined if keys else ()),
    ]


def _seen_from_here(host: str) -> str:
    """Where a broker of this host is found from this host: at loopback, unless it is bound to one address alone."""
    return "127.0.0.1" if host in _EVERYWHERE else host


def serving(settings: Settings, zone: str) -> Broker | None:
    """The broker that takes what nodes of a zone say; of several the one described first, as the agent does."""
    same = [broker for broker in settings.brokers if broker.zone == zone]
    return next(iter((*same, *settings.brokers)), None)


def _described(settings: Settings, name: str, zone: str) -> list[str]:
    used = set(_used(settings))
    first = next((port for port in _FIRST if not {port, port + 1} & used), _FIRST[0])
    return [
        f'  [[broker]]\n  name = "{name}"\n  zone = "{zone}"',
        f'  up_in = "tcp://127.0.0.1:{first}"\n  down_out = "tcp://127.0.0.1:{first + 1}"',
    ]


def _used(settings: Settings) -> Iterator[int]:
    """Ports that something of this home listens at or dials, by whatever address."""
    for broker in settings.brokers:
        ends = (*broker[2:6], broker.parent_up, broker.parent_down, broker.standby_up, broker.standby_down)
        yield from map(_port, (*ends, *(end for link in broker.link for end in (link.up, link.down))))
    yield from (_port(forward.listen) for tunnel in settings.tunnels for forward in tunnel.forward)
    for role in ("agent", "recorder"):
        yield from (
            _port(settings.str(f"{role}.{end}")) for end in ("up", "down", "standby_up", "standby_down")
        )


def _port(end: str) -> int:
    port = end.rpartition(":")[2]
    return int(port) if port.isdecimal() else 0
