"""Accounts of people, their sessions, tokens and one-time links."""
# ruff: noqa: INP001 -- Alembic loads it by its path

import sqlalchemy as sa
from alembic import context, op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

int64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """They are in the state file only."""
    if context.config.attributes["database"] != "state":
        return
    op.create_table(
        "person",
        key(),
        *(text(name) for name in ("name", "role", "zone")),
        sa.Column("password", sa.Text(), nullable=True),
        number("made"),
        text("made_by"),
        number("changed"),
        sa.UniqueConstraint("name"),
        sqlite_strict=True,
    )
    op.create_table(
        "person_session",
        key(),
        digest(),
        *(number(name) for name in ("person_id", "made", "seen", "ends")),
        text("address"),
        text("agent"),
        sa.UniqueConstraint("digest"),
        sqlite_strict=True,
    )
    op.create_index("person_session_by_person", "person_session", ["person_id", "ends"])
    op.create_table(
        "person_token",
        key(),
        digest(),
        number("person_id"),
        *(text(name) for name in ("name", "role", "zone")),
        number("made"),
        number("ends"),
        sa.UniqueConstraint("digest"),
        sa.UniqueConstraint("person_id", "name"),
        sqlite_strict=True,
    )
    op.create_table(
        "person_link",
        key(),
        digest(),
        number("person_id", null=True),
        number("made"),
        number("ends"),
        number("used", null=True),
        sa.UniqueConstraint("digest"),
        sqlite_strict=True,
    )


def key() -> sa.Column[int]:
    """The id, which the database gives."""
    return sa.Column("id", int64, primary_key=True)


def digest() -> sa.Column[bytes]:
    """What is kept of a secret."""
    return sa.Column("digest", sa.LargeBinary(), nullable=False)


def number(name: str, *, null: bool = False) -> sa.Column[int]:
    """A column of 64 bits."""
    return sa.Column(name, int64, nullable=null)


def text(name: str) -> sa.Column[str]:
    """A column that always has a text."""
    return sa.Column(name, sa.Text(), nullable=False)
