"""Commands to nodes, what became of them, what they printed, and the nonce of each node's newest beacon."""
# ruff: noqa: INP001 -- Alembic loads it by its path

import sqlalchemy as sa
from alembic import context, op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

int64 = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
int16 = sa.SmallInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Beacons are noted with the records, commands are kept with the control stream."""
    if context.config.attributes["database"] == "records":
        op.add_column("presence", sa.Column("nonce", sa.LargeBinary(), nullable=True))
        return
    op.create_table(
        "command",
        sa.Column("id", int64, primary_key=True),
        blob("uid"),
        blob("group_uid"),
        *(string(name) for name in ("zone", "node", "issuer", "kind")),
        *(blob(name) for name in ("document", "signature", "credentials", "approvals")),
        *(number(name) for name in ("batch", "made", "expires", "timeout")),
        string("state"),
        string("reason"),
        number("attempts"),
        number("sent"),
        blob("nonce"),
        sa.Column("said", int16, nullable=False),
        sa.Column("exit", int64, nullable=True),
        sa.Column("doubtful", int16, nullable=False),
        number("changed"),
        sa.UniqueConstraint("uid"),
        sqlite_strict=True,
    )
    op.create_index("command_by_state", "command", ["state"])
    op.create_index("command_by_group", "command", ["group_uid"])
    op.create_table(
        "command_event",
        sa.Column("id", int64, primary_key=True),
        number("command_id"),
        number("time"),
        string("state"),
        string("reason"),
        sqlite_strict=True,
    )
    op.create_index("command_event_by_command", "command_event", ["command_id"])
    op.create_table(
        "command_output",
        sa.Column("id", int64, primary_key=True),
        number("command_id"),
        number("part"),
        sa.Column("fd", int16, nullable=False),
        blob("data"),
        sa.UniqueConstraint("command_id", "part"),
        sqlite_strict=True,
    )
    op.create_table(
        "command_mark",
        sa.Column("name", sa.Text(), primary_key=True),
        number("value"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def number(name: str) -> sa.Column[int]:
    """A column that always has a number."""
    return sa.Column(name, int64, nullable=False)


def string(name: str) -> sa.Column[str]:
    """A column that always has a text."""
    return sa.Column(name, sa.Text(), nullable=False)


def blob(name: str) -> sa.Column[bytes]:
    """A column that always has bytes."""
    return sa.Column(name, sa.LargeBinary(), nullable=False)
