"""What this home knows of its brokers: read off its settings, locks and status files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tabard.brokers import topology
from tabard.clock import wall
from tabard.consumers.zones.facts import STOPPED, Dialled, Facts, Here, Joined, Node, nodes_of
from tabard.consumers.zones.tree import ZoneMap, zone_map
from tabard.errors import StoreError
from tabard.home import Home
from tabard.ops import seen
from tabard.ops.seen import Seen
from tabard.ops.stores import open_reader
from tabard.settings import Broker, Settings
from tabard.web.silence import as_known, known_at, overdue, silence_of


def facts_of(settings: Settings, home: Home, roles: Sequence[Seen]) -> Facts:
    """Brokers of the settings; of each what it says of itself while it runs. Raises SettingsError."""
    described = {broker.name: broker for broker in settings.brokers}
    dialled_by = {
        link.peer: broker.name for broker in settings.brokers for link in broker.link if link.dials == "this"
    }
    states = {role.name: role for role in roles}
    plans = topology.brokers(settings, home)
    names = {plan.up_in: plan.name for plan in plans}
    return Facts(
        settings.str("node.zone"),
        tuple(
            _here(plan, names, described.get(plan.name), states.get(f"broker.{plan.name}"))._replace(
                dialled_by=dialled_by.get(plan.name)
            )
            for plan in plans
        ),
    )


def _here(plan: topology.Plan, names: Mapping[str, str], broker: Broker | None, role: Seen | None) -> Here:
    """One of them; `names` are those of this home's brokers by where they are handed up to."""
    said = role.said if role is not None else {}
    called = broker.parent if broker is not None else ""
    return Here(
        plan.name,
        plan.zone,
        STOPPED if role is None else role.state,
        None if role is None else role.since,
        tuple(
            Dialled(names.get(end.up) or (called if place == 0 else "") or None, end.up, place > 0)
            for place, end in enumerate(plan.parents)
        ),
        None,
        tuple(Joined(link.peer, link.dials) for link in broker.link) if broker is not None else (),
        said.get("above", ()),
        said.get("hops", ()),
        said.get("risen", {}),
    )


def map_of(home: Home, settings: Settings) -> ZoneMap:
    """The zone map as this home knows it. Raises HomeError and SettingsError."""
    now = wall()
    roles = seen.roles(home, settings)
    return zone_map(facts_of(settings, home, roles), _nodes(home, settings, roles, now), now)


def _nodes(home: Home, settings: Settings, roles: Sequence[Seen], now: int) -> list[Node] | None:
    """None where there is no store that can be read."""
    try:
        with open_reader(home, settings) as reader:
            newest = reader.newest_beacon()
            age = overdue(newest, now)
            recorder = next((role.state for role in roles if role.role == "recorder"), None)
            silence = None if age == 0 else silence_of(newest, age, recorder)
            return nodes_of([as_known(row, silence) for row in reader.nodes(known_at(silence, now))])
    except StoreError:
        return None
