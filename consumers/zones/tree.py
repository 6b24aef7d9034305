"""The zone map: pure, from what a home knows of its brokers and what its store knows of the nodes.

A link that is dead is one fault, however many nodes are behind it; those are *cut off*, and nobody knows whether they are
well. So is a broker that rests, where its zone has no other one. A node that is silent for another reason is not down, either: nothing was heard of it. What cannot be known here is
said, and not guessed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from tabard.consumers.zones.facts import (
    ELSEWHERE,
    RUNNING,
    SILENT,
    STALE,
    STOPPED,
    Facts,
    Far,
    Here,
    Node,
    Passing,
    Tunnel,
)
from tabard.consumers.zones.joining import (
    AWAY,
    BYPASSED,
    DEAD,
    HALF,
    UNKNOWN,
    UP,
    Link,
    Numbers,
    links_of,
    numbers_of,
)
from tabard.consumers.zones.staleness import PATIENCE
from tabard.names import zone_within

CUT_OFF: Final = "cut off"
"""State of a node behind a dead link, or below brokers that rest, of which nothing is heard."""
_RESTING: Final = frozenset({SILENT, STOPPED})
_HEARD: Final = frozenset({"up", "late"})


class Broker(NamedTuple):
    """A broker, of this home or not."""

    name: str
    zone: str | None
    """None when nobody said so yet."""
    state: str
    as_of: int | None = None
    """When its own home said so, of one of another home; None: now, or never."""


class Hop(NamedTuple):
    """The first or last hop: between a broker and the nodes right below it, or the recorder of a sink right above it."""

    broker: str
    zone: str
    sink: str | None
    """Of the recorder; None for the nodes."""
    nodes: int | None
    up: Numbers | None
    down: Numbers | None
    worst: tuple[str, ...]
    """Nodes that lost most."""
    as_of: int | None


class Zone(NamedTuple):
    """A zone, with what is directly in it."""

    path: str
    depth: int
    brokers: tuple[Broker, ...]
    nodes: tuple[Node, ...]
    behind: int | None
    """Records that its nodes have and the store has not."""
    untold: tuple[str, ...] = ()
    """The policies by which what its hosts say of their brokers is withheld from this store; empty where that is told."""


class Fault(NamedTuple):
    """One thing that is wrong."""

    where: str
    """``link CHILD - PARENT``, ``broker NAME`` or ``zone PATH``."""
    what: str


class ZoneMap(NamedTuple):
    """All of it; zones outermost last."""

    zones: tuple[Zone, ...]
    links: tuple[Link, ...]
    faults: tuple[Fault, ...]
    unknown: tuple[str, ...]
    """What is not known from here, in words."""
    hops: tuple[Hop, ...] = ()
    tunnels: tuple[Tunnel, ...] = ()
    policies: tuple[Passing, ...] = ()
    """What may pass over links."""


def zone_map(
    facts: Facts, nodes: Sequence[Node] | None, now: int, far: Far | None = None, why: str = ""
) -> ZoneMap:
    """Put together at wall clock ``now``; ``nodes`` is None where no store can be read, which ``why`` explains, ``far`` what other homes said in it."""
    far = far or Far()
    own = {(broker.zone, broker.name) for broker in facts.brokers}
    others = [here for here in far.brokers if (here.zone, here.name) not in own]
    facts = facts._replace(brokers=(*facts.brokers, *others))
    found = links_of(facts, now)
    links = tuple(_judged(link, found, facts, nodes) for link in found)
    brokers = tuple(_brokers(facts, links))
    lost = cut_zones(links) | resting_zones(facts, brokers)
    shown = [_cut_off(node, lost) for node in nodes or ()]
    paths = _paths(facts, brokers, shown)
    zones = tuple(_zone(path, brokers, shown, far) for path in paths)
    return ZoneMap(
        zones,
        tuple(link._replace(behind=_behind(link, nodes)) for link in links),
        (*_faults(facts, links, zones, now), *_tunnel_faults(far.tunnels)),
        tuple(_unknown(brokers, nodes, zones, why)),
        tuple(_hops(facts, far)),
        tuple(sorted(far.tunnels)),
        tuple(facts.policies),
    )


def _hops(facts: Facts, far: Far) -> Iterator[Hop]:
    for here in facts.brokers:
        said = here.nodes
        if said and said["nodes"]:
            worst = tuple(row["node"] for row in said["worst"])
            up, down = numbers_of(said["up"]), numbers_of(said["down"])
            yield Hop(here.name, here.zone, None, said["nodes"], up, down, worst, here.as_of)
    own = [facts.recorder] if facts.recorder is not None else []
    known = {reading.sink for reading in own}
    for reading in (*own, *(each for each in far.recorders if each.sink not in known)):
        for hop in reading.hops:
            up, down = numbers_of(hop["up"]), numbers_of(hop["down"])
            yield Hop(hop["peer"], hop["zone"], reading.sink, None, up, down, (), reading.as_of)


def _tunnel_faults(tunnels: Sequence[Tunnel]) -> Iterator[Fault]:
    """Of what only people can mend; what is merely down shows by its link."""
    for tunnel in tunnels:
        if tunnel.state == "refused":
            why = f": {tunnel.why}" if tunnel.why else ""
            yield Fault(f"tunnel {tunnel.name} of {tunnel.node}", f"it is refused{why}")


def passing_over(link: Link, policies: Sequence[Passing]) -> list[Passing]:
    """Those policies that say what may pass up a link: of the zone below for what leaves it, of the one above for what comes."""
    if link.child_zone is None or link.child_zone == link.parent_zone:
        return []
    return [
        each
        for each in policies
        if each.below is not None
        and (
            (each.zone == each.below == link.child_zone)
            or (each.zone == link.parent_zone and each.below == link.child_zone)
        )
    ]


def is_behind(node: Node, link: Link) -> bool:
    """Whether the way of a node to the top leads over a link, as far as its zone tells."""
    return (
        link.child_zone is not None
        and link.child_zone != link.parent_zone
        and zone_within(node.zone, link.child_zone)
    )


def _judged(link: Link, links: Sequence[Link], facts: Facts, nodes: Sequence[Node] | None) -> Link:
    """A link by what is known beside it.

    A broker below that has two ways, or that is of an earlier edition, may be silent here while the nodes behind it are heard. And a
    link to a broker that is cut off itself is well: what is wrong is further up.
    """
    behind = [node.state for node in nodes or () if is_behind(node, link)]
    strange = link.child not in {broker.name for broker in facts.brokers}
    if link.state == AWAY:
        return link._replace(state=BYPASSED if "up" in behind else DEAD if behind else UNKNOWN)
    if link.state == DEAD and strange and link.heard is None:
        passing = any(node.state == "up" and _is_below(node, link) for node in nodes or ())
        return link._replace(state=BYPASSED if passing else DEAD)
    if link.state == HALF and any(up.child == link.parent and up.state in {DEAD, HALF} for up in links):
        return link._replace(state=UP)
    return link


def _is_below(node: Node, link: Link) -> bool:
    """Whether a node may be behind a link of whose lower end not even the zone is known."""
    zone = link.parent_zone
    return zone is not None and node.zone != zone and zone_within(node.zone, zone)


def cut_zones(links: Sequence[Link]) -> frozenset[str]:
    """The zones to which no link is left of those that are known."""
    dead = {link.child_zone for link in links if link.state == DEAD and link.child_zone != link.parent_zone}
    left = {link.child_zone for link in links if link.state in {UP, HALF, BYPASSED}}
    return frozenset(zone for zone in dead - left if zone is not None)


def resting_zones(facts: Facts, brokers: Sequence[Broker]) -> frozenset[str]:
    """The zones, from this home's own on downwards, all of whose brokers are known to be frozen or not to run: nothing passes them."""
    states: dict[str, set[str]] = defaultdict(set)
    for broker in brokers:
        if broker.zone is not None and zone_within(broker.zone, facts.zone):
            states[broker.zone].add(broker.state)
    return frozenset(zone for zone, found in states.items() if found <= _RESTING)


