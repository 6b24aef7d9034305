"""``tabard zones``: the tree of zones as this home knows it."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tabard import exits
from tabard.clock import wall
from tabard.home import Home
from tabard.ops.cli.base import command
from tabard.ops.cli.options import output_option, settings_options
from tabard.settings import load

if TYPE_CHECKING:
    from tabard.consumers.zones.facts import Passing
    from tabard.consumers.zones.joining import Link, Numbers
    from tabard.consumers.zones.tree import Broker, Hop, Zone, ZoneMap
    from tabard.ops.status_tables import Section


@command(
    "zones",
    examples=[
        ("tabard zones", "The tree, its links with what they lost, faults first"),
        ("tabard zones -o json", "The same for a program, as one object"),
        ("tabard zones --home /srv/tabard -o ndjson", "Of that home, on one line"),
    ],
)
@settings_options
@output_option
def zones(home: Home, stage: str | None, overrides: Sequence[tuple[str, str]], output: str) -> int:
    """Show zones, brokers, links and nodes, as far as this home knows them.

    What a home knows is in its settings, in what its brokers say of themselves and of their neighbours, and in its
    store, where hosts of other zones tell of their brokers every few seconds: such rows say as of when. What is not
    known from here is listed at the end. Of a link it says which side dials, whether it is up, how
    many messages one end numbered and the other one received in each lane, and what lacks: that was lost on the link.
    What policies let pass over links stands below them, as far as the rosters of this home say.
    A link that is dead is one fault, and the nodes behind it are cut off: nobody knows whether they are well.

    States of a link: up; standby, another one is used; half, it carries one way only; dead, nothing is heard over it;
    bypassed, nothing is heard over it, and the nodes behind it are heard; unknown. Exit code 0: no faults; 3: there
    are.
    """
    from tabard.ops.zonefacts import map_of

    found = map_of(home, load(home, stage, args=dict(overrides)))
    if output == "table":
        sys.stdout.writelines(f"{line}\n" for line in lines(found, wall()))
    else:
        from tabard.ops.cli.status import with_times

        indent = 2 if output == "json" else None
        sys.stdout.write(json.dumps(with_times(as_object(found)), ensure_ascii=False, indent=indent) + "\n")
    return exits.PARTLY if found.faults else exits.DONE


def as_object(found: ZoneMap) -> dict[str, Any]:
    """For programs; times are nanoseconds since 1970 UTC."""
    return {
        "zones": [
            {
                "zone": zone.path,
                "brokers": [broker._asdict() for broker in zone.brokers],
                "nodes": [node._asdict() for node in zone.nodes],
                "behind": zone.behind,
                "untold": list(zone.untold),
            }
            for zone in found.zones
        ],
        "links": [
            {**link._asdict(), "up": _numbers(link.up), "down": _numbers(link.down)} for link in found.links
        ],
        "faults": [fault._asdict() for fault in found.faults],
        "unknown": list(found.unknown),
        "hops": [
            {**hop._asdict(), "up": _numbers(hop.up), "down": _numbers(hop.down), "worst": list(hop.worst)}
            for hop in found.hops
        ],
        "tunnels": [tunnel._asdict() for tunnel in found.tunnels],
        "policies": [each._asdict() for each in found.policies],
    }


def _numbers(lane: Numbers | None) -> dict[str, int] | None:
    return None if lane is None else {**lane._asdict(), "lost": lane.lost}


def lines(found: ZoneMap, now: int) -> Iterator[str]:
    """For a person, faults first."""
    from tabard.ops.output import printable
    from tabard.ops.status_tables import table_lines

    yield "Not all is well:" if found.faults else "No faults are known here."
    for fault in found.faults:
        yield printable(f"  {fault.where}: {fault.what}")
    for section in _sections(found, now):
        if section.rows:
            yield ""
            yield section.title
            yield from table_lines(section)
    if found.unknown:
        yield ""
        yield "Not known from here"
        for what in found.unknown:
            yield printable(f"  {what}")


def _sections(found: ZoneMap, now: int) -> Iterator[Section]:
    from tabard.ops.status_tables import Section

    yield Section("Zones", ("zone", "brokers", "nodes", "behind"), [_zone(zone, now) for zone in found.zones])
    yield Section(
        "Links, each with the messages received of those that were numbered",
        (
            "child",
            "parent",
            "dials",
            "state",
            "heard",
            "up",
            "up_lost",
            "down",
            "down_lost",
            "behind",
            "as_of",
        ),
        [_link(link, now) for link in found.links],
    )
    yield Section(
        "Hops to nodes and recorders, likewise",
        ("broker", "peer", "up", "up_lost", "down", "down_lost", "most", "as_of"),
        [_hop(hop, now) for hop in found.hops],
    )
    yield Section(
        "Tunnels, as their hosts say",
        ("tunnel", "host", "zone", "state", "why", "as_of"),
        [
            {**tunnel._asdict(), "tunnel": tunnel.name, "host": tunnel.node, "as_of": _ago(tunnel.as_of, now)}
            for tunnel in found.tunnels
        ],
    )
    yield Section(
        "Policies, each with what it lets pass",
        ("policy", "zone", "link", "says"),
        [{**each._asdict(), "link": _boundary(each)} for each in found.policies],
    )


def _boundary(each: Passing) -> str | None:
    """Over which link of its zone it holds."""
    if each.below is None:
        return None
    return "upwards" if each.below == each.zone else f"from {each.below}"


def _ago(time: int | None, now: int) -> str | None:
    from tabard.web.zones import SECOND, age

    return None if time is None else f"{age(max(now - time, 0) / SECOND)} ago"


def _hop(hop: Hop, now: int) -> dict[str, object]:
    peer = (
        f"recorder of {hop.sink}"
        if hop.sink is not None
        else f"{hop.nodes} node{'' if hop.nodes == 1 else 's'}"
    )
    return {
        "broker": hop.broker,
        "peer": peer,
        **_lanes(hop.up, hop.down),
        "most": ", ".join(hop.worst) or None,
        "as_of": _ago(hop.as_of, now),
    }


def _lanes(up: Numbers | None, down: Numbers | None) -> dict[str, object]:
    return {
        **{
            lane: None if numbers is None else f"{numbers.received} of {numbers.sent}"
            for lane, numbers in (("up", up), ("down", down))
        },
        "up_lost": None if up is None else up.lost,
        "down_lost": None if down is None else down.lost,
    }


def _zone(zone: Zone, now: int) -> dict[str, object]:
    from tabard.consumers.zones.tree import policy_words

    states = Counter(node.state for node in zone.nodes)
    untold = [f"not told here: withheld by {policy_words(zone.untold)}"] if zone.untold else []
    return {
        "zone": f"{'. ' * zone.depth}{zone.path}",
        "brokers": ", ".join((*(_broker(broker, now) for broker in zone.brokers), *untold)) or None,
        "nodes": ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or None,
        "behind": zone.behind,
    }


def _broker(broker: Broker, now: int) -> str:
    then = _ago(broker.as_of, now)
    return f"{broker.name} ({broker.state}{f', as of {then}' if then else ''})"


def _link(link: Link, now: int) -> dict[str, object]:
    return {
        **link._asdict(),
        "child": link.child or "(not heard yet)",
        "parent": link.parent or f"(at {link.end})",
        "heard": _ago(link.heard, now),
        **_lanes(link.up, link.down),
        "as_of": _ago(link.as_of, now),
    }
