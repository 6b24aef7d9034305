"""What a reader's question needs of an engine: a connection, and the few words that engines spell differently.

The questions themselves are one text for all: parameters are ``?``, tables of the control stream's part are named by
`Sql.state`, and those of the other part by `Sql.records` where both are asked in one breath.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, NamedTuple, Protocol

from tabard.consumers.store.hits import Hits
from tabard.consumers.store.results import Count, LogQuery
from tabard.consumers.store.words import SEPARATORS_POSTGRESQL, said


class Sql(NamedTuple):
    """How an engine says it."""

    records: str
    """In front of the tables of logs and samples."""
    state: str
    """In front of those of the control stream."""
    join: str
    """A join that keeps the order of its tables: the page is read from the index of the first one."""
    epoch: str
    """The name of an epoch in hexadecimal digits."""
    like: str
    """LIKE without regard to the case of ASCII letters."""
    fold: str
    """A column without regard to case, accents in one form; {} is its name."""
    word: str
    """Whether the column {} has a word of ASCII, given as `word_value` says."""
    folded_word: str
    """The same of any other word."""
    word_value: Callable[[str], str]
    """What stands for a word in these conditions."""
    now: str
    """The store's clock in nanoseconds since 1970, as one value."""

    @property
    def parts(self) -> tuple[str, str]:
        """Both, in the order of `layout.FILES`."""
        return (self.records, self.state)


def _pattern_of(word: str) -> str:
    """A regular expression of PostgreSQL that finds a word in a text of small letters."""
    escaped = re.sub(r"([^0-9a-z\x80-\U0010ffff])", r"\\\1", said(word))
    return f"(^|{SEPARATORS_POSTGRESQL}){escaped}({SEPARATORS_POSTGRESQL}|$)"


SQLITE: Final = Sql(
    "main",
    "state",
    "CROSS JOIN",
    "hex(epoch.uid)",
    "LIKE",
    "tabard_fold({})",
    "tabard_word({}, ?)",
    "tabard_word({}, ?)",
    str,
    "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000",
)
POSTGRESQL: Final = Sql(
    "tabard_records",
    "tabard_state",
    "JOIN",
    "encode(epoch.uid, 'hex')",
    "ILIKE",
    "lower(normalize({}, NFC))",
    # Small letters of ASCII alone, whatever the locale.
    'lower({} COLLATE "C") ~ ?',
    "lower(normalize({}, NFC)) ~ ?",
    _pattern_of,
    "(extract(epoch FROM clock_timestamp()) * 1000000000)::bigint",
)


class Answer(Protocol):
    """The rows of an answer."""

    def fetchone(self) -> Any:
        """The next row, None after the last."""

    def fetchall(self) -> list[Any]:
        """All that are left."""

    def __iter__(self) -> Iterator[Any]:
        """One after another."""


class Reading(Protocol):
    """A connection within one view of the data."""

    @property
    def sql(self) -> Sql:
        """How its engine says it."""

    def execute(self, text: str, values: Sequence[Any] = (), /) -> Answer:
        """Ask."""

    def total(self) -> Count:
        """How many log records there are in all."""

    def hits(self, query: LogQuery, /) -> Hits | None:
        """The search index that serves the text or words of a query; None: none does, or nothing of it is searched."""


class Pool(Protocol):
    """Connections for any number of threads."""

    def use(self) -> AbstractContextManager[Reading]:
        """One for one question, within one view of the data. Raises StoreError."""

    def close(self) -> None:
        """Close what is idle."""
