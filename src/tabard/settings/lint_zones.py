"""Contradictions between brokers, links and those who use them: what a person would find by drawing the chain.

An error keeps roles from starting: messages would never arrive, or each of them twice. What only looks wrong is a warning,
since the other end of a link, or an agent, may belong to another home.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tabard.names import zone_within
from tabard.settings.findings import Finding, error_at
from tabard.settings.schema import Broker, Link
from tabard.settings.values import Origin, Settings


def lint_zones(settings: Settings) -> Iterator[Finding]:
    """Every contradiction found."""
    by_name = {broker.name: broker for broker in settings.brokers}
    for broker, origin in settings.tables["broker"]:
        yield from _crossed(broker, origin)
        yield from _standby(broker, by_name, origin)
        seen: set[str] = set()
        for link in broker.link:
            yield from _link(broker, link, by_name, origin, again=link.peer in seen)
            seen.add(link.peer)
    yield from _served(settings)
    yield from _counted(settings)
    for role in ("agent", "recorder"):
        yield from _used(settings, role)


def finding_at(
    origin: Origin, key: str, what: str, *, expected: str, found: str, hint: str, warning: bool = False
) -> Finding:
    """A finding about what was written there."""
    place = origin.place or "default"
    error = error_at(place, what, key=key, line=origin.line, expected=expected, found=found, hint=hint)
    return Finding(error, warning)


def _crossed(broker: Broker, origin: Origin) -> Iterator[Finding]:
    """Two lanes at one address: one of them would never carry anything."""
    pairs = [
        ("parent_up", broker.parent_up, "parent_down", broker.parent_down),
        ("standby_up", broker.standby_up, "standby_down", broker.standby_down),
    ]
    pairs += [(f"link {link.peer}.up", link.up, f"link {link.peer}.down", link.down) for link in broker.link]
    for up, at_up, down, at_down in pairs:
        if at_up and at_up == at_down:
            yield finding_at(
                origin,
                f"broker {broker.name}.{down}",
                "both lanes have the same address",
                expected=f"another address than that of {up}",
                found=at_down,
                hint="The up lane leads to an up_in or up_out, the down lane to a down_out or down_in: give the second port",
            )


def _standby(broker: Broker, by_name: dict[str, Broker], origin: Origin) -> Iterator[Finding]:
    parent = by_name.get(broker.parent)
    up = broker.parent_up or (parent.up_in if parent is not None else "")
    down = broker.parent_down or (parent.down_out if parent is not None else "")
    same = [
        (name, there, end)
        for name, end, there, above in (
            ("standby_up", "up_in", broker.standby_up, up),
            ("standby_down", "down_out", broker.standby_down, down),
        )
        if there and there == above
    ]
    for name, there, end in same[:1]:
        yield finding_at(
            origin,
            f"broker {broker.name}.{name}",
            "the standby is the parent itself, so nothing is left when that goes",
            expected=f"the {end} of another broker of the parent's zone",
            found=there,
            hint="Name the second broker of the pair, or leave standby_up and standby_down out",
            warning=True,
        )


def _link(
    broker: Broker, link: Link, by_name: dict[str, Broker], origin: Origin, *, again: bool
) -> Iterator[Finding]:
    key = f"broker {broker.name}.link {link.peer}"
    child = by_name.get(link.peer)
    if link.peer == broker.name:
        yield finding_at(
            origin,
            key,
            "a broker is linked to itself",
            expected="the name of a broker below it",
            found=repr(link.peer),
            hint="Name the broker of the outer zone, or remove the link",
        )
        return
    if again:
        yield finding_at(
            origin,
            key,
            "two links lead to the same broker, so each message would come twice",
            expected="one [[broker.link]] for each broker below",
            found=f"a second one for {link.peer!r}",
            hint="Remove one of them",
        )
    yield from _dialled(link, origin, key)
    if child is None:
        return
    if not zone_within(child.zone, broker.zone):
        yield finding_at(
            origin,
            key,
            "a link leads to a broker of a zone that is not below",
            expected=f"a zone within {broker.zone!r}",
            found=f"{child.zone!r} of {child.name!r}",
            hint="A broker forwards for its own zone and those below it: turn the link round, or correct the zone",
        )
    dials_up = bool(child.parent_up) or (child.parent == broker.name and link.dials == "peer")
    if link.dials == "this" and child.parent_up:
        yield finding_at(
            origin,
            key,
            "both sides of a link dial, so each message would come twice",
            expected='parent_up and parent_down of the other side left out, or dials = "peer" here',
            found=f'dials = "this", and {child.name!r} dials {child.parent_up}',
            hint="Decide which zone opens the connection, and let only that side dial",
        )
    elif link.dials == "this" and child.parent not in {"", broker.name}:
        yield finding_at(
            origin,
            key,
            "a link dials a broker that has another parent",
            expected=f"parent = {broker.name!r} in the table of {child.name!r}",
            found=f"parent = {child.parent!r}",
            hint="A broker hands up to one parent, or to a pair of one zone",
        )
    elif link.dials == "peer" and not dials_up:
        yield finding_at(
            origin,
            key,
            "no side of a link dials, so nothing would ever pass",
            expected=f"parent = {broker.name!r}, or parent_up and parent_down, in the table of {child.name!r}",
            found='dials = "peer", and the other side dials nobody',
            hint='Give them, or let this side dial: dials = "this"',
        )


def _dialled(link: Link, origin: Origin, key: str) -> Iterator[Finding]:
    """Who dials has to know where to."""
    missing = [name for name, value in (("up", link.up), ("down", link.down)) if not value]
    if link.dials == "this" and missing:
        yield finding_at(
            origin,
            f"{key}.{missing[0]}",
            "a link dials a broker and does not say where it is",
            expected="up, its up_out, and down, its down_in, as this host reaches them",
            found=f"no {' and no '.join(missing)}",
            hint='Give both, or let the other side dial: dials = "peer"',
        )


def _served(settings: Settings) -> Iterator[Finding]:
    """The agent of this home hands to the broker of its zone, if it is not told another one."""
    zone = settings.str("node.zone")
    if (
        not settings.brokers
        or settings.str("agent.up")
        or any(each.zone == zone for each in settings.brokers)
    ):
        return
    zones = sorted({broker.zone for broker in settings.brokers})
    drops = not any(zone_within(zone, each) for each in zones)
    yield finding_at(
        settings.origin("node.zone"),
        "node.zone",
        "no broker here serves the zone of this node"
        + (": what its agent says would be dropped" if drops else ""),
        expected="one of " + ", ".join(zones),
        found=repr(zone),
        hint="Set node.zone to the zone this host is in, describe a broker of that zone, or name one by agent.up and agent.down",
        warning=True,
    )


def _counted(settings: Settings) -> Iterator[Finding]:
    """A number of brokers that is not made, since others are described."""
    origin = settings.origin("up.brokers")
    if settings.brokers and origin.place:
        yield finding_at(
            origin,
            "up.brokers",
            "it is not used, since the brokers of this home are described one by one",
            expected="up.brokers or [[broker]] tables, not both",
            found=f"{settings['up.brokers']}, and {len(settings.brokers)} described",
            hint="Leave up.brokers out, or describe as many brokers",
            warning=True,
        )


def _used(settings: Settings, role: str) -> Iterator[Finding]:
    ends = {name: settings.str(f"{role}.{name}") for name in ("up", "down", "standby_up", "standby_down")}
    for up, down in (("up", "down"), ("standby_up", "standby_down")):
        if ends[up] and ends[up] == ends[down]:
            yield finding_at(
                settings.origin(f"{role}.{down}"),
                f"{role}.{down}",
                "both lanes have the same address",
                expected=f"another address than that of {role}.{up}",
                found=ends[down],
                hint="A broker listens on one port for each lane: give the second one",
            )
    same = [name for name in ("up", "down") if ends[name] and ends[f"standby_{name}"] == ends[name]]
    for name in same[:1]:
        key = f"{role}.standby_{name}"
        yield finding_at(
            settings.origin(key),
            key,
            "the standby is the broker itself, so nothing is left when that goes",
            expected="an address of the other broker of the zone",
            found=ends[name],
            hint=f"Name the second broker of the pair, or leave {role}.standby_up and {role}.standby_down out",
            warning=True,
        )
    yield from _named(settings, role, ends)


def _named(settings: Settings, role: str, ends: Mapping[str, str]) -> Iterator[Finding]:
    """What the brokers are called whose keys are expected."""
    for prefix in ("", "standby_"):
        key = f"{role}.{prefix}broker"
        if settings.str(key) and not ends[f"{prefix}up"] and not ends[f"{prefix}down"]:
            yield finding_at(
                settings.origin(key),
                key,
                "it names a broker and not where it is, so it is not used",
                expected=f"{role}.{prefix}up and {role}.{prefix}down beside it",
                found="neither",
                hint=f"Give them as this host reaches that broker, or leave {key} out",
                warning=True,
            )
    key = f"{role}.standby_broker"
    if ends["standby_up"] and settings.str(key) and settings.str(key) == settings.str(f"{role}.broker"):
        yield finding_at(
            settings.origin(key),
            key,
            "broker and standby are the same broker, so nothing is left when that goes",
            expected="the name of the other broker of the zone",
            found=repr(settings.str(key)),
            hint=f"Name the second broker of the pair: its key is expected at {role}.standby_up and {role}.standby_down",
            warning=True,
        )
