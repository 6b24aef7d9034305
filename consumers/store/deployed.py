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
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tabard.records import LOG_INDEX, clean_text

if TYPE_CHECKING:
    from tabard.consumers.store.writing import Writer

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


def note(writer: Writer, records: Sequence[Any], node_id: int, arrived: int) -> None:
    """Note what log records of the logger `LOGGER` say, in the open transaction of their rows."""
    texts = writer.deployments
    for said in merged(found for record in records if (found := read(record, arrived)) is not None):
        key = (said.service, said.digest, said.rule)
        writer.run(texts.add_configuration, (*key, said.entries, said.first))
        row = writer.one(texts.find_configuration, key)
        if row is None:
            continue  # retention took it away meanwhile; the record stays in the log
        stretch = _Stretch(said, int(row[0]), node_id, arrived)
        if said.starts > 1:
            stretch.add(writer, said.first, said.starts - 1)
            stretch.add(writer, said.last, 1)
        else:
            stretch.add(writer, said.first, 1)
        _forget(writer, (said.service, said.stage, node_id))


def _forget(writer: Writer, place: tuple[str, str, int]) -> None:
    """Keep `HISTORY` stretches of a place.

    Two instances with options of their own, each started every minute, make a stretch with every start: what version
    came when must not be forgotten for that, so of all but the newest half those with which no version began go first.
    """
    held = writer.one(writer.deployments.count_stretches, place)
    if held is None or held[0] <= HISTORY:
        return
    rows = writer.all(writer.deployments.stretches, place)
    forms = [None, *(tuple(row[1:]) for row in rows)]
    old = range(len(rows) - HISTORY // 2)
    passed = [number for number in old if forms[number + 1] == forms[number]]
    begun = [number for number in old if forms[number + 1] != forms[number]]
    for number in [*passed, *begun][: len(rows) - HISTORY]:
        writer.run(writer.deployments.forget_stretch, (rows[number][0],))


class _Stretch(NamedTuple):
    """What runs, and where."""

    said: Said
    configuration_id: int
    node_id: int
    arrived: int

    def add(self, writer: Writer, time: int, starts: int) -> None:
        """Note so many starts at `time`: in the stretch they fall into when that says the same, else in a new one."""
        said, texts = self.said, writer.deployments
        place = (said.service, said.stage, self.node_id)
        # The last stretch that began before, which need not be the newest.
        row = writer.one(texts.find_stretch, (*place, time))
        what = (said.package, said.version, self.configuration_id)
        if row is not None and tuple(row[1:4]) == what:
            writer.run(texts.extend_stretch, (time, starts, row[0]))
            return
        head = (self.node_id, said.service, said.stage)
        writer.run(texts.add_stretch, (*head, *what, time, time, starts, self.arrived))
        if row is not None and row[4] > time:
            # One that came late into the middle of a stretch cuts it in two: what started last there still runs.
            _id, *other, last, arrived = row
            writer.run(texts.add_stretch, (*head, *other, last, last, 1, arrived))
            writer.run(texts.cut_stretch, (row[0],))


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
