"""One short transaction of retention on one schema: it knows the holds, and holds nobody up for long.

It does not wait for the server's disk: a deletion that a crash takes back is done again. Of several recorders one at a
time deletes; who comes second leaves it to the first. Whoever adds a hold waits for the transaction to end, and the next
one waits a moment for the hold; a hold that is not there by then is being added by somebody who does not go on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from psycopg2 import errors

from tabard.consumers.store import holds
from tabard.consumers.store.holds import Condition, Hold
from tabard.consumers.store.layout import FileKind
from tabard.consumers.store.postgresql.read import PostgresReading
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.postgresql.writer import PostgresWriter
from tabard.consumers.store.reading import POSTGRESQL

_TURN: Final = 0x7461_6261_7267
"""The advisory lock of the recorder that deletes."""


class Deleting:
    """An open transaction. Statements have ``?`` for their values."""

    def __init__(self, writer: PostgresWriter) -> None:
        self.reading = PostgresReading(writer.connection)
        self.holds: Sequence[Hold] = ()
        """Those in force."""
        self.afterwards: list[Callable[[], object]] = []
        """Called once it is committed."""
        self._writer = writer

    def one(self, text: str, values: Sequence[Any] = ()) -> Any:
        """The first row of an answer."""
        return self.reading.execute(text, values).fetchone()

    def all(self, text: str, values: Sequence[Any] = ()) -> list[Any]:
        """Every row."""
        return self.reading.execute(text, values).fetchall()

    def run(self, text: str, values: Sequence[Any] = ()) -> int:
        """How many rows a statement changed."""
        answer: Any = self.reading.execute(text, values)
        return int(answer.rowcount)

    def held(self, table: str) -> Condition:
        """That a row of a table falls under a hold; within a statement the table goes by that name."""
        return holds.condition(self.holds, table, POSTGRESQL)

    def tried(self, text: str) -> bool:
        """Run what may be left out; False: somebody stands in the way."""
        self.run("SAVEPOINT tried")
        try:
            self.run(text)
        except errors.LockNotAvailable:
            self.run("ROLLBACK TO SAVEPOINT tried")
            return False
        return True


@contextlib.contextmanager
def deleting(store: PostgresStore, kind: FileKind, patience: float) -> Iterator[Deleting | None]:
    """A transaction, committed at the end; None: it is not the moment. Raises StoreUnavailable.

    No statement in it waits for others for more than `patience` seconds.
    """
    with store.guarded(kind) as writer:
        writer.begin()
        work = Deleting(writer)
        work.run(f"SET LOCAL synchronous_commit = off; SET LOCAL lock_timeout = '{round(patience * 1000)}ms'")
        if _is_the_moment(work):
            yield work
            writer.commit()
        else:
            writer.rollback()
            yield None
    for call in work.afterwards:
        call()


def _is_the_moment(work: Deleting) -> bool:
    if not work.one("SELECT pg_try_advisory_xact_lock(?)", (_TURN,))[0]:
        return False
    try:
        work.holds = holds.in_force(work.reading)
    except errors.LockNotAvailable:
        return False
    return True
