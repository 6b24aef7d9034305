"""Which event times a day of arrival holds that is over: a search leaves days out that have nothing for it."""
# ruff: noqa: INP001 -- Alembic loads it by its path

import sqlalchemy as sa
from alembic import context, op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

int64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Retention on a server fills it; files have no days."""
    if context.config.attributes["database"] != "records":
        return
    op.create_table(
        "closed_day",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("least", int64, nullable=False),
        sa.Column("greatest", int64, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
