"""Every table of a store, and how it is carried over. A test fails when a table is added and not named here."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, NamedTuple

from sqlalchemy import LargeBinary, SmallInteger, Table, Text

from tabard.consumers.store import models
from tabard.consumers.store.layout import FILES, RECORDS, STATE, FileKind
from tabard.consumers.store.moving.packing import Field, blob, number, small, text

BLOCK: Final = 65_536
"""Sequence numbers, or ids, whose rows are compared as one."""


class How(Enum):
    """The ways of a table."""

    UPWARD = "upward"
    """In chunks by its key while it is written; then block by block what differs."""
    WHOLE = "whole"
    """In one piece when nothing is written any more: it is small, or its rows change."""
    LEFT = "left"
    """Not at all."""


class Carried(NamedTuple):
    """One table of one part."""

    kind: FileKind
    name: str
    how: How
    key: tuple[str, ...] = ()
    """Columns that are unique and, for `UPWARD`, the order of copying."""
    block: tuple[str, ...] = ()
    """What tells blocks apart: expressions that both engines compute alike."""
    compared: tuple[str, ...] = ()
    """Columns that are compared within a block, the key among them; sums of them are compared first."""

    @property
    def table(self) -> Table:
        """As the models describe it."""
        metadata = models.RECORDS if self.kind == RECORDS else models.STATE
        return metadata.tables[self.name]

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them, in order."""
        return tuple(column.name for column in self.table.columns)

    @property
    def fields(self) -> tuple[Field, ...]:
        """How each column is written for COPY."""
        return tuple(_field(column.type) for column in self.table.columns)

    @property
    def numbered(self) -> bool:
        """Whether the database gives the ids."""
        column = self.table.columns.get("id")
        return column is not None and column.autoincrement is not False


def _field(kind: Any) -> Field:
    if isinstance(kind, Text):
        return text
    if isinstance(kind, LargeBinary):
        return blob
    return small if isinstance(kind, SmallInteger) else number


def _rows(kind: FileKind, name: str) -> Carried:
    place = ("epoch_id", f"seq / {BLOCK}")
    return Carried(kind, name, How.UPWARD, ("id",), place, ("id", "epoch_id", "seq"))


_SMALL: Final = (
    "node",
    "epoch",
    "past_epoch",
    "gap",
    "hold",
    "sink",
    "skip",
    "backfill",
    "erasure",
    "signer",
    "policy",
)


def _delivery(kind: FileKind) -> tuple[Carried, ...]:
    return (
        *(Carried(kind, name, How.WHOLE, ("id",)) for name in _SMALL),
        Carried(
            kind,
            "batch",
            How.UPWARD,
            ("epoch_id", "first"),
            ("epoch_id", f"first / {BLOCK}"),
            ("epoch_id", "first", "count"),
        ),
        Carried(
            kind,
            "quarantine",
            How.UPWARD,
            ("id",),
            ("epoch_id", f"id / {BLOCK}"),
            ("id", "epoch_id", "first"),
        ),
        Carried(
            kind,
            "attestation",
            How.UPWARD,
            ("epoch_id", "first", "place"),
            ("epoch_id", f"first / {BLOCK}"),
            ("epoch_id", "first", "place"),
        ),
        Carried(
            kind,
            "withheld",
            How.UPWARD,
            ("id",),
            ("epoch_id", f"id / {BLOCK}"),
            ("id", "epoch_id", "first", "count"),
        ),
        Carried(kind, "usage", How.LEFT),  # a server counts by itself
        Carried(
            kind, "member", How.LEFT
        ),  # of those who work on the old store; on the new one they join anew
        Carried(kind, "lease", How.LEFT),
        Carried(kind, "retention_mark", How.LEFT),  # retention looks anew
    )


TABLES: Final[tuple[Carried, ...]] = (
    _rows(RECORDS, "log"),
    _rows(RECORDS, "sample"),
    _rows(STATE, "control"),
    *(carried for kind in FILES for carried in _delivery(kind)),
    Carried(
        RECORDS,
        "heartbeat",
        How.UPWARD,
        ("node_id", "minute"),
        ("node_id", "minute / 86400000000000"),
        ("node_id", "minute", "beacons"),
    ),
    *(Carried(STATE, name, How.WHOLE, ("id",)) for name in ("command", "command_event", "command_output")),
    Carried(STATE, "command_mark", How.WHOLE, ("name",)),
    Carried(RECORDS, "closed_day", How.LEFT),  # retention on the server looks anew
    Carried(RECORDS, "presence", How.WHOLE, ("node_id",)),
    Carried(RECORDS, "configuration", How.WHOLE, ("id",)),
    Carried(RECORDS, "deployment", How.WHOLE, ("id",)),
    Carried(STATE, "person", How.WHOLE, ("id",)),
    Carried(STATE, "person_session", How.WHOLE, ("id",)),
    Carried(STATE, "person_token", How.WHOLE, ("id",)),
    Carried(STATE, "person_link", How.WHOLE, ("id",)),
)
"""In the order of copying."""


def carried(how: How) -> tuple[Carried, ...]:
    """The tables that go that way."""
    return tuple(each for each in TABLES if each.how is how)
