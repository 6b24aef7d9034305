"""What has to be said on the next host of this zone, so that its agent reaches the broker of this home."""

from __future__ import annotations

from tabard.settings import Broker, Settings

_EVERYWHERE = frozenset({"*", "0.0.0.0", "[::]", "localhost"})  # noqa: S104 -- recognised here, never bound
_UP, _DOWN = "tcp://127.0.0.1:7101", "tcp://127.0.0.1:7102"
"""What the how-to about chains suggests."""


def next_host(settings: Settings, *, keys: bool = False) -> list[str]:
    """Lines for a person, with ``keys`` for a zone whose hosts have some; none on a host whose agent hands to a broker elsewhere, since another home adds hosts there."""
    if settings.str("agent.up"):
        return []
    zone = settings.str("node.zone")
    broker = _serving(settings, zone)
    if broker is None:
        return [
            f"To add a host to zone {zone}: the broker of this home can be reached from this host alone. Describe it:",
            *_described("b1", zone),
        ]
    if not (broker.up_in.startswith("tcp://") and broker.down_out.startswith("tcp://")):
        return [
            f"To add a host to zone {broker.zone}: broker {broker.name} can be reached from this host alone. Give it addresses:",
            *_described(broker.name, broker.zone),
        ]
    bound = [end.removeprefix("tcp://").rpartition(":")[::2] for end in (broker.up_in, broker.down_out)]
    ports = [port for _, port in bound]
    forwards = " ".join(f"-L {port}:{_seen_from_here(host)}:{port}" for host, port in bound)
    made = f"tabard node add NAME --zone {broker.zone} --out NAME.tabard"
    joined = [f"Its keys, made where the zone's authority is: {made}, and there: tabard join NAME.tabard"]
    return [
        f"To add a host to zone {broker.zone}, this goes into its tabard.toml:",
        f'  [node]\n  zone = "{broker.zone}"',
        f'  [agent]\n  up = "tcp://127.0.0.1:{ports[0]}"\n  down = "tcp://127.0.0.1:{ports[1]}"',
        f"and this is its way here: ssh -N {forwards} THIS-HOST",
        *(joined if keys else ()),
    ]


def _seen_from_here(host: str) -> str:
    """Where a broker of this host is found from this host: at loopback, unless it is bound to one address alone."""
    return "127.0.0.1" if host in _EVERYWHERE else host


def _serving(settings: Settings, zone: str) -> Broker | None:
    """The broker that takes what nodes of a zone say; of several the one described first, as the agent does."""
    same = [broker for broker in settings.brokers if broker.zone == zone]
    return next(iter((*same, *settings.brokers)), None)


def _described(name: str, zone: str) -> list[str]:
    return [
        f'  [[broker]]\n  name = "{name}"\n  zone = "{zone}"',
        f'  up_in = "{_UP}"\n  down_out = "{_DOWN}"',
    ]
