"""The links between brokers: what the settings say and what both ends say, brought together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from tabard.consumers.zones.facts import RUNNING, Facts, Here

UP: Final = "up"
STANDBY: Final = "standby"
"""It is there, and another one is used."""
HALF: Final = "half"
"""It is heard, and what it says is that it does not hear."""
DEAD: Final = "dead"
"""Nothing is heard over it."""
BYPASSED: Final = "bypassed"
"""Nothing is heard over it, and yet the nodes behind it are heard: by another link, or a broker of an earlier edition."""
AWAY: Final = "away"
"""While it is put together: a broker below that has two ways is not heard; it may use the other one."""
UNKNOWN: Final = "unknown"
"""Nobody here can tell: the broker of this home does not run, or only just began."""
CHILD: Final = "child"
PARENT: Final = "parent"
PATIENCE: Final = 20_000_000_000
"""Nanoseconds that a broker has to hear of its neighbours."""


class Numbers(NamedTuple):
    """Of one lane of a link."""

    sent: int
    received: int

    @property
    def lost(self) -> int:
        """Below zero where messages came twice."""
        return self.sent - self.received


class Link(NamedTuple):
    """A link between a broker and the one above it."""

    child: str | None
    """None until one is heard of whom only the address is known."""
    child_zone: str | None
    parent: str | None
    parent_zone: str | None
    dials: str | None
    """Who opens the connection: ``child`` or ``parent``; None when neither end is described here."""
    end: str
    """Where it is dialled; "" when not from here."""
    state: str
    heard: int | None
    """When the other end was heard last."""
    since: int | None
    """Since when it is heard without a break."""
    up: Numbers | None
    down: Numbers | None
    behind: int | None
    """Records that nodes behind it have and the store has not."""
    as_of: int | None = None
    """When it was so, where only other homes tell of it, by this host's clock; None: now."""


@dataclass
class _Known:
    """A link while it is put together."""

    child: str | None
    parent: str | None
    child_zone: str | None = None
    parent_zone: str | None = None
    dials: str | None = None
    end: str = ""
    standby: bool = False
    heard: int | None = None
    since: int | None = None
    up: Numbers | None = None
    down: Numbers | None = None
    states: tuple[str, ...] = ()
    told: tuple[int | None, ...] = ()
    """As of when each end told; None: now."""
    said: tuple[tuple[str, int | None], ...] = ()
    """How it was by each end, with as of when that told."""
    heards: tuple[tuple[int | None, int], ...] = ()
    """When each end that ought to hear the other one heard it last, with as of when it told."""
    missed: tuple[tuple[int | None, int], ...] = ()
    """The same of an end that hears nothing while the other one uses another link."""


_WORST: Final = (DEAD, HALF, UP, STANDBY, AWAY, UNKNOWN)


def links_of(facts: Facts, now: int) -> list[Link]:
    """Every link that has an end in this home, or is described here; by the names of its ends."""
    zones = {broker.name: broker.zone for broker in facts.brokers}
    known: dict[tuple[str, str], _Known] = {}
    for broker in facts.brokers:
        then = now if broker.as_of is None else broker.as_of
        for link in (*_upward(broker, then), *_downward(broker, then)):
            link.told = (broker.as_of,)
            key = (link.child or f"?{link.end}", link.parent or f"?{link.end}")
            if key in known and _differ(known[key], link):  # equal names in branches of the tree
                key = (f"{key[0]} {link.child_zone}", f"{key[1]} {link.parent_zone}")
            _merge(known.setdefault(key, _Known(link.child, link.parent)), link)
    return [_made(link, zones) for _, link in sorted(known.items())]


def _differ(one: _Known, other: _Known) -> bool:
    """Whether two links of the same names are of different zones."""
    return any(
        here is not None and there is not None and here != there
        for here, there in ((one.child_zone, other.child_zone), (one.parent_zone, other.parent_zone))
    )


def _made(link: _Known, zones: Mapping[str, str]) -> Link:
    state = next((state for state in _WORST if state in link.states), UNKNOWN)
    # An end that cannot tell takes nothing from the age of what the other one told.
    told = [as_of for each, as_of in link.said if each == state] or link.told
    return Link(
        link.child,
        link.child_zone or zones.get(link.child or ""),
        link.parent,
        link.parent_zone or zones.get(link.parent or ""),
        link.dials,
        link.end,
        state,
        _latest(_last_heard(link.heards), _last_heard(link.missed)),
        link.since,
        link.up,
        link.down,
        None,
        None if None in told else _latest(*told),
    )


