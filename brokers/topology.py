"""Which brokers a home runs, where they listen, and whom each role of the home dials.

Endpoints left empty in the settings are unix sockets in the home's private directory. Without any
``[[broker]]`` table, ``up.brokers`` of them are chained in the node's own zone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from tabard.brokers.expected import Expectations, Expected
from tabard.errors import SettingsError
from tabard.home import Home
from tabard.settings import Broker, Settings

LANES: Final = ("up_in", "up_out", "down_in", "down_out")


class Ends(NamedTuple):
    """Where a role of this home publishes to and listens on."""

    up: str
    down: str


class Plan(NamedTuple):
    """One broker: what it binds, and what it dials with which of its sockets."""

    name: str
    zone: str
    up_in: str
    up_out: str
    down_in: str
    down_out: str
    dials: tuple[tuple[str, str], ...]
    """(own socket, endpoint of a child's side) of the links on which the child is dialled."""
    parents: tuple[Ends, ...] = ()
    """Those that it dials above itself, the preferred one first; it uses one of them at a time."""
    rate: int = 0
    """Bytes a second that it hands up; 0 for any."""
    link_rates: tuple[tuple[str, int], ...] = ()
    """Bytes a second that come from a broker below, by its name."""

    def dialled_by(self, lane: str) -> list[str]:
        """What one of its sockets dials at first."""
        return [endpoint for own, endpoint in self.dialled(self.parents[:1]) if own == lane]

    def dialled(self, parents: Sequence[Ends]) -> list[tuple[str, str]]:
        """(own socket, endpoint of the other side) of its links below, and of those to `parents`."""
        above = [
            (own, end) for parent in parents for own, end in (("up_out", parent.up), ("down_in", parent.down))
        ]
        return [*above, *self.dials]


def brokers(settings: Settings, home: Home) -> list[Plan]:
    """The brokers of this home, outermost first.

    Raises:
        SettingsError: a parent or a link names a broker that is not in the file.
    """
    described = settings.brokers or _chain(settings)
    bound = {broker.name: _bound(broker, home) for broker in described}
    children = _above(described, bound)
    plans = [
        Plan(
            broker.name,
            broker.zone,
            *bound[broker.name],
            tuple(_dials(broker)),
            tuple(_parents(broker, described, bound)),
            broker.rate,
            tuple((link.peer, link.rate) for link in broker.link if link.rate),
        )
        for broker in described
    ]
    return sorted(plans, key=lambda plan: -_depth(plan.name, children))


def agent_ends(settings: Settings, home: Home) -> tuple[Ends, ...]:
    """Where this home's agent publishes and listens: its own zone's outermost broker unless set, and its standby."""
    plans = brokers(settings, home)
    zone = settings.str("node.zone")
    plan = next((plan for plan in plans if plan.zone == zone), plans[0])
    first = Ends(settings.str("agent.up") or plan.up_in, settings.str("agent.down") or plan.down_out)
    return (first, *_standby(settings, "agent"))


def recorder_ends(settings: Settings, home: Home) -> tuple[Ends, ...]:
    """Where this home's recorder listens and publishes: the top of the chain unless set, and its standby."""
    plan = brokers(settings, home)[-1]
    first = Ends(settings.str("recorder.up") or plan.up_out, settings.str("recorder.down") or plan.down_in)
    return (first, *_standby(settings, "recorder"))


def broker_peers(settings: Settings, home: Home, name: str) -> Expectations:
    """Which brokers one of this home's dials, by endpoint."""
    plans = {plan.name: plan for plan in brokers(settings, home)}
    broker = next(each for each in settings.brokers or _chain(settings) if each.name == name)
    peers: dict[str, Expected] = {}
    if broker.parent_up:
        above = Expected(broker.parent, above_only=True, key=f"parent of the broker {name}")
        peers.update(dict.fromkeys((broker.parent_up, broker.parent_down), above))
    elif broker.parent in plans:
        peers.update(_of(plans[broker.parent]))
    if broker.standby_up:
        standby = Expected(broker.standby, above_only=True, key=f"standby of the broker {name}")
        peers.update(dict.fromkeys((broker.standby_up, broker.standby_down), standby))
    for link in broker.link:
        below = Expected(link.peer, plans[link.peer].zone if link.peer in plans else "", below=True)
        peers.update((end, below) for end in (link.up, link.down) if end)
    return peers


def role_peers(settings: Settings, home: Home, role: str) -> Expectations:
    """Which brokers the agent or the recorder of this home dials, by endpoint."""
    peers: dict[str, Expected] = {}
    for plan in brokers(settings, home):
        peers.update(_of(plan))
    first = (settings.str(f"{role}.broker"), settings.str(f"{role}.up"), settings.str(f"{role}.down"))
    standby = (
        settings.str(f"{role}.standby_broker"),
        settings.str(f"{role}.standby_up"),
        settings.str(f"{role}.standby_down"),
    )
    for prefix, (name, *ends) in (("", first), ("standby_", standby)):
        expected = Expected(name, key=f"{role}.{prefix}broker")
        peers.update((end, expected) for end in ends if end and (end not in peers or name))
    return peers


def _of(plan: Plan) -> Expectations:
    """A broker of this home at all its ends."""
    return dict.fromkeys(plan[2:6], Expected(plan.name, plan.zone))


def _standby(settings: Settings, role: str) -> tuple[Ends, ...]:
    up, down = settings.str(f"{role}.standby_up"), settings.str(f"{role}.standby_down")
    return (Ends(up, down),) if up and down else ()


def _chain(settings: Settings) -> tuple[Broker, ...]:
    count = settings.int("up.brokers")
    zone = settings.str("node.zone")
    names = [f"b{number}" for number in range(1, count + 1)]
    parents = [*names[1:], ""]
    return tuple(
        Broker(name, zone, "", "", "", "", parent, "", "", "", "", "", 0, ())
        for name, parent in zip(names, parents, strict=True)
    )


def _bound(broker: Broker, home: Home) -> tuple[str, str, str, str]:
    given = (broker.up_in, broker.up_out, broker.down_in, broker.down_out)
    up_in, up_out, down_in, down_out = (
        endpoint or f"ipc://{home.socket(f'{broker.name}.{lane}')}"
        for lane, endpoint in zip(LANES, given, strict=True)
    )
    return up_in, up_out, down_in, down_out


def _parents(
    broker: Broker, described: tuple[Broker, ...], bound: dict[str, tuple[str, str, str, str]]
) -> Iterator[Ends]:
    if broker.parent_up or broker.parent_down:
        yield Ends(broker.parent_up, broker.parent_down)
    elif broker.parent:
        if broker.parent not in bound:
            raise SettingsError(
                "a broker's parent is not described",
                key="broker.parent",
                expected="one of " + ", ".join(bound),
                found=repr(broker.parent),
                hint="Describe it in a [[broker]] table, or give parent_up and parent_down",
            )
        up_in, _up_out, _down_in, down_out = bound[broker.parent]
        if not _linked(broker, described):
            yield Ends(up_in, down_out)
    if broker.standby_up and broker.standby_down:
        yield Ends(broker.standby_up, broker.standby_down)


def _above(described: tuple[Broker, ...], bound: dict[str, tuple[str, str, str, str]]) -> dict[str, str]:
    """Of each broker the one above it, however the two are joined: by name, by address, or by a link that dials it."""
    at = {ends[0]: name for name, ends in bound.items()}
    above = {link.peer: broker.name for broker in described for link in broker.link if link.dials == "this"}
    above |= {broker.name: at[broker.parent_up] for broker in described if broker.parent_up in at}
    return above | {broker.name: broker.parent for broker in described if broker.parent}


def _dials(broker: Broker) -> Iterator[tuple[str, str]]:
    for link in broker.link:
        if link.dials == "this":
            yield "up_in", link.up
            yield "down_out", link.down


def _linked(child: Broker, described: tuple[Broker, ...]) -> bool:
    """Whether the parent dials this child itself."""
    return any(
        link.peer == child.name and link.dials == "this"
        for broker in described
        if broker.name == child.parent
        for link in broker.link
    )


def _depth(name: str, parents: dict[str, str]) -> int:
    depth = 0
    while name in parents and depth <= len(parents):
        name = parents[name]
        depth += 1
    return depth
