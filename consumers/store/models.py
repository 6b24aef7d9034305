"""The tables, as SQLAlchemy Core describes them: one description for every engine.

Two databases, never written in one transaction: `RECORDS` holds logs and samples, `STATE` the control stream.
Both carry the same delivery tables, because a cursor is committed together with its rows. Migrations create
the tables; a test compares what they create with this description.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import CheckConstraint, Column, Index, MetaData, Text, UniqueConstraint, text

from tabard.consumers.store.command_models import add_command_tables
from tabard.consumers.store.model_parts import Int16, Int64, blob, number, numbered, small, string, table
from tabard.consumers.store.people_models import add_people_tables
from tabard.consumers.store.policy_models import add_policy_tables
from tabard.records import INT_FIELDS, LOG_FIELDS, REQUIRED_FIELDS, TIME_MAX, TIME_MIN

RECORDS: Final = MetaData()
STATE: Final = MetaData()

LOG_HEAD: Final = ("node_id", "epoch_id", "seq", "arrived", "origin")
"""What the store adds to a log record; the node comes first."""
LOG_COLUMNS: Final = (*LOG_HEAD, *LOG_FIELDS)
"""Columns of `log` in the order in which rows are written; the id is the store's own."""

_ACTIVE: Final = text("released IS NULL")


def _add_delivery_tables(metadata: MetaData) -> None:
    table(
        "node",
        metadata,
        numbered(),
        string("zone"),
        string("name"),
        number("first_seen"),
        UniqueConstraint("zone", "name"),
    )
    table(
        "epoch",
        metadata,
        numbered(),
        number("node_id"),
        small("stream"),
        blob("uid"),
        number("version"),
        blob("ranges"),
        blob("previous", null=True),
        number("previous_last"),
        Column("opened", Int16, nullable=False),
        number("ended", null=True),
        Column("finished", Int16, nullable=False),
        number("created"),
        UniqueConstraint("node_id", "stream", "uid"),
    )
    # All that is left of an epoch of which nothing else is: enough to know it again. The ids are in the order of going.
    table(
        "past_epoch",
        metadata,
        numbered(),
        number("node_id"),
        small("stream"),
        blob("uid"),
        number("ended"),
        UniqueConstraint("node_id", "stream", "uid"),
    )
    table(
        "batch",
        metadata,
        Column("epoch_id", Int64, primary_key=True),
        Column("first", Int64, primary_key=True),
        number("count"),
        small("stream"),
        Column("kind", Int16, nullable=False),
        blob("header"),
        blob("signature"),
        number("arrived"),
        # Of an opening by another key than the one before it: what that one said to it.
        blob("proof", null=True),
        Index("batch_by_age", "stream", "arrived"),
        with_rowid=False,
    )
    # Certificates of the keys that signed what is stored, as they came with beacons.
    table(
        "signer",
        metadata,
        numbered(),
        blob("key_id"),
        blob("credentials"),
        number("arrived"),
        UniqueConstraint("key_id"),
    )
    table(
        "gap",
        metadata,
        numbered(),
        number("node_id"),
        small("stream"),
        number("epoch_id", null=True),
        number("first"),
        number("last", null=True),
        number("count"),
        Column("at_least", Int16, nullable=False),
        string("kind"),
        string("reason"),
        string("detail"),
        number("time"),
        number("arrived"),
        Index("gap_by_time", "stream", "time"),
        Index("gap_by_age", "stream", "arrived"),
        Index("gap_by_node", "node_id", "stream", "time"),
        Index("gap_by_epoch", "epoch_id"),
    )
    table(
        "quarantine",
        metadata,
        numbered(),
        number("node_id"),
        small("stream"),
        number("epoch_id"),
        number("first"),
        number("count"),
        string("reason"),
        blob("header"),
        blob("signature"),
        blob("body"),
        number("time"),
        number("arrived"),
        Index("quarantine_by_age", "stream", "arrived"),
        Index("quarantine_by_place", "epoch_id", "first"),
        Index("quarantine_by_time", "stream", "time"),
        Index("quarantine_by_node", "node_id", "stream", "time"),
    )
    add_policy_tables(metadata)
    # Whose store this is, since when, and whether its sink was retired. One row, made by the first recorder.
    table(
        "sink",
        metadata,
        Column("id", Int16, primary_key=True, autoincrement=False),
        string("name"),
        number("began"),
        number("retired", null=True),
        string("retired_by", null=True),
    )
    # What a sink that was to begin with what is new did not take: no loss, and nothing that is shown among the records.
    table(
        "skip",
        metadata,
        numbered(),
        number("node_id"),
        small("stream"),
        number("epoch_id"),
        number("first"),
        number("last"),
        number("count"),
        number("arrived"),
        Index("skip_by_epoch", "epoch_id"),
        Index("skip_by_node", "node_id", "stream"),
    )
    # What was asked for again of one stream of a node: gaps up to `upto_gap`, of which those up to `at_gap` were asked.
    table(
        "backfill",
        metadata,
        numbered(),
        number("node_id"),
        small("stream"),
        number("upto_gap"),
        number("at_gap"),
        number("upto_skip"),
        number("at_skip"),
        number("asked"),
        number("came"),
        string("asked_by"),
        number("began"),
        number("ended", null=True),
        Index("backfill_by_node", "node_id", "stream"),
    )
    table(
        "usage",
        metadata,
        Column("stream", Int16, primary_key=True, autoincrement=False),
        number("rows"),
        number("bytes"),
    )
    # Who works in a role, and which part of its work is whose; see `leases`. Only one part's count, the other's guard it.
    table(
        "member",
        metadata,
        Column("role", Text, primary_key=True),
        Column("owner", Text, primary_key=True),
        string("life"),
        string("name"),
        number("beat"),
        number("length"),
        number("expires"),
        with_rowid=False,
    )
    table(
        "lease",
        metadata,
        Column("role", Text, primary_key=True),
        Column("part", Int64, primary_key=True),
        string("owner"),
        number("fence"),
        with_rowid=False,
    )
    # What must not be deleted, and who said so; see `holds`. The same rows in both databases.
    table(
        "hold",
        metadata,
        numbered(),
        string("name"),
        number("since", null=True),
        number("until", null=True),
        string("node", null=True),
        string("zone", null=True),
        string("service", null=True),
        string("text", null=True),
        string("reason"),
        number("made"),
        string("made_by"),
        number("released", null=True),
        string("released_by", null=True),
        string("release_reason", null=True),
        Index("hold_in_force", "name", unique=True, sqlite_where=_ACTIVE, postgresql_where=_ACTIVE),
    )
    # What was erased, by whom and why, without what it said; see `erasing`.
    table(
        "erasure",
        metadata,
        numbered(),
        string("uid"),
        number("made"),
        string("made_by"),
        string("reason"),
        string("node", null=True),
        string("zone", null=True),
        string("service", null=True),
        number("since", null=True),
        number("until", null=True),
        string("digests"),
        number("erased"),
        number("held"),
        number("ended", null=True),
    )
    # How far retention got, by what it was doing; see `marks`.
    table(
        "retention_mark",
        metadata,
        Column("name", Text, primary_key=True),
        number("upto"),
        number("rows"),
    )


