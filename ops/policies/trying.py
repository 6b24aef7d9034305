"""What a policy would make of records: of those in the store, or of a file of them. Nothing is changed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC
from pathlib import Path
from typing import Any, Final, NamedTuple

from tabard.brokers.policy.document import Policy
from tabard.brokers.policy.matching import REDACTED, Rules
from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store.ports import StoreReader
from tabard.consumers.store.results import LogQuery, LogRow
from tabard.errors import SettingsError, TabardError
from tabard.names import zone_within
from tabard.ops.output import Row
from tabard.records import INT_FIELDS, LOG_FIELDS, LOG_INDEX, SEVERITIES, clean_text

COLUMNS: Final = ("outcome", "node", "zone", "time", "level", "service", "message", "redacted", "after")
TABLE: Final = ("outcome", "node", "time", "level", "service", "message", "redacted")
WITHHELD: Final = "withheld"
CHANGED: Final = "redacted"
PASSES: Final = "passes"
BESIDE: Final = "not on this link"
MAX_LINE: Final = 1 << 20


class Said(NamedTuple):
    """A record and whose it is."""

    node: str
    zone: str
    record: tuple[Any, ...]


def tried(policy: Policy, records: Iterable[Said], counts: Counter[str]) -> Iterator[Row]:
    """A row of `COLUMNS` for each record; `counts` is told of each outcome."""
    rules = Rules(policy)
    judges: dict[str, Any] = {}
    for node, zone, record in records:
        outcome, after = PASSES, record
        if not zone_within(zone, policy.below):
            outcome = BESIDE
        elif rules.withholds_all(LOGS, node):
            outcome = WITHHELD
        else:
            if node not in judges:
                judges[node] = rules.judge(LOGS, node)
            made = record if judges[node] is None else judges[node](record)
            if made is None:
                outcome = WITHHELD
            elif made is not record:
                outcome, after = CHANGED, made
        counts[outcome] += 1
        yield _row(outcome, Said(node, zone, record), after)


def _row(outcome: str, said: Said, after: tuple[Any, ...]) -> Row:
    from tabard.web.zones import iso

    fields = dict(zip(LOG_FIELDS, said.record, strict=True))
    found: Mapping[str, Any] = {}
    if outcome == CHANGED:
        changed = dict(zip(LOG_FIELDS, after, strict=True))
        found = {name: changed[name] for name in LOG_FIELDS if changed[name] != fields[name]}
        found = {**found, "attributes": json.loads(changed["attributes"])}
    return {
        "outcome": outcome,
        "node": said.node,
        "zone": said.zone,
        "time": iso(fields["time"]) if fields["time"] else None,
        "level": fields["level"],
        "service": fields["service"],
        "message": fields["message"],
        "redacted": found["attributes"].get(REDACTED, []) if found else [],
        "after": dict(found) or None,
    }


def stored(reader: StoreReader, below: str, since: int, until: int | None) -> Iterator[Said]:
    """Log records of a zone and those below it, oldest first. Raises StoreError."""
    from tabard.ops.listing import every

    for row in every(reader, LogQuery(zone=below, since=since, until=until)):
        if isinstance(row, LogRow):
            yield Said(row.node, row.zone, tuple(getattr(row, name) for name in LOG_FIELDS))


def written(path: Path, below: str) -> Iterator[Said]:
    """The records of a file with one JSON object a line, as ``tabard logs -o ndjson`` writes them.

    Rows of another kind than records are passed over; one that says no zone is taken for one of the zone `below`. Raises SettingsError.
    """
    try:
        with path.open("rb") as lines:
            number = 0
            while line := lines.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    raise _unreadable(path, number, "a line of at most 1 MiB", "a longer one")
                if line.strip():
                    found = _read(path, number, line, below)
                    if found is not None:
                        yield found
    except OSError as error:
        raise SettingsError(
            "the file cannot be read",
            expected="a file with a JSON object a line, as tabard logs -o ndjson writes it",
            found=error.strerror or str(error),
            file=str(path),
        ) from error


def _read(path: Path, number: int, line: bytes, below: str) -> Said | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, number, "a JSON object", str(error)) from error
    if not isinstance(value, dict):
        raise _unreadable(path, number, "a JSON object", type(value).__name__)
    if value.get("kind", "record") != "record":
        return None
    fields = {name: value.get(name) for name in LOG_FIELDS}
    for name, each in fields.items():
        wanted = int if name in INT_FIELDS else str
        if name == "time":
            fields[name] = _time(path, number, each)
        elif name == "attributes":
            fields[name] = (
                each if each is None or isinstance(each, str) else json.dumps(each, ensure_ascii=False)
            )
        elif each is not None and (not isinstance(each, wanted) or isinstance(each, bool)):
            raise _unreadable(
                path, number, f"{name}: {'a number' if wanted is int else 'a text'}", repr(each)[:80]
            )
        elif isinstance(each, str):
            fields[name] = clean_text(each)
    if fields["severity"] is None:
        fields["severity"] = SEVERITIES.get(str(fields["level"] or "").upper(), 0)
    fields["message"] = fields["message"] or ""
    node, zone = str(value.get("node") or "?"), str(value.get("zone") or below)
    record = [None] * len(LOG_FIELDS)
    for name, each in fields.items():
        record[LOG_INDEX[name]] = each
    return Said(node, zone, tuple(record))


def _time(path: Path, number: int, value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    from tabard.web.zones import DisplayZone, parse_instant

    try:
        return parse_instant(str(value), now=0, zone=DisplayZone("utc", UTC))
    except TabardError as error:
        raise _unreadable(path, number, "time: nanoseconds, or a date and time", repr(value)[:80]) from error


def _unreadable(path: Path, number: int, expected: str, found: str) -> SettingsError:
    return SettingsError("not a record", file=str(path), line=number, expected=expected, found=found)
