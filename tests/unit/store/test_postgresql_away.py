"""Which failures of a server are waited out."""

from __future__ import annotations

import psycopg2
import pytest
from psycopg2 import errors

from tabard.consumers.store.postgresql.away import is_away, unusable
from tabard.errors import StoreAway
from tabard.ops.bench.postgres import Postgres

AWAY = (
    'connection to server at "db" (10.0.0.1), port 5432 failed: Connection refused\n\tIs the server running?',
    'could not translate host name "db" to address: Temporary failure in name resolution',
    "connection to server failed: timeout expired",
    'connection to server on socket "/x" failed: FATAL:  the database system is starting up',
    "connection to server failed: FATAL:  sorry, too many clients already",
    "connection to server failed: FATAL:  remaining connection slots are reserved for superusers",
    "server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally",
)
REFUSED = (
    'connection to server failed: FATAL:  password authentication failed for user "tabard"',
    'connection to server failed: FATAL:  database "logs" does not exist',
    "connection to server failed: FATAL:  no pg_hba.conf entry for host",
    "connection to server failed: fe_sendauth: no password supplied",
    'connection to server failed: root certificate file "/x" does not exist',
    "connection to server failed: server does not support SSL, but SSL was required",
)


@pytest.mark.parametrize("said", AWAY)
def test_a_server_that_is_away_is_waited_for(said: str) -> None:
    """Nobody there, or nobody let in for a while."""
    assert is_away(psycopg2.OperationalError(said))
    error = unusable("it cannot be used", psycopg2.OperationalError(said), expected="x", where="y")
    assert isinstance(error, StoreAway)


@pytest.mark.parametrize("said", REFUSED)
def test_a_refusal_is_not(said: str) -> None:
    """Somebody has to mend it."""
    assert not is_away(psycopg2.OperationalError(said))
    error = unusable("it cannot be used", psycopg2.OperationalError(said), expected="x", where="y")
    assert not isinstance(error, StoreAway)


def test_what_is_no_failure_of_the_server_is_not() -> None:
    """A fault of a statement stays one."""
    assert not is_away(psycopg2.ProgrammingError("invalid dsn"))
    assert not is_away(errors.UndefinedTable("no table"))


def test_the_codes_of_a_real_server(postgres: Postgres) -> None:
    """A session that is ended, and a server that takes no writes, come back; a missing table does not."""
    connection = psycopg2.connect(postgres.database())
    connection.autocommit = True
    with connection.cursor() as cursor:
        with pytest.raises(psycopg2.Error) as missing:
            cursor.execute("SELECT 1 FROM nothing")
        assert not is_away(missing.value)
        cursor.execute("SET default_transaction_read_only = on")
        with pytest.raises(psycopg2.Error) as read_only:
            cursor.execute("CREATE TABLE t (a int)")
        assert is_away(read_only.value)
        with pytest.raises(psycopg2.Error) as ended:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        assert is_away(ended.value)
