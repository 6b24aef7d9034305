"""The report on a home as tables for a person."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from tabard.ops.output import emit, printable
from tabard.web.scales import show_bytes
from tabard.web.zones import when

_STATES: Final = {
    "well": "All is well.",
    "partly": "Not all is well:",
    "stopped": "Nothing runs here. `tabard up` starts it.",
}


class Section(NamedTuple):
    """One table with its title."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, object]]


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Everything, faults first; a table without rows is left out."""
    node = f", node {report['node']} of zone {report['zone']}" if report["node"] else ""
    yield f"Tabard {report['version']}{node}, home {report['home']}"
    yield ""
    yield _STATES[report["state"]]
    for fault in report["faults"]:
        yield printable(f"  {fault['where']}: {fault['what']}")
    for section in _sections(report):
        if section.rows:
            yield ""
            yield section.title
            yield from table_lines(section)


def store_lines(store: Mapping[str, Any]) -> Iterator[str]:
    """The store alone."""
    section = _stored(store)
    yield section.title
    yield from table_lines(section)


def _sections(report: Mapping[str, Any]) -> Iterator[Section]:
    yield Section(
        "Roles",
        ("name", "state", "pid", "since"),
        [{**role, "since": _local(role["since"])} for role in report["roles"]],
    )
    yield Section("Addresses", ("what", "address"), list(_addresses(report)))
    yield Section(
        "Bridge",
        ("name", "address", "clients", "records", "counted", "behind", "position"),
        [
            {**intake, "counted": _counted(intake["counted"]), "behind": _late(intake.get("behind"))}
            for intake in report["bridge"]
        ],
    )
    yield Section(
        "Sources",
        ("path", "state", "size", "behind", "why"),
        [
            {**source, "size": _size(source.get("size")), "behind": _size(source.get("lag"))}
            for source in report["sources"]
        ],
    )
    yield Section(
        "Journal",
        ("stream", "size", "dropped", "sink", "state", "behind", "held"),
        [
            {
                **stream,
                "size": _size(stream["journal_bytes"]),
                "behind": _records(stream["lag"]),
                "held": _size(stream["held"]),
            }
            for stream in report["streams"]
        ],
    )
    yield Section(
        "Brokers",
        ("name", "zone", "up_received", "up_sent", "down_received", "down_sent", "dropped"),
        [{**broker, "dropped": _dropped(broker["dropped"])} for broker in report["brokers"]],
    )
    yield Section(
        "Links",
        ("role", "broker", "zone", "at", "used", "well", "heard"),
        [{**link, "at": link["end"], "heard": _local(link["heard"])} for link in report["links"]],
    )
    yield Section(
        "Hops: messages that one end of a link numbered, that the other one received, and what lacks",
        ("role", "side", "peer", "zone", "heard", "up", "up_lost", "down", "down_lost"),
        [
            {
                **hop,
                "heard": _local(hop["heard"]),
                **{lane: _numbered(hop[lane]) for lane in ("up", "down")},
                **{f"{lane}_lost": missing(hop[lane]) for lane in ("up", "down")},
            }
            for hop in report["hops"]
        ],
    )
    yield Section(
        "Limits of links: the rate, what passed since the start, and streams of nodes that wait for their turn",
        ("role", "of", "rate", "passed", "waiting"),
        [
            {**limit, "rate": f"{show_bytes(limit['rate'])}/s", "passed": _size(limit["passed"])}
            for limit in report["limits"]
        ],
    )
    yield Section(
        "Connections over TCP, and the brokers that are known by their keys there",
        ("role", "broker", "zone", "at", "state"),
        [{**each, "at": each["end"]} for each in report["connections"]],
    )
    yield Section(
        "Rosters, and the neighbours that lack one of them or have a newer one",
        ("role", "zone", "version", "made", "behind", "ahead"),
        [
            {
                **each,
                "made": _local(each["made"]),
                "behind": ", ".join(each["behind"]) or None,
                "ahead": ", ".join(each["ahead"]) or None,
            }
            for each in report["rosters"]
        ],
    )
    yield Section(
        "Tunnels",
        ("name", "state", "backend", "direction", "listen", "to", "answers", "heard"),
        [
            {
                **tunnel,
                **forward,
                "state": tunnel["state"],
                "answers": forward["state"],
                "heard": _local(forward["heard"]),
            }
            for tunnel in report["tunnels"]
            for forward in tunnel["forwards"]
        ],
    )
    if report["recorder"]:
        credit = report["recorder"]["credit"] or {}
        yield Section(
            "Recorder: credit in batches, streams that have some and that wait for some",
            ("sink", "budget", "out", "active", "waiting"),
            [{"sink": report["recorder"]["sink"], **credit}],
        )
    yield Section(
        "Recorders of the store: shards held, and until when unless they are renewed",
        ("name", "shards", "until"),
        [
            {
                "name": holder["name"],
                "shards": holder["parts"],
                "until": f"{_local(holder['until'])}{': over' if holder['over'] else ''}",
            }
            for holder in report["recorders"]
        ],
    )
    yield Section(
        "Counters since the start of each role; those of trouble also of the last minute",
        ("role", "counter", "count", "last_minute"),
        [{**row, "last_minute": row["risen"]} for row in report["counters"]],
    )
    if report["store"]:
        yield _stored(report["store"])


def _numbered(lane: Mapping[str, int] | None) -> str | None:
    """Received of sent."""
    return None if lane is None else f"{lane['received']} of {lane['sent']}"


def missing(lane: Mapping[str, int] | None) -> int | None:
    """What a lane of a link lost; below zero where messages came twice."""
    return None if lane is None else lane["sent"] - lane["received"]


def _addresses(report: Mapping[str, Any]) -> Iterator[dict[str, object]]:
    for address in report["intakes"]:
        yield {"what": "records come in at", "address": address}
    if report["page"]:
        yield {"what": "the page is at", "address": report["page"]}


def _stored(store: Mapping[str, Any]) -> Section:
    title = (
        f"Store {store['path']}: {show_bytes(store['bytes'])}, {_count(store['nodes'], 'node')},"
        f" {_count(store['gaps'], 'gap')}, {store['quarantined']} in quarantine"
    )
    if store["withheld"]:
        title += f", {_count(store['withheld'], 'record')} withheld by policies"
    if store["holds"]:
        title += f", {_count(store['holds'], 'legal hold')} in force"
    rows = [
        {
            "stream": name,
            "rows": each["rows"],
            "held": _held(store, name),
            "oldest": _local(each["oldest"]),
            "newest": _local(each["newest"]),
        }
        for name, each in store["streams"].items()
    ]
    columns = (
        ("stream", "rows", "held", "oldest", "newest")
        if store["holds"]
        else ("stream", "rows", "oldest", "newest")
    )
    return Section(title, columns, rows)


def _held(store: Mapping[str, Any], stream: str) -> str:
    """How many of its records are under a hold."""
    return f"{store['held'].get(stream, 0)}{' or more' if store['held_partial'] else ''}"


def table_lines(section: Section) -> Iterator[str]:
    """The rows of a section, without its title."""
    stream = io.StringIO()
    rows = [{column: row.get(column) for column in section.columns} for row in section.rows]
    emit(rows, section.columns, "table", stream)
    for line in stream.getvalue().splitlines():
        yield f"  {line}"


def _counted(counters: Mapping[str, int]) -> str:
    """What an intake counted besides its records."""
    return ", ".join(f"{count} {name}" for name, count in counters.items())


def _late(seconds: float | None) -> str | None:
    """How old the last record was when it was read."""
    return None if seconds is None else f"{seconds:.1f} s"


def _dropped(reasons: Mapping[str, int]) -> object:
    """How many, and why."""
    if not reasons:
        return 0
    return ", ".join(f"{count} {lane}: {why}" for (lane, why), count in _by_lane(reasons))


def _by_lane(reasons: Mapping[str, int]) -> Iterable[tuple[tuple[str, str], int]]:
    for name, count in reasons.items():
        lane, _, why = name.partition(" dropped: ")
        yield (lane, why), count


def _local(time: int | None) -> str | None:
    return None if time is None else when(time)


def _size(value: object) -> str | None:
    return show_bytes(value) if isinstance(value, int) else None


def _records(value: object) -> str | None:
    return _count(value, "record") if isinstance(value, int) else None


def _count(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
