"""What is wrong with the roles of a home, in words: read off their locks and status files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tabard import __version__
from tabard.home import Home
from tabard.ops import believing, rosters, seen
from tabard.ops.room import troubles
from tabard.ops.seen import Seen
from tabard.ops.stores import path_of
from tabard.settings import Settings
from tabard.web.scales import show_bytes

if TYPE_CHECKING:
    from tabard.consumers.store.results import NodeRow

AWAY: Final = "away"
RETIRED: Final = "retired"
"""How an agent says that a sink stands."""
PATIENCE: Final = 20_000_000_000
"""Nanoseconds that an agent has to hear of its sinks before it counts as a fault that it has not."""
CLOCK_OFF: Final = 60.0
"""Seconds by which a node's clock may be wrong."""
_HEARD: Final = frozenset({"up", "late"})
_NAMED: Final = 3
"""Nodes with wrong clocks that are named, when there are more."""


class Fault(NamedTuple):
    """One thing that is wrong."""

    where: str
    """A role, ``home``, ``settings`` or ``store``."""
    what: str


def of_home(home: Home, settings: Settings | None) -> list[Fault]:
    """What keeps every role of the home from its work."""
    store = path_of(home, settings) if settings is not None else home.store
    return [Fault("home", trouble) for trouble in troubles(home, store)]


def of_roles(roles: Sequence[Seen], now: int, *, writable: bool = True) -> list[Fault]:
    """Everything that the roles' state and their own words show at wall clock ``now``.

    Without ``writable`` it is known that they cannot write, and so why they say nothing.
    """
    found = [*_not_running(roles), *(fault for role in roles for fault in _of(role, now, writable))]
    return list(dict.fromkeys(found))


def _not_running(roles: Sequence[Seen]) -> Iterator[Fault]:
    """Roles that ran here once, and children of ``tabard up`` that it cannot keep running."""
    states = {role.name: role.state for role in roles}
    children = seen.said(roles, "up").get("children", {})
    for name in sorted({*states, *children} - {"up"}):  # up is one way to start the others; it need not run
        restarts = children.get(name, {}).get("restarts", 0)
        if states.get(name, seen.STOPPED) != seen.STOPPED:
            continue
        if restarts:
            yield Fault(name, f"does not run: it ended {restarts} times and is started again; see log/up.log")
        elif name in states:
            yield Fault(name, "does not run")


def _of(role: Seen, now: int, writable: bool) -> Iterator[Fault]:
    if role.state == seen.SILENT:
        why = "is it frozen?" if writable else "it cannot write its status file"
        yield Fault(role.name, f"has said nothing for over {seen.SILENT_AFTER:.0f} s: {why}")
    if role.version not in {None, __version__}:
        yield Fault(role.name, f"runs version {role.version}, and this is {__version__}: start it anew")
    if role.said.get("fault"):
        yield Fault(role.name, str(role.said["fault"]))
    for name, count in role.said.get("risen", {}).items():
        total = role.said.get("counters", {}).get(name, count)
        yield Fault(role.name, f"{name}: {count} within the last minute, {total} since it started")
    if (role.said.get("keys") or {}).get("fault"):
        yield Fault(role.name, str(role.said["keys"]["fault"]))
    for words in rosters.faults(role, now):
        yield Fault(role.name, words)
    for words in believing.words(role.said.get("refused", ())):
        yield Fault(role.name, words)
    for each in role.said.get("connections", ()):
        if each["fault"]:
            who = f"broker {each['broker']}" if each["broker"] else "broker"
            yield Fault(role.name, f"the {who} at {each['end']}: {each['state']}")
    if role.name == "agent":
        yield from _of_agent(role, now)
    if role.since is not None and now - role.since >= PATIENCE:
        yield from _of_links(role, now)


def _of_links(role: Seen, now: int) -> Iterator[Fault]:
    """The brokers above an agent or a broker: each of a pair is to be there, although one is enough."""
    links = role.said.get("links", role.said.get("above", ()))
    for link in links:
        name = f"broker {link['broker'] or ''}".rstrip()
        name += f" at {link['end']}" if link["end"] else " above"
        going = "" if link["used"] or len(links) == 1 else "; it goes on through the other one"
        if link["heard"] is None or now - link["heard"] > PATIENCE:
            yield Fault(role.name, f"does not hear the {name}{going}")
        elif not link["well"]:
            yield Fault(role.name, f"the {name} hears nothing from above{going}")


def _of_agent(role: Seen, now: int) -> Iterator[Fault]:
    if role.said.get("blocked"):
        yield Fault(role.name, f"takes no records in: {role.said['blocked']}")
    for _kind, where, detail, _since in role.said.get("faults", ()):
        yield Fault(role.name, f"{where}: {detail}")
    for source in role.said.get("sources", ()):
        if not source["path"]:  # the row of all files that match and are not followed
            yield Fault(role.name, f"intake.tail: {source['why']}")
    if role.since is None or now - role.since < PATIENCE:
        return
    for name, sink in role.said.get("sinks", {}).items():
        if sink.get("refused"):
            continue  # said already: it is heard, and not believed
        if sink.get("state") != RETIRED and not sink["attached"]:
            yield Fault(
                role.name,
                f"has not heard of sink {name}: does its recorder run, is there a way to its broker?{_held(sink)}",
            )
        elif sink.get("state") == AWAY:
            yield Fault(
                role.name,
                f"has not heard of sink {name} for {_span(sink['silent'])}: does its recorder still run?{_held(sink)}",
            )


def wrong_clocks(nodes: Iterable[NodeRow]) -> list[Fault]:
    """The nodes of a store that were heard lately and whose clocks are far from that of who heard them.

    Nothing is lost by it, and order within a node holds; but its records stand at a time at which they were not said.
    """
    found = [node for node in nodes if node.state in _HEARD and abs((node.clock or 0) / 1e9) > CLOCK_OFF]
    if len(found) > _NAMED:
        names = ", ".join(node.name for node in found[:_NAMED])
        what = f"the clocks of {len(found)} nodes, such as {names}, are far from the recorder's, or that one is wrong"
        return [Fault("store", f"{what}: see tabard nodes, and set them")]
    return [Fault("store", _wrong_clock(node)) for node in found]


def _wrong_clock(node: NodeRow) -> str:
    off = (node.clock or 0) / 1e9
    how = f"{_span(abs(off))} {'ahead of' if off > 0 else 'behind'}"
    return f"the clock of node {node.name} ({node.zone}) is {how} the recorder's: its records stand at a wrong time. Set it"


def _held(sink: Mapping[str, Any]) -> str:
    """What of the journal is kept for one sink, and for how long."""
    streams = sink.get("streams", {}).values()
    held = sum(stream.get("held") or 0 for stream in streams)
    since = max((stream.get("held_for") or 0.0 for stream in streams), default=0.0)
    return f" {show_bytes(held)} of the journal are kept for it, since {_span(since)}" if held else ""


def _span(seconds: float | None) -> str:
    """``45 s``, ``12 min``, ``5.2 h``, ``3.1 d``."""
    if seconds is None:
        return "a while"
    for size, unit, digits in ((86_400, "d", 1), (3600, "h", 1), (60, "min", 0)):
        if seconds >= size:
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds:.0f} s"
