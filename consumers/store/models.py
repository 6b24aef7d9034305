"""The tables, as SQLAlchemy Core describes them: one description for every engine.

Two databases, never written in one transaction: `RECORDS` holds logs and samples, `STATE` the control stream.
Both carry the same delivery tables, because a cursor is committed together with its rows. Migrations create
the tables; a test compares what they create with this description.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from tabard.records import INT_FIELDS, LOG_FIELDS, REQUIRED_FIELDS, TIME_MAX, TIME_MIN

# STRICT tables of SQLite know one word for whole numbers.
Int64: Final = BigInteger().with_variant(Integer(), "sqlite")
Int16: Final = SmallInteger().with_variant(Integer(), "sqlite")

RECORDS: Final = MetaData()
STATE: Final = MetaData()

LOG_HEAD: Final = ("node_id", "epoch_id", "seq", "arrived", "origin")
"""What the store adds to a log record; the node comes first."""
LOG_COLUMNS: Final = (*LOG_HEAD, *LOG_FIELDS)
"""Columns of `log` in the order in which rows are written; the id is the store's own."""


_ACTIVE: Final = text("released IS NULL")


def _table(name: str, metadata: MetaData, *items: Any, with_rowid: bool = True) -> Table:
    return Table(name, metadata, *items, sqlite_strict=True, sqlite_with_rowid=with_rowid)


def _int(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, Int64, nullable=null)


def _text(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null)


def _blob(name: str, *, null: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=null)


def _id() -> Column[int]:
    return Column("id", Int64, primary_key=True)


def _add_delivery_tables(metadata: MetaData) -> None:
    _table(
        "node",
        metadata,
        _id(),
        _text("zone"),
        _text("name"),
        _int("first_seen"),
        UniqueConstraint("zone", "name"),
    )
    _table(
        "epoch",
        metadata,
        _id(),
        _int("node_id"),
        Column("stream", Int16, nullable=False),
        _blob("uid"),
        _int("version"),
        _blob("ranges"),
        _blob("previous", null=True),
        _int("previous_last"),
        Column("opened", Int16, nullable=False),
        _int("ended", null=True),
        Column("finished", Int16, nullable=False),
        _int("created"),
        UniqueConstraint("node_id", "stream", "uid"),
    )
    # All that is left of an epoch of which nothing else is: enough to know it again. The ids are in the order of going.
    _table(
        "past_epoch",
        metadata,
        _id(),
        _int("node_id"),
        Column("stream", Int16, nullable=False),
        _blob("uid"),
        _int("ended"),
        UniqueConstraint("node_id", "stream", "uid"),
    )
    _table(
        "batch",
        metadata,
        Column("epoch_id", Int64, primary_key=True),
        Column("first", Int64, primary_key=True),
        _int("count"),
        Column("stream", Int16, nullable=False),
        Column("kind", Int16, nullable=False),
        _blob("header"),
        _blob("signature"),
        _int("arrived"),
        # Of an opening by another key than the one before it: what that one said to it.
        _blob("proof", null=True),
        Index("batch_by_age", "stream", "arrived"),
        with_rowid=False,
    )
    # Certificates of the keys that signed what is stored, as they came with beacons.
    _table(
        "signer",
        metadata,
        _id(),
        _blob("key_id"),
        _blob("credentials"),
        _int("arrived"),
        UniqueConstraint("key_id"),
    )
    _table(
        "gap",
        metadata,
        _id(),
        _int("node_id"),
        Column("stream", Int16, nullable=False),
        _int("epoch_id", null=True),
        _int("first"),
        _int("last", null=True),
        _int("count"),
        Column("at_least", Int16, nullable=False),
        _text("kind"),
        _text("reason"),
        _text("detail"),
        _int("time"),
        _int("arrived"),
        Index("gap_by_time", "stream", "time"),
        Index("gap_by_age", "stream", "arrived"),
        Index("gap_by_node", "node_id", "stream", "time"),
        Index("gap_by_epoch", "epoch_id"),
    )
    _table(
        "quarantine",
        metadata,
        _id(),
        _int("node_id"),
        Column("stream", Int16, nullable=False),
        _int("epoch_id"),
        _int("first"),
        _int("count"),
        _text("reason"),
        _blob("header"),
        _blob("signature"),
        _blob("body"),
        _int("time"),
        _int("arrived"),
        Index("quarantine_by_age", "stream", "arrived"),
        Index("quarantine_by_place", "epoch_id", "first"),
        Index("quarantine_by_time", "stream", "time"),
        Index("quarantine_by_node", "node_id", "stream", "time"),
    )
    # Whose store this is, since when, and whether its sink was retired. One row, made by the first recorder.
    _table(
        "sink",
        metadata,
        Column("id", Int16, primary_key=True, autoincrement=False),
        _text("name"),
        _int("began"),
        _int("retired", null=True),
        _text("retired_by", null=True),
    )
    # What a sink that was to begin with what is new did not take: no loss, and nothing that is shown among the records.
    _table(
        "skip",
        metadata,
        _id(),
        _int("node_id"),
        Column("stream", Int16, nullable=False),
        _int("epoch_id"),
        _int("first"),
        _int("last"),
        _int("count"),
        _int("arrived"),
        Index("skip_by_epoch", "epoch_id"),
        Index("skip_by_node", "node_id", "stream"),
    )
    # What was asked for again of one stream of a node: gaps up to `upto_gap`, of which those up to `at_gap` were asked.
    _table(
        "backfill",
        metadata,
        _id(),
        _int("node_id"),
        Column("stream", Int16, nullable=False),
        _int("upto_gap"),
        _int("at_gap"),
        _int("upto_skip"),
        _int("at_skip"),
        _int("asked"),
        _int("came"),
        _text("asked_by"),
        _int("began"),
        _int("ended", null=True),
        Index("backfill_by_node", "node_id", "stream"),
    )
    _table(
        "usage",
        metadata,
        Column("stream", Int16, primary_key=True, autoincrement=False),
        _int("rows"),
        _int("bytes"),
    )
    # Who works in a role, and which part of its work is whose; see `leases`. Only one part's count, the other's guard it.
    _table(
        "member",
        metadata,
        Column("role", Text, primary_key=True),
        Column("owner", Text, primary_key=True),
        _text("life"),
        _text("name"),
        _int("beat"),
        _int("length"),
        _int("expires"),
        with_rowid=False,
    )
    _table(
        "lease",
        metadata,
        Column("role", Text, primary_key=True),
        Column("part", Int64, primary_key=True),
        _text("owner"),
        _int("fence"),
        with_rowid=False,
    )
    # What must not be deleted, and who said so; see `holds`. The same rows in both databases.
    _table(
        "hold",
        metadata,
        _id(),
        _text("name"),
        _int("since", null=True),
        _int("until", null=True),
        _text("node", null=True),
        _text("zone", null=True),
        _text("service", null=True),
        _text("text", null=True),
        _text("reason"),
        _int("made"),
        _text("made_by"),
        _int("released", null=True),
        _text("released_by", null=True),
        _text("release_reason", null=True),
        Index("hold_in_force", "name", unique=True, sqlite_where=_ACTIVE, postgresql_where=_ACTIVE),
    )
    # What was erased, by whom and why, without what it said; see `erasing`.
    _table(
        "erasure",
        metadata,
        _id(),
        _text("uid"),
        _int("made"),
        _text("made_by"),
        _text("reason"),
        _text("node", null=True),
        _text("zone", null=True),
        _text("service", null=True),
        _int("since", null=True),
        _int("until", null=True),
        _text("digests"),
        _int("erased"),
        _int("held"),
        _int("ended", null=True),
    )
    # How far retention got, by what it was doing; see `marks`.
    _table(
        "retention_mark",
        metadata,
        Column("name", Text, primary_key=True),
        _int("upto"),
        _int("rows"),
    )


