"""The way through the log by (time, id): along an index, in stretches of known size, with what a search index spares.

An index gives the newest or the next page at once when nothing is filtered. A filter that few records pass
would have the engine read the whole log: it is searched in windows of the index, each of known size, so that the
search can stop between them and say how far it came. Where a search index knows few candidates, these are all there is
to look at; where it knows many, the page is soon full along the way, which it makes shorter where it can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from time import monotonic
from typing import Any, Final, TypeVar

from tabard.consumers.store import beside
from tabard.consumers.store.beside import NO_ID, bounds
from tabard.consumers.store.filters import Filter, filter_of
from tabard.consumers.store.hits import SCAN, Condition, Hits
from tabard.consumers.store.reading import LOG, Reading
from tabard.consumers.store.results import GapRow, Key, LogQuery, LogRow
from tabard.records import TIME_MAX

T = TypeVar("T")

FIRST_WINDOW: Final = 2_000
LAST_WINDOW: Final = 16_000
GROWTH: Final = 4
"""Index entries searched between two looks at the clock; the first windows are smaller."""
NARROWED_WINDOW: Final = 65_536
"""The same where a search index spares looking at most of them."""

NEXT_TO_NOTHING: Final = 300
"""Candidates of a search index that are looked at before anything else: a millisecond."""
FEW: Final = 3_000
"""Candidates that are looked at one by one where nothing is found along the way: some 10 ms."""
AHEAD: Final = 20_000
"""About how many records are passed before a search index is asked for more."""

_NODE_FIELDS: Final = ("node", "zone")
RECORD_COLUMNS: Final = ", ".join(
    f"node.{'name' if field == 'node' else field}" if field in _NODE_FIELDS else f"log.{field}"
    for field in LogRow._fields
)
_TOP: Final[Key] = (TIME_MAX + 1, NO_ID)
_BOTTOM: Final[Key] = (-1, NO_ID)


def from_log(connection: Reading, log: str = LOG) -> str:
    """The records, or those of them that `log` names, and their nodes, to be read along an index of the records."""
    return f"FROM {log} {connection.sql.join} node ON node.id = log.node_id"


def window(query: LogQuery) -> tuple[int, int] | None:
    """The first and the last event time that a search can meet; None: any."""
    low, high = _ends(query)
    return _times(low, high) if low > _BOTTOM or high < _TOP else None


def _times(low: Key, high: Key) -> tuple[int, int]:
    return low[0], high[0] - 1 if high[1] == NO_ID else high[0]


def _ends(query: LogQuery) -> tuple[Key, Key]:
    """The places between which a search goes, both exclusive."""
    low = max(query.after or _BOTTOM, _BOTTOM if query.since is None else (query.since, NO_ID))
    high = min(query.before or _TOP, _TOP if query.until is None else (query.until, NO_ID))
    return low, high


def searched(connection: Reading, query: LogQuery, work: Callable[[Walk], T], *, falling: bool = True) -> T:
    """What `work` finds on its way through the log; without the search index where that turns out to be damaged."""
    only = filter_of(connection, query)
    hits = connection.hits(query)
    if hits is None:
        return work(Walk(connection, query, only, None, falling=falling))
    try:
        return work(Walk(connection, query, only, hits, falling=falling))
    except hits.faults:
        return work(Walk(connection, query, only, None, falling=falling))


class Walk:
    """A way through the log by (time, id), newest first when `falling`, between two places (both exclusive)."""

    def __init__(
        self, connection: Reading, query: LogQuery, only: Filter, hits: Hits | None, *, falling: bool
    ) -> None:
        self.falling = falling
        self.how = (hits.how if hits else SCAN) if query.text or query.words else ""
        """How the search goes; see `LogPage.index`."""
        self._connection = connection
        self._only = only
        self._hits = hits
        self._order = "DESC" if falling else "ASC"
        self._low, self._high = _ends(query)
        # Later steps look within these bounds.
        self.log = connection.log(*_times(self._low, self._high))
        """What of the log can hold anything that is asked for, under its name."""

    @property
    def conditions(self) -> Condition:
        """All that is asked of a record, its place in time included; not bound to any index."""
        within, values = bounds(self._low, self._high, plus="+")
        lane, lane_values = self._only.lane
        rest, rest_values = self._only.rest
        condition = f" AND {'+' if lane else ''}{lane}{within}{rest}"
        return condition, (*lane_values, *values, *rest_values)

    def records(self, limit: int, deadline: float) -> tuple[list[LogRow], Key | None]:
        """Up to `limit` records, and the place reached when the deadline ended the search (None: it did not).

        What a search index knows is taken at once when it is next to nothing. Otherwise much is found soon along the
        way; where that is not so, the index is asked for more.
        """
        taken = self._taken(limit)
        if taken is not None:
            return taken, None
        covered = self._covered(NEXT_TO_NOTHING, limit)
        rows: list[LogRow] = []
        if covered is None and self._hits is not None:
            rows, edge = self._walked(limit, deadline, most=AHEAD)
            if edge is None or len(rows) >= limit or monotonic() >= deadline:
                return rows, None if len(rows) >= limit else edge
            self._low, self._high = (self._low, edge) if self.falling else (edge, self._high)
            covered = self._covered(FEW, limit - len(rows))
        more, edge = self._rest(limit - len(rows), deadline, covered)
        return rows + more, edge

    def _taken(self, limit: int) -> list[LogRow] | None:
        """All there is, where a search index knows every record, and an engine hands over little at one go."""
        hits = self._hits
        if hits is None or hits.uncovered[0] or self._only.nodes == ():
            return None
        found = hits.take(self, NEXT_TO_NOTHING, RECORD_COLUMNS, limit)
        if found is None:
            return None
        return sorted(map(LogRow._make, found), key=lambda row: row.key, reverse=self.falling)[:limit]

    def _rest(
        self, limit: int, deadline: float, covered: Condition | None
    ) -> tuple[list[LogRow], Key | None]:
        """What is `covered` at once, merged with what is not, along the way."""
        rows = [] if covered is None else self._read(*covered, limit, plus="+")
        outside, edge = self._walked(limit, deadline, covered, self._hits)
        if not outside and edge is None:
            return rows, None
        rows = sorted([*rows, *outside], key=lambda row: row.key, reverse=self.falling)
        if edge is not None:  # beyond it nobody has looked at what the index does not know
            end = edge
            rows = [row for row in rows if (row.key >= end if self.falling else row.key <= end)]
        return rows[:limit], None if len(rows) >= limit else edge

    def _walked(
        self,
        limit: int,
        deadline: float,
        covered: Condition | None = None,
        hits: Hits | None = None,
        most: int | None = None,
    ) -> tuple[list[LogRow], Key | None]:
        """The same along the way, without what is `covered`; no further than about `most` records."""
        rows: list[LogRow] = []
        if self._connection.sql.strides and not self.passes_all:
            outside = self._outside(covered, hits)
            return (rows, None) if outside is None else self._strode(limit, deadline, outside, most)
        for where, values, edge, passed in self.windows(
            stepwise=bool(self._only.rest[0]), besides=covered is not None, hits=hits
        ):
            rows += self._read(where, values, limit - len(rows))
            if len(rows) >= limit:
                break
            if edge is not None and (monotonic() >= deadline or (most is not None and passed >= most)):
                return rows, edge
        return rows, None

    def _strode(
        self, limit: int, deadline: float, outside: Condition, most: int | None
    ) -> tuple[list[LogRow], Key | None]:
        """The same in strides: where much is found nobody has to know where the first one ends."""
        rows: list[LogRow] = []
        rest, rest_values = self._only.rest
        for number, (stride, values, end) in enumerate(self._strides(), 1):
            found = self._connection.execute(
                f"SELECT {RECORD_COLUMNS} FROM {stride} JOIN node ON node.id = log.node_id"  # noqa: S608
                f" WHERE 1 = 1{outside[0]}{rest} ORDER BY log.time {self._order}, log.id {self._order} LIMIT ?",
                (*values, *outside[1], *rest_values, limit - len(rows)),
            ).fetchall()
            rows += map(LogRow._make, found)
            if len(rows) >= limit:
                break
            edge = end()
            if edge is not None and (
                monotonic() >= deadline or (most is not None and number * LAST_WINDOW >= most)
            ):
                return rows, edge
        return rows, None

    def counted(self, deadline: float, *, at_once: bool) -> tuple[int, Key | None]:
        """How many records there are, and the place reached when the deadline ended the search (None: it did not).

        With `at_once` it does not either.
        """
        found = None if at_once or not self._connection.sql.strides else self._counted_if_short()
        if found is not None:
            return found, None
        found = 0
        for where, values, edge in self.stretches(stepwise=not at_once):
            (more,) = self._connection.execute(
                f"SELECT count(*) FROM {self.log} WHERE {where}",  # noqa: S608
                values,
            ).fetchone()
            found += more
            if edge is not None and monotonic() >= deadline:
                return found, edge
        return found, None

    @property
    def parts(self) -> bool:
        """Whether a count may end at a place and go on from there: not where an index counts what lies beyond as well."""
        return self._hits is None

    def _counted_if_short(self) -> int | None:
        """How many there are, in one question, where the whole way is short and no index knows more; else None."""
        if self._hits is not None or self._only.nodes == ():
            return None
        lane, lane_values = self._only.lane
        rest, rest_values = self._only.rest
        within, values = bounds(self._low, self._high)
        where, given = f"FROM {self.log} WHERE {lane}{within}", (*lane_values, *values)
        most = GROWTH * LAST_WINDOW
        found: int | None = self._connection.execute(
            f"SELECT CASE WHEN passed.records < ? THEN (SELECT count(*) {where}{rest}) END"  # noqa: S608
            f" FROM (SELECT count(*) AS records FROM (SELECT 1 {where} LIMIT ?) AS way) AS passed",
            (most, *given, *rest_values, *given, most),
        ).fetchone()[0]
        return found

    def _strides(self) -> Iterator[tuple[str, tuple[Any, ...], Callable[[], Key | None]]]:
        """The records of one stretch of the way after another, with values, and who knows the place where it ends."""
        lane, lane_values = self._only.lane
        low, high = self._low, self._high
        while True:
            within, values = bounds(low, high)
            end = cache(partial(self._edge, low, high, LAST_WINDOW))
            order = f"ORDER BY log.time {self._order}, log.id {self._order}"
            stride = f"(SELECT * FROM {self.log} WHERE {lane}{within} {order} LIMIT ?) AS log"  # noqa: S608
            yield stride, (*lane_values, *values, LAST_WINDOW), end
            edge = end()
            if edge is None:
                return
            low, high = (low, edge) if self.falling else (edge, high)

    def _outside(self, covered: Condition | None, hits: Hits | None) -> Condition | None:
        """The condition for what is not `covered`; None: nothing is left."""
        if self._only.nodes == ():
            return None
        if covered is None or hits is None:
            return "", ()
        return hits.uncovered if hits.uncovered[0] else None

    def _read(self, where: str, values: Sequence[Any], limit: int, plus: str = "") -> list[LogRow]:
        found = self._connection.execute(
            f"SELECT {RECORD_COLUMNS} {from_log(self._connection, self.log)} WHERE {where}"
            f" ORDER BY {plus}log.time {self._order}, log.id {self._order} LIMIT ?",
            (*values, limit),
        ).fetchall()
        return list(map(LogRow._make, found))

    def _covered(self, candidates: int, most: int | None) -> Condition | None:
        """The condition for what the search index knows, if that is no more than so many `candidates`."""
        if self._hits is None or self._only.nodes == ():
            return None
        found = self._hits.few(self, candidates, most)
        if found is None:
            return None
        more, values = self.conditions
        return found[0] + more, (*found[1], *values)

    def stretches(self, *, stepwise: bool = True) -> Iterator[tuple[str, tuple[Any, ...], Key | None]]:
        """`windows` for whoever needs no order: what a search index knows comes first, at once."""
        covered = self._covered(FEW, None)
        if covered is not None:
            yield (*covered, None)
        for where, values, edge, _passed in self.windows(
            stepwise=stepwise, besides=covered is not None, hits=self._hits
        ):
            yield where, values, edge

    def gaps(self, limit: int, reached: Key | None) -> list[GapRow]:
        """Up to `limit` of what stands for log records that are not here, on the same way, none beyond `reached`."""
        low, high = self._between(self._low, self._high, reached)
        found = beside.found(self._connection, self._only, (low, high), self._order, limit)
        return sorted(found, key=lambda row: row.key, reverse=self.falling)[:limit]

    @property
    def passes_all(self) -> bool:
        """Whether nothing is asked of a record but its place along the way."""
        return not self._only.rest[0]

    def windows(
        self, *, stepwise: bool, besides: bool = False, hits: Hits | None = None
    ) -> Iterator[tuple[str, tuple[Any, ...], Key | None, int]]:
        """Conditions and values of one stretch of the way after another, the place where it ends, and records so far.

        The last one ends nowhere (None); unless `stepwise` it is the only one. With `besides` what the search index
        knows is left out, all of the way when it knows all.
        """
        if self._only.nodes == ():
            return
        outside: Condition = ("", ())
        if besides and hits is not None:
            outside, hits = hits.uncovered, None
            if not outside[0]:
                return
        lane, lane_values = self._only.lane
        rest, rest_values = self._only.rest
        low, high = self._low, self._high
        # What no text is looked for in costs little to pass: another question would cost more.
        size, passed = FIRST_WINDOW if self.how else min(FIRST_WINDOW * GROWTH, LAST_WINDOW), 0
        edge: Key | None = None
        while True:
            edge = self._edge(low, high, size) if stepwise else None
            passed += size
            within, values = bounds(*self._between(low, high, edge))
            spared = (
                outside if hits is None else self._spared(hits, f"{lane}{within}", (*lane_values, *values))
            )
            yield (
                f"{lane}{within}{spared[0]}{rest}",
                (*lane_values, *values, *spared[1], *rest_values),
                edge,
                passed,
            )
            if edge is None:
                return
            low, high = (low, edge) if self.falling else (edge, high)
            size = min(size * GROWTH, LAST_WINDOW if hits is None else NARROWED_WINDOW)

    def _spared(self, hits: Hits, where: str, values: tuple[Any, ...]) -> Condition:
        """What the search index spares on one stretch."""
        first, last, size = self._connection.execute(
            f"SELECT min(log.id), max(log.id), count(*) FROM {self.log} WHERE {where}",  # noqa: S608
            values,
        ).fetchone()
        return ("", ()) if first is None else hits.narrow(first, last, size)

    def _between(self, low: Key, high: Key, edge: Key | None) -> tuple[Key, Key]:
        """The exclusive ends of the stretch up to `edge`, which still belongs to it."""
        if edge is None:
            return low, high
        time, row_id = edge
        return ((time, row_id - 1), high) if self.falling else (low, (time, row_id + 1))

    def _edge(self, low: Key, high: Key, size: int) -> Key | None:
        """The place of the `size`-th record from here, by the index alone; None when there are fewer."""
        lane, lane_values = self._only.lane
        within, values = bounds(low, high)
        row = self._connection.execute(
            f"SELECT log.time, log.id FROM {self.log} WHERE {lane}{within}"  # noqa: S608
            f" ORDER BY log.time {self._order}, log.id {self._order} LIMIT 1 OFFSET ?",
            (*lane_values, *values, size - 1),
        ).fetchone()
        return None if row is None else (row[0], row[1])
