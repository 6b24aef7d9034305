"""What the hosts of other zones say of their brokers and tunnels, by the samples of kind ``links`` of their agents.

It is outside data: whatever has not the documented form is left out, and a node speaks only for brokers of its own zone and
those below it. Its times are by its own clock, which may be days off: they are put into this one's by what the last beacon showed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from tabard.consumers.store.attestation import Withholding
from tabard.consumers.store.results import NodeRow, Sampled
from tabard.consumers.zones.facts import (
    RUNNING,
    SILENT,
    STALE,
    STOPPED,
    Dialled,
    Far,
    Here,
    Joined,
    Reading,
    Tunnel,
)
from tabard.names import NAME, zone_within

LATELY: Final = 86_400_000_000_000
"""Nanoseconds since its arrival for which a withheld sample counts, as what hosts said of their links does."""
MISSED: Final = 3
"""Samples that may be missed before what was said last counts as stale."""
SLACK: Final = 10_000_000_000
"""Nanoseconds beyond that, for the way."""
_STATES: Final = frozenset({RUNNING, SILENT, STOPPED})
_MOST: Final = 64
_MOST_EVERY: Final = 3600.0
_WORD: Final = 200


def far_of(
    nodes: Sequence[NodeRow], samples: Sequence[Sampled], withholding: Iterable[Withholding] = ()
) -> Far:
    """What they say; of a broker of which two nodes speak, what was said last.

    `withholding` are the policies by which samples do not come here: by those it is told why nothing is said.
    """
    known = {(row.zone, row.name): row for row in nodes}
    brokers: dict[tuple[str, str], Here] = {}
    tunnels: list[Tunnel] = []
    recorders: list[Reading] = []
    for sample in samples:
        row = known.get((sample.zone, sample.node))
        if row is None:
            continue
        off = row.clock or 0
        for here in _brokers(sample, off):
            before = brokers.get((here.zone, here.name))
            if before is None or (before.as_of or 0) < (here.as_of or 0):
                brokers[here.zone, here.name] = here
        tunnels += _tunnels(sample, off)
        for said in _rows(sample.data.get("recorders")):
            if _text(said.get("sink")):
                hops = list(_hops(said.get("hops"), off))
                recorders.append(Reading(said["sink"], sample.zone, hops, sample.time - off))
    withheld: dict[str, set[str]] = defaultdict(set)
    for hidden in withholding:
        withheld[hidden.zone].add(f"{hidden.policy} of {hidden.of}")
    return Far(
        list(brokers.values()),
        tunnels,
        recorders,
        {zone: sorted(policies) for zone, policies in withheld.items()},
    )


def stale(here: Here, every: float, now: int) -> bool:
    """Whether nothing was heard of it for too long."""
    return here.as_of is not None and now - here.as_of > MISSED * every * 1e9 + SLACK


def _brokers(sample: Sampled, off: int) -> Iterator[Here]:
    every = _every(sample.data)
    for said in _rows(sample.data.get("brokers")):
        name, zone, state = (_text(said.get(key)) for key in ("name", "zone", "state"))
        if not name or not zone or state not in _STATES or not zone_within(zone, sample.zone):
            continue
        if not NAME.fullmatch(name):
            continue
        here = Here(
            name,
            zone,
            state,
            _time(said.get("since"), off),
            tuple(_parents(said.get("parents"))),
            _text(said.get("dialled_by")) or None,
            tuple(_children(said.get("children"))),
            list(_above(said.get("above"), off)),
            list(_hops(said.get("hops"), off)),
            _counts(said.get("risen")),
            _nodes(said.get("nodes")),
            sample.time - off,
        )
        yield here._replace(state=STALE) if stale(here, every, sample.now) else here


def _tunnels(sample: Sampled, off: int) -> Iterator[Tunnel]:
    late = sample.now - (sample.time - off) > MISSED * _every(sample.data) * 1e9 + SLACK
    for said in _rows(sample.data.get("tunnels")):
        name, state = _text(said.get("name")), _text(said.get("state"))
        if name and state:
            why = _text(said.get("why"))
            yield Tunnel(
                sample.node,
                sample.zone,
                name,
                STALE if late else state,
                _time(said.get("since"), off),
                why or None,
                sample.time - off,
            )


def _every(data: Mapping[str, Any]) -> float:
    value = data.get("every")
    if isinstance(value, int | float) and 0 < value <= _MOST_EVERY:
        return float(value)
    return _MOST_EVERY


def _parents(rows: object) -> Iterator[Dialled]:
    for row in _lists(rows, 3):
        if isinstance(row[1], str) and type(row[2]) is bool:
            yield Dialled(_text(row[0]) or None, row[1][:_WORD], row[2])


def _children(rows: object) -> Iterator[Joined]:
    for row in _lists(rows, 2):
        if _text(row[0]) and row[1] in {"this", "peer"}:
            yield Joined(row[0], row[1])


def _above(rows: object, off: int) -> Iterator[dict[str, Any]]:
    for row in _rows(rows):
        if (
            isinstance(row.get("end"), str)
            and type(row.get("used")) is bool
            and type(row.get("well")) is bool
        ):
            yield {
                "end": row["end"][:_WORD],
                "broker": _text(row.get("broker")) or None,
                "zone": _text(row.get("zone")) or None,
                "used": row["used"],
                "well": row["well"],
                "heard": _time(row.get("heard"), off),
            }


def _hops(rows: object, off: int) -> Iterator[dict[str, Any]]:
    for row in _rows(rows):
        heard, since, ways = (row.get(key) for key in ("heard", "since", "ways"))
        flags = [row.get(key) for key in ("is_heard", "well")]
        if (
            _text(row.get("peer"))
            and _text(row.get("zone"))
            and row.get("side") in {"above", "below"}
            and all(type(flag) is bool for flag in flags)
            and all(type(number) is int for number in (heard, since, ways))
        ):
            yield {
                "peer": row["peer"],
                "zone": row["zone"],
                "side": row["side"],
                "heard": _time(heard, off),
                "since": _time(since, off),
                "is_heard": flags[0],
                "well": flags[1],
                "ways": ways,
                "up": _lane(row.get("up")),
                "down": _lane(row.get("down")),
            }


def _nodes(value: object) -> dict[str, Any] | None:
    if not isinstance(value, dict) or type(value.get("nodes")) is not int:
        return None
    worst = [
        {key: row[key] for key in ("node", "zone", "up_lost", "down_lost")}
        for row in _rows(value.get("worst"))
        if _text(row.get("node"))
        and _text(row.get("zone"))
        and all(type(row.get(key)) is int for key in ("up_lost", "down_lost"))
    ]
    return {
        "nodes": value["nodes"],
        "up": _lane(value.get("up")),
        "down": _lane(value.get("down")),
        "worst": worst,
    }


def _lane(value: object) -> dict[str, int] | None:
    if not isinstance(value, dict):
        return None
    sent, received = value.get("sent"), value.get("received")
    return {"sent": sent, "received": received} if type(sent) is int and type(received) is int else None


def _counts(value: object) -> dict[str, int]:
    if not isinstance(value, dict):
        return {}
    return {
        name[:_WORD]: count
        for name, count in list(value.items())[:_MOST]
        if isinstance(name, str) and type(count) is int
    }


def _rows(value: object) -> list[dict[str, Any]]:
    return [row for row in value[:_MOST] if isinstance(row, dict)] if isinstance(value, tuple) else []


def _lists(value: object, width: int) -> list[tuple[Any, ...]]:
    if not isinstance(value, tuple):
        return []
    return [row for row in value[:_MOST] if isinstance(row, tuple) and len(row) == width]


def _text(value: object) -> str:
    """A short one, or none."""
    return value if isinstance(value, str) and len(value) <= _WORD else ""


def _time(value: object, off: int) -> int | None:
    return value - off if isinstance(value, int) and type(value) is int else None
