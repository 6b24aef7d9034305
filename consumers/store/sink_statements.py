"""The statements about the sink of a store, what it skipped, and what was asked for again."""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields
from typing import Final


@dataclass(frozen=True, slots=True)
class SinkStatements:
    """The texts for one file. Each comment names the parameters in order, and what a statement answers if it answers."""

    # name, began, retired, retired_by
    sink: str = "SELECT name, began, retired, retired_by FROM sink"
    # name, began
    add_sink: str = "INSERT INTO sink (id, name, began) VALUES (1, ?, ?) ON CONFLICT DO NOTHING"
    # retired, retired_by
    set_retired: str = "UPDATE sink SET retired = ?, retired_by = ?"
    # node_id, stream, node_id, stream: whether any epoch of it was ever heard of
    heard: str = (
        "SELECT EXISTS (SELECT 1 FROM epoch WHERE node_id = ? AND stream = ?)"
        " OR EXISTS (SELECT 1 FROM past_epoch WHERE node_id = ? AND stream = ?)"
    )
    # node_id, stream: the names of the epochs of which something was skipped
    skipped: str = (
        "SELECT DISTINCT epoch.uid FROM skip JOIN epoch ON epoch.id = skip.epoch_id"
        " WHERE skip.node_id = ? AND skip.stream = ?"
    )
    # node_id, stream, epoch_id, first, last, count, arrived
    add_skip: str = "INSERT INTO skip (node_id, stream, epoch_id, first, last, count, arrived) VALUES (?, ?, ?, ?, ?, ?, ?)"
    # epoch_id, last, first: exact gaps that overlap; their id, first, last, reason, detail, time, arrived
    gaps_within: str = (
        "SELECT id, first, last, reason, detail, time, arrived FROM gap WHERE epoch_id = ? AND kind = 'gap'"
        " AND at_least = 0 AND first <= ? AND last >= ?"
    )
    # epoch_id, last, first: what was skipped and overlaps; its id, first, last, arrived
    skips_within: str = (
        "SELECT id, first, last, arrived FROM skip WHERE epoch_id = ? AND first <= ? AND last >= ?"
    )
    # id
    forget_gap: str = "DELETE FROM gap WHERE id = ?"
    forget_skip: str = "DELETE FROM skip WHERE id = ?"
    # every epoch_id of which something was skipped
    skipping: str = "SELECT DISTINCT epoch_id FROM skip"


@functools.cache
def sqlite_sinks() -> SinkStatements:
    """For the standard library's driver."""
    return SinkStatements()


@functools.cache
def postgresql_sinks() -> SinkStatements:
    """For psycopg2."""
    plain = SinkStatements()
    return SinkStatements(*(getattr(plain, field.name).replace("?", _MARK) for field in fields(plain)))


_MARK: Final = "%s"
