"""Creating and upgrading the files of a store.

A step of the migrations changes both files, each in one transaction of its own: a kill leaves a file as it was
or as it shall be. Nothing is ever upgraded by opening it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from tabard.consumers.store.layout import (
    FILES,
    VERSION,
    FileKind,
    check_library,
    check_version,
    is_blank,
    schema_version,
)
from tabard.consumers.store.room import give_back
from tabard.errors import StoreError

BUSY_SECONDS: Final = 30.0
"""How long an upgrade waits for a recorder's transaction to end."""
MANY_PAGES: Final = 1_000
"""More than an empty file has."""

Told = Callable[[str, str], None]
"""Hears of each step that is done and not yet committed: the part, and the version it leads to."""


class Step(NamedTuple):
    """One migration."""

    version: str
    what: str
    """Its own sentence."""


def steps_after(version: str | None, end: str = VERSION) -> list[Step]:
    """The migrations that lead from a schema version to a later one, in order; None: from nothing."""
    walked = ScriptDirectory.from_config(config()).walk_revisions("base", end)
    steps = [Step(each.revision, (each.doc or "").partition("\n")[0]) for each in walked]
    return [step for step in reversed(steps) if version is None or step.version > version]


def create(store: str | os.PathLike[str]) -> None:
    """Make the files that do not exist yet; those that do must have this program's schema.

    Raises:
        StoreError: the directory cannot be written, or a file is of another schema version.
    """
    directory = Path(store)
    for kind in FILES:
        path = kind.path(directory)
        with _opened(path) as connection:
            if is_blank(connection):
                _prepare(connection)
                migrate(connection, kind, str(path))
                # Steps that made a table anew have left the pages of the old one.
                give_back(connection, MANY_PAGES)
            check_version(connection, str(path))


def upgrade(store: str | os.PathLike[str], told: Told | None = None) -> dict[str, tuple[str | None, str]]:
    """Bring both files to this program's schema; per file the version before and after.

    `told` hears of each step.

    Raises:
        StoreError: a file cannot be opened or changed, or is newer than this program.
    """
    directory = Path(store)
    done = {}
    for kind in FILES:
        path = kind.path(directory)
        if not path.exists():
            raise StoreError(
                "store not found",
                expected=f"the file {path.name}",
                where=str(directory),
                hint="Start a recorder",
            )
        with _opened(path) as connection:
            before = schema_version(connection)
            if before is None and not is_blank(connection):
                raise StoreError(
                    "not a store of Tabard", found="a database with other tables", where=str(path)
                )
            if before is not None and before > VERSION:
                check_version(connection, str(path))
            if before is None:
                _prepare(connection)
            migrate(connection, kind, str(path), told=told)
            done[kind.name] = (before, VERSION)
    return done


def migrate(
    connection: sqlite3.Connection,
    kind: FileKind,
    where: str,
    *,
    end: str = "head",
    told: Told | None = None,
) -> None:
    """Run the outstanding steps up to `end` on one database in one transaction.

    Raises:
        StoreError: the database refused; nothing was changed.
    """
    check_library()
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    try:
        with engine.begin() as core:
            # The driver is in autocommit mode, so the transaction is begun by hand, and the engine ends it. Not before
            # the engine has it: it rolls back what it finds in a connection that it sees for the first time.
            connection.execute("BEGIN IMMEDIATE")
            command.upgrade(config(connection=core, database=kind.name, told=teller(kind, told)), end)
    except (sqlite3.Error, SQLAlchemyError, CommandError) as error:
        raise StoreError("the schema cannot be changed", found=str(error), where=where) from error


def teller(kind: FileKind, told: Told | None) -> Callable[..., None] | None:
    """What Alembic calls after each step."""
    if told is None:
        return None
    return lambda *, step, **_more: told(kind.name, str(step.up_revision_id))


def head() -> str | None:
    """The newest step there is."""
    return ScriptDirectory.from_config(config()).get_current_head()


def config(**attributes: object) -> Config:
    """Alembic's configuration for the migrations of the store."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    made.set_main_option("path_separator", "os")
    made.attributes.update(attributes)
    return made


def _prepare(connection: sqlite3.Connection) -> None:
    """What can only be said before the first table is made."""
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection without implicit transactions, closed at the end."""
    connection = None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        yield connection
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            "the store cannot be opened",
            expected="a directory and files that this user may write to",
            found=str(error),
            where=str(path),
        ) from error
    finally:
        if connection is not None:
            connection.close()


@functools.cache
def template(kind: FileKind) -> bytes:
    """An empty database of that kind, serialized; made once per process."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate(connection, kind, ":memory:")
        return connection.serialize()
    finally:
        connection.close()
