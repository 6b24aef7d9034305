"""The most frequent values of the main ids among the records that fit a query, within a time box."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Final

from tabard.consumers.store.ports import StoreReader
from tabard.consumers.store.results import LogQuery

FIELDS: Final = ("level", "node", "service", "system", "product", "module", "version")
"""What is counted, in the order shown."""
SHOWN: Final = 7
BUDGET: Final = 0.5
"""Seconds for all fields together."""


@dataclass(frozen=True)
class Facet:
    """How often the values of one id occur, most frequent first."""

    field: str
    counts: list[tuple[str, int]]
    partial: bool
    """The time box ended first: only the newest records were counted."""


def count_facets(reader: StoreReader, query: LogQuery) -> list[Facet]:
    """The facets of ``query``, its place within the log left aside; ids that no record fills are left out."""
    whole = replace(query, before=None, after=None)
    facets = []
    for name, found in reader.facets_of(whole, FIELDS, 3 * SHOWN, BUDGET).items():
        counts: Counter[str] = Counter()
        for value, count in found.counts:
            if value not in {None, ""}:
                # Sources write INFO, Info and info; the filter takes them for the same, so they count together.
                counts[str(value).upper() if name == "level" else str(value)] += count
        if counts:
            facets.append(Facet(name, counts.most_common(SHOWN), found.partial))
    return facets
