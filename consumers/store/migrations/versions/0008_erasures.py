"""What was erased, by whom and why, without what it said."""
# ruff: noqa: INP001 -- Alembic loads it by its path

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

int64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Each part says what was erased in it."""
    op.create_table(
        "erasure",
        sa.Column("id", int64, primary_key=True),
        text("uid", null=False),
        sa.Column("made", int64, nullable=False),
        text("made_by", null=False),
        text("reason", null=False),
        text("node"),
        text("zone"),
        text("service"),
        sa.Column("since", int64),
        sa.Column("until", int64),
        text("digests", null=False),
        sa.Column("erased", int64, nullable=False),
        sa.Column("held", int64, nullable=False),
        sa.Column("ended", int64),
        sqlite_strict=True,
    )


def text(name: str, *, null: bool = True) -> sa.Column[str]:
    """A column of text."""
    return sa.Column(name, sa.Text(), nullable=null)
