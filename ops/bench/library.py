"""A store to search in: rows as a site has them, through the commit that a recorder uses, kept for the next run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from tabard.brokers.delivery.ports import Entry, EpochCursor, EpochWork, NodeKey
from tabard.brokers.delivery.ranges import Range, Ranges
from tabard.brokers.wire.batch import DATA, NO_DIGEST, Header, body_digest, seal_batch
from tabard.brokers.wire.codec import pack
from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store.engines import Kept, open_store
from tabard.consumers.store.limits import RetentionLimits
from tabard.consumers.store.place import Place
from tabard.ops.bench.records import record
from tabard.records import LOG_INDEX, MAX_RECORDS

COMMIT: Final = 4_096
"""Rows in a transaction, as a busy recorder has them."""
SPAN: Final = 5 * 86_400_000_000_000
"""Nanoseconds from the first record to the last."""
RARE: Final = "kestrel"
"""A word that a few records have."""
RARE_ROWS: Final = 7
SOME: Final = "refused"
"""One that one record in a hundred has."""
FREQUENT: Final = "customer"
"""One that most have."""
FORM: Final = 1
"""Of what is stored: another one is built anew."""
FOREVER: Final = RetentionLimits(1e10, 2**60, 1e10, 2**60, 3600.0, 2_000)
_NODES: Final = tuple(NodeKey(f"web{number:02d}", "hq/dmz") for number in range(20))


class Book(NamedTuple):
    """What was stored, and what that took."""

    rows: int
    began: int
    """Event time of the first record."""
    seconds: float
    cpu: float
    """Seconds of this process."""


class Library:
    """Writes the rows into a store that is open for its recorder."""

    def __init__(self, kept: Kept, rows: int, ended: int) -> None:
        self._kept = kept
        self._rows = rows
        self._began = ended - SPAN
        self._cursors = {
            key: EpochCursor(hashlib.sha256(key.node.encode()).digest()[:16], 0, Ranges()) for key in _NODES
        }
        self._ends = dict.fromkeys(_NODES, (1, NO_DIGEST))

    def fill(self, say: Callable[[int], None] = lambda _rows: None) -> Book:
        """Store all of them. Raises StoreUnavailable."""
        store = self._kept.store
        seconds = cpu = 0.0
        for start in range(0, self._rows, COMMIT):
            work, arrived = self._work(start, min(start + COMMIT, self._rows))
            wall, used = time.perf_counter(), time.process_time()
            store.commit(work, arrived)
            store.idle()
            seconds += time.perf_counter() - wall
            cpu += time.process_time() - used
            say(start)
        return Book(self._rows, self._began, seconds, cpu)

    def _work(self, start: int, end: int) -> tuple[list[EpochWork], int]:
        work = []
        for number in range(start, end, MAX_RECORDS):
            key = _NODES[number // MAX_RECORDS % len(_NODES)]
            times = range(number, min(number + MAX_RECORDS, end))
            work.append(self._batch(key, [self._record(each) for each in times]))
        merged: dict[NodeKey, EpochWork] = {}
        for item in work:
            if item.key in merged:
                merged[item.key].entries.extend(item.entries)
            else:
                merged[item.key] = item
        return list(merged.values()), self._time(end)

    def _time(self, number: int) -> int:
        return self._began + number * SPAN // self._rows

    def _record(self, number: int) -> tuple[Any, ...]:
        values = list(record(number, self._time(number), "shop"))
        said = _said(number, self._rows)
        for name, value in said.items():
            values[LOG_INDEX[name]] = value
        return tuple(values)

    def _batch(self, key: NodeKey, records: list[tuple[Any, ...]]) -> EpochWork:
        groups = [("bench", 1, "uid 1000", tuple(records))]
        body = pack(groups)
        cursor = self._cursors[key]
        first, digest = self._ends[key]
        header = Header(LOGS, DATA, cursor.epoch, b"", first, len(records), body_digest(body), digest)
        batch = seal_batch(header, body, lambda head: hashlib.sha512(head).digest())
        self._ends[key] = (header.last + 1, batch.digest)
        cursor.ranges.add(Range(first, header.last, digest, batch.digest))
        return EpochWork(key, LOGS, cursor, [Entry(batch, groups)], [])


def _said(number: int, rows: int) -> dict[str, Any]:
    """What one record in ten says in place of what the others say."""
    if number % max(rows // RARE_ROWS, 1) == rows // RARE_ROWS // 2:
        return {"message": f"disk quota of tenant {RARE} is used up: {number} of 65536 MB", "severity": 17}
    kind = number * 13 % 100
    if kind == 0:
        address = f"10.{number % 7}.{number % 251}.{number % 241}"
        return {
            "message": f"connection to {address}:5432 {SOME}, trying again in {number % 30} s",
            "severity": 13,
        }
    if kind == 1:
        return {
            "message": f"request {number:08x} failed",
            "severity": 17,
            "level": "ERROR",
            "exception": f"TimeoutError: timed out after {number % 30} s",
        }
    if kind < 10:
        return {
            "message": f"GET /api/v2/items/{number * 31 % 99_991}?page={number % 9} 200 in {number % 450} ms"
        }
    return {}


def indexed(kept: Kept) -> float:
    """Do all that is left to be done in the background; the seconds that took."""
    began = time.perf_counter()
    now = 1e9
    while kept.upkeep.step(now):
        now += 10.0
    return time.perf_counter() - began


# --- kept between two runs --------------------------------------------------------------------------------


def shelf() -> Path:
    """Where the stores are kept: a directory of the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache) / "tabard" / "bench"


def kept_at(rows: int, index: str) -> Path:
    """The directory of a kept store."""
    from tabard.consumers.store.layout import VERSION

    return shelf() / f"search-{VERSION}-{FORM}-{index}-{rows}"


def known(directory: Path) -> Book | None:
    """What is in a kept store; None when it was not finished."""
    try:
        found = json.loads((directory / "book.json").read_text())
        return Book(found["rows"], found["began"], found["seconds"], found["cpu"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def build(directory: Path, rows: int, index: str, say: Callable[[str], None]) -> Book:
    """Make a store on SQLite there. Raises StoreError, StoreUnavailable."""
    shutil.rmtree(directory, ignore_errors=True)
    kept = open_store(Place(str(directory)), "normal", FOREVER, index)
    try:
        indexed(kept)
        book = Library(kept, rows, time.time_ns()).fill(_progress(rows, say))
        indexed(kept)
    finally:
        kept.store.close()
    (directory / "book.json").write_text(json.dumps(book._asdict()))
    return book


def _progress(rows: int, say: Callable[[str], None]) -> Callable[[int], None]:
    parts: Iterator[int] = iter(range(0, rows + 1, max(rows // 5, 1)))
    due = [next(parts)]

    def progress(stored: int) -> None:
        if stored >= due[0]:
            say(f"stored {stored:,} of {rows:,} records")
            due[0] = next(parts, rows + 1)

    return progress
