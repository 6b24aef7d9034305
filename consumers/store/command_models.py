"""The tables of commands; see `tabard.consumers.commands`."""

from __future__ import annotations

from sqlalchemy import Column, Index, MetaData, Text, UniqueConstraint

from tabard.consumers.store.model_parts import blob, number, numbered, small, string, table


def add_command_tables(metadata: MetaData) -> None:
    """Add them to the part with the control stream."""
    # One row a command: what its issuer signed, and how far it is.
    table(
        "command",
        metadata,
        numbered(),
        blob("uid"),
        blob("group_uid"),
        string("zone"),
        string("node"),
        string("issuer"),
        string("kind"),
        blob("document"),
        blob("signature"),
        blob("credentials"),
        blob("approvals"),
        number("batch"),
        number("made"),
        number("expires"),
        number("timeout"),
        string("state"),
        string("reason"),
        number("attempts"),
        number("sent"),
        blob("nonce"),
        small("said"),
        number("exit", null=True),
        small("doubtful"),
        number("changed"),
        number("parts", null=True),
        number("cut", null=True),
        UniqueConstraint("uid"),
        Index("command_by_state", "state"),
        Index("command_by_group", "group_uid"),
    )
    # What it was, from when on: rows are added only.
    table(
        "command_event",
        metadata,
        numbered(),
        number("command_id"),
        number("time"),
        string("state"),
        string("reason"),
        Index("command_event_by_command", "command_id"),
    )
    # What a run printed, in pieces.
    table(
        "command_output",
        metadata,
        numbered(),
        number("command_id"),
        number("part"),
        small("fd"),
        blob("data"),
        UniqueConstraint("command_id", "part"),
    )
    # How far the dispatcher is.
    table(
        "command_mark",
        metadata,
        Column("name", Text, primary_key=True),
        number("value"),
        with_rowid=False,
    )
