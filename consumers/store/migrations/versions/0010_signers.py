"""Who signed what is stored, and what the key before said: enough to verify all of it again."""
# ruff: noqa: INP001 -- Alembic loads it by its path

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

int64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Keys are kept from now on; what is stored already is verified by those that a home still knows."""
    op.create_table(
        "signer",
        sa.Column("id", int64, primary_key=True),
        sa.Column("key_id", sa.LargeBinary(), nullable=False),
        sa.Column("credentials", sa.LargeBinary(), nullable=False),
        sa.Column("arrived", int64, nullable=False),
        sa.UniqueConstraint("key_id"),
        sqlite_strict=True,
    )
    op.add_column("batch", sa.Column("proof", sa.LargeBinary(), nullable=True))
