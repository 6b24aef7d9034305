"""How a home is doing, as one object: what ``tabard status`` shows. Its times are nanoseconds since 1970 UTC.

It is put together from what is there: locks, status files, settings and the store. None of them has to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from tabard import __version__
from tabard.brokers.delivery.leases import RECORDER
from tabard.brokers.rising import is_trouble
from tabard.clock import wall
from tabard.consumers.store.results import Sharing
from tabard.errors import SettingsError, StoreError
from tabard.home import Home
from tabard.ops import rosters, seen
from tabard.ops.faults import Fault, of_home, of_roles, wrong_clocks
from tabard.ops.seen import Seen
from tabard.ops.stores import numbers, open_reader, path_of
from tabard.settings import Settings, load

WELL: Final = "well"
PARTLY: Final = "partly"
STOPPED: Final = "stopped"
_DROPPED: Final = ("up dropped: ", "down dropped: ")


def report(home: Home) -> dict[str, Any]:
    """The state of a home. Raises HomeError when it cannot be looked into."""
    faults: list[Fault] = []
    settings = _settings(home, faults)
    roles = seen.roles(home, settings)
    running = [role for role in roles if role.state != seen.STOPPED]
    agent = seen.said(roles, "agent")
    node = agent.get("node") or (settings.str("node.name") if settings else None)
    zone = agent.get("zone") or (settings.str("node.zone") if settings else None)
    store, lag, sharing = _store(home, settings, node, zone, roles, faults)
    disk = of_home(home, settings)
    if running:
        faults = [*of_roles(roles, wall(), writable=not disk), *faults]
    faults = [*disk, *faults]
    return {
        "home": str(home.path),
        "version": __version__,
        "node": node,
        "zone": zone,
        "state": STOPPED if not running else PARTLY if faults else WELL,
        "faults": [fault._asdict() for fault in faults],
        "roles": [
            {"name": role.name, "state": role.state, "pid": role.pid, "since": role.since} for role in roles
        ],
        "intakes": list(agent.get("intake", ())),
        "bridge": list(agent.get("bridge", ())),
        "page": _page(roles),
        "sources": list(agent.get("sources", ())),
        "streams": streams(agent, lag),
        "brokers": [_broker(role.said) for role in running if role.role == "broker" and role.said],
        "links": [link for role in running for link in _links(role)],
        "hops": [hop for role in running for hop in _hops(role)],
        "limits": [{"role": role.name, **limit} for role in running for limit in role.said.get("limits", ())],
        "connections": [
            {"role": role.name, **each} for role in running for each in role.said.get("connections", ())
        ],
        "rosters": [row for role in running for row in rosters.of_status(role)],
        "tunnels": [_tunnel(role.said) for role in running if role.role == "tunnel" and role.said],
        "recorder": _recorder(seen.said(roles, "recorder")),
        "recorders": [holder._asdict() for holder in sharing.holders],
        "counters": [row for role in running for row in _counters(role)],
        "store": store,
    }


def streams(agent: Mapping[str, Any], lag: Mapping[str, int]) -> list[dict[str, Any]]:
    """Per stream and sink of a running agent: what its journal holds, and what the sink has not of it.

    ``lag`` is what the store in the same home says of this node; where there is none the agent's own count stands.
    """
    return [
        {
            "stream": stream,
            "sink": sink,
            "attached": of_sink["attached"],
            "journal_bytes": journal["bytes"],
            "dropped": journal["dropped"],
            "lag": lag.get(stream, of_sink.get("streams", {}).get(stream, {}).get("lag")),
            "state": of_sink.get("state"),
            "held": of_sink.get("streams", {}).get(stream, {}).get("held"),
            "held_for": of_sink.get("streams", {}).get(stream, {}).get("held_for"),
        }
        for stream, journal in agent.get("journals", {}).items()
        for sink, of_sink in agent.get("sinks", {}).items()
    ]


def _settings(home: Home, faults: list[Fault]) -> Settings | None:
    try:
        return load(home)
    except SettingsError as error:
        faults.append(Fault("settings", str(error)))
        return None


def _store(
    home: Home,
    settings: Settings | None,
    node: str | None,
    zone: str | None,
    roles: Iterable[Seen],
    faults: list[Fault],
) -> tuple[dict[str, Any] | None, Mapping[str, int], Sharing]:
    """The store in numbers, None on a host that has none; by its stream how far this node is behind; who fills it."""
    nobody = Sharing(RECORDER.parts, (), RECORDER.parts)
    if settings is None:
        return None, {}, nobody
    try:
        with open_reader(home, settings) as reader:
            stats = reader.stats()
            sharing = reader.sharing(RECORDER)
            own = reader.node(node, wall(), zone) if node else None
            clocks = wrong_clocks(reader.nodes(wall()))
    except StoreError as error:
        if any(role.role == "recorder" for role in roles):
            faults.append(Fault("store", str(error)))
        return None, {}, nobody
    if stats.quarantined:
        faults.append(Fault("store", f"{stats.quarantined} batches are in quarantine: please report this"))
    if sharing.unheld and any(role.state != seen.STOPPED for role in roles):
        faults.append(Fault("store", _unheld(sharing)))
    faults += clocks
    shown = numbers(stats, path_of(home, settings))
    return shown, own.lag if own else {}, sharing


def _unheld(sharing: Sharing) -> str:
    """Of whose nodes the records wait, and who was to take them."""
    gone = [f"{holder.name} ({holder.parts})" for holder in sharing.holders if holder.over and holder.parts]
    last = f"; last held by {', '.join(gone)}" if gone else ""
    return f"no recorder holds {sharing.unheld} of {sharing.parts} shards: records of their nodes wait there{last}"


def _broker(status: Mapping[str, Any]) -> dict[str, Any]:
    counters = status["counters"]
    return {
        "name": status["name"],
        "zone": status["zone"],
        "up_received": counters.get("up received", 0),
        "up_sent": counters.get("up sent", 0),
        "down_received": counters.get("down received", 0),
        "down_sent": counters.get("down sent", 0),
        "dropped": {name: count for name, count in counters.items() if name.startswith(_DROPPED)},
        "endpoints": status["endpoints"],
    }


def _links(role: Seen) -> Iterator[dict[str, Any]]:
    """The brokers that an agent or a broker hands up to, one of which it uses."""
    for link in role.said.get("links", role.said.get("above", ())):
        yield {"role": role.name, **{name: link[name] for name in LINK}}


LINK: Final = ("end", "broker", "zone", "used", "well", "heard")
"""What is told of the way to a broker above."""


def _hops(role: Seen) -> Iterator[dict[str, Any]]:
    """What the two ends of each link of a broker, and of a recorder, numbered; all nodes right below a broker in one."""
    for hop in role.said.get("hops", ()):
        yield {"role": role.name, **hop}
    nodes = role.said.get("nodes")
    if nodes and nodes["nodes"]:
        yield {
            "role": role.name,
            "peer": "1 node" if nodes["nodes"] == 1 else f"{nodes['nodes']} nodes",
            "zone": role.said.get("zone"),
            "side": "below",
            "heard": None,
            "since": None,
            "is_heard": True,
            "well": True,
            "ways": 1,
            "up": nodes["up"],
            "down": nodes["down"],
        }


TUNNEL: Final = (
    "name",
    "backend",
    "host",
    "state",
    "since",
    "why",
    "failures",
    "until",
    "process",
    "forwards",
)
"""What is told of a tunnel, as it says it itself."""


def _tunnel(status: Mapping[str, Any]) -> dict[str, Any]:
    return {name: status[name] for name in TUNNEL}


def _counters(role: Seen) -> Iterator[dict[str, Any]]:
    """What a role counted, without what never happened."""
    risen = role.said.get("risen", {})
    for name, count in sorted(role.said.get("counters", {}).items()):
        if count:
            lately = risen.get(name, 0) if is_trouble(name) else None
            yield {"role": role.name, "counter": name, "count": count, "risen": lately}


def _recorder(status: Mapping[str, Any]) -> dict[str, Any] | None:
    return {name: status[name] for name in ("sink", "fault", "credit", "counters")} if status else None


def _page(roles: Sequence[Seen]) -> str | None:
    """Where herald answers."""
    url = seen.said(roles, "herald").get("url")
    return url if isinstance(url, str) else None
