"""What the search index of a store on PostgreSQL knows of one search."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

from tabard.consumers.store.hits import INDEX, PARTLY, Asked, Condition, Unnarrowed, listed
from tabard.consumers.store.postgresql.indexing import LARGE, TEXT_TRIGRAM, TEXT_WORDS, Covered
from tabard.consumers.store.reading import Reading
from tabard.consumers.store.results import LogQuery
from tabard.consumers.store.words import letters, runs

HOPELESS: Final = 20
"""So many times the candidates that are wanted, by the server's estimate: then the index is not even asked."""
SOON: Final = 16_000
"""Records that are rather passed along the way than the index asked, where as many as are wanted should be among them."""
_ONLY_BITMAPS: Final = (
    "SELECT set_config('enable_seqscan', ?, true), set_config('enable_indexscan', ?, true),"
    " set_config('enable_indexonlyscan', ?, true)"
)
_LONGEST: Final = 500
"""Characters of a word; the server does not index much longer ones."""


@dataclass(frozen=True)
class Log:
    """What a connection knows of the log, for some seconds."""

    covered: Covered | None
    """How far the index reaches, if there is one."""
    records: int
    """About how many there are, 0 if nobody knows."""
    estimates: dict[tuple[str, tuple[Any, ...]], float] = field(default_factory=dict)
    """How many the server takes to meet a condition: one search asks for its page, its counts and its facets."""

    def soon(self, wanted: int, estimated: float) -> bool:
        """Whether so many that are `wanted` are soon met along the way, where about so many are there."""
        return wanted <= estimated and 0 < self.records * wanted <= estimated * SOON


class PostgresHits(Unnarrowed):
    """See `hits.Hits`."""

    faults: tuple[type[Exception], ...] = ()

    def __init__(self, reading: Reading, since: int, found: Condition, log: Log) -> None:
        self.how = PARTLY if since else INDEX
        self.uncovered: Condition = (" AND log.arrived < ?", (since,)) if since else ("", ())
        self._reading = reading
        self._since = since
        self._found = found
        self._log = log
        self._first = True
        self._beyond = 0
        """There are more candidates than this."""

    def few(self, asked: Asked, candidates: int, most: int | None) -> Condition | None:
        """Those of them that are meant, by their ids; the first `most` of them."""
        rows = self._within(asked, candidates, "log.time, log.id, log.arrived", "", most)
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

    def take(self, asked: Asked, candidates: int, columns: str, limit: int) -> list[Any] | None:
        """In one question to the server."""
        return self._within(asked, candidates, columns, " JOIN node ON node.id = log.node_id", limit)

    def _within(
        self, asked: Asked, candidates: int, columns: str, join: str, wanted: int | None
    ) -> list[Any] | None:
        """Columns of those that are meant, None when there are more than so many candidates.

        None the first time too when `wanted` of them are soon found along the way; who asks again was there in vain.
        """
        if candidates <= self._beyond:
            return None
        more, values = asked.conditions
        where = f"FROM {asked.log} WHERE {self._found[0]}{' AND log.arrived >= ?' if self._since else ''}"
        given = (*self._found[1], *((self._since,) if self._since else ()))
        estimated = self._log.estimates.get((where, given))
        if estimated is None:
            (plan,) = self._reading.execute(f"EXPLAIN (FORMAT JSON) SELECT 1 {where}", given).fetchone()
            estimated = self._log.estimates[where, given] = _estimate(plan)
        first, self._first = self._first, False
        if first and wanted is not None and self._log.soon(wanted, estimated):
            self._beyond = candidates
            return None
        if estimated > candidates * HOPELESS:
            return None
        rows = self._reading.execute(
            f"{_ONLY_BITMAPS}; SELECT {columns} FROM (SELECT * {where}{more} LIMIT ?) AS log{join}",  # noqa: S608
            ("off", "off", "off", *given, *values, candidates + 1),
        ).fetchall()
        self._reading.execute(_ONLY_BITMAPS, ("on", "on", "on"))
        if len(rows) > candidates:
            self._beyond = candidates
            return None
        return rows


def _estimate(plan: Any) -> float:
    found = json.loads(plan) if isinstance(plan, str) else plan
    return float(found[0]["Plan"]["Plan Rows"])


def find(reading: Reading, log: Log, query: LogQuery) -> PostgresHits | None:
    """What serves a search for a text or words; None: nothing does."""
    covered = log.covered
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
        log,
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
