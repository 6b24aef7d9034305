"""One connection to the database for writing, with the schema of one part of the store: opening, what its failures mean."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import psycopg2
from psycopg2 import errors, extensions

from tabard.brokers.delivery.ports import StoreUnavailable
from tabard.consumers.store.layout import FILES, VERSION, FileKind, newer_store
from tabard.consumers.store.postgresql.away import sentence, unusable
from tabard.consumers.store.postgresql.refusals import REFUSALS
from tabard.errors import StoreError, StoreMissing

CONNECT_SECONDS: Final = 5
IDLE_SECONDS: Final = 5
"""How long a transaction may stand still before the server ends it: a recorder that is frozen within one holds its
locks no longer than that, and what it does afterwards fails."""
LOCK_SECONDS: Final = 5
"""How long a statement waits for a lock that somebody else holds, such as one of `VACUUM FULL`; then it is tried again,
and whoever looks is told. A recorder that is frozen is gone by then."""
PATIENT: Final = {"statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0"}
"""Settings of whoever works on the store: what may take long is not cut short by a limit that is meant for others."""
OLDEST_SERVER: Final = 140_000
"""PostgreSQL 14, the oldest that its makers still look after."""

Password = str | Callable[[], str]
"""Itself, or what reads it: asked for each connection, so that one that is changed is taken up by whoever is running."""
ENCODING: Final = "UTF8"
"""That of the database. Any other has no place for some characters, and a batch with one of these would be refused."""
_USUAL: Final[Mapping[str, Any]] = {
    "connect_timeout": CONNECT_SECONDS,
    # A server that is gone without a word is noticed within half a minute.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
"""How one connects unless the URL says otherwise."""
_SPOKEN: Final = {
    "timezone": "UTC",
    # Statements see what others have committed by then, whatever the database has as its default.
    "default_transaction_isolation": "read committed",
}

WHICH: Final = "SELECT to_regclass('epoch')::oid::bigint"
"""Asks which tables the name of the schema leads to: others after a restoration, none while there are none."""

_BYTES: Final = extensions.new_type(
    (17,), "BYTES", lambda value, cursor: None if value is None else bytes(psycopg2.BINARY(value, cursor))
)


def schema_of(kind: FileKind) -> str:
    """The schema that holds one part of the store."""
    return f"tabard_{kind.name}"


class Server:
    """The writing side of one part. Opens its connection when it is asked for, and again after it broke."""

    def __init__(self, kind: FileKind, url: str, synchronous: str = "full", password: Password = "") -> None:
        self.kind = kind
        self.fault: str | None = None
        """Why it cannot be written at the moment; None when the last try went well."""
        self._url = url
        self._password = password
        self._synchronous = "on" if synchronous == "full" else "off"
        self._connection: extensions.connection | None = None
        self._tables: int | None = None
        self.replaced = False
        """Other tables were found in place of those that were written: what was read there no longer holds. The reader clears it."""

    @property
    def where(self) -> str:
        """The database and schema, for messages; without any password."""
        parts = extensions.parse_dsn(self._url)
        host, name = parts.get("host", "the local server"), parts.get("dbname", "")
        return f"{host}/{name} ({schema_of(self.kind)})"

    @property
    def connection(self) -> extensions.connection:
        """The open connection, in autocommit mode. Raises StoreUnavailable when there is none to be had."""
        if self._connection is None or self._connection.closed:
            try:
                self._connection = self._open()
            except StoreError as error:
                self.fault = str(error)
                raise StoreUnavailable(self.fault) from error
        return self._connection

    def open(self) -> None:
        """Connect now, for a clear error at the start. Raises StoreError."""
        self._connection = self._open()

    def close(self) -> None:
        """Close the connection; the next use opens another one."""
        if self._connection is not None:
            with contextlib.suppress(psycopg2.Error):
                self._connection.close()
            self._connection = None

    def known(self, tables: int | None) -> bool:
        """Whether the answer to `WHICH` is that of the last time; notes it when not, and that they were `replaced`."""
        before, self._tables = self._tables, tables
        if before in (None, tables):
            return tables is not None
        self.replaced = True
        return False

    def look(self) -> None:
        """See whether the tables were replaced. Raises StoreUnavailable, psycopg2.Error."""
        row = first(self.connection, WHICH)
        self.known(row[0] if row else None)

    def failed(self, error: BaseException) -> StoreUnavailable:
        """Note a failure of the database, leave no transaction open, and make the error to be raised."""
        self.fault = f"{self.where}: {sentence(error)}"
        self.rollback()
        if not isinstance(error, _PASSING):
            self.close()
        return StoreUnavailable(self.fault)

    def rollback(self) -> None:
        """End an open transaction without effect."""
        connection = self._connection
        if connection is None or connection.closed:
            return
        if connection.get_transaction_status() != extensions.TRANSACTION_STATUS_IDLE:
            try:
                with connection.cursor() as cursor:
                    cursor.execute("ROLLBACK")
            except psycopg2.Error:
                self.close()

    def _open(self) -> extensions.connection:
        connection = connect(
            self._url,
            self._password,
            schema_of(self.kind),
            f"tabard recorder {self.kind.name}",
            {
                **PATIENT,
                "synchronous_commit": self._synchronous,
                "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
                "lock_timeout": f"{LOCK_SECONDS}s",
            },
        )
        try:
            check_version(connection, self.where)
        except BaseException:
            connection.close()
            raise
        return connection


def connect(
    url: str,
    password: Password,
    schema: str,
    program: str,
    settings: Mapping[str, str] = PATIENT,
    *,
    where: str = "store.url",
) -> extensions.connection:
    """A connection in autocommit mode that finds the tables of `schema`, with `settings` of its session.

    `where` is what says the URL. Raises StoreError; of a server that refuses, without asking it each time.
    """
    said = password() if callable(password) else password
    REFUSALS.check(url, said)
    try:
        connection = _connected(url, said, program, where)
    except StoreError as error:
        REFUSALS.note(url, said, error)
        raise
    REFUSALS.note(url, said, None)
    try:
        connection.autocommit = True
        _refuse_unfit(connection, where)
        _set(connection, {"search_path": schema, **_SPOKEN, **settings})
    except BaseException as error:
        connection.close()
        if isinstance(error, psycopg2.Error):
            raise _unreached(error, where) from error
        raise
    extensions.register_type(_BYTES, connection)
    return connection


def _connected(url: str, password: str, program: str, where: str) -> extensions.connection:
    try:
        given = extensions.parse_dsn(url)
        usual = {name: value for name, value in _USUAL.items() if name not in given}
        if password:
            usual["password"] = password
        connection: extensions.connection = psycopg2.connect(
            url, application_name=program, client_encoding="UTF8", **usual
        )
    except psycopg2.Error as error:
        raise _unreached(error, where) from error
    return connection


def _unreached(error: psycopg2.Error, where: str) -> StoreError:
    return unusable(
        "the store's server cannot be reached",
        error,
        expected="a PostgreSQL server that lets this user in",
        where=where,
        hint="Mend the URL or the server's own settings; another password is set by `tabard store password`",
    )


def _set(connection: extensions.connection, settings: Mapping[str, str]) -> None:
    """By a statement: a pooler in between may drop what is said while connecting. Raises psycopg2.Error."""
    calls = ", ".join(["set_config(%s, %s, false)"] * len(settings))
    values = [part for setting in settings.items() for part in setting]
    with connection.cursor() as cursor:
        # A standby takes no statement at all in the isolation that the server may have as its default.
        cursor.execute(f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT {calls}; COMMIT", values)


def _refuse_unfit(connection: extensions.connection, where: str) -> None:
    """Raises StoreError."""
    if connection.server_version < OLDEST_SERVER:
        raise StoreError(
            "the PostgreSQL server is too old",
            expected="14 or newer",
            found=str(connection.server_version // 10_000),
            where=where,
        )
    encoding = connection.get_parameter_status("server_encoding")
    if encoding != ENCODING:
        raise StoreError(
            "the database cannot hold every text",
            expected=f"the encoding {ENCODING}",
            found=str(encoding),
            where=where,
            hint="Make another one: CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0",
        )


def schema_version(connection: extensions.connection) -> str | None:
    """The schema version that the part in the search path says it has, None when there is none."""
    row = first(
        connection, "SELECT to_regclass(quote_ident(current_schema()) || '.alembic_version') IS NOT NULL"
    )
    if row is None or not row[0]:
        return None
    row = first(connection, "SELECT version_num FROM alembic_version")
    return None if row is None else str(row[0])


def versions_of(url: str, password: str) -> dict[str, str]:
    """The schema version of each part that is there; none when the server cannot be reached."""
    found = {}
    for kind in FILES:
        with contextlib.suppress(StoreError, psycopg2.Error):
            connection = connect(url, password, schema_of(kind), "tabard")
            try:
                version = schema_version(connection)
            finally:
                connection.close()
            if version is not None:
                found[schema_of(kind)] = version
    return found


def check_version(connection: extensions.connection, where: str) -> None:
    """Raise StoreError when the tables are not those of this program."""
    try:
        found = schema_version(connection)
    except psycopg2.Error as error:
        raise unusable("the store cannot be read", error, expected="its tables", where=where) from error
    if found == VERSION:
        return
    if found is not None and found > VERSION:
        raise newer_store(found, where)
    kind = StoreMissing if found is None else StoreError
    raise kind(
        "store not found" if found is None else "the store's schema is older than this program",
        expected=f"version {VERSION}",
        found=f"version {found}" if found else "no tables",
        where=where,
        hint="Run `tabard store upgrade`",
    )


def first(connection: extensions.connection, text: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
    """The first row of an answer. Raises psycopg2.Error."""
    with connection.cursor() as cursor:
        cursor.execute(text, values)
        row: tuple[Any, ...] | None = cursor.fetchone()
        return row


_PASSING: Final = (
    errors.LockNotAvailable,
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.QueryCanceled,
    errors.DiskFull,
)
"""Failures after which the connection is still good; after any other it is opened anew."""
