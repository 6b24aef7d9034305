"""The questions of the search bench: what herald and the command line ask, and the SQL that a person would write for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from tabard.consumers.store.ports import StoreReader
from tabard.consumers.store.postgresql.indexing import TEXT_TRIGRAM, TEXT_WORDS
from tabard.consumers.store.results import Key, LogQuery
from tabard.consumers.store.walk import RECORD_COLUMNS
from tabard.ops.bench.library import FREQUENT, RARE, SOME, SPAN, Book

_FROM: Final = {
    "sqlite": "FROM log CROSS JOIN node ON node.id = log.node_id",
    "postgresql": "FROM log JOIN node ON node.id = log.node_id",
}
_NEWEST: Final = "ORDER BY log.time DESC, log.id DESC LIMIT 100"
_HOUR: Final = 3_600_000_000_000


class Question(NamedTuple):
    """One kind of question, with the values of one round."""

    name: str
    ask: Callable[[StoreReader], Any]
    """As herald and `tabard logs` do."""
    bare: tuple[str, Sequence[Any]]
    """SQL and its values."""
    indexed: bool
    """Whether an index finds it: without one it is a search in a time box, which nothing is aimed at for."""


def questions(engine: str, index: str, book: Book, place: Key, round_: int) -> list[Question]:
    """All kinds; `place` is a key somewhere in the log, `round_` chooses other values each time."""
    begin = book.began + SPAN // 2 + round_ * _HOUR // 7
    end = begin + SPAN // 100
    window = LogQuery(service="orders", min_severity=17, since=begin, until=end)
    in_window = "WHERE log.time >= ? AND log.time < ? AND log.service = ? AND log.severity >= ?"
    values = (begin, end, "orders", 17)

    def page(
        name: str, query: LogQuery, where: str, values: Sequence[Any], *, indexed: bool = True
    ) -> Question:
        text = f"SELECT {RECORD_COLUMNS} {_FROM[engine]} {where}"
        return Question(name, lambda reader: reader.logs(query), (text, values), indexed)

    def count(name: str, query: LogQuery, where: str, values: Sequence[Any]) -> Question:
        text = f"SELECT count(*) FROM log {where}"  # noqa: S608
        return Question(name, lambda reader: reader.count(query), (text, values), True)

    texted = index == "trigram"
    worded = index != "none"
    return [
        page("newest_page", LogQuery(), _NEWEST, ()),
        page("keyset_page", LogQuery(before=place), f"WHERE (log.time, log.id) < (?, ?) {_NEWEST}", place),
        page("level_service_window", window, f"{in_window} {_NEWEST}", values),
        page("rare_word", LogQuery(words=(RARE,)), *_word(engine, index, RARE), indexed=worded),
        page("one_percent_word", LogQuery(words=(SOME,)), *_like(engine, SOME)),
        page("frequent_word", LogQuery(words=(FREQUENT,)), *_like(engine, FREQUENT)),
        page("substring", LogQuery(text=RARE[1:-1]), *_text(engine, index, RARE[1:-1]), indexed=texted),
        count("count_all", LogQuery(), "", ()),
        count("count_window", window, in_window, values),
    ]


def _like(engine: str, text: str) -> tuple[str, Sequence[Any]]:
    """Along the index by time: for what is found soon."""
    like = "ILIKE" if engine == "postgresql" else "LIKE"
    return f"WHERE (log.message {like} ? OR log.exception {like} ?) {_NEWEST}", (f"%{text}%",) * 2


def _word(engine: str, index: str, word: str) -> tuple[str, Sequence[Any]]:
    if index == "none":
        return _like(engine, word)
    if index == "trigram":
        return _text(engine, index, word)
    if engine == "postgresql":
        return f"WHERE {TEXT_WORDS} @@ plainto_tsquery('simple', ?) {_NEWEST}", (word,)
    found = "SELECT rowid FROM log_words WHERE log_words MATCH ?"
    return f"WHERE log.id IN ({found}) ORDER BY +log.time DESC, log.id DESC LIMIT 100", (word,)


def _text(engine: str, index: str, text: str) -> tuple[str, Sequence[Any]]:
    like = "ILIKE" if engine == "postgresql" else "LIKE"
    either = " OR ".join(f"log.{name} {like} ?" for name in ("message", "function", "module"))
    values: tuple[Any, ...] = (f"%{text}%",) * 3
    if index != "trigram":
        return f"WHERE ({either}) {_NEWEST}", values
    if engine == "postgresql":
        return f"WHERE {TEXT_TRIGRAM} ILIKE ? AND ({either}) {_NEWEST}", (f"%{text}%", *values)
    match = " AND ".join(f'"{text[at : at + 3]}"' for at in range(len(text) - 2))
    found = "SELECT rowid FROM log_trigram WHERE log_trigram MATCH ?"
    return (
        f"WHERE log.id IN ({found}) AND ({either}) ORDER BY +log.time DESC, log.id DESC LIMIT 100",
        (match, *values),
    )
