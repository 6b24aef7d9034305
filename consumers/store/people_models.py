"""The tables of people: accounts, their sessions, tokens and one-time links; see `tabard.consumers.people`."""

from __future__ import annotations

from sqlalchemy import Index, MetaData, UniqueConstraint

from tabard.consumers.store.model_parts import blob, number, numbered, string, table


def add_people_tables(metadata: MetaData) -> None:
    """Add them to the state database: they are changed by herald and the command line, and never together with records."""
    table(
        "person",
        metadata,
        numbered(),
        string("name"),
        string("role"),
        string("zone"),
        string("password", null=True),
        number("made"),
        string("made_by"),
        number("changed"),
        UniqueConstraint("name"),
    )
    # Of each secret there is a digest only. One that ended stays for a while: from where somebody came is known by it.
    table(
        "person_session",
        metadata,
        numbered(),
        blob("digest"),
        number("person_id"),
        number("made"),
        number("seen"),
        number("ends"),
        string("address"),
        string("agent"),
        UniqueConstraint("digest"),
        Index("person_session_by_person", "person_id", "ends"),
    )
    table(
        "person_token",
        metadata,
        numbered(),
        blob("digest"),
        number("person_id"),
        string("name"),
        string("role"),
        string("zone"),
        number("made"),
        number("ends"),
        UniqueConstraint("digest"),
        UniqueConstraint("person_id", "name"),
    )
    # A link without a person is the one that makes the first admin.
    table(
        "person_link",
        metadata,
        numbered(),
        blob("digest"),
        number("person_id", null=True),
        number("made"),
        number("ends"),
        number("used", null=True),
        UniqueConstraint("digest"),
    )