def _cut_off(node: Node, lost: frozenset[str]) -> Node:
    if node.state in _HEARD or not any(zone_within(node.zone, zone) for zone in lost):
        return node
    return node._replace(state=CUT_OFF)


def _behind(link: Link, nodes: Sequence[Node] | None) -> int | None:
    known = [node.behind for node in nodes or () if is_behind(node, link) and node.behind is not None]
    return sum(known) if known else None


def _brokers(facts: Facts, links: Sequence[Link]) -> Iterator[Broker]:
    here = {broker.name for broker in facts.brokers}
    yield from (Broker(broker.name, broker.zone, broker.state, broker.as_of) for broker in facts.brokers)
    others: dict[str, str | None] = {}
    for link in links:
        for name, zone in ((link.child, link.child_zone), (link.parent, link.parent_zone)):
            if name is not None and name not in here:
                others[name] = zone or others.get(name)
    yield from (Broker(name, zone, ELSEWHERE) for name, zone in sorted(others.items()))


def _paths(facts: Facts, brokers: Sequence[Broker], nodes: Sequence[Node]) -> list[str]:
    """Every zone that is known, and those above them, each behind the one that it lies in."""
    known = {
        *filter(None, [facts.zone]),
        *(broker.zone for broker in brokers if broker.zone),
        *(node.zone for node in nodes),
    }
    parts = [path.split("/") for path in known]
    return sorted({"/".join(path[:end]) for path in parts for end in range(1, len(path) + 1)})


def _zone(path: str, brokers: Sequence[Broker], nodes: Sequence[Node], far: Far) -> Zone:
    within = tuple(sorted(node for node in nodes if node.zone == path))
    behind = [node.behind for node in within if node.behind is not None]
    there = tuple(broker for broker in brokers if broker.zone == path)
    told = any(broker.state not in {ELSEWHERE, STALE} for broker in there)
    return Zone(
        path,
        path.count("/"),
        there,
        within,
        sum(behind) if behind else None,
        () if told else tuple(far.withheld.get(path, ())),
    )