def _log_column(name: str) -> Column[Any]:
    kind = Int64 if name in INT_FIELDS else Text()
    return Column(name, kind, nullable=name not in REQUIRED_FIELDS)


def _add_rows_of_maps(name: str, metadata: MetaData, *indexes: Index) -> None:
    _table(
        name,
        metadata,
        _id(),
        _int("node_id"),
        _int("epoch_id"),
        _int("seq"),
        _int("arrived"),
        _int("time"),
        _text("kind"),
        _blob("data"),
        UniqueConstraint("epoch_id", "seq"),
        *indexes,
    )


_add_delivery_tables(RECORDS)
_add_delivery_tables(STATE)

_table(
    "log",
    RECORDS,
    _id(),
    _int("node_id"),
    _int("epoch_id"),
    _int("seq"),
    _int("arrived"),
    _text("origin", null=True),
    *(_log_column(name) for name in LOG_FIELDS),
    UniqueConstraint("epoch_id", "seq"),
    # An absurd event time would stay on the first page for ever; the check makes the writer normalise it.
    CheckConstraint(f"time BETWEEN {TIME_MIN + 1} AND {TIME_MAX}", name="log_time"),
    # SQLite ends every index with the row's id, which makes these (time, id) and (node_id, time, id).
    Index("log_by_time", "time"),
    Index("log_by_node", "node_id", "time"),
)
# On a server, which event times a day of arrival holds that is over; see `postgresql.closed`.
_table(
    "closed_day",
    RECORDS,
    Column("name", Text, primary_key=True),
    _int("least"),
    _int("greatest"),
    with_rowid=False,
)
_add_rows_of_maps("sample", RECORDS, Index("sample_by_node", "node_id", "kind", "time"))
_table(
    "presence",
    RECORDS,
    Column("node_id", Int64, primary_key=True, autoincrement=False),
    _int("beacon"),
    _int("wall"),
    _int("interval"),
    _text("state"),
    _text("facts"),
)
_table(
    "heartbeat",
    RECORDS,
    Column("node_id", Int64, primary_key=True, autoincrement=False),
    Column("minute", Int64, primary_key=True, autoincrement=False),
    _int("beacons"),
    with_rowid=False,
)
# Which version and configuration of a service ran where, from when on; see `deployed`.
_table(
    "configuration",
    RECORDS,
    _id(),
    _text("service"),
    _text("digest"),
    _text("rule"),
    _text("entries"),
    _int("first_seen"),
    UniqueConstraint("service", "digest", "rule"),
)
_table(
    "deployment",
    RECORDS,
    _id(),
    _int("node_id"),
    _text("service"),
    _text("stage"),
    _text("package"),
    _text("version"),
    _int("configuration_id"),
    _int("since"),
    _int("last"),
    _int("starts"),
    _int("arrived"),
    Index("deployment_by_place", "service", "stage", "node_id", "since", "configuration_id"),
    Index("deployment_by_age", "last"),
    Index("deployment_by_configuration", "configuration_id"),
)
_add_rows_of_maps("control", STATE)
