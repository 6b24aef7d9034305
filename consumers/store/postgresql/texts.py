"""The statements of one part of the store, as psycopg2 takes them."""

from __future__ import annotations

import functools
from typing import Final, NamedTuple

from sqlalchemy.dialects import postgresql

from tabard.consumers.store.layout import FileKind
from tabard.consumers.store.lease_statements import LeaseStatements, lease_statements
from tabard.consumers.store.statements import (
    DeploymentStatements,
    PresenceStatements,
    Statements,
    deployment_statements,
    presence_statements,
    statements,
)

_STATE: Final = (
    ("version", "bigint"),
    ("ranges", "bytea"),
    ("previous", "bytea"),
    ("previous_last", "bigint"),
    ("opened", "smallint"),
    ("ended", "bigint"),
    ("finished", "smallint"),
)


class Texts(NamedTuple):
    """All texts for one part."""

    statements: Statements
    deployments: DeploymentStatements
    presence: PresenceStatements
    leases: LeaseStatements
    set_cursors: str
    """`set_epoch` for many, the values of all in place of %s."""
    cursor_row: str
    """The values of one."""


@functools.cache
def texts(kind: FileKind) -> Texts:
    """The texts of that part."""
    dialect = postgresql.dialect(paramstyle="format")  # type: ignore[no-untyped-call]
    names = ", ".join(name for name, _type in _STATE)
    given = ", ".join(f"{name} = said.{name}" for name, _type in _STATE)
    types = (*(kind for _name, kind in _STATE), "bigint", "bigint")
    return Texts(
        statements(kind, dialect),
        deployment_statements(dialect),
        presence_statements(dialect),
        lease_statements(dialect),
        f"UPDATE epoch SET {given} FROM (VALUES %s) AS said ({names}, id, was)"  # noqa: S608
        " WHERE epoch.id = said.id AND epoch.version = said.was",
        f"({', '.join(f'%s::{each}' for each in types)})",
    )
