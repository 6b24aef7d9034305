"""What retention needs: gaps found by node and by epoch, quarantine counted, names of epochs that are forgotten."""
# ruff: noqa: INP001 -- Alembic loads it by its path

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

int64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
int16 = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Change the file that is being upgraded; both keep the same delivery tables."""
    op.create_index("gap_by_node", "gap", ["node_id", "stream", "time"])
    op.create_index("gap_by_epoch", "gap", ["epoch_id"])
    op.create_table(
        "past_epoch",
        sa.Column("node_id", int64, primary_key=True),
        sa.Column("stream", int16, primary_key=True),
        sa.Column("uid", sa.LargeBinary(), primary_key=True),
        sa.Column("ended", int64, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    # Stream 0 of `usage` stands for what is in quarantine, of whatever stream.
    op.execute(
        "INSERT INTO usage (stream, rows, bytes)"
        " SELECT 0, count(*), sum(length(header) + length(signature) + length(body)) FROM quarantine"
        " HAVING count(*) > 0"
    )
