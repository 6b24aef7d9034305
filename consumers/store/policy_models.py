"""The tables of what policies at boundaries did to batches; see `stubs`."""

from __future__ import annotations

from sqlalchemy import Column, Index, MetaData, UniqueConstraint

from tabard.consumers.store.model_parts import Int16, Int64, blob, number, numbered, small, string, table


def add_policy_tables(metadata: MetaData) -> None:
    """Add them to one of the two databases."""
    # Each policy once, as its authority signed it.
    table(
        "policy",
        metadata,
        numbered(),
        blob("digest"),
        string("zone"),
        string("name"),
        blob("document"),
        number("first_seen"),
        UniqueConstraint("digest"),
    )
    # Of a batch that was changed who attests it, innermost first. A proof lacks its policy, which was cut out at `cut`.
    table(
        "attestation",
        metadata,
        Column("epoch_id", Int64, primary_key=True),
        Column("first", Int64, primary_key=True),
        Column("place", Int16, primary_key=True),
        number("last"),
        number("policy_id"),
        string("broker"),
        number("cut"),
        blob("proof"),
        with_rowid=False,
    )
    # Records that are not here because a policy withheld them: no loss.
    table(
        "withheld",
        metadata,
        numbered(),
        number("node_id"),
        small("stream"),
        number("epoch_id"),
        number("first"),
        number("count"),
        number("policy_id"),
        number("time"),
        number("arrived"),
        UniqueConstraint("epoch_id", "first"),
        Index("withheld_by_age", "stream", "arrived"),
        Index("withheld_by_time", "stream", "time"),
        Index("withheld_by_node", "node_id", "stream", "time"),
    )
