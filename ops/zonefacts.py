"""What this home knows of its brokers: read off its settings, locks and status files."""

from __future__ import annotations

from collections.abc import Sequence

from tabard.brokers.describing import Described, described
from tabard.brokers.wire.streams import SAMPLES
from tabard.clock import wall
from tabard.consumers.zones.facts import STOPPED, Dialled, Facts, Here, Joined, Reading, nodes_of
from tabard.consumers.zones.far import LATELY, far_of
from tabard.consumers.zones.tree import ZoneMap, zone_map
from tabard.errors import StoreError
from tabard.home import Home
from tabard.ops import rosters, seen
from tabard.ops.policies.passing import passing
from tabard.ops.seen import Seen
from tabard.ops.stores import open_reader
from tabard.settings import Settings
from tabard.web.silence import as_known, known_at, overdue, silence_of


def facts_of(settings: Settings, home: Home, roles: Sequence[Seen]) -> Facts:
    """Brokers of the settings; of each what it says of itself while it runs. Raises SettingsError."""
    states = {role.name: role for role in roles}
    zone, recorder = settings.str("node.zone"), seen.said(roles, "recorder")
    return Facts(
        zone,
        tuple(
            _here(broker, state)
            for broker in described(settings, home)
            if (state := states.get(f"broker.{broker.name}")) is not None or not _is_elsewhere(settings)
        ),
        Reading(recorder["sink"], zone, recorder.get("hops", ())) if recorder else None,
        rosters.newest(roles),
        passing(home),
    )


def _is_elsewhere(settings: Settings) -> bool:
    """Whether the broker that a home has where its settings name none is not meant: its agent dials another host's."""
    return not settings.brokers and bool(settings.str("agent.up") and settings.str("agent.down"))


def _here(broker: Described, role: Seen | None) -> Here:
    said = role.said if role is not None else {}
    return Here(
        broker.name,
        broker.zone,
        STOPPED if role is None else role.state,
        None if role is None else role.since,
        tuple(Dialled(*parent) for parent in broker.parents),
        broker.dialled_by,
        tuple(Joined(*child) for child in broker.children),
        said.get("above", ()),
        said.get("hops", ()),
        said.get("risen", {}),
        said.get("nodes"),
        lagging=(said.get("rosters") or {}).get("behind", ()),
    )


def map_of(home: Home, settings: Settings) -> ZoneMap:
    """The zone map as this home knows it. Raises HomeError and SettingsError."""
    now = wall()
    roles = seen.roles(home, settings)
    facts = facts_of(settings, home, roles)
    try:
        with open_reader(home, settings) as reader:
            newest = reader.newest_beacon()
            age = overdue(newest, now)
            recorder = next((role.state for role in roles if role.role == "recorder"), None)
            silence = None if age == 0 else silence_of(newest, age, recorder)
            rows = [as_known(row, silence) for row in reader.nodes(known_at(silence, now))]
            far = far_of(rows, reader.newest_links(now), reader.withholding(SAMPLES, now - LATELY))
            return zone_map(facts, nodes_of(rows, facts.rosters, now), now, far)
    except StoreError as error:
        return zone_map(facts, None, now, why=str(error))
