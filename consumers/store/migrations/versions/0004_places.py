"""Where a batch in quarantine stands is said once, and names of epochs are in the order in which they were forgotten."""
# ruff: noqa: INP001 -- Alembic loads it by its path

import sqlalchemy as sa
from alembic import context, op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

int64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
int16 = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")
LOGS = 2
KEPT = "id, node_id, stream, epoch_id, first, count, reason, header, signature, body"


def upgrade() -> None:
    """Change the file that is being upgraded; both keep the same delivery tables."""
    quarantine(has_logs=context.config.attributes["database"] == "records")
    past_epochs()


def quarantine(*, has_logs: bool) -> None:
    """Just after the log record before it in its epoch, or before the one after it, or at its arrival."""
    for name in ("quarantine_by_age", "quarantine_by_place"):
        op.drop_index(name, "quarantine")
    op.rename_table("quarantine", "quarantine_before")
    op.create_table(
        "quarantine",
        sa.Column("id", int64, primary_key=True),
        number("node_id"),
        sa.Column("stream", int16, nullable=False),
        number("epoch_id"),
        number("first"),
        number("count"),
        sa.Column("reason", sa.Text(), nullable=False),
        blob("header"),
        blob("signature"),
        blob("body"),
        number("time"),
        number("arrived"),
        sqlite_strict=True,
    )
    time = "arrived"
    if has_logs:
        before = "SELECT log.time FROM log WHERE log.epoch_id = held.epoch_id AND log.seq < held.first ORDER BY log.seq DESC"
        after = "SELECT log.time - 1 FROM log WHERE log.epoch_id = held.epoch_id AND log.seq > held.first ORDER BY log.seq"
        found = f"coalesce(({before} LIMIT 1), ({after} LIMIT 1), arrived)"
        time = f"CASE WHEN stream = {LOGS} THEN {found} ELSE arrived END"
    op.execute(
        f"INSERT INTO quarantine ({KEPT}, time, arrived) SELECT {KEPT}, {time}, arrived FROM quarantine_before AS held"  # noqa: S608
    )
    op.drop_table("quarantine_before")
    if (
        op.get_bind().dialect.name == "postgresql"
    ):  # the new table's numbers begin behind those that were kept
        op.execute(
            "SELECT setval(pg_get_serial_sequence('quarantine', 'id'), max(id)) FROM quarantine HAVING count(*) > 0"
        )
    op.create_index("quarantine_by_age", "quarantine", ["stream", "arrived"])
    op.create_index("quarantine_by_place", "quarantine", ["epoch_id", "first"])
    op.create_index("quarantine_by_time", "quarantine", ["stream", "time"])
    op.create_index("quarantine_by_node", "quarantine", ["node_id", "stream", "time"])


def past_epochs() -> None:
    """In whatever order those come that were there before."""
    op.rename_table("past_epoch", "past_epoch_before")
    op.create_table(
        "past_epoch",
        sa.Column("id", int64, primary_key=True),
        number("node_id"),
        sa.Column("stream", int16, nullable=False),
        blob("uid"),
        number("ended"),
        sa.UniqueConstraint("node_id", "stream", "uid"),
        sqlite_strict=True,
    )
    op.execute(
        "INSERT INTO past_epoch (node_id, stream, uid, ended) SELECT node_id, stream, uid, ended FROM past_epoch_before"
    )
    op.drop_table("past_epoch_before")


def number(name: str) -> sa.Column[int]:
    """A column of 64-bit numbers."""
    return sa.Column(name, int64, nullable=False)


def blob(name: str) -> sa.Column[bytes]:
    """A column of bytes."""
    return sa.Column(name, sa.LargeBinary(), nullable=False)
