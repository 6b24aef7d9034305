"""What policies at boundaries withheld, and who attested what they changed."""
# ruff: noqa: INP001 -- Alembic loads it by its path

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

int64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
int16 = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Both files keep the same delivery tables."""
    op.create_table(
        "policy",
        sa.Column("id", int64, primary_key=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        number("first_seen"),
        sa.UniqueConstraint("digest"),
        sqlite_strict=True,
    )
    op.create_table(
        "attestation",
        sa.Column("epoch_id", int64, primary_key=True),
        sa.Column("first", int64, primary_key=True),
        sa.Column("place", int16, primary_key=True),
        number("last"),
        number("policy_id"),
        sa.Column("broker", sa.Text(), nullable=False),
        number("cut"),
        sa.Column("proof", sa.LargeBinary(), nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "withheld",
        sa.Column("id", int64, primary_key=True),
        number("node_id"),
        sa.Column("stream", int16, nullable=False),
        *(number(name) for name in ("epoch_id", "first", "count", "policy_id", "time", "arrived")),
        sa.UniqueConstraint("epoch_id", "first"),
        sqlite_strict=True,
    )
    op.create_index("withheld_by_age", "withheld", ["stream", "arrived"])
    op.create_index("withheld_by_time", "withheld", ["stream", "time"])
    op.create_index("withheld_by_node", "withheld", ["node_id", "stream", "time"])


def number(name: str) -> sa.Column[int]:
    """A column that always has a number."""
    return sa.Column(name, int64, nullable=False)
