"""What configuration records become beside their rows in the log: which version and configuration runs where.

Every record of the logger ``tabard.config`` with the attribute ``configuration`` is a start or reload. Two small
tables, written in the transaction of the log rows, keep what of them is asked for later: `configuration` holds each
content once, `deployment` one row for each stretch in which a service ran unchanged on one node and stage. Log
retention does not touch them, and nobody has to search the log.

What is found is data from outside: everything that does not look as it should is left in the log and nowhere else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from tabard.records import LOG_INDEX, clean_text

LOGGER: Final = "tabard.config"
ATTRIBUTE: Final = "configuration"
HISTORY: Final = 200
"""Stretches kept of one service on one stage and node."""
EARLIEST: Final = 946_684_800 * 10**9
"""The year 2000: an earlier event time is that of a host whose clock was not set yet."""
AHEAD: Final = 86_400 * 10**9
"""How much later than its arrival a start may say it was; more is said by a clock that is wrong."""
MOST_IN_A_BATCH: Final = 64
"""Different configurations taken from one batch; what a node says beyond it stays in the log."""
_NAME: Final = 128
_VALUE: Final = 240
_MOST_VALUES: Final = 1_000
_MOST_ENTRIES: Final = 65_536
_DIGEST: Final = re.compile(r"[0-9a-f]{8,64}")
_TIME: Final = LOG_INDEX["time"]
_LOGGER: Final = LOG_INDEX["logger"]
_ATTRIBUTES: Final = LOG_INDEX["attributes"]

_ADD_CONFIGURATION: Final = (
    "INSERT INTO configuration (service, digest, rule, entries, first_seen) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (service, digest, rule) DO NOTHING"
)
# ?1 service, ?2 digest, ?3 rule, ?4 stage, ?5 node, ?6 package, ?7 version, ?8 time, ?9 starts, ?10 arrived.
# The stretch that a start falls into: the last one that began before, which need not be the newest.
_EXTEND: Final = (
    "UPDATE deployment SET last = max(last, ?8), starts = starts + ?9"
    " WHERE id = (SELECT id FROM deployment WHERE service = ?1 AND stage = ?4 AND node_id = ?5 AND since <= ?8"
    "  ORDER BY since DESC, id DESC LIMIT 1)"
    " AND package = ?6 AND version = ?7 AND configuration_id ="
    " (SELECT id FROM configuration WHERE service = ?1 AND digest = ?2 AND rule = ?3)"
)
_BEGIN: Final = (
    "INSERT INTO deployment (node_id, service, stage, package, version, configuration_id, since, last, starts, arrived)"
    " SELECT ?5, ?1, ?4, ?6, ?7, id, ?8, ?8, ?9, ?10 FROM configuration"
    " WHERE changes() = 0 AND service = ?1 AND digest = ?2 AND rule = ?3"
)
# One that came late into the middle of a stretch cuts it in two: what started last there still runs.
_CUT: Final = (
    "INSERT INTO deployment (node_id, service, stage, package, version, configuration_id, since, last, starts, arrived)"
    " SELECT node_id, service, stage, package, version, configuration_id, last, last, 1, arrived FROM deployment"
    " WHERE changes() = 1 AND service = ?1 AND stage = ?2 AND node_id = ?3 AND since <= ?4 AND last > ?4"
)
_SHORTEN: Final = (
    "UPDATE deployment SET last = since, starts = max(1, starts - 1)"
    " WHERE changes() = 1 AND service = ?1 AND stage = ?2 AND node_id = ?3 AND since <= ?4 AND last > ?4"
)
# ?1 service, ?2 stage, ?3 node, ?4 how many are kept, ?5 how many of the newest are never passed over. Two instances with
# options of their own, each started every minute, make a stretch with every start: what version came when must not be
# forgotten for that, so those with which no version began go first.
_FORGET: Final = (
    "DELETE FROM deployment WHERE id IN (SELECT id FROM"
    " (SELECT id, held, row_number() OVER (ORDER BY worth, age DESC) AS turn FROM"
    " (SELECT id, age, held, CASE WHEN age <= ?5 THEN 2"
    " WHEN package = package_before AND version = version_before THEN 0 ELSE 1 END AS worth FROM"
    " (SELECT id, package, version, count(*) OVER () AS held, row_number() OVER (ORDER BY since DESC, id DESC) AS age,"
    " lag(package) OVER (ORDER BY since, id) AS package_before, lag(version) OVER (ORDER BY since, id) AS version_before"
    " FROM deployment WHERE service = ?1 AND stage = ?2 AND node_id = ?3 AND"
    " (SELECT count(*) FROM deployment WHERE service = ?1 AND stage = ?2 AND node_id = ?3) > ?4)))"
    " WHERE turn <= held - ?4)"
)

Step = tuple[str, tuple[Any, ...]]


class Said(NamedTuple):
    """A start or reload of a service, or several in a row that say the same."""

    service: str
    stage: str
    package: str
    version: str
    digest: str
    rule: str
    entries: str
    """JSON: ``values``, ``secrets``, ``left_out``."""
    first: int
    last: int
    starts: int


def steps(loggers: Iterable[Any], records: Sequence[Any], node_id: int, arrived: int) -> Iterator[Step]:
    """The statements, with their parameters, that note what ``records`` say; ``loggers`` is their column.

    Nothing, at the cost of looking through one column, for records that are none of configurations.
    """
    if LOGGER not in loggers:
        return
    for said in merged(said for record in records if (said := read(record, arrived)) is not None):
        yield _ADD_CONFIGURATION, (said.service, said.digest, said.rule, said.entries, said.first)
        place = (said.service, said.stage, node_id)
        if said.starts > 1:
            yield from _note(said, place, said.first, said.starts - 1, arrived)
            yield from _note(said, place, said.last, 1, arrived)
        else:
            yield from _note(said, place, said.first, 1, arrived)
        yield _FORGET, (*place, HISTORY, HISTORY // 2)


def _note(said: Said, place: tuple[str, str, int], time: int, starts: int, arrived: int) -> Iterator[Step]:
    what = (said.service, said.digest, said.rule, said.stage, place[2], said.package, said.version)
    yield _EXTEND, (*what, time, starts)
    yield _BEGIN, (*what, time, starts, arrived)
    yield _CUT, (*place, time)
    yield _SHORTEN, (*place, time)


def merged(found: Iterable[Said]) -> list[Said]:
    """What was said, at most `MOST_IN_A_BATCH`; starts of one service that say the same and follow one another are one."""
    kept: list[Said] = []
    latest: dict[tuple[str, str], int] = {}
    for said in found:
        place = (said.service, said.stage)
        at = latest.get(place)
        if at is not None and _same(kept[at], said):
            before = kept[at]
            kept[at] = before._replace(
                first=min(before.first, said.first),
                last=max(before.last, said.last),
                starts=before.starts + said.starts,
            )
        elif len(kept) < MOST_IN_A_BATCH:
            latest[place] = len(kept)
            kept.append(said)
    return kept


def read(record: Any, arrived: int) -> Said | None:
    """What a log record says of a configuration; None when it says nothing, or not in the form that it should have."""
    if record[_LOGGER] != LOGGER or not isinstance(record[_ATTRIBUTES], str):
        return None
    try:
        found = json.loads(record[_ATTRIBUTES])[ATTRIBUTE]
        said = json.loads(found) if isinstance(found, str) else found  # some ways in turn extras into text
        digest = said["digest"]
        if not isinstance(digest, str) or _DIGEST.fullmatch(digest) is None or not _text(said["service"]):
            return None
        entries = _entries(said)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    # By a clock that is ahead this start would be the newest for as long, by one that was never set older than all.
    time = record[_TIME]
    if not isinstance(time, int) or not 0 < time <= arrived + AHEAD or time < EARLIEST < arrived:
        time = arrived
    return Said(
        _text(said["service"]),
        _text(said.get("stage")),
        _text(said.get("package")),
        _text(said.get("version")),
        digest,
        _text(said.get("rule")),
        entries,
        time,
        time,
        1,
    )


def _same(one: Said, other: Said) -> bool:
    return one[2:6] == other[2:6]


def _text(value: object) -> str:
    return clean_text(value[:_NAME]) if isinstance(value, str) else ""


def _entries(said: dict[str, Any]) -> str:
    values = _texts(said["values"])
    secrets = _texts(said.get("secrets") or {})
    left_out = said.get("left_out")
    kept = {
        "values": values,
        "secrets": {name: tag for name, tag in secrets.items() if name in values},
        "left_out": left_out if isinstance(left_out, int) and 0 <= left_out < 2**31 else 0,
    }
    text = json.dumps(kept, ensure_ascii=True)
    return (
        text
        if len(text) <= _MOST_ENTRIES
        else json.dumps({"values": {}, "secrets": {}, "left_out": len(values)})
    )


def _texts(values: dict[str, Any]) -> dict[str, str]:
    return {
        clean_text(str(name)[:_NAME]): clean_text(str(value)[:_VALUE])
        for name, value in list(values.items())[:_MOST_VALUES]
    }
