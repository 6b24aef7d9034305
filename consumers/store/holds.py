"""Legal holds: what they cover, as a condition that every deletion asks for.

A hold names a stretch of time and, as far as it is narrower than everything, a node, a zone, a service and a text.
A row falls under it when its event time *or* its arrival lies in that time, so that a wrong clock does not take
anything out of it. A hold without a service or a text covers all that its nodes sent; one with either covers log
records, and beside them the gaps and quarantined batches of its nodes and time, of which nobody can say what was in them.

Every transaction that deletes first calls `in_force` and leaves alone what `condition` says. On PostgreSQL `in_force`
takes a lock that whoever adds a hold waits for: once a hold was added, no deletion that did not know of it is still to
commit. On SQLite there is only one transaction that writes at a time, which comes to the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple
from unicodedata import normalize

from tabard.consumers.store.filters import pattern, zone_condition
from tabard.consumers.store.layout import QUARANTINED, ROW_TABLES
from tabard.consumers.store.reading import POSTGRESQL, Reading, Sql
from tabard.consumers.store.words import fold

LOCK: Final = 0x7461_6261_7266
"""The advisory lock of PostgreSQL between deletions, which share it, and who adds a hold."""
TEXTS: Final = ("message", "exception", "stack", "attributes", "function", "module")
"""Where the text of a hold is looked for."""
COLUMNS: Final = (
    "name", "since", "until", "node", "zone", "service", "text", "reason", "made", "made_by",
    "released", "released_by", "release_reason",
)  # fmt: skip
_MINUTE: Final = 60_000_000_000
_ESCAPE: Final = "'\\'"


class Hold(NamedTuple):
    """One hold; the columns of its table. Times are nanoseconds since 1970 UTC; None: no bound, or not yet."""

    name: str
    since: int | None
    """First time it covers."""
    until: int | None
    """First time it does not."""
    node: str | None
    zone: str | None
    """With those below it."""
    service: str | None
    text: str | None
    reason: str
    made: int
    made_by: str
    released: int | None = None
    released_by: str | None = None
    release_reason: str | None = None


class Condition(NamedTuple):
    """A condition about one row, with `?` for each of its values; never NULL."""

    text: str
    values: tuple[Any, ...]

    @property
    def free(self) -> str:
        """The condition that the row is not held, to be put behind others with AND; its values are the same."""
        return f"NOT ({self.text})"


NOTHING: Final = Condition("1 = 0", ())
"""That of no hold."""


class _Table(NamedTuple):
    """How the rows of a table fall under holds."""

    times: tuple[tuple[str, str], ...]
    """Stretches of time that a row speaks of: last and first moment of each."""
    service: bool = False
    """Whether a service narrows; where it does not, a hold with a service covers no row, unless `wide`."""
    text: bool = False
    wide: bool = False
    """Whether a hold that is narrower than nodes and time covers the row even so."""


_ROWS: Final = _Table((("time", "time"), ("arrived", "arrived")))
_TABLES: Final = {
    "log": _ROWS._replace(service=True, text=True),
    "sample": _ROWS,
    "control": _ROWS,
    "gap": _ROWS._replace(wide=True),
    "withheld": _ROWS._replace(wide=True),
    "quarantine": _ROWS._replace(wide=True),
    "heartbeat": _Table(((f"(minute + {_MINUTE} - 1)", "minute"),)),
    "deployment": _Table((("last", "since"), ("arrived", "arrived")), service=True),
}


def in_force(connection: Reading) -> list[Hold]:
    """The holds that nothing deletes against, for the transaction that `connection` is in, by name."""
    if connection.sql is POSTGRESQL:
        connection.execute("SELECT pg_advisory_xact_lock_shared(?)", (LOCK,)).fetchall()
    return listed(connection, "")


def listed(connection: Reading, part: str, *, released: bool = False) -> list[Hold]:
    """The holds as one part of the store has them, by name and age; `part` names it where it is not the only one."""
    table = f"{part}.hold" if part else "hold"
    only = "" if released else " WHERE released IS NULL"
    found = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM {table}{only} ORDER BY name, made, id")  # noqa: S608
    return [Hold(*row) for row in found.fetchall()]


def condition(
    holds: Iterable[Hold], table: str, sql: Sql, part: str = "", *, event_time: bool = False
) -> Condition:
    """That a row of `table` falls under one of `holds`.

    Tables are those of streams (`layout.ROW_TABLES`), gap, withheld, quarantine, heartbeat and deployment. `part` names that
    part of the store where a connection knows both. With `event_time` arrival does not count.
    """
    known = _TABLES[table]
    if event_time:
        known = known._replace(times=known.times[:1])
    found = [_one(hold, table, known, sql, part) for hold in holds if _may_cover(hold, known)]
    if not found:
        return NOTHING
    # A column that is not set makes a comparison neither true nor false: then it does not fit.
    texts = " OR ".join(text for text, _values in found)
    return Condition(
        f"CASE WHEN {texts} THEN 1 ELSE 0 END = 1",
        tuple(value for _text, values in found for value in values),
    )


def of_stream(holds: Iterable[Hold], stream: int, sql: Sql) -> Condition:
    """That a record of a stream falls under one of `holds`; or, of `QUARANTINED`, a batch in quarantine."""
    return condition(holds, "quarantine" if stream == QUARANTINED else ROW_TABLES[stream], sql)


def _may_cover(hold: Hold, table: _Table) -> bool:
    if table.wide:
        return True
    return (hold.service is None or table.service) and (hold.text is None or table.text)


def _one(hold: Hold, table: str, known: _Table, sql: Sql, part: str) -> tuple[str, list[Any]]:
    parts: list[str] = []
    values: list[Any] = []
    within = list(_within(hold, table, known))
    if within:
        parts.append("(" + " OR ".join(text for text, _values in within) + ")")
        values += [value for _text, found in within for value in found]
    if hold.node is not None or hold.zone is not None:
        of, ends = _nodes(hold)
        nodes = f"{part}.node" if part else "node"
        parts.append(f"{table}.node_id IN (SELECT node.id FROM {nodes} AS node WHERE {of})")  # noqa: S608
        values += ends
    if known.service and hold.service is not None:
        parts.append(f"{table}.service = ?")
        values.append(hold.service)
    if known.text and hold.text is not None:
        text, found = _text(hold.text, table, sql)
        parts.append(text)
        values += found
    return "(" + (" AND ".join(parts) or "1 = 1") + ")", values


def _within(hold: Hold, table: str, known: _Table) -> Iterator[tuple[str, list[int]]]:
    """The stretches of a row meet that of the hold; nothing where it has no bounds."""
    bounds = (("{last} >= ?", hold.since), ("{first} < ?", hold.until))
    if hold.since is None and hold.until is None:
        return
    for last, first in known.times:
        texts = [text for text, bound in bounds if bound is not None]
        ends = [bound for _text, bound in bounds if bound is not None]
        placed = [text.format(first=_named(table, first), last=_named(table, last)) for text in texts]
        yield "(" + " AND ".join(placed) + ")", ends


def _named(table: str, column: str) -> str:
    return column.replace("(minute", f"({table}.minute") if column.startswith("(") else f"{table}.{column}"


def _nodes(hold: Hold) -> tuple[str, list[Any]]:
    parts, values = [], []
    if hold.node is not None:
        parts.append("node.name = ?")
        values.append(hold.node)
    if hold.zone is not None:
        inside, ends = zone_condition("node.zone", hold.zone)
        parts.append(inside)
        values += ends
    return " AND ".join(parts), values


def _text(text: str, table: str, sql: Sql) -> tuple[str, list[str]]:
    if text.isascii():
        tried = [f"{table}.{name} {sql.like} ? ESCAPE {_ESCAPE}" for name in TEXTS]
        wanted = pattern(text)
    elif sql is POSTGRESQL:  # what its lower() knows of letters depends on how the database was made
        tried = [f"normalize({table}.{name}, NFC) ~ ?" for name in TEXTS]
        wanted = "".join(map(_any_case, normalize("NFC", text)))
    else:
        tried = [f"{sql.fold.format(f'{table}.{name}')} LIKE ? ESCAPE {_ESCAPE}" for name in TEXTS]
        wanted = pattern(fold(text) or "")
    return f"({' OR '.join(tried)})", [wanted] * len(TEXTS)


def _any_case(letter: str) -> str:
    """An expression for a letter in any case, and for anything else as it is."""
    forms = {letter, letter.lower(), letter.upper(), letter.title(), letter.casefold()}
    return f"(?:{'|'.join(sorted(map(_escaped, forms)))})"


def _escaped(text: str) -> str:
    return "".join(each if each.isalnum() or each == "_" else f"\\{each}" for each in text)
