"""``tabard bench search``: how long a question to the store takes, beside the bare SQL for it.

A store of realistic rows is built through the commit that a recorder uses, once, and kept. Then each question is asked
as herald and `tabard logs` ask it, in turns with the SQL that a person would write for the same records on a connection
that is open already. What each kind of search index costs ingest is measured on smaller stores of their own.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

from tabard.consumers.store.engines import open_reader, open_store
from tabard.consumers.store.place import Place
from tabard.consumers.store.ports import StoreReader
from tabard.consumers.store.results import LogPage, LogQuery
from tabard.errors import TabardError
from tabard.ops.bench import library
from tabard.ops.bench.library import Book, Library
from tabard.ops.bench.result import Aim, Json, Measured
from tabard.ops.bench.searching import Question, questions
from tabard.ops.bench.table import Options, Say

ROWS: Final = 500_000
MANY: Final = 5_000_000
"""What is searched when it was built before."""
ROUNDS: Final = 60
COST_ROWS: Final = 60_000
SLOW: Final = 0.3
"""Seconds from which on a question is asked a few times only."""
SLOW_ROUNDS: Final = 3
WARM: Final = 3
MOST_MS: Final = 100.0
MOST_RATIO: Final = 2.0
KINDS: Final = ("none", "words", "trigram")

Bare = Callable[[str, Any], Any]


def run(options: Options, say: Say) -> Measured:
    """Build or find the store, ask, and measure what the indexes cost. Raises TabardError."""
    index = options.search_index or "words"
    if options.fresh:
        shutil.rmtree(library.shelf(), ignore_errors=True)
    with _store(options, index, say) as (place, book, bare):
        results, aims = _ask(options.store, index, place, book, bare, options.rounds or ROUNDS, say)
    results["rows"] = book.rows
    results["index"] = index
    results["build"] = {"seconds": book.seconds, "cpu_us_per_row": book.cpu / book.rows * 1e6}
    results["ingest"] = _costs(options, say)
    return Measured(results, aims)


@contextmanager
def _store(options: Options, index: str, say: Say) -> Iterator[tuple[Place, Book, Bare]]:
    """The store to search in, and how bare SQL is put to it."""
    if options.store == "postgresql":
        from tabard.ops.bench.searched_server import served

        with served(options.rows or ROWS, index, say) as found:
            yield found
        return
    rows = options.rows
    if rows is None:
        rows = MANY if library.known(library.kept_at(MANY, index)) else ROWS
    directory = library.kept_at(rows, index)
    book = library.known(directory)
    if book is None:
        say(f"builds a store of {rows:,} records with the index {index!r} in {directory}; it is kept")
        book = library.build(directory, rows, index, say)
    else:
        say(f"searches the store in {directory}, built before")
    from tabard.consumers.store.readonly import Connections

    pool = Connections(directory)
    try:
        with pool.use() as connection:
            yield (
                Place(str(directory)),
                book,
                lambda text, values: connection.execute(text, values).fetchall(),
            )
    finally:
        pool.close()


def _ask(
    engine: str, index: str, place: Place, book: Book, bare: Bare, rounds: int, say: Say
) -> tuple[dict[str, Any], list[Aim]]:
    took: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    said: dict[str, dict[str, Any]] = {}
    aimed: set[str] = set()
    with open_reader(place) as reader:
        middle = reader.logs(LogQuery(before=(book.began + library.SPAN // 2, 0), limit=1)).older
        if middle is None:
            raise TabardError("the store of the bench is empty", where=str(place))
        names = [each.name for each in questions(engine, index, book, middle, 0)]
        for number, name in enumerate(names):
            say(f"asks {name}")
            answer: Any = None
            for turn in range(rounds + WARM):
                question = questions(engine, index, book, middle, turn)[number]
                if question.indexed:
                    aimed.add(name)
                pair, answer = _in_turns(question, reader, bare, first=bool(turn % 2))
                if turn >= WARM or max(pair) > SLOW:
                    took[name].append(pair)
                if len(took[name]) >= SLOW_ROUNDS and max(pair) > SLOW:
                    break
            said[name] = _about(answer)
    results: dict[str, Any] = {name: {**_figures(took[name]), **said[name]} for name in names}
    aims = []
    for name in names:
        if name in aimed:
            aims.append(Aim(f"{name} p95", results[name]["p95_ms"], "<", MOST_MS, "ms"))
            aims.append(Aim(f"{name} p95 to bare SQL", results[name]["p95_ratio"], "<=", MOST_RATIO, ""))
    return results, aims


def _in_turns(
    question: Question, reader: StoreReader, bare: Bare, *, first: bool
) -> tuple[tuple[float, float], Any]:
    """Seconds of the product and of the bare SQL, which of them first in turns; and the product's answer."""

    def plain() -> float:
        began = time.perf_counter()
        bare(*question.bare)
        return time.perf_counter() - began

    before = plain() if first else 0.0
    began = time.perf_counter()
    answer = question.ask(reader)
    ours = time.perf_counter() - began
    return (ours, before if first else plain()), answer


def _about(answer: Any) -> dict[str, Any]:
    if isinstance(answer, LogPage):
        found = {"found": len(answer.rows), "time_boxed": answer.partial}
        return {**found, "by": answer.index} if answer.index else found
    return {"found": answer.records, "counted": answer.how}


def _figures(pairs: list[tuple[float, float]]) -> dict[str, float]:
    ours, bare = ([pair[side] * 1000 for pair in pairs] for side in (0, 1))
    return {
        "p50_ms": median(ours),
        "p95_ms": _p95(ours),
        "bare_p50_ms": median(bare),
        "bare_p95_ms": _p95(bare),
        "p50_ratio": median(ours) / median(bare),
        "p95_ratio": _p95(ours) / _p95(bare),
    }


def _p95(values: list[float]) -> float:
    return sorted(values)[min(len(values) * 95 // 100, len(values) - 1)]


# --- what an index costs ----------------------------------------------------------------------------------


def _costs(options: Options, say: Say) -> Json:
    """Rows a second, CPU and room of the commit with each kind of index."""
    if options.store == "postgresql":
        from tabard.ops.bench.searched_server import cost
    else:
        cost = _cost
    costs = {}
    for kind in KINDS:
        say(f"stores {COST_ROWS:,} records with the index {kind!r}")
        costs[kind] = cost(kind, min(COST_ROWS, options.rows or COST_ROWS))
    bare = costs["none"]
    for kind in KINDS[1:]:
        costs[kind]["speed_to_none"] = costs[kind]["rows_per_second"] / bare["rows_per_second"]
        costs[kind]["mb_per_million_rows_of_index"] = (
            costs[kind]["mb_per_million_rows"] - bare["mb_per_million_rows"]
        )
    return costs


def _cost(kind: str, rows: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="tabard-bench-") as directory:
        kept = open_store(Place(directory), "full", library.FOREVER, kind)
        try:
            library.indexed(kept)
            book = Library(kept, rows, time.time_ns()).fill()
        finally:
            kept.store.close()
        size = sum(path.stat().st_size for path in Path(directory).glob("records.db*"))
    return _cost_of(book, size)


def _cost_of(book: Book, size: int) -> dict[str, float]:
    return {
        "rows_per_second": book.rows / book.seconds,
        "cpu_us_per_row": book.cpu / book.rows * 1e6,
        "mb_per_million_rows": size / book.rows,
    }
