"""Where the addresses of a home's own brokers lead: circles, wrong ends, chains that are too long, ways that end nowhere.

Brokers of one home may name each other, or give addresses, or dial by links: all three are one drawing here. What leads out of
the home is somebody else's, and nothing is said of it. Read only where there are ``[[broker]]`` tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from tabard.names import zone_within
from tabard.settings.findings import Finding
from tabard.settings.lint_zones import finding_at
from tabard.settings.schema import Broker
from tabard.settings.values import Origin, Settings

MOST_BROKERS: Final = 8
"""That a message passes; the next one drops it."""
_LANES: Final = ("up_in", "up_out", "down_in", "down_out")
_WILDCARDS: Final = frozenset({"*", "0.0.0.0", "[::]"})  # noqa: S104 -- recognised here, never bound


class _Dialled(NamedTuple):
    """An address that somebody of this home dials, and which end has to be there."""

    key: str
    address: str
    end: str
    origin: Origin
    by: Broker | None = None
    """The broker that hands up there; None for a role, and for a broker that dials one below."""
    word: str = ""
    """What the settings call the broker there, and by which name; "" when they do not."""
    said: str = ""


def lint_ways(settings: Settings) -> Iterator[Finding]:
    """Every contradiction found."""
    at = _Places(settings)
    for dialled in _all_dialled(settings):
        yield from _leads(dialled, at)
    for broker, origin in settings.tables["broker"]:
        yield from _pair(broker, origin)
    up = {broker.name: _above(broker, settings, at) for broker in settings.brokers}
    origins = {broker.name: origin for broker, origin in settings.tables["broker"]}
    named = _circles({b.name: [b.parent] if b.parent in up else [] for b in settings.brokers})
    circles = [each for each in _circles(up) if each not in named]  # those by names alone are told already
    for circle in circles:
        yield _circle(circle, origins[circle[0]])
    yield from _two_parents(settings)
    yield from _two_names(settings)
    yield from _beside(settings, at)
    if not circles and not named:
        yield from _too_long(up, origins)
        yield from _unread(settings, up, origins)


class _Places:
    """Which broker of the home listens at an address."""

    def __init__(self, settings: Settings) -> None:
        self._bound = [
            (end, broker, lane)
            for broker in settings.brokers
            for lane, end in zip(
                _LANES, (broker.up_in, broker.up_out, broker.down_in, broker.down_out), strict=True
            )
            if end
        ]
        self.tunnelled = [
            f"tcp://{forward.listen}" for tunnel in settings.tunnels for forward in tunnel.forward
        ]

    def found(self, address: str) -> tuple[Broker, str] | None:
        """The broker and its end."""
        for end, broker, lane in self._bound:
            if _reaches(address, end):
                return broker, lane
        return None


def _reaches(dialled: str, bound: str) -> bool:
    """Whether who dials one address comes out at another one; a wildcard listens at every address of this host."""
    if not dialled.startswith("tcp://") or not bound.startswith("tcp://"):
        return dialled == bound
    (host, _, port), (there, _, at) = (
        each.removeprefix("tcp://").replace("localhost", "127.0.0.1").rpartition(":")
        for each in (dialled, bound)
    )
    return port == at and (host == there or (there in _WILDCARDS and host in {"127.0.0.1", "[::1]"}))


def _all_dialled(settings: Settings) -> Iterator[_Dialled]:
    for broker, origin in settings.tables["broker"]:
        key = f"broker {broker.name}"
        for word, said, up, down in (
            ("parent", broker.parent, broker.parent_up, broker.parent_down),
            ("standby", broker.standby, broker.standby_up, broker.standby_down),
        ):
            yield _Dialled(f"{key}.{word}_up", up, "up_in", origin, broker, word, said)
            yield _Dialled(f"{key}.{word}_down", down, "down_out", origin, broker)
        for link in broker.link:
            peer = f"{key}.link {link.peer}"
            yield _Dialled(f"{peer}.up", link.up, "up_out", origin, None, "peer", link.peer)
            yield _Dialled(f"{peer}.down", link.down, "down_in", origin)
    for role, up, down in (("agent", "up_in", "down_out"), ("recorder", "up_out", "down_in")):
        for first in ("", "standby_"):
            word, key = f"{first}broker", f"{role}.{first}up"
            said = settings.str(f"{role}.{word}")
            yield _Dialled(key, settings.str(key), up, settings.origin(key), None, word, said)
            key = f"{role}.{first}down"
            yield _Dialled(key, settings.str(key), down, settings.origin(key))


def _leads(dialled: _Dialled, at: _Places) -> Iterator[Finding]:
    """Whether an address leads to the end that has to be there, of a broker that may be there."""
    place = at.found(dialled.address) if dialled.address else None
    if place is None:
        return
    there, lane = place
    child = dialled.by
    if lane != dialled.end:
        yield finding_at(
            dialled.origin,
            dialled.key,
            f"it leads to the {lane} of broker {there.name}, which is another end",
            expected=f"a {dialled.end}: {_end(there, dialled.end)} of that broker",
            found=dialled.address,
            hint="Nothing would ever pass: exchange the addresses, or name the other port",
        )
    elif child is not None and not zone_within(child.zone, there.zone):
        yield finding_at(
            dialled.origin,
            dialled.key,
            f"it leads to broker {there.name} of a zone that does not hold its own",
            expected=f"a broker of {child.zone} or of a zone above it",
            found=f"{there.zone!r} at {dialled.address}",
            hint="A broker forwards for its own zone and those below it: correct the address, or a zone",
        )
    elif dialled.said and dialled.said != there.name:
        yield finding_at(
            dialled.origin,
            dialled.key,
            f"it leads to broker {there.name}, and its {dialled.word} is said to be {dialled.said}",
            expected=f"an address of {dialled.said}, or {dialled.word} = {there.name!r}",
            found=dialled.address,
            hint="The key of the broker that is named is expected there, so no connection would come up",
        )


def _pair(broker: Broker, origin: Origin) -> Iterator[Finding]:
    """What the two above are called."""
    key = f"broker {broker.name}.standby"
    if broker.standby and broker.standby == broker.parent:
        yield finding_at(
            origin,
            key,
            "parent and standby are the same broker, so nothing is left when that goes",
            expected="the name of the other broker of the parent's zone",
            found=repr(broker.standby),
            hint="Name the second broker of the pair: its key is expected at standby_up and standby_down",
            warning=True,
        )
    elif broker.standby and not broker.standby_up and not broker.standby_down:
        yield finding_at(
            origin,
            key,
            "it names a broker and not where it is, so there is no standby",
            expected="standby_up and standby_down beside it",
            found="neither",
            hint="Give its up_in and its down_out as this host reaches them, or leave standby out",
            warning=True,
        )


def _end(broker: Broker, name: str) -> str:
    ends = zip(_LANES, (broker.up_in, broker.up_out, broker.down_in, broker.down_out), strict=True)
    return dict(ends)[name] or "a unix socket in run/"


def _above(broker: Broker, settings: Settings, at: _Places) -> list[str]:
    """The brokers of this home that one hands up to."""
    found = [
        place[0].name for end in (broker.parent_up, broker.standby_up) if end and (place := at.found(end))
    ]
    if not broker.parent_up and any(each.name == broker.parent for each in settings.brokers):
        found.append(broker.parent)
    found += [
        each.name
        for each in settings.brokers
        if any(link.peer == broker.name and link.dials == "this" for link in each.link)
        and each.name != broker.name  # which is told of the link
    ]
    return list(dict.fromkeys(found))


def _circles(up: dict[str, list[str]]) -> list[tuple[str, ...]]:
    """Each once, beginning with the name that comes first in the file; the first name stands at the end again."""
    found: dict[frozenset[str], tuple[str, ...]] = {}
    for name in up:
        ways: list[tuple[str, ...]] = [(name,)]
        seen = {name}
        while ways:
            way = ways.pop()
            for above in up[way[-1]]:
                if above == name:
                    found.setdefault(frozenset(way), (*way, name))
                elif above not in seen:
                    seen.add(above)
                    ways.append((*way, above))
    return list(found.values())


def _circle(circle: tuple[str, ...], origin: Origin) -> Finding:
    return finding_at(
        origin,
        f"broker {circle[0]}",
        f"the chain runs in a circle: {', '.join(circle)}",
        expected="a way up that ends at a broker without a parent",
        found="that broker again" if len(circle) > 2 else "the broker itself",
        hint="Follow parent, parent_up, standby_up and the links that dial, and take one of them out",
    )


def _two_parents(settings: Settings) -> Iterator[Finding]:
    """A pair of one zone may dial a broker below; brokers of two zones may not: each message would come twice."""
    here = {broker.name for broker in settings.brokers}
    seen: list[tuple[Broker, str, str]] = []
    for broker, origin in settings.tables["broker"]:
        for link in broker.link:
            if link.dials != "this":
                continue
            for other, peer, up in seen:
                if peer == link.peer and other.zone != broker.zone and (peer in here or up == link.up):
                    yield finding_at(
                        origin,
                        f"broker {broker.name}.link {peer}",
                        "two brokers of different zones dial the same one below, so each message would come twice",
                        expected=f"links to {peer} from one broker, or from a pair of one zone",
                        found=f"{other.name} of {other.zone}, and {broker.name} of {broker.zone}",
                        hint="Let only the zone right above dial it",
                    )
            seen.append((broker, link.peer, link.up))


def _two_names(settings: Settings) -> Iterator[Finding]:
    """One address below, said to be of two brokers: only one of them can be there."""
    seen: dict[str, tuple[str, str]] = {}
    for broker, origin in settings.tables["broker"]:
        for link in broker.link:
            if link.dials != "this" or not link.up:
                continue
            other, peer = seen.setdefault(link.up, (broker.name, link.peer))
            if peer != link.peer:
                yield finding_at(
                    origin,
                    f"broker {broker.name}.link {link.peer}.up",
                    f"the link of broker {other} to {peer} has the same address",
                    expected=f"another address than that of {peer}",
                    found=link.up,
                    hint="Another broker listens at each address: give that of the one that is named",
                )


def _beside(settings: Settings, at: _Places) -> Iterator[Finding]:
    """A link to a broker of this home that listens somewhere else."""
    by_name = {broker.name: broker for broker in settings.brokers}
    for broker, origin in settings.tables["broker"]:
        for link in broker.link:
            child = by_name.get(link.peer)
            if child is None or link.dials != "this":
                continue
            for lane, address, end in (("up", link.up, child.up_out), ("down", link.down, child.down_in)):
                if not end or not address or at.found(address) or address in at.tunnelled:
                    continue
                yield finding_at(
                    origin,
                    f"broker {broker.name}.link {link.peer}.{lane}",
                    f"it leads where broker {link.peer} does not listen",
                    expected=f"{end}, or an address that a [[tunnel]] of this home carries there",
                    found=address,
                    hint="Correct it, unless something else carries it there",
                    warning=True,
                )


def _too_long(up: dict[str, list[str]], origins: dict[str, Origin]) -> Iterator[Finding]:
    def length(name: str) -> int:
        return 1 + max((length(above) for above in up[name]), default=0)

    for name in up:
        if length(name) > MOST_BROKERS and not any(name in above for above in up.values()):
            yield finding_at(
                origins[name],
                f"broker {name}",
                f"{length(name)} brokers in a row, so what this one hands up is dropped on the way",
                expected=f"at most {MOST_BROKERS} from the first to the last",
                found=str(length(name)),
                hint="A broker hands up only what passed fewer: take some out of the chain",
            )


def _unread(settings: Settings, up: dict[str, list[str]], origins: dict[str, Origin]) -> Iterator[Finding]:
    """Brokers from which no way leads out of the home, nor to where its recorder reads."""
    if settings.str("recorder.up"):
        return
    tops = [broker for broker in settings.brokers if not up[broker.name]]
    reading = [broker for broker in tops if not broker.parent] or tops
    for broker in tops:
        ways = broker.parent_up or broker.standby_up or broker.up_out
        if broker is not reading[-1] and not ways:
            yield finding_at(
                origins[broker.name],
                f"broker {broker.name}",
                f"nothing that broker {broker.name} hands up is read by anybody: the recorder of this home reads at {reading[-1].name}",
                expected=f"parent = {reading[-1].name!r}, or parent_up and parent_down, or an up_out for whoever reads it",
                found="none of them",
                hint="Join the two, or give recorder.up and recorder.down, and for a pair recorder.standby_up and standby_down",
                warning=True,
            )
