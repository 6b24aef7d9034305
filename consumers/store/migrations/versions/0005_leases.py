"""Who works in a role, and which part of its work is whose."""
# ruff: noqa: INP001 -- Alembic loads it by its path

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

int64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Two tables for both files; nobody holds anything yet."""
    op.create_table(
        "member",
        sa.Column("role", sa.Text(), primary_key=True),
        sa.Column("owner", sa.Text(), primary_key=True),
        sa.Column("life", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("beat", int64, nullable=False),
        sa.Column("length", int64, nullable=False),
        sa.Column("expires", int64, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "lease",
        sa.Column("role", sa.Text(), primary_key=True),
        sa.Column("part", int64, primary_key=True),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("fence", int64, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
