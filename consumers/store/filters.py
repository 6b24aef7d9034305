"""What a query asks of a record, as conditions that every engine understands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tabard.consumers.store.reading import Reading, Sql
from tabard.consumers.store.results import EQUAL_FIELDS, LogQuery

_TEXTS: Final = ("message", "function", "module")
"""What is searched for a text."""
_WORDED: Final = ("message", "exception")
"""What is searched for words."""
_ESCAPE: Final = "'\\'"


@dataclass(frozen=True, slots=True)
class Filter:
    """The conditions of a query, apart from where in the order it looks."""

    nodes: tuple[int, ...] | None
    """Ids that may match; None: any."""
    conditions: tuple[str, ...]
    values: tuple[Any, ...]

    @property
    def lane(self) -> tuple[str, tuple[Any, ...]]:
        """The condition that chooses the index to walk along: one node's, or that of all."""
        if self.nodes is not None and len(self.nodes) == 1:
            return "log.node_id = ? AND ", self.nodes
        return "", ()

    @property
    def rest(self) -> tuple[str, tuple[Any, ...]]:
        """The conditions that rows on that index must meet besides."""
        conditions, values = list(self.conditions), list(self.values)
        if self.nodes is not None and len(self.nodes) != 1:
            # The plus sign keeps the planner from walking along each node's index instead.
            conditions.append(among("+log.node_id", self.nodes))
            values.extend(self.nodes)
        return "".join(f" AND {condition}" for condition in conditions), tuple(values)


def filter_of(connection: Reading, query: LogQuery) -> Filter:
    """What the query asks of a record, its place aside."""
    conditions: list[str] = []
    values: list[Any] = []
    wanted = (
        (field, value)
        for field, value in zip(EQUAL_FIELDS, _equal_values(query), strict=True)
        if value is not None
    )
    for field, value in wanted:
        conditions.append(f"log.{field} = ?")
        values.append(value)
    if query.level is not None:
        conditions.append("upper(log.level) = upper(?)")
        values.append(query.level)
    if query.min_severity > 0:
        conditions.append("log.severity >= ?")
        values.append(query.min_severity)
    if query.text and not query.text.isascii():
        # LIKE takes A for a and leaves Ä apart from ä. Folding by Python is slower: only such a text pays for it.
        folded = (connection.sql.fold.format(f"log.{name}") for name in _TEXTS)
        value = connection.sql.folded
        conditions.append(f"({' OR '.join(f'{text} LIKE {value} ESCAPE {_ESCAPE}' for text in folded)})")
        values += [pattern(connection.sql.folded_value(query.text))] * len(_TEXTS)
    elif query.text:
        like = f"{connection.sql.like} {connection.sql.given}"
        conditions.append(f"({' OR '.join(f'log.{name} {like} ESCAPE {_ESCAPE}' for name in _TEXTS)})")
        values += [pattern(query.text)] * len(_TEXTS)
    for word in query.words:
        _add_word(connection.sql, word, conditions, values)
    return Filter(
        nodes=node_ids(connection, query.node, query.zone),
        conditions=tuple(conditions),
        values=tuple(values),
    )


def pattern(text: str) -> str:
    """What LIKE takes for that text anywhere."""
    return "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"


def _add_word(sql: Sql, word: str, conditions: list[str], values: list[Any]) -> None:
    """The condition for a record with that word. That the text is there at all is cheaper to find, and asked first."""
    if word.isascii():
        has, said = f"{sql.like} {sql.given}", "{}"
    else:
        has, said = f"LIKE {sql.folded}", sql.fold
    bounds, given = sql.word(word)
    either = [
        f"({said.format(f'log.{name}')} {has} ESCAPE {_ESCAPE} AND {bounds.replace('{}', f'log.{name}')})"
        for name in _WORDED
    ]
    conditions.append(f"({' OR '.join(either)})")
    values += [pattern(word if word.isascii() else sql.folded_value(word)), *given] * len(_WORDED)


def _equal_values(query: LogQuery) -> tuple[str | None, ...]:
    """The values of `EQUAL_FIELDS`, in that order."""
    return (
        query.service,
        query.product,
        query.system,
        query.subsystem,
        query.subsubsystem,
        query.user1,
        query.user2,
        query.package,
        query.version,
        query.logger,
        query.module,
        query.function,
    )


def among(column: str, values: Sequence[int]) -> str:
    """The condition that a column holds one of some values; of none, that no row meets."""
    return f"{column} IN ({', '.join('?' * len(values))})" if values else "1 = 0"


def node_ids(
    connection: Reading, name: str | None, zone: str | None, database: str = ""
) -> tuple[int, ...] | None:
    """Nodes with that name, in that zone or below it; None when neither is given."""
    if name is None and zone is None:
        return None
    conditions, values = [], []
    if name is not None:
        conditions.append("name = ?")
        values.append(name)
    if zone is not None:
        inside, ends = zone_condition("zone", zone)
        conditions.append(inside)
        values += ends
    text = f"SELECT id FROM {database or connection.sql.records}.node WHERE {' AND '.join(conditions)}"  # noqa: S608
    found = connection.execute(text, values)
    return tuple(row[0] for row in found)


def zone_condition(column: str, zone: str) -> tuple[str, list[str]]:
    """The condition for a zone and all below it, with its values."""
    values = [zone, zone + "/", zone + "0"]  # "0" follows "/"
    return f"({column} = ? OR ({column} >= ? AND {column} < ?))", values
