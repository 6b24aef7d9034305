"""The statements about leases and who holds them, in SQLAlchemy Core, compiled once for each engine."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ClauseElement, ColumnElement, bindparam, delete, literal_column, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Dialect

from tabard.consumers.store import models
from tabard.consumers.store.statements import insert_into

_ONE: Final[ColumnElement[int]] = literal_column("1")  # written out: numbers would become parameters


@dataclass(frozen=True, slots=True)
class LeaseStatements:
    """The texts for either part of the store. Each comment names the parameters in order, and what is answered."""

    renew: str  # name, length, expires; role, owner, life: one beat more
    join: (
        str  # role, owner, life, name, beat (1), length, expires: in place of an earlier life, one beat more
    )
    members: str  # role: of each owner, life, name, beat, length, expires
    leave: str  # role, owner, life
    forget: str  # role, owner, life, beat: unless it was heard of since
    leases: str  # role: of each part, owner, fence
    take: str  # role, part, owner, fence; old owner, old fence: unless it has changed
    guard: str  # role, part, owner, fence: unless it is as high
    give: str  # role, part, owner, fence: nobody's


def lease_statements(dialect: Dialect) -> LeaseStatements:
    """The statements as `dialect` writes them, which takes its parameters by position."""
    member, lease = models.STATE.tables["member"], models.STATE.tables["lease"]
    said = ("life", "name", "length", "expires")
    join, take, guard = (insert_into(table, dialect) for table in (member, lease, lease))
    taken = {name: take.excluded[name] for name in ("owner", "fence")}
    guarded = {name: guard.excluded[name] for name in ("owner", "fence")}

    def text(statement: ClauseElement, columns: list[str] | None = None) -> str:
        return str(statement.compile(dialect=dialect, column_keys=columns))

    def is_(table: Any, *names: str) -> list[Any]:
        return [table.c[name] == bindparam(f"is_{name}") for name in names]

    members = list(member.columns.keys())
    leases = list(lease.columns.keys())
    return LeaseStatements(
        renew=text(
            update(member)
            .values(
                name=bindparam("to_name"),
                beat=member.c.beat + _ONE,
                length=bindparam("to_length"),
                expires=bindparam("to_expires"),
            )
            .where(*is_(member, "role", "owner", "life"))
        ),
        join=text(
            join.on_conflict_do_update(
                index_elements=["role", "owner"],
                set_={
                    **{name: join.excluded[name] for name in said},
                    "beat": member.c.beat + join.excluded.beat,
                },
            ),
            members,
        ),
        members=text(
            select(*(member.c[name] for name in ("owner", "life", "name", "beat", "length", "expires")))
            .where(*is_(member, "role"))
            .order_by(member.c.owner)
        ),
        leave=text(delete(member).where(*is_(member, "role", "owner", "life"))),
        forget=text(delete(member).where(*is_(member, "role", "owner", "life", "beat"))),
        leases=text(
            select(lease.c.part, lease.c.owner, lease.c.fence)
            .where(*is_(lease, "role"))
            .order_by(lease.c.part)
        ),
        take=text(
            take.on_conflict_do_update(
                index_elements=["role", "part"],
                set_=taken,
                where=(lease.c.owner == bindparam("was_owner")) & (lease.c.fence == bindparam("was_fence")),
            ),
            leases,
        ),
        guard=text(
            guard.on_conflict_do_update(
                index_elements=["role", "part"], set_=guarded, where=lease.c.fence < guard.excluded.fence
            ),
            leases,
        ),
        give=text(
            update(lease)
            .values(owner=bindparam("nobody"))
            .where(*is_(lease, "role", "part", "owner", "fence"))
        ),
    )


@functools.cache
def sqlite_leases() -> LeaseStatements:
    """The statements, for the standard library's driver."""
    return lease_statements(sqlite.dialect())
