"""Texts that are hard to search for, drawn searches, and what each must find with a search index and without one."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from hypothesis import strategies as st

from tabard.consumers.store.ports import StoreReader
from tabard.consumers.store.results import LogQuery
from tests.contract.chain import log
from tests.contract.reading_logs import walk as all_pages

ODD = st.sampled_from(
    ["timed out", "time", "Timed-Out", "10.0.0.1", "110.0.0.12", "straße", "STRASSE", "cafe\u0301", "café", "CAFÉ",
     "50% off", "a_b", "ab", "\\", "\u2026", "\u201ctimeout\u201d", "\u212a", "k", "K", "İstanbul", "istanbul", "日本語", "ж", "Ж",
     '"quoted"', "'", "AND", "OR NOT", "x" * 40, "\u00aa\u00b2", "order-17", "17", "é", "e", "\u0301", "\ufb01n", "fin"]
)  # fmt: skip
TEXTS = st.lists(
    ODD | st.text(alphabet="aAbB \u00e4\u00c4%_-\u0301", max_size=6), min_size=0, max_size=4
).map(" ".join)


def some_records(data: st.DataObject, said: list[str], label: str) -> list[Any]:
    """Up to six records with such texts, which `said` then has as well."""
    records = []
    for text, other in data.draw(st.lists(st.tuples(TEXTS, TEXTS), max_size=6), label=label):
        where = data.draw(st.sampled_from(["exception", "function", "module"]))
        records.append(log(text, time=data.draw(st.integers(1, 9)), **{where: other}))
        said.extend((text, other))
    return records


def some_query(data: st.DataObject, said: list[str]) -> LogQuery:
    """A search for a part of what was said, or of something else."""
    needle = data.draw(st.sampled_from(said) | ODD if said else ODD, label="needle")
    start = data.draw(st.integers(0, max(len(needle) - 1, 0)), label="start")
    part = needle[start : start + data.draw(st.integers(1, 12), label="length")]
    as_words = data.draw(st.booleans(), label="as words")
    return LogQuery(
        text=None if as_words else part or "a",
        words=tuple(part.split()) if as_words else (),
        order=data.draw(st.sampled_from(["new", "old"]), label="order"),
        limit=data.draw(st.integers(1, 5), label="limit"),
        since=data.draw(st.none() | st.integers(1, 9), label="since"),
    )


def agree(reader: StoreReader, query: LogQuery, finder: ModuleType) -> None:
    """Whatever a query asks for is the same without the index, which `finder` finds."""
    by_index = _answers(reader, query)
    with pytest.MonkeyPatch().context() as without:
        without.setattr(finder, "find", lambda *_: None)
        assert by_index == _answers(reader, query)


def _answers(reader: StoreReader, query: LogQuery) -> tuple[Any, ...]:
    count = reader.count(query)
    assert reader.count_all(query, 0.0) == count.records
    facets = sorted(reader.facets(query, "function").counts, key=str)
    return all_pages(reader, query, older=query.order == "new"), reader.histogram(query, 2), facets, count
