"""Somebody who may only read a store on PostgreSQL, with the rights that the how-to gives him."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2 import errors

from tabard.consumers.store.postgresql.partitions import DAY
from tabard.consumers.store.postgresql.read import PostgresReader
from tabard.consumers.store.postgresql.store import PostgresStore
from tabard.consumers.store.results import LogQuery
from tabard.errors import StoreError
from tabard.ops.bench.postgres import Postgres
from tests.contract.chain import NOON, Chain, logs

PAGE = "docs/how-to/keep-the-store-on-postgresql.md"


def run(url: str, statements: str) -> None:
    """As an administrator would."""
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statements)


def rights(root: Path) -> tuple[str, str, str]:
    """What the page says: how the role is made, what it may see from now on, and what of what is there."""
    blocks = re.findall(r"```sql\n(.*?)```", (root / PAGE).read_text(), re.DOTALL)
    later, now = (block for block in blocks if "tabard_reader" in block)
    role, rest = later.split("\n", 1)
    return role, rest, now


@pytest.mark.parametrize("there", [False, True], ids=["before the store", "with the store there"])
def test_whoever_may_read_sees_all(postgres: Postgres, root: Path, *, there: bool) -> None:
    """Pages, the live tail and the numbers, on a later day as well; and he changes nothing."""
    role, later, now = rights(root)
    url = postgres.database()
    with contextlib.suppress(errors.DuplicateObject):
        run(url, role)
    if not there:
        run(url, later)
    chain = Chain()
    with PostgresStore.open(url) as store:
        store.commit([chain.work(logs(3))], NOON)
        if there:
            run(url, later + now)
        store.commit([chain.work(logs(2, 3))], NOON + 3 * DAY)
        theirs = url.replace("tabard@", "tabard_reader@")
        reader = PostgresReader(theirs)
        assert len(reader.logs(LogQuery()).rows) == 5
        assert len(reader.logs(LogQuery(text="record 4")).rows) == 1
        assert len(reader.tail(LogQuery(), 0)[0]) == reader.last_id() == 5
        stats: Any = reader.stats()
        assert stats.streams["logs"].rows == 5
        reader.close()
    for statement in ("DELETE FROM tabard_records.log", "UPDATE tabard_state.lease SET fence = 0"):
        with pytest.raises(errors.InsufficientPrivilege):
            run(theirs, statement)


def test_a_role_without_the_sequences_is_told_so(postgres: Postgres, root: Path) -> None:
    """It could not tell what is still to come: a tail that begins at 0 would show nothing for ever, or skip."""
    role, later, now = rights(root)
    url = postgres.database()
    with contextlib.suppress(errors.DuplicateObject):
        run(url, role)
    with PostgresStore.open(url) as store:
        store.commit([Chain().work(logs(3))], NOON)
        run(url, later + now)
        run(url, "REVOKE ALL ON ALL SEQUENCES IN SCHEMA tabard_records FROM tabard_reader")
        reader = PostgresReader(url.replace("tabard@", "tabard_reader@"))
        assert len(reader.logs(LogQuery()).rows) == 3
        with pytest.raises(
            StoreError, match="GRANT SELECT ON ALL SEQUENCES IN SCHEMA tabard_records"
        ) as told:
            reader.tail(LogQuery(), 0)
        assert "no right to that of log" in str(told.value)
        reader.close()
