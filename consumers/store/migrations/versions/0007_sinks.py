"""A store says whose it is, what its sink did not take at its start, and what was asked for again."""
# ruff: noqa: INP001 -- Alembic loads it by its path

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

int64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
int16 = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Both files keep the same delivery tables. The first recorder says whose store it is."""
    op.create_table(
        "sink",
        sa.Column("id", int16, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text(), nullable=False),
        number("began"),
        sa.Column("retired", int64),
        sa.Column("retired_by", sa.Text()),
        sqlite_strict=True,
    )
    op.create_table(
        "skip",
        sa.Column("id", int64, primary_key=True),
        number("node_id"),
        sa.Column("stream", int16, nullable=False),
        *(number(name) for name in ("epoch_id", "first", "last", "count", "arrived")),
        sqlite_strict=True,
    )
    op.create_index("skip_by_epoch", "skip", ["epoch_id"])
    op.create_index("skip_by_node", "skip", ["node_id", "stream"])
    op.create_table(
        "backfill",
        sa.Column("id", int64, primary_key=True),
        number("node_id"),
        sa.Column("stream", int16, nullable=False),
        *(number(name) for name in ("upto_gap", "at_gap", "upto_skip", "at_skip", "asked", "came")),
        sa.Column("asked_by", sa.Text(), nullable=False),
        number("began"),
        sa.Column("ended", int64),
        sqlite_strict=True,
    )
    op.create_index("backfill_by_node", "backfill", ["node_id", "stream"])


def number(name: str) -> sa.Column[int]:
    """A column that always has a number."""
    return sa.Column(name, int64, nullable=False)
