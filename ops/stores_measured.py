"""What ``tabard store stats`` says beyond ``tabard status``: levels, parts, days, limits and the last backup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tabard.brokers.wire.streams import STREAM_IDS
from tabard.consumers.store.backup_engines import Noted
from tabard.consumers.store.backup_manifest import POSTGRESQL, SQLITE
from tabard.consumers.store.limits import RetentionLimits
from tabard.consumers.store.measures import Measures
from tabard.consumers.store.place import Place
from tabard.consumers.store.results import LevelRows
from tabard.ops.status_tables import Section, store_lines, table_lines
from tabard.units import format_duration
from tabard.web.scales import show_bytes
from tabard.web.zones import when

_SECOND = 1_000_000_000


def measured(
    place: Place,
    streams: Mapping[str, Mapping[str, Any]],
    levels: Sequence[LevelRows],
    found: Measures,
    limits: RetentionLimits,
    backup: Noted | None,
    now: int,
) -> dict[str, Any]:
    """As plain values; times are nanoseconds since 1970 UTC, ages seconds."""
    return {
        "engine": POSTGRESQL if place.url else SQLITE,
        "levels": [level._asdict() for level in levels],
        "parts": [part._asdict() for part in found.parts],
        "days": [day._asdict() for day in found.days],
        "limits": [
            {
                "stream": name,
                "age": None if stream["oldest"] is None else max(0, now - stream["oldest"]) // _SECOND,
                "age_limit": round(limits.age(STREAM_IDS[name])),
                "bytes": found.used.get(name, 0),
                "bytes_limit": limits.size(STREAM_IDS[name]),
                "rows": stream["rows"],
                "rows_limit": limits.count(STREAM_IDS[name]) or None,
            }
            for name, stream in streams.items()
        ],
        "backup": None if backup is None else backup._asdict(),
    }


def lines(store: Mapping[str, Any]) -> Iterator[str]:
    """All of the store as tables for a person; the days of a stream as one line."""
    yield from store_lines(store)
    if store["levels"]:
        yield ""
        yield "Levels"
        rows = [{"level": level["level"] or "none", "rows": _about(level)} for level in store["levels"]]
        yield from table_lines(Section("", ("level", "rows"), rows))
    yield ""
    yield "Parts"
    columns = ("part", "schema", "bytes", "log", "free")
    parts = [{**part, **{name: show_bytes(part[name]) for name in columns[2:]}} for part in store["parts"]]
    yield from table_lines(Section("", columns, parts))
    if store["days"]:
        yield ""
        yield "Days"
        rows = [
            {
                **day,
                "rows": _about(day),
                "bytes": show_bytes(day["bytes"]),
            }
            for day in store["days"]
        ]
        yield from table_lines(Section("", ("stream", "day", "rows", "bytes"), rows))
    yield ""
    yield "Limits"
    yield from table_lines(
        Section(
            "",
            ("stream", "age", "of", "size", "of_size", "rows", "of_rows"),
            [_limit(each) for each in store["limits"]],
        )
    )
    yield ""
    backup = store["backup"]
    yield (
        f"Last backup {when(backup['made'])}, {show_bytes(backup['bytes'])}, {backup['target']}"
        if backup
        else "No backup was made by `tabard store backup` from here"
    )


def _about(each: Mapping[str, Any]) -> str:
    """Rows that are counted or estimated."""
    return f"{'about ' if each['estimated'] else ''}{each['rows']}"


def _limit(each: Mapping[str, Any]) -> dict[str, object]:
    return {
        "stream": each["stream"],
        "age": None if each["age"] is None else _rough(each["age"]),
        "of": format_duration(each["age_limit"]),
        "size": show_bytes(each["bytes"]),
        "of_size": show_bytes(each["bytes_limit"]),
        "rows": each["rows"],
        "of_rows": each["rows_limit"],
    }


def _rough(seconds: int) -> str:
    """In the largest unit that fits."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
