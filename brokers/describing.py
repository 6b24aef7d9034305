"""What a home's settings say of its brokers and their neighbours, as plain values: for the zone map, here and far away."""

from __future__ import annotations

from typing import NamedTuple

from tabard.brokers.topology import brokers
from tabard.home import Home
from tabard.settings import Settings


class Parent(NamedTuple):
    """A broker above that is dialled."""

    name: str | None
    """As the settings call it; None when they say only where it is."""
    end: str
    standby: bool


class Child(NamedTuple):
    """A broker below that the settings name."""

    name: str
    dials: str
    """``this`` or ``peer``."""


class Described(NamedTuple):
    """One broker of the home."""

    name: str
    zone: str
    parents: tuple[Parent, ...]
    dialled_by: str | None
    """The broker of this home that dials it as its child."""
    children: tuple[Child, ...]


def described(settings: Settings, home: Home) -> list[Described]:
    """All of them, outermost first. Raises SettingsError."""
    tables = {broker.name: broker for broker in settings.brokers}
    dialled_by = {
        link.peer: broker.name for broker in settings.brokers for link in broker.link if link.dials == "this"
    }
    plans = brokers(settings, home)
    names = {plan.up_in: plan.name for plan in plans}
    found = []
    for plan in plans:
        table = tables.get(plan.name)
        called = (table.parent, table.standby) if table is not None else ("", "")
        parents = tuple(
            Parent(names.get(end.up) or called[place] or None, end.up, place > 0)
            for place, end in enumerate(plan.parents[:2])
        )
        children = tuple(Child(link.peer, link.dials) for link in table.link) if table is not None else ()
        found.append(Described(plan.name, plan.zone, parents, dialled_by.get(plan.name), children))
    return found