def _log_column(name: str) -> Column[Any]:
    kind = Int64 if name in INT_FIELDS else Text()
    return Column(name, kind, nullable=name not in REQUIRED_FIELDS)


def _add_rows_of_maps(name: str, metadata: MetaData, *indexes: Index) -> None:
    table(
        name,
        metadata,
        numbered(),
        number("node_id"),
        number("epoch_id"),
        number("seq"),
        number("arrived"),
        number("time"),
        string("kind"),
        blob("data"),
        UniqueConstraint("epoch_id", "seq"),
        *indexes,
    )


_add_delivery_tables(RECORDS)
_add_delivery_tables(STATE)

table(
    "log",
    RECORDS,
    numbered(),
    number("node_id"),
    number("epoch_id"),
    number("seq"),
    number("arrived"),
    string("origin", null=True),
    *(_log_column(name) for name in LOG_FIELDS),
    UniqueConstraint("epoch_id", "seq"),
    # An absurd event time would stay on the first page for ever; the check makes the writer normalise it.
    CheckConstraint(f"time BETWEEN {TIME_MIN + 1} AND {TIME_MAX}", name="log_time"),
    # SQLite ends every index with the row's id, which makes these (time, id) and (node_id, time, id).
    Index("log_by_time", "time"),
    Index("log_by_node", "node_id", "time"),
)
# On a server, which event times a day of arrival holds that is over; see `postgresql.closed`.
table(
    "closed_day",
    RECORDS,
    Column("name", Text, primary_key=True),
    number("least"),
    number("greatest"),
    with_rowid=False,
)
_add_rows_of_maps("sample", RECORDS, Index("sample_by_node", "node_id", "kind", "time"))
table(
    "presence",
    RECORDS,
    Column("node_id", Int64, primary_key=True, autoincrement=False),
    number("beacon"),
    number("wall"),
    number("interval"),
    string("state"),
    string("facts"),
    blob("nonce", null=True),
)
table(
    "heartbeat",
    RECORDS,
    Column("node_id", Int64, primary_key=True, autoincrement=False),
    Column("minute", Int64, primary_key=True, autoincrement=False),
    number("beacons"),
    with_rowid=False,
)
# Which version and configuration of a service ran where, from when on; see `deployed`.
table(
    "configuration",
    RECORDS,
    numbered(),
    string("service"),
    string("digest"),
    string("rule"),
    string("entries"),
    number("first_seen"),
    UniqueConstraint("service", "digest", "rule"),
)
table(
    "deployment",
    RECORDS,
    numbered(),
    number("node_id"),
    string("service"),
    string("stage"),
    string("package"),
    string("version"),
    number("configuration_id"),
    number("since"),
    number("last"),
    number("starts"),
    number("arrived"),
    Index("deployment_by_place", "service", "stage", "node_id", "since", "configuration_id"),
    Index("deployment_by_age", "last"),
    Index("deployment_by_configuration", "configuration_id"),
)
_add_rows_of_maps("control", STATE)
add_people_tables(STATE)
add_command_tables(STATE)
