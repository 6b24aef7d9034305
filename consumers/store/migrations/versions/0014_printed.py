"""How much a command printed, by the word of its node."""
# ruff: noqa: INP001 -- Alembic loads it by its path

import sqlalchemy as sa
from alembic import context, op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Commands are kept with the control stream."""
    if context.config.attributes["database"] != "state":
        return
    for name in ("parts", "cut"):
        op.add_column(
            "command",
            sa.Column(name, sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        )
