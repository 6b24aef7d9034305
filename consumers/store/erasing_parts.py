"""A part of the store in short transactions beside its recorder, for whoever erases: the same on either engine."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from tabard import failpoints
from tabard.consumers.store import opening
from tabard.consumers.store.layout import FileKind, check_version, moved_to
from tabard.consumers.store.place import Place
from tabard.consumers.store.reading import POSTGRESQL, Reading
from tabard.consumers.store.readonly import SqliteReading
from tabard.errors import RefusedError

REST: Final = 0.1
"""Most seconds to wait between two transactions; otherwise as long as the one before took, so that ingest has its turn."""
_AGAIN: Final = ": it goes on from where it was"
STEP: Final = failpoints.declare("erase.step", "about to commit a step of erasing")


class Part:
    """One file or schema. Its errors are StoreError and RefusedError."""

    def __init__(self, kind: FileKind, connection: Reading, check: Callable[[], None]) -> None:
        self.kind = kind
        self._connection = connection
        self._check = check

    @property
    def served(self) -> bool:
        """Whether it is on a server."""
        return self._connection.sql is POSTGRESQL

    @property
    def connection(self) -> Reading:
        """To ask with, within a transaction."""
        return self._connection

    @property
    def file(self) -> sqlite3.Connection | None:
        """The same, where it is a file."""
        return self._connection if isinstance(self._connection, SqliteReading) else None

    def ask(self, text: str, values: Sequence[Any] = ()) -> list[Any]:
        """Every row of an answer."""
        return self._connection.execute(text, values).fetchall()

    def run(self, text: str, values: Sequence[Any] = ()) -> int:
        """How many rows a statement changed."""
        answer: Any = self._connection.execute(text, values)
        return int(answer.rowcount)

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """A transaction, and a rest behind it."""
        began = time.monotonic()
        self.ask_nothing("BEGIN" if self.served else "BEGIN IMMEDIATE")
        try:
            self._check()
            yield
            failpoints.hit(STEP)
            self.ask_nothing("COMMIT")
        except BaseException:
            with contextlib.suppress(Exception):
                self.ask_nothing("ROLLBACK")
            raise
        time.sleep(min(time.monotonic() - began, REST))

    @contextlib.contextmanager
    def view(self) -> Iterator[None]:
        """One view for what is asked within."""
        self.ask_nothing("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" if self.served else "BEGIN")
        try:
            yield
        finally:
            self.ask_nothing("ROLLBACK")

    def ask_nothing(self, text: str) -> None:
        """Run what answers nothing."""
        self._connection.execute(text)


@contextlib.contextmanager
def opened(place: Place, kind: FileKind) -> Iterator[Part]:
    """One part of a store. Raises StoreError, and turns the driver's errors into it."""
    with _served(place, kind) if place.url else _file(place, kind) as part:
        yield part


@contextlib.contextmanager
def _file(place: Place, kind: FileKind) -> Iterator[Part]:
    path = str(opening.path_of(place, kind))
    with opening.file(place, kind, again=_AGAIN) as connection:
        connection.execute("PRAGMA secure_delete = ON").fetchall()

        def check() -> None:
            check_version(connection, path)
            if moved_to(connection):
                raise RefusedError(
                    "the store is being moved to a server, and the copy there would keep what is erased here",
                    where=path,
                    hint="Finish the move and erase there, or take it back: tabard store migrate --undo",
                )

        check()
        yield Part(kind, connection, check)
        # What was overwritten is still in the write-ahead log until that begins anew; the recorder may be at it.
        connection.execute("PRAGMA busy_timeout = 0").fetchall()
        # The first beside commits, so that the second keeps none waiting for long.
        for mode in ("PASSIVE", "TRUNCATE"):
            connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()


@contextlib.contextmanager
def _served(place: Place, kind: FileKind) -> Iterator[Part]:
    with opening.served(
        place, kind, "tabard store forget", idle=opening.BUSY_SECONDS, again=_AGAIN
    ) as connection:
        yield Part(kind, connection, lambda: None)
