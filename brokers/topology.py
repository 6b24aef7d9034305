"""Which brokers a home runs, where they listen, and whom each role of the home dials.

Endpoints left empty in the settings are unix sockets in the home's private directory. Without any
``[[broker]]`` table, ``up.brokers`` of them are chained in the node's own zone.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tabard.errors import SettingsError
from tabard.home import Home
from tabard.settings import Broker, Settings

LANES: Final = ("up_in", "up_out", "down_in", "down_out")


class Plan(NamedTuple):
    """One broker: what it binds, and what it dials with which of its sockets."""

    name: str
    zone: str
    up_in: str
    up_out: str
    down_in: str
    down_out: str
    dials: tuple[tuple[str, str], ...]
    """(own socket, endpoint of the other side): ``up_out`` dials a parent's ``up_in``, ``up_in`` a child's ``up_out``."""

    def dialled_by(self, lane: str) -> list[str]:
        """What one of its sockets dials."""
        return [endpoint for own, endpoint in self.dials if own == lane]


class Ends(NamedTuple):
    """Where a role of this home publishes to and listens on."""

    up: str
    down: str


def brokers(settings: Settings, home: Home) -> list[Plan]:
    """The brokers of this home, outermost first.

    Raises:
        SettingsError: a parent or a link names a broker that is not in the file.
    """
    described = settings.brokers or _chain(settings)
    bound = {broker.name: _bound(broker, home) for broker in described}
    children = {broker.name: broker.parent for broker in described if broker.parent}
    plans = [
        Plan(broker.name, broker.zone, *bound[broker.name], tuple(_dials(broker, described, bound)))
        for broker in described
    ]
    return sorted(plans, key=lambda plan: -_depth(plan.name, children))


def agent_ends(settings: Settings, home: Home) -> Ends:
    """Where this home's agent publishes and listens: its own zone's outermost broker unless set."""
    plans = brokers(settings, home)
    zone = settings.str("node.zone")
    plan = next((plan for plan in plans if plan.zone == zone), plans[0])
    return Ends(settings.str("agent.up") or plan.up_in, settings.str("agent.down") or plan.down_out)


def recorder_ends(settings: Settings, home: Home) -> Ends:
    """Where this home's recorder listens and publishes: the top of the chain unless set."""
    plan = brokers(settings, home)[-1]
    return Ends(settings.str("recorder.up") or plan.up_out, settings.str("recorder.down") or plan.down_in)


def _chain(settings: Settings) -> tuple[Broker, ...]:
    count = settings.int("up.brokers")
    zone = settings.str("node.zone")
    names = [f"b{number}" for number in range(1, count + 1)]
    parents = [*names[1:], ""]
    return tuple(
        Broker(name, zone, "", "", "", "", parent, "", "", ())
        for name, parent in zip(names, parents, strict=True)
    )


def _bound(broker: Broker, home: Home) -> tuple[str, str, str, str]:
    given = (broker.up_in, broker.up_out, broker.down_in, broker.down_out)
    up_in, up_out, down_in, down_out = (
        endpoint or f"ipc://{home.socket(f'{broker.name}.{lane}')}"
        for lane, endpoint in zip(LANES, given, strict=True)
    )
    return up_in, up_out, down_in, down_out


def _dials(
    broker: Broker, described: tuple[Broker, ...], bound: dict[str, tuple[str, str, str, str]]
) -> list[tuple[str, str]]:
    dials: list[tuple[str, str]] = []
    if broker.parent_up or broker.parent_down:
        dials += [("up_out", broker.parent_up), ("down_in", broker.parent_down)]
    elif broker.parent:
        if broker.parent not in bound:
            raise SettingsError(
                "a broker's parent is not described",
                key="broker.parent",
                expected="one of " + ", ".join(bound),
                found=repr(broker.parent),
                hint="Describe it in a [[broker]] table, or give parent_up and parent_down",
            )
        parent = bound[broker.parent]
        if not _linked(broker, described):
            dials += [("up_out", parent[0]), ("down_in", parent[3])]
    for link in broker.link:
        if link.dials == "this":
            dials += [("up_in", link.up), ("down_out", link.down)]
    return dials


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
