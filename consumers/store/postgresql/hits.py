"""What the search index of a store on PostgreSQL knows of one search."""

from __future__ import annotations

import json
from typing import Any, Final

from tabard.consumers.store.hits import INDEX, PARTLY, Asked, Condition, Unnarrowed, listed
from tabard.consumers.store.postgresql.indexing import LARGE, TEXT_TRIGRAM, TEXT_WORDS, Covered
from tabard.consumers.store.reading import Reading
from tabard.consumers.store.results import LogQuery
from tabard.consumers.store.words import letters, runs

HOPELESS: Final = 20
"""So many times the candidates that are wanted, by the server's estimate: then the index is not even asked."""
_ONLY_BITMAPS: Final = (
    "SELECT set_config('enable_seqscan', ?, true), set_config('enable_indexscan', ?, true),"
    " set_config('enable_indexonlyscan', ?, true)"
)
_LONGEST: Final = 500
"""Characters of a word; the server does not index much longer ones."""


class PostgresHits(Unnarrowed):
    """See `hits.Hits`."""

    faults: tuple[type[Exception], ...] = ()

    def __init__(self, reading: Reading, since: int, found: Condition) -> None:
        self.how = PARTLY if since else INDEX
        self.uncovered: Condition = (" AND log.arrived < ?", (since,)) if since else ("", ())
        self._reading = reading
        self._since = since
        self._found = found

    def few(self, asked: Asked, candidates: int, most: int | None) -> Condition | None:
        """Those of them that are meant, by their ids; the first `most` of them."""
        rows = self._within(asked, candidates, "log.time, log.id, log.arrived", "")
        if rows is None:
            return None
        rows.sort(reverse=asked.falling)
        rows = rows if most is None else rows[:most]
        if not rows:
            return "1 = 0", ()
        arrived = [row[2] for row in rows]
        return f"log.id IN ({listed([row[1] for row in rows])}) AND log.arrived BETWEEN ? AND ?", (
            min(arrived),
            max(arrived),
        )

    def take(self, asked: Asked, candidates: int, columns: str) -> list[Any] | None:
        """In one question to the server."""
        return self._within(asked, candidates, columns, " JOIN node ON node.id = log.node_id")

    def _within(self, asked: Asked, candidates: int, columns: str, join: str) -> list[Any] | None:
        """Columns of those that are meant, None when there are more than so many candidates."""
        more, values = asked.conditions
        where = f"FROM log WHERE {self._found[0]}{' AND log.arrived >= ?' if self._since else ''}"
        given = (*self._found[1], *((self._since,) if self._since else ()))
        (plan,) = self._reading.execute(f"EXPLAIN (FORMAT JSON) SELECT 1 {where}", given).fetchone()
        if _estimate(plan) > candidates * HOPELESS:
            return None
        rows = self._reading.execute(
            f"{_ONLY_BITMAPS}; SELECT {columns} FROM (SELECT * {where}{more} LIMIT ?) AS log{join}",  # noqa: S608
            ("off", "off", "off", *given, *values, candidates + 1),
        ).fetchall()
        self._reading.execute(_ONLY_BITMAPS, ("on", "on", "on"))
        return None if len(rows) > candidates else rows


def _estimate(plan: Any) -> float:
    found = json.loads(plan) if isinstance(plan, str) else plan
    return float(found[0]["Plan"]["Plan Rows"])


def find(reading: Reading, covered: Covered | None, query: LogQuery) -> PostgresHits | None:
    """What serves a search for a text or words; None: nothing does."""
    since = None if covered is None else covered.since
    if covered is None or since is None:
        return None
    conditions = (
        [_words(reading, query.words)]
        if covered.kind == "words"
        else [_text(reading, text) for text in ((query.text,) if query.text else ()) + query.words]
    )
    used = [condition for condition in conditions if condition is not None]
    if not used:
        return None
    return PostgresHits(
        reading,
        since,
        (" AND ".join(text for text, _ in used), tuple(value for _, values in used for value in values)),
    )


def _words(reading: Reading, words: tuple[str, ...]) -> Condition | None:
    """All whole runs of letters and digits in them, parted by the server as it parts what it indexes."""
    said = [run for word in words for run in runs(word) if len(run) <= _LONGEST]
    if not said:
        return None
    form = " ".join(said)
    asked = "lower(normalize(?, NFC))"
    # What this server takes for no letters at all would find nothing.
    if (
        not form.isascii()
        and not reading.execute(f"SELECT numnode(plainto_tsquery('simple', {asked}))", (form,)).fetchone()[0]
    ):
        return None
    return f"{TEXT_WORDS} @@ (plainto_tsquery('simple', {asked}) || '{LARGE}'::tsquery)", (form,)


def _text(reading: Reading, text: str) -> Condition | None:
    """A text with three neighbouring letters or digits, as pg_trgm knows them."""
    long = [run for run in letters(text) if len(run) >= 3]
    if not any(run.isascii() for run in long) and not any(
        reading.execute("SELECT lower(?) <> upper(?)", (run[1], run[1])).fetchone()[0] for run in long
    ):
        return None
    pattern = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    if text.isascii():
        return f"{TEXT_TRIGRAM} ILIKE ?", (pattern,)
    return f"{TEXT_TRIGRAM} LIKE lower(normalize(?, NFC))", (pattern,)
