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
from tabard.consumers.store.results import Count, IndexState, LogQuery
from tabard.consumers.store.words import SEPARATORS_POSTGRESQL, fold, said

LOG: Final = "log"
"""The table of the log records, all of them."""


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
    given: str
    """A value that LIKE compares with."""
    fold: str
    """A column without regard to case, accents in one form; {} is its name."""
    folded: str
    """A value without regard to case, accents in one form."""
    folded_value: Callable[[str], str]
    """What is given for it."""
    word: Callable[[str], tuple[str, tuple[str, ...]]]
    """Whether the column {} has that word, where its text is there at all; and the values."""
    strides: bool
    """Whether the first records of a stretch of an index come out of a subquery one by one, as they are asked for."""
    now: str
    """The store's clock in nanoseconds since 1970, as one value."""

    @property
    def parts(self) -> tuple[str, str]:
        """Both, in the order of `layout.FILES`."""
        return (self.records, self.state)


def _escaped(word: str) -> str:
    """A word within a regular expression of PostgreSQL; ASCII in small letters."""
    return re.sub(r"([^0-9A-Za-z\x80-\U0010ffff])", r"\\\1", said(word) if word.isascii() else word)


def _sqlite_word(word: str) -> tuple[str, tuple[str, ...]]:
    return "tabard_word({}, ?)", (word,)


def _postgresql_word(word: str) -> tuple[str, tuple[str, ...]]:
    """By an expression; what is of ASCII alone, as nearly all is, by one for ASCII, which is many times as fast."""
    if not word.isascii():
        either = f"('{_BEFORE}' || lower(normalize(?, NFC)) || '{_BEHIND}')"
        return f"lower(normalize({{}}, NFC)) ~ {either}", (_escaped(word),)
    small = 'lower({} COLLATE "C")'  # of ASCII alone, whatever the locale
    fast = f"{small} ~ ('(^|[^a-z0-9])' || ? || '([^a-z0-9]|$)')"
    found = f"{small} ~ ('{_BEFORE}' || ? || '{_BEHIND}')"
    return f"CASE WHEN octet_length({{}}) = length({{}}) THEN {fast} ELSE {found} END", (_escaped(word),) * 2


_BEFORE: Final = f"(^|{SEPARATORS_POSTGRESQL})"
_BEHIND: Final = f"({SEPARATORS_POSTGRESQL}|$)"


SQLITE: Final = Sql(
    "main",
    "state",
    "CROSS JOIN",
    "hex(epoch.uid)",
    "LIKE",
    # Of a bare one SQLite would make its plan anew each time: it might begin with letters that an index knows.
    "+?",
    "tabard_fold({})",
    "+?",
    lambda text: fold(text) or "",
    _sqlite_word,
    False,
    "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000000",
)
POSTGRESQL: Final = Sql(
    "tabard_records",
    "tabard_state",
    "JOIN",
    "encode(epoch.uid, 'hex')",
    "ILIKE",
    "?",
    "lower(normalize({}, NFC))",
    # By the server too: what it takes for a small letter goes by its locale.
    "lower(normalize(?, NFC))",
    str,
    _postgresql_word,
    True,
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


class DayGone(Exception):
    """Raised by what was asked of some days of arrival where one of them went meanwhile: it has to be asked of all."""


class Reading(Protocol):
    """A connection within one view of the data."""

    @property
    def sql(self) -> Sql:
        """How its engine says it."""

    def execute(self, text: str, values: Sequence[Any] = (), /) -> Answer:
        """Ask."""

    def again(self, text: str, values: Sequence[int] = (), /) -> Answer:
        """Ask what is asked with every page, of tables that are small: the engine may keep its plan for it."""

    def total(self) -> Count:
        """How many log records there are in all."""

    def indexes(self) -> list[IndexState]:
        """The search indexes there are."""

    def log(self, since: int, until: int, /) -> str:
        """What to read as ``log`` for event times from `since` to `until`, both included: `LOG`, or only what can hold one.

        The latter only where the connection was taken for such a search.
        """

    def hits(self, query: LogQuery, /) -> Hits | None:
        """The search index that serves the text or words of a query; None: none does, or nothing of it is searched."""


class Pool(Protocol):
    """Connections for any number of threads."""

    def use(self, search: LogQuery | None = None, /) -> AbstractContextManager[Reading]:
        """One for one question, within one view of the data; for a `search` it may leave out what that cannot meet.

        Raises StoreError, and for a search DayGone.
        """

    def close(self) -> None:
        """Close what is idle."""