def _last_heard(heards: Sequence[tuple[int | None, int]]) -> int | None:
    """By those who tell now, else by who told last: what an end said a while ago is that old itself, and no silence of the link."""
    now = [heard for as_of, heard in heards if as_of is None]
    if now:
        return min(now)
    latest = max((as_of for as_of, _ in heards if as_of is not None), default=None)
    return min((heard for as_of, heard in heards if as_of == latest), default=None)


def _latest(*times: int | None) -> int | None:
    return max((time for time in times if time is not None), default=None)


def _merge(into: _Known, link: _Known) -> None:
    """What one more end, or the settings, know of it. Where both ends tell, the receiver's own numbers are the newest."""
    into.child_zone = into.child_zone or link.child_zone
    into.parent_zone = into.parent_zone or link.parent_zone
    into.dials = into.dials or link.dials
    into.end = into.end or link.end
    heard = tuple((as_of, link.heard) for as_of in link.told if link.heard is not None)
    if AWAY in link.states:
        into.missed += heard
    else:
        into.heards += heard
    into.since = _latest(into.since, link.since)
    into.up = max((lane for lane in (into.up, link.up) if lane is not None), default=None)
    into.down = max((lane for lane in (into.down, link.down) if lane is not None), default=None)
    into.states += link.states
    into.told += link.told
    into.said += tuple((state, as_of) for state in link.states for as_of in link.told)


def _upward(broker: Here, now: int) -> Iterator[_Known]:
    """The links of a broker of this home to those above it."""
    heard = {hop["peer"]: hop for hop in broker.hops if hop["side"] == "above"}
    used = {row["end"]: row for row in broker.above}
    for parent in broker.parents:
        row = used.get(parent.end, {})
        name = row.get("broker") or parent.name
        link = _Known(broker.name, name, broker.zone, row.get("zone"), CHILD, parent.end)
        hop = heard.pop(name, None)
        _number(link, hop)
        # While it is a standby nothing is numbered over it, and it is heard all the same.
        link.heard = _latest(link.heard, row.get("heard"))
        link.states = (_state_above(broker, row, now),)
        yield link
    if broker.dialled_by is not None and broker.dialled_by not in heard:
        link = _Known(broker.name, broker.dialled_by, broker.zone, None, PARENT)
        link.states = (_unheard(broker, now),)
        yield link
    for name, hop in heard.items():  # one that dials this broker
        link = _Known(broker.name, name, broker.zone, hop["zone"], PARENT)
        _number(link, hop)
        link.states = (_state(broker, hop),)
        yield link


def _downward(broker: Here, now: int) -> Iterator[_Known]:
    """The links of a broker of this home to those below it."""
    heard = {hop["peer"]: hop for hop in broker.hops if hop["side"] == "below"}
    for child in broker.children:
        dials = PARENT if child.dials == "this" else CHILD
        if child.name not in heard:
            yield _Known(child.name, broker.name, None, broker.zone, dials, states=(_unheard(broker, now),))
        else:
            yield _Known(child.name, broker.name, None, broker.zone, dials)
    dialled = {child.name for child in broker.children if child.dials == "this"}
    for name, hop in heard.items():
        link = _Known(name, broker.name, hop["zone"], broker.zone, PARENT if name in dialled else CHILD)
        _number(link, hop)
        link.states = (_state(broker, hop),)
        yield link


def _number(link: _Known, hop: Mapping[str, Any] | None) -> None:
    if hop is None:
        return
    link.heard, link.since = hop["heard"], hop["since"]
    link.up, link.down = (numbers_of(hop[lane]) for lane in ("up", "down"))


def numbers_of(lane: Mapping[str, int] | None) -> Numbers | None:
    """As a status file has them."""
    return Numbers(lane["sent"], lane["received"]) if lane else None


def _state(broker: Here, hop: Mapping[str, Any]) -> str:
    if broker.state != RUNNING:
        return UNKNOWN
    if not hop["is_heard"]:
        return AWAY if hop["side"] == "below" and hop["ways"] > 1 else DEAD
    return UP if hop["well"] else HALF


def _state_above(broker: Here, row: Mapping[str, Any], now: int) -> str:
    if not row or row["heard"] is None:
        return _unheard(broker, now)
    if broker.state != RUNNING:
        return UNKNOWN
    if now - row["heard"] > PATIENCE:
        return DEAD
    if not row["well"]:
        return HALF
    return UP if row["used"] else STANDBY


def _unheard(broker: Here, now: int) -> str:
    """A neighbour that never said anything is away once it had the time to."""
    young = broker.since is None or now - broker.since < PATIENCE
    return UNKNOWN if broker.state != RUNNING or young else DEAD
