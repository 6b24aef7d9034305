"""The SQLite side of a move: reading beside the recorder, closing, opening again."""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from tabard import failpoints
from tabard.consumers.store import layout
from tabard.consumers.store.courtesy import Courtesy
from tabard.consumers.store.layout import CLOSED, FILES, MOVED, VERSION, FileKind
from tabard.consumers.store.moving.tables import Carried
from tabard.errors import RefusedError, StoreError

BUSY_SECONDS: Final = 30.0
"""How long closing waits for a commit of the recorder."""
FETCHED: Final = 256
"""Rows read at once: of the largest there are, some 64 MiB."""
HALF_CLOSED: Final = failpoints.declare(
    "move.half_closed", "closed one file of the source, not yet the other"
)

Row = Sequence[Any]
Key = tuple[int, ...]


class Begun(NamedTuple):
    """A move that was begun."""

    id: str
    url: str


class Source:
    """The two files of a store that is being moved. Its errors are StoreError and sqlite3.Error."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        self._open: dict[FileKind, sqlite3.Connection] = {}
        self._courtesy: dict[FileKind, Courtesy] = {}

    def __enter__(self) -> Self:
        """Open both files. Raises StoreError."""
        layout.check_library()
        try:
            for kind in FILES:
                self._open[kind] = self._opened(kind.path(self.directory))
                self._courtesy[kind] = Courtesy(kind.path(self.directory))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close both files."""
        while self._open:
            self._open.popitem()[1].close()

    @staticmethod
    def _opened(path: Path) -> sqlite3.Connection:
        if not path.exists():
            raise StoreError(
                "store not found",
                expected=f"the file {path.name}",
                where=str(path.parent),
                hint="Only a store on SQLite can be moved: pass --home, or set store.path to where it is",
            )
        connection = None
        try:
            connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS, isolation_level=None
            )
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_autocheckpoint = 0")  # the recorder's own work
            connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        except sqlite3.Error as error:
            if connection is not None:
                connection.close()
            raise StoreError(
                "the store cannot be opened",
                expected="files that this user may write to",
                found=str(error),
                where=str(path),
            ) from error
        return connection

    # --- where it stands ------------------------------------------------------------------------------

    def state(self) -> str:
        """`VERSION`, `CLOSED` (one file at least), or `MOVED`. Raises StoreError for any other."""
        found = {kind: layout.schema_version(connection) for kind, connection in self._open.items()}
        versions = set(found.values())
        for kind, version in found.items():
            if version not in {VERSION, CLOSED, MOVED}:
                layout.check_version(self._open[kind], str(kind.path(self.directory)))
        if CLOSED in versions or len(versions) > 1:
            return CLOSED
        return MOVED if MOVED in versions else VERSION

    def begun(self) -> Begun | None:
        """The move that was begun here; None when there is none."""
        with contextlib.suppress(sqlite3.OperationalError):
            row = self._open[FILES[0]].execute("SELECT id, url FROM move").fetchone()
            if row is not None:
                return Begun(*row)
        return None

    def begin(self, url: str) -> Begun:
        """Note that the store is being moved to `url`. Raises RefusedError when it is on its way elsewhere."""
        begun = self.begun()
        if begun is not None and begun.url != url:
            raise RefusedError(
                "the store is on its way to another place",
                expected=begun.url,
                found=url,
                where=str(self.directory),
                hint="Go on with that one, or take it back first: tabard store migrate --undo",
            )
        if begun is not None:
            return begun
        begun = Begun(secrets.token_hex(16), url)
        for kind in reversed(FILES):  # the first one says that it is noted in both
            with self._changed(kind) as connection:
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS move (id TEXT, url TEXT, decides INTEGER) STRICT"
                )
                connection.execute("DELETE FROM move")
                connection.execute("INSERT INTO move VALUES (?, ?, 0)", begun)
        return begun

    def decide(self) -> None:
        """Note that from now on only the target knows whether it is the store."""
        with self._changed(FILES[0]) as connection:
            connection.execute("UPDATE move SET decides = 1")

    @property
    def decides(self) -> bool:
        """Whether `decide` was the last that was said."""
        return bool(self.ask(FILES[0], "SELECT max(decides) FROM move")[0][0])

    def shut(self) -> None:
        """Let nobody write any more: what is committed before is there to be read, and nothing after."""
        for kind in FILES:
            self._stand(kind, CLOSED)
            failpoints.hit(HALF_CLOSED)

    def reopen(self) -> None:
        """Let the recorder write again."""
        with self._changed(FILES[0]) as connection:
            connection.execute("UPDATE move SET decides = 0")
        for kind in FILES:
            self._stand(kind, VERSION)

    def leave(self) -> None:
        """All of it is in the other place."""
        for kind in FILES:
            self._stand(kind, MOVED)

    def forget(self) -> None:
        """It is not being moved any more."""
        for kind in FILES:
            with self._changed(kind) as connection:
                connection.execute("DROP TABLE IF EXISTS move")

    def _stand(self, kind: FileKind, version: str) -> None:
        with self._changed(kind) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (version,))

    @contextlib.contextmanager
    def _changed(self, kind: FileKind) -> Iterator[sqlite3.Connection]:
        connection = self._open[kind]
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    # --- what it holds --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def view(self, kind: FileKind) -> Iterator[None]:
        """One view of a file for what is read within; kept short, so that the write-ahead log can begin anew."""
        self._courtesy[kind].give_way()
        connection = self._open[kind]
        connection.execute("BEGIN")
        try:
            yield
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def after(self, table: Carried, key: Key, most: int) -> Iterator[list[Row]]:
        """The next rows behind a key, at most `most`, in parts."""
        names = ", ".join(table.columns)
        keys = ", ".join(table.key)
        yield from self._parts(
            table.kind,
            f"SELECT {names} FROM {table.name} WHERE ({keys}) > ({_marks(key)}) ORDER BY {keys} LIMIT {most}",  # noqa: S608
            key,
        )

    def between(self, table: Carried, low: Key, high: Key) -> Iterator[Row]:
        """The rows behind a key up to another."""
        names, keys = ", ".join(table.columns), ", ".join(table.key)
        text = (
            f"SELECT {names} FROM {table.name} WHERE ({keys}) > ({_marks(low)}) AND ({keys}) <= ({_marks(high)})"  # noqa: S608
            f" ORDER BY {keys}"
        )
        for part in self._parts(table.kind, text, (*low, *high)):
            yield from part

    def all(self, table: Carried) -> Iterator[list[Row]]:
        """Every row, in parts."""
        names, keys = ", ".join(table.columns), ", ".join(table.key)
        yield from self._parts(table.kind, f"SELECT {names} FROM {table.name} ORDER BY {keys}", ())  # noqa: S608

    def of_keys(self, table: Carried, keys: Sequence[Key]) -> Iterator[list[Row]]:
        """The rows of those keys, in parts."""
        names = ", ".join(table.columns)
        text = f"SELECT {names} FROM {table.name} WHERE ({', '.join(table.key)}) = ({_marks(table.key)})"  # noqa: S608
        execute = self._open[table.kind].execute
        for start in range(0, len(keys), FETCHED):
            found = [execute(text, key).fetchone() for key in keys[start : start + FETCHED]]
            yield [row for row in found if row is not None]

    def days(self, table: Carried, key: Key, most: int) -> list[int]:
        """The days since 1970 on which the next rows arrived."""
        keys = ", ".join(table.key)
        return [
            max(int(row[0]), 0)
            for row in self._ask(
                table.kind,
                f"SELECT DISTINCT arrived / 86400000000000 FROM (SELECT arrived FROM {table.name}"  # noqa: S608
                f" WHERE ({keys}) > ({_marks(key)}) ORDER BY {keys} LIMIT {most})",
                key,
            )
        ]

    def ask(self, kind: FileKind, text: str) -> list[Row]:
        """Every row of an answer."""
        return self._ask(kind, text, ()).fetchall()

    def count(self, table: Carried) -> int:
        """About how many rows there are: as many as there are ids, where rows have one."""
        what = "coalesce(max(id) - min(id) + 1, 0)" if table.numbered else "count(*)"
        return int(self.ask(table.kind, f"SELECT {what} FROM {table.name}")[0][0])  # noqa: S608

    def _ask(self, kind: FileKind, text: str, values: Sequence[Any]) -> sqlite3.Cursor:
        return self._open[kind].execute(text, values)

    def _parts(self, kind: FileKind, text: str, values: Sequence[Any]) -> Iterator[list[Row]]:
        cursor = self._ask(kind, text, values)
        while part := cursor.fetchmany(FETCHED):
            yield part


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))
