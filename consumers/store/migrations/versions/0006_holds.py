"""Legal holds, and how far retention got."""
# ruff: noqa: INP001 -- Alembic loads it by its path

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

int64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ACTIVE = sa.text("released IS NULL")


def upgrade() -> None:
    """Change the file that is being upgraded; both keep the same holds, and each its own marks."""
    op.create_table(
        "hold",
        sa.Column("id", int64, primary_key=True, autoincrement=True),
        text("name", null=False),
        sa.Column("since", int64),
        sa.Column("until", int64),
        text("node"),
        text("zone"),
        text("service"),
        text("text"),
        text("reason", null=False),
        sa.Column("made", int64, nullable=False),
        text("made_by", null=False),
        sa.Column("released", int64),
        text("released_by"),
        text("release_reason"),
        sqlite_strict=True,
    )
    op.create_index(
        "hold_in_force", "hold", ["name"], unique=True, sqlite_where=ACTIVE, postgresql_where=ACTIVE
    )
    op.create_table(
        "retention_mark",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("upto", int64, nullable=False),
        sa.Column("rows", int64, nullable=False),
        sqlite_strict=True,
    )


def text(name: str, *, null: bool = True) -> sa.Column[str]:
    """A column of text."""
    return sa.Column(name, sa.Text(), nullable=null)
