"""Making and upgrading the two schemas of a store. Nothing is ever upgraded by opening it.

A step of the migrations changes one schema in one transaction: a kill leaves it as it was or as it shall be.
"""

from __future__ import annotations

from typing import Final

import psycopg2
from alembic import command
from alembic.util import CommandError
from psycopg2 import extensions
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from tabard.consumers.store.layout import FILES, VERSION, FileKind
from tabard.consumers.store.postgresql.away import sentence, unusable
from tabard.consumers.store.postgresql.server import (
    Password,
    check_version,
    connect,
    first,
    schema_of,
    schema_version,
)
from tabard.consumers.store.schema import Told, config, teller
from tabard.errors import StoreError

_RIGHTS: Final = "a user that may create schemas and tables in this database"
_GRANT: Final = "GRANT CREATE ON DATABASE ... TO this user"
LOCK: Final = 0x7461_6261_7265
"""The advisory lock under which schemas are changed."""


def upgrade(
    url: str, password: Password = "", *, only_new: bool = False, told: Told | None = None
) -> dict[str, tuple[str | None, str]]:
    """Bring both schemas to this program's version, making what is not there; per schema the version before and after.

    With `only_new` what is there stays as it is. `told` hears of each step. Raises StoreError.
    """
    done = {}
    for kind in FILES:
        connection = connect(url, password, schema_of(kind), "tabard upgrade")
        try:
            _refuse_other_letters(connection)
            with connection.cursor() as cursor:
                # Held by the session: of two that upgrade at once the second finds the work done.
                cursor.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
                cursor.execute("SELECT to_regnamespace(%s)", (schema_of(kind),))
                # To ask for one that is there needs the right to make others.
                if cursor.fetchone() == (None,):
                    cursor.execute(f"CREATE SCHEMA {schema_of(kind)}")
            before = schema_version(connection)
            if before is not None and before > VERSION:
                check_version(connection, schema_of(kind))
            if before is None or not only_new:
                migrate(connection, kind, told=told)
            done[kind.name] = (before, VERSION)
        except psycopg2.Error as error:
            raise _refused(kind, error) from error
        finally:
            connection.close()
    return done


def migrate(
    connection: extensions.connection, kind: FileKind, *, end: str = "head", told: Told | None = None
) -> None:
    """Run the outstanding steps up to `end` on the schema in the search path in one transaction. Raises StoreError."""
    engine = create_engine("postgresql+psycopg2://", creator=lambda: connection, poolclass=StaticPool)
    connection.autocommit = False
    try:
        with engine.begin() as core:
            command.upgrade(config(connection=core, database=kind.name, told=teller(kind, told)), end)
    except (psycopg2.Error, SQLAlchemyError, CommandError) as error:
        raise _refused(kind, error) from error
    finally:
        if not connection.closed:
            connection.rollback()
            connection.autocommit = True


def _refuse_other_letters(connection: extensions.connection) -> None:
    """Raise StoreError where `I` is no large `i`: searches, and what holds keep, would not be what was asked for."""
    if first(connection, "SELECT lower('I'), upper('i')") != ("i", "I"):
        raise StoreError(
            "the database takes other letters for the small ones of I and i",
            expected="any locale but a Turkish, Azeri or Lithuanian one",
            where="store.url",
            hint="Make another one: CREATE DATABASE ... LOCALE 'C' ENCODING 'UTF8' TEMPLATE template0",
        )


def _refused(kind: FileKind, error: BaseException) -> StoreError:
    # The driver's own error may be wrapped in one of the engine's.
    first = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(first, psycopg2.Error):
        return unusable(
            "the schema cannot be changed", first, expected=_RIGHTS, where=schema_of(kind), hint=_GRANT
        )
    return StoreError(
        "the schema cannot be changed",
        expected=_RIGHTS,
        found=sentence(error),
        where=schema_of(kind),
        hint=_GRANT,
    )
