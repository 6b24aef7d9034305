"""Which version and configuration of a service ran where, from when on."""
# ruff: noqa: INP001 -- Alembic loads it by its path

import sqlalchemy as sa
from alembic import context, op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

int64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Change the file that is being upgraded; the control stream's has nothing to do with it."""
    if context.config.attributes["database"] == "records":
        records()


def records() -> None:
    """Filled from the records of the logger tabard.config, as they are stored."""
    table(
        "configuration",
        key("id"),
        text("service"),
        text("digest"),
        text("rule"),
        text("entries"),
        number("first_seen"),
        sa.UniqueConstraint("service", "digest", "rule"),
    )
    table(
        "deployment",
        key("id"),
        number("node_id"),
        text("service"),
        text("stage"),
        text("package"),
        text("version"),
        number("configuration_id"),
        number("since"),
        number("last"),
        number("starts"),
        number("arrived"),
    )
    op.create_index(
        "deployment_by_place", "deployment", ["service", "stage", "node_id", "since", "configuration_id"]
    )
    op.create_index("deployment_by_age", "deployment", ["last"])
    op.create_index("deployment_by_configuration", "deployment", ["configuration_id"])


def table(name: str, *items: sa.schema.SchemaItem) -> None:
    """A table that keeps its types."""
    op.create_table(name, *items, sqlite_strict=True, sqlite_with_rowid=True)


def number(name: str) -> sa.Column[int]:
    """A column of 64-bit numbers."""
    return sa.Column(name, int64, nullable=False)


def key(name: str) -> sa.Column[int]:
    """A number that the database gives."""
    return sa.Column(name, int64, primary_key=True, autoincrement=True)


def text(name: str) -> sa.Column[str]:
    """A column of text."""
    return sa.Column(name, sa.Text(), nullable=False)