def _faults(facts: Facts, links: Sequence[Link], zones: Sequence[Zone], now: int) -> Iterator[Fault]:
    for broker in facts.brokers:
        if broker.state not in {RUNNING, STALE}:
            does = "says nothing any more: is it frozen?" if broker.state == SILENT else "does not run"
            cut = [node for zone in zones if zone_within(zone.path, broker.zone) for node in zone.nodes]
            yield Fault(f"broker {broker.name}", does + _cut_words(cut))
    for link in links:
        yield from _link_faults(link, links, facts.brokers, zones)
    for zone in zones:
        silent = [node.name for node in zone.nodes if node.state == "silent"]
        if silent:
            names = ", ".join(silent[:5]) + (f" and {len(silent) - 5} more" if len(silent) > 5 else "")
            of = f"{len(silent)} of {len(zone.nodes)} nodes" if len(zone.nodes) > 1 else "its node"
            yield Fault(f"zone {zone.path}", f"nothing is heard of {of}: {names}")
    yield from _stale(facts, zones, now)


def _stale(facts: Facts, zones: Sequence[Zone], now: int) -> Iterator[Fault]:
    """Who is heard, and goes by an older roster than the one that is known here."""
    for broker in facts.brokers:
        for each in broker.lagging:
            if now - each["since"] > PATIENCE:
                who = f"{each['role']} {each['peer']}"
                yield Fault(who, f"has not taken the roster of {each['zone']} that {broker.name} has")
    for zone in zones:
        late = [node.name for node in zone.nodes if node.stale and node.state in _HEARD]
        if late:
            names = ", ".join(late[:5]) + (f" and {len(late) - 5} more" if len(late) > 5 else "")
            yield Fault(f"zone {zone.path}", f"goes by older rosters than this home: {names}")


def _link_faults(
    link: Link, links: Sequence[Link], brokers: Sequence[Here], zones: Sequence[Zone]
) -> Iterator[Fault]:
    where = f"link {link.child or 'of a broker below'} - {link.parent or 'the broker above'}"
    resting = {broker.name for broker in brokers if broker.state not in {RUNNING, STALE}}
    if link.state == DEAD and not resting & {
        link.child,
        link.parent,
    }:  # else it is the broker's fault, said above
        more = _cut_words([node for zone in zones for node in zone.nodes if is_behind(node, link)])
        if any(other.child_zone == link.child_zone and other.state == UP for other in links):
            more = "; it goes on through another link"
        at = f" at {link.end}" if link.end else ""
        yield Fault(where, f"nothing is heard over it{at}{more}")
    elif link.state == HALF:
        yield Fault(where, "it carries one way only, or the broker above it hears nothing from above")
    for broker in brokers:
        if broker.state == STALE:
            continue
        for lane, sender, receiver in (("up", link.child, link.parent), ("down", link.parent, link.child)):
            for counter, what in (("lost", "were lost"), ("came twice", "came twice: do both ends dial?")):
                count = broker.risen.get(f"{lane} {counter} on the link from {sender}", 0)
                if count and broker.name == receiver:
                    yield Fault(where, f"{count} messages of the {lane} lane {what} within the last minute")


def _cut_words(behind: Sequence[Node]) -> str:
    cut = sum(node.state == CUT_OFF for node in behind)
    return f"; {cut} {'nodes behind it are' if cut > 1 else 'node behind it is'} cut off" if cut else ""


def policy_words(policies: Sequence[str]) -> str:
    """``policy ID@NUMBER of ZONE``, or several."""
    return f"polic{'y' if len(policies) == 1 else 'ies'} {', '.join(policies)}"


def _unknown(
    brokers: Sequence[Broker], nodes: Sequence[Node] | None, zones: Sequence[Zone], why: str
) -> Iterator[str]:
    if nodes is None:
        yield (
            "there is no store here that can be read: which nodes there are, and how far behind, is known where it is"
            + (f" ({why})" if why else "")
        )
    untold = {zone.path: zone.untold for zone in zones if zone.untold}
    for path, policies in untold.items():
        yield f"the brokers of {path}, their links and tunnels: not told here, samples of its hosts are withheld by {policy_words(policies)}"
    elsewhere = [broker.name for broker in brokers if broker.state == ELSEWHERE and broker.zone not in untold]
    if elsewhere:
        yield (
            f"brokers of other homes ({', '.join(elsewhere)}): whether they run, and their other links, is known on their hosts"
        )
    late = [broker.name for broker in brokers if broker.state == STALE and broker.zone not in untold]
    if late:
        yield f"brokers of which nothing was heard lately ({', '.join(late)}): how they are now; they may be well"
    without = [zone.path for zone in zones if not zone.brokers and zone.path not in untold]
    if without:
        yield f"which brokers serve {', '.join(without)}: none of this home, nor a neighbour of one"
