"""How a lab is: a row for each node and each link."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tabard.ops.lab import faults, hostkeys, marks
from tabard.ops.lab.lines import SOUND, Wear
from tabard.ops.lab.plan import End, Host, Lab, Segment
from tabard.units import format_duration

KEYS: Final = ("kind", "name", "zone", "state", "faults", "address", "pid", "services", "restarts")
COLUMNS: Final = ("kind", "name", "zone", "state", "faults", "address", "services", "restarts")


def rows(found: faults.Running) -> Iterator[Mapping[str, object]]:
    """Nodes by zone, then links. ``state`` is what holds, ``faults`` what was done to it."""
    processes = {each.host: each for each in marks.marked(found.place.mark) if each.first}
    for host in found.lab.hosts:
        yield _node(found, host, processes.get(host.name))
    for segment in found.lab.segments:
        if segment.link:
            yield _link(found.lab, segment, found.note.wear)


def _node(found: faults.Running, host: Host, first: marks.Marked | None) -> Mapping[str, object]:
    services = faults.services(found.lab, host.name, first.pid) if first else {}
    frozen = _frozen(first, services)
    own = found.lab.ends_of(host.name)
    said = [*_worn(own[:1], found.note.wear), *(f"frozen {name}" for name in frozen)]
    if first and found.lab.loop is None and faults.filled(first.pid):
        said.append("full disk")
    if first and (wrong := faults.clock_of(found.lab, host.name, first.pid)):
        said.append(f"clock {format_duration(abs(wrong))} {'ahead' if wrong > 0 else 'behind'}")
    if hostkeys.is_changed(found.place, host.name):
        said.append("another host key")
    state = "down" if first is None else "frozen" if first.state == "T" else "up"
    return {
        "kind": "node",
        "name": host.name,
        "zone": host.zone,
        "state": state,
        "faults": said,
        "address": found.lab.address(host.name),
        "pid": first.pid if first else None,
        "services": [name for name, each in services.items() if each.get("pid")],
        "restarts": sum(int(each.get("restarts", 0)) for each in services.values()),
    }


def _frozen(first: marks.Marked | None, services: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The services that are stopped, of a host that is not."""
    if first is None or first.state == "T":
        return []
    stopped = {each.numbers[-1] for each in marks.within(first.pid) if each.state == "T"}
    return [name for name, each in services.items() if each.get("pid") in stopped]


def _link(lab: Lab, segment: Segment, wear: Mapping[str, Wear]) -> Mapping[str, object]:
    said = _worn(segment.ends, wear)
    return {
        "kind": "link",
        "name": segment.name,
        "zone": None,
        "state": "cut" if any(wear.get(end.port, SOUND).cut for end in segment.ends) else "up",
        "faults": said,
        "address": " - ".join(lab.address(end.host) if lab.loop else end.address for end in segment.ends),
        "pid": None,
        "services": [],
        "restarts": None,
    }


def _worn(ends: tuple[End, ...], wear: Mapping[str, Wear]) -> list[str]:
    said = []
    for end in ends:
        worn = wear.get(end.port, SOUND)
        if worn.cut:
            said.append("cut")
        if worn.slow:
            rate = f", {worn.slow.rate:.0f} B/s" if worn.slow.rate else ""
            said.append(f"slow {worn.slow.delay * 1000:.0f} ms{rate}")
    return list(dict.fromkeys(said))
