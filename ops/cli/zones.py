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
    from tabard.consumers.zones.joining import Link, Numbers
    from tabard.consumers.zones.tree import Zone, ZoneMap
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
    store; what is not known from here is listed at the end. Of a link it says which side dials, whether it is up, how
    many messages one end numbered and the other one received in each lane, and what lacks: that was lost on the link.
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
            }
            for zone in found.zones
        ],
        "links": [
            {**link._asdict(), "up": _numbers(link.up), "down": _numbers(link.down)} for link in found.links
        ],
        "faults": [fault._asdict() for fault in found.faults],
        "unknown": list(found.unknown),
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

    yield Section("Zones", ("zone", "brokers", "nodes", "behind"), [_zone(zone) for zone in found.zones])
    yield Section(
        "Links, each with the messages received of those that were numbered",
        ("child", "parent", "dials", "state", "heard", "up", "up_lost", "down", "down_lost", "behind"),
        [_link(link, now) for link in found.links],
    )


def _zone(zone: Zone) -> dict[str, object]:
    states = Counter(node.state for node in zone.nodes)
    return {
        "zone": f"{'. ' * zone.depth}{zone.path}",
        "brokers": ", ".join(f"{broker.name} ({broker.state})" for broker in zone.brokers) or None,
        "nodes": ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or None,
        "behind": zone.behind,
    }


def _link(link: Link, now: int) -> dict[str, object]:
    from tabard.web.zones import SECOND, age

    return {
        **link._asdict(),
        "child": link.child or "(not heard yet)",
        "parent": link.parent or f"(at {link.end})",
        "heard": None if link.heard is None else f"{age((now - link.heard) / SECOND)} ago",
        **{
            lane: None if numbers is None else f"{numbers.received} of {numbers.sent}"
            for lane, numbers in (("up", link.up), ("down", link.down))
        },
        "up_lost": None if link.up is None else link.up.lost,
        "down_lost": None if link.down is None else link.down.lost,
    }
