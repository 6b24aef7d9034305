"""The first tables."""
# ruff: noqa: INP001 -- Alembic loads it by its path

from typing import Any

import sqlalchemy as sa
from alembic import context, op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

int64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
int16 = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")
TIME_MAX = 4_102_444_800_000_000_000


def upgrade() -> None:
    """Change the file that is being upgraded."""
    {"records": records, "state": state}[context.config.attributes["database"]]()


def records() -> None:
    """Logs, samples, and who was heard."""
    delivery()
    rows(
        "log",
        text("origin", nullable=True),
        number("time"),
        number("severity"),
        text("level", nullable=True),
        text("service", nullable=True),
        text("product", nullable=True),
        text("system", nullable=True),
        text("subsystem", nullable=True),
        text("subsubsystem", nullable=True),
        text("user1", nullable=True),
        text("user2", nullable=True),
        text("package", nullable=True),
        text("version", nullable=True),
        text("logger", nullable=True),
        text("module", nullable=True),
        text("function", nullable=True),
        number("line", nullable=True),
        number("process", nullable=True),
        text("thread", nullable=True),
        text("message"),
        text("exception", nullable=True),
        text("stack", nullable=True),
        text("trace_id", nullable=True),
        text("span_id", nullable=True),
        text("attributes", nullable=True),
        check=f"time BETWEEN 1 AND {TIME_MAX}",
    )
    op.create_index("log_by_time", "log", ["time"])
    op.create_index("log_by_node", "log", ["node_id", "time"])
    rows_of_maps("sample")
    op.create_index("sample_by_node", "sample", ["node_id", "kind", "time"])
    table(
        "presence",
        key("node_id"),
        number("beacon"),
        number("wall"),
        number("interval"),
        text("state"),
        text("facts"),
    )
    table(
        "heartbeat",
        key("node_id"),
        key("minute"),
        number("beacons"),
        rowid=False,
    )


def state() -> None:
    """The control stream."""
    delivery()
    rows_of_maps("control")


def delivery() -> None:
    """What both files need to take records in exactly once."""
    table(
        "node",
        key("id", given=False),
        text("zone"),
        text("name"),
        number("first_seen"),
        sa.UniqueConstraint("zone", "name"),
    )
    table(
        "epoch",
        key("id", given=False),
        number("node_id"),
        small("stream"),
        blob("uid"),
        number("version"),
        blob("ranges"),
        blob("previous", nullable=True),
        number("previous_last"),
        small("opened"),
        number("ended", nullable=True),
        small("finished"),
        number("created"),
        sa.UniqueConstraint("node_id", "stream", "uid"),
    )
    table(
        "batch",
        key("epoch_id"),
        key("first"),
        number("count"),
        small("stream"),
        small("kind"),
        blob("header"),
        blob("signature"),
        number("arrived"),
        rowid=False,
    )
    op.create_index("batch_by_age", "batch", ["stream", "arrived"])
    table(
        "gap",
        key("id", given=False),
        number("node_id"),
        small("stream"),
        number("epoch_id", nullable=True),
        number("first"),
        number("last", nullable=True),
        number("count"),
        small("at_least"),
        text("kind"),
        text("reason"),
        text("detail"),
        number("time"),
        number("arrived"),
    )
    op.create_index("gap_by_time", "gap", ["stream", "time"])
    op.create_index("gap_by_age", "gap", ["stream", "arrived"])
    table(
        "quarantine",
        key("id", given=False),
        number("node_id"),
        small("stream"),
        number("epoch_id"),
        number("first"),
        number("count"),
        text("reason"),
        blob("header"),
        blob("signature"),
        blob("body"),
        number("arrived"),
    )
    op.create_index("quarantine_by_age", "quarantine", ["stream", "arrived"])
    op.create_index("quarantine_by_place", "quarantine", ["epoch_id", "first"])
    table("usage", key("stream", int16), number("rows"), number("bytes"))


def rows_of_maps(name: str) -> None:
    """A table of records that are a kind and a map."""
    rows(name, number("time"), text("kind"), blob("data"))


def rows(name: str, *columns: sa.Column[Any], check: str = "") -> None:
    """A table of records. Where there are partitions, they are by the time of arrival.

    No unique key reaches over partitions: the place of a record is unique in each of them, and `id` on the whole.
    """
    head = (number("node_id"), number("epoch_id"), number("seq"), number("arrived"))

    def checks() -> list[sa.CheckConstraint]:
        return [sa.CheckConstraint(check, name=f"{name}_time")] if check else []

    if op.get_bind().dialect.name == "sqlite":
        place = sa.UniqueConstraint("epoch_id", "seq")
        table(name, key("id", given=False), *head, *columns, place, *checks())
        return
    op.create_table(
        name,
        sa.Column("id", int64, sa.Identity(), nullable=False),
        *head,
        *columns,
        *checks(),
        postgresql_partition_by="RANGE (arrived)",
    )
    op.create_index(f"{name}_by_id", name, ["id"])


def table(name: str, *items: sa.schema.SchemaItem, rowid: bool = True) -> None:
    """A table that keeps its types."""
    op.create_table(name, *items, sqlite_strict=True, sqlite_with_rowid=rowid)


def number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    """A column of 64-bit numbers."""
    return sa.Column(name, int64, nullable=nullable)


def key(name: str, kind: sa.types.TypeEngine[int] = int64, *, given: bool = True) -> sa.Column[int]:
    """A column of the primary key, given by the writer or made by the database."""
    return sa.Column(name, kind, primary_key=True, autoincrement=not given)


def small(name: str) -> sa.Column[int]:
    """A column of small numbers."""
    return sa.Column(name, int16, nullable=False)


def text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    """A column of text."""
    return sa.Column(name, sa.Text(), nullable=nullable)


def blob(name: str, *, nullable: bool = False) -> sa.Column[bytes]:
    """A column of bytes."""
    return sa.Column(name, sa.LargeBinary(), nullable=nullable)
