"""Counting what matches: facets and the histogram, newest records first, in a time box."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from time import monotonic
from typing import Final

from tabard.consumers.store.reading import Reading
from tabard.consumers.store.results import FACET_FIELDS, Count, FacetCounts, Histogram, Key, LogQuery
from tabard.consumers.store.walk import Walk, from_log, searched
from tabard.records import severity_name

COUNTED_A_SECOND: Final = 10_000_000
"""Entries of an index, on a slow machine."""
_NODE: Final = {"node": "name", "zone": "zone"}
"""Fields that are columns of the node."""


def facets(
    connection: Reading, query: LogQuery, fields: Sequence[str], limit: int, budget: float
) -> dict[str, FacetCounts]:
    """The most frequent values of some fields, as `Reader.facets_of` says."""
    for field in fields:
        if field not in FACET_FIELDS:
            raise ValueError(f"{field!r} is not one of {', '.join(FACET_FIELDS)}")
    return searched(connection, query, lambda walk: _facets(connection, walk, fields, limit, budget))


def _facets(
    connection: Reading, walk: Walk, fields: Sequence[str], limit: int, budget: float
) -> dict[str, FacetCounts]:
    columns = ", ".join("node." + _NODE[field] if field in _NODE else f"log.{field}" for field in fields)
    counts: list[Counter[str | int | None]] = [Counter() for _ in fields]
    deadline = monotonic() + budget
    partial = False
    for where, values, edge in walk.stretches():
        found = connection.execute(
            f"SELECT {columns} {from_log(connection, walk.log)} WHERE {where}", values
        ).fetchall()
        for counter, column in zip(counts, zip(*found, strict=True), strict=False):
            counter.update(column)
        if edge is not None and monotonic() >= deadline:
            partial = True
            break
    for counter in counts:
        del counter[None]
    return {
        field: FacetCounts(counter.most_common(limit), partial)
        for field, counter in zip(fields, counts, strict=True)
    }


def count(connection: Reading, query: LogQuery, budget: float) -> Count:
    """How many records fit, as `Reader.count` says."""
    if _asks_for_all(query):
        return connection.total()
    deadline = monotonic() + budget
    found, edge = searched(
        connection, query, lambda walk: walk.counted(deadline, at_once=_at_once(connection, walk, budget))
    )
    return Count(found, "exactly" if edge is None else "at least")


def part(connection: Reading, query: LogQuery, budget: float) -> tuple[int, Key | None]:
    """How many records fit, of the newest that `budget` seconds suffice for; the place to go on from, None when that is all."""
    if _asks_for_all(query) and (known := connection.total()).how == "exactly":
        return known.records, None
    deadline = monotonic() + budget
    return searched(
        connection,
        query,
        lambda walk: walk.counted(
            deadline if walk.parts else inf, at_once=_at_once(connection, walk, budget)
        ),
    )


def _asks_for_all(query: LogQuery) -> bool:
    return query == replace(LogQuery(), order=query.order, limit=query.limit)


def _at_once(connection: Reading, walk: Walk, budget: float) -> bool:
    """Whether an index counts it by itself, and there is no more than the time box has room for."""
    return walk.passes_all and connection.total().records <= budget * COUNTED_A_SECOND


def histogram(connection: Reading, query: LogQuery, width: int, budget: float) -> Histogram:
    """Records per bucket and level, as `Reader.histogram` says."""
    if width < 1:
        raise ValueError(f"a bucket is at least 1 ns wide, not {width!r}")
    return searched(connection, query, lambda walk: _histogram(connection, walk, width, budget))


def _histogram(connection: Reading, walk: Walk, width: int, budget: float) -> Histogram:
    counts: defaultdict[int, Counter[str]] = defaultdict(Counter)
    deadline = monotonic() + budget
    counted_from = None
    for where, values, edge in walk.stretches():
        # Of the log alone and by plain columns: the names of nodes and of levels, looked up per row, take half the time.
        found = connection.execute(
            f"SELECT log.time / ?, log.severity, count(*) FROM {walk.log} WHERE {where} GROUP BY 1, 2",  # noqa: S608
            (width, *values),
        )
        for bucket, severity, count in found:
            counts[bucket * width][severity_name(severity)] += count
        if edge is not None and monotonic() >= deadline:
            # The bucket of the last record looked at may hold more of them: it does not count as counted.
            counted_from = edge[0] // width * width + width
            break
    whole = {start: dict(levels) for start, levels in counts.items() if start >= (counted_from or 0)}
    return Histogram(width, whole, counted_from, sum(levels.total() for levels in counts.values()))
