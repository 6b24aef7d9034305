"""The search index of a store on PostgreSQL: one GIN index of the log's partitions, built while records come in.

It is an index of the partitioned table, so every day that is made gets it by itself. Days that were there before get it one by
one, the newest first, by CREATE INDEX CONCURRENTLY, and are then attached to it. What can go wrong, and what becomes of it:

* A kill in between: what PostgreSQL left unfinished is dropped, and the rest goes on from what is attached.
* A day dropped by retention meanwhile: it is passed over.
* A recorder in the middle of a commit: a lock is waited for half a second, and asked for again.
* No right to install pg_trgm: an error with the sentence for the administrator. Records are stored all the same.

Stemming and stop words have no place in a log: words are taken as they are. A text beyond what a tsvector holds is found
by its size, and looked at.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

import psycopg2
from psycopg2 import errors, extensions

from tabard import failpoints
from tabard.consumers.store.layout import RECORDS
from tabard.consumers.store.postgresql import partitions
from tabard.consumers.store.postgresql.partitions import Partition
from tabard.consumers.store.postgresql.server import first, schema_of
from tabard.consumers.store.words import ASCII_POSTGRESQL, ASCII_SEPARATORS, SEPARATORS_POSTGRESQL
from tabard.errors import StoreError

KINDS: Final = ("words", "trigram")
NONE: Final = "none"
PATIENCE: Final = 120
"""Tries to get a lock, half a second each."""
LARGE: Final = "tabardlarge"
"""Stands for all words of a text that is too large for them."""
SCHEMA: Final = schema_of(RECORDS)
_LOCK: Final = 0x7461_6261_7266
"""The advisory lock under which indexes are built: of several recorders one does it."""

BUILT: Final = "store.index_built"
"""A fail-point that is not declared: only a store with an index passes it. Built the index of a day, not attached it."""


_LINE: Final = "E'\\n'"


def _joined(*columns: str) -> str:
    """The message and other columns, as far as they are there, each on lines of its own."""
    others = (f"coalesce({_LINE} || {name}, '')" for name in columns)
    return f"({' || '.join(('message', *others))})"


_SPACES: Final = " " * ASCII_SEPARATORS
_WORDED: Final = _joined("exception")
_TEXT: Final = _joined("function", "module", "exception")
# Bound values are written with signs of their own in here, so none of these may stand in the text.
TEXT_WORDS: Final = (
    f"(CASE WHEN octet_length({_WORDED}) > 100000 THEN '{LARGE}'::tsvector"
    f" WHEN octet_length({_WORDED}) = length({_WORDED})"
    f" THEN to_tsvector('pg_catalog.simple'::regconfig, translate({_WORDED}, E'{ASCII_POSTGRESQL}', '{_SPACES}'))"
    f" ELSE to_tsvector('pg_catalog.simple'::regconfig, regexp_replace({_WORDED} || ' ' ||"
    f" lower(normalize({_WORDED}, NFC)), '{SEPARATORS_POSTGRESQL}+', ' ', 'g')) END)"
)
"""What the index of words holds of a record."""
TEXT_TRIGRAM: Final = (
    f"(CASE WHEN octet_length({_TEXT}) = length({_TEXT}) THEN {_TEXT}"
    f" ELSE {_TEXT} || {_LINE} || lower(normalize({_TEXT}, NFC)) END)"
)
"""What the index of substrings holds of a record."""


class Covered(NamedTuple):
    """How far an index reaches."""

    kind: str
    days: tuple[tuple[Partition, bool], ...]
    """Every day of the log, oldest first, and whether the index has it."""

    @property
    def since(self) -> int | None:
        """Arrival from which on all records are in it; None: none is. 0: all are."""
        low = None
        for day, has in reversed(self.days):
            if not has:
                return low
            low = day.day * partitions.DAY
        return 0


def covered(connection: extensions.connection) -> Covered | None:
    """The search index of this store, None when it has none. Raises psycopg2.Error."""
    for kind in KINDS:
        found = first(connection, "SELECT to_regclass(%s)::oid", (f"{SCHEMA}.log_{kind}",))
        if found is None or found[0] is None:
            continue
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT part.relname FROM pg_index JOIN pg_inherits AS own ON own.inhrelid = indexrelid"
                " JOIN pg_class AS part ON part.oid = indrelid WHERE own.inhparent = %s AND indisvalid",
                (found[0],),
            )
            has = {name for (name,) in cursor.fetchall()}
        days = partitions.existing(connection, f"{SCHEMA}.log")
        return Covered(kind, tuple((day, day.name in has) for day in days))
    return None


def make(
    connection: extensions.connection, wanted: str, told: Callable[[str], None] = lambda _words: None
) -> bool:
    """Make the store have the index `wanted` and no other; `told` hears of each step. False: another process does it.

    The connection is in autocommit mode and finds the tables of the log. Raises StoreError, psycopg2.Error.
    """
    held = first(connection, "SELECT pg_try_advisory_lock(%s)", (_LOCK,))
    if held != (True,):
        return False
    try:
        for kind in KINDS:
            if kind != wanted and first(connection, "SELECT to_regclass(%s)", (f"log_{kind}",)) != (None,):
                told(f"the search index {kind} is removed")
                _patiently(connection, f"DROP INDEX IF EXISTS log_{kind}")
        if wanted == NONE:
            return True
        opclass = _trigram_class(connection) if wanted == "trigram" else ""
        text = TEXT_WORDS if wanted == "words" else TEXT_TRIGRAM
        using = f"USING gin ({text} {opclass})"
        if first(connection, "SELECT to_regclass(%s)", (f"log_{wanted}",)) == (None,):
            told(f"the search index {wanted} is being built")
            _patiently(connection, f"CREATE INDEX log_{wanted} ON ONLY log {using}")
        _run(connection, "SET maintenance_work_mem = '128MB'")
        found = covered(connection)
        for day, has in reversed(found.days if found else ()):
            if not has:
                _build(connection, wanted, day, using, told)
    finally:
        if not connection.closed:
            _run(connection, f"SELECT pg_advisory_unlock({_LOCK})")
    return True


def _build(
    connection: extensions.connection, kind: str, day: Partition, using: str, told: Callable[[str], None]
) -> None:
    name = f"{day.name}_{kind}"
    try:
        state = first(
            connection, "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", (name,)
        )
        if state == (False,):  # a build that was broken off
            _run(connection, f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        if state != (True,):
            _run(connection, f"CREATE INDEX CONCURRENTLY {name} ON {day.name} {using}")
        failpoints.hit(BUILT)
        _patiently(connection, f"ALTER INDEX log_{kind} ATTACH PARTITION {name}")
    except (errors.UndefinedTable, errors.UndefinedObject):
        return  # retention dropped it
    told(f"the search index {kind} has {day.name}")


def _trigram_class(connection: extensions.connection) -> str:
    """The operator class of pg_trgm, which is installed if it is not. Raises StoreError."""
    asked = (
        "SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace"
        " WHERE extname = 'pg_trgm'"
    )
    found = first(connection, asked)
    if found is None:
        try:
            _run(connection, "CREATE EXTENSION IF NOT EXISTS pg_trgm")
        except psycopg2.Error as error:
            name = first(connection, "SELECT quote_ident(current_database())")
            raise StoreError(
                "the search index trigram needs the extension pg_trgm, and it cannot be installed",
                expected="an extension that is there, or a user that may install it",
                found=" ".join(str(error).split()),
                where="store.url",
                hint=f"Ask the administrator for CREATE EXTENSION pg_trgm; in the database {name[0] if name else ''}"
                ' (its package is postgresql-contrib), or set store.index = "words"',
            ) from error
        found = first(connection, asked)
    return f"{found[0] if found else 'public'}.gin_trgm_ops"


def _patiently(connection: extensions.connection, text: str) -> None:
    """Run what needs a lock that commits hold: wait a moment, so that no commit waits behind it for long, again and again."""
    for attempt in range(PATIENCE):
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '500ms'")
                cursor.execute(text)
        except errors.LockNotAvailable:
            if attempt == PATIENCE - 1:
                raise
            time.sleep(0.1)
        else:
            return
        finally:
            if not connection.closed:
                _run(connection, "SET lock_timeout = 0")


def _run(connection: extensions.connection, text: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(text)
