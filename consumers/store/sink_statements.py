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
    # first, last, count, id
    shrink_gap: str = "UPDATE gap SET first = ?, last = ?, count = ? WHERE id = ?"
    shrink_skip: str = "UPDATE skip SET first = ?, last = ?, count = ? WHERE id = ?"
    forget_skip: str = "DELETE FROM skip WHERE id = ?"
    # of every stream of a node with exact gaps node_id, name, zone, stream, last id, records, last arrival
    gaps_by_stream: str = (
        "SELECT node.id, node.name, node.zone, gap.stream, max(gap.id), sum(gap.count), max(gap.arrived)"
        " FROM gap JOIN node ON node.id = gap.node_id"
        " WHERE gap.kind = 'gap' AND gap.at_least = 0 AND gap.last IS NOT NULL AND gap.epoch_id IS NOT NULL"
        " GROUP BY node.id, node.name, node.zone, gap.stream"
    )
    # the same of what was skipped
    skips_by_stream: str = (
        "SELECT node.id, node.name, node.zone, skip.stream, max(skip.id), sum(skip.count), max(skip.arrived)"
        " FROM skip JOIN node ON node.id = skip.node_id GROUP BY node.id, node.name, node.zone, skip.stream"
    )
    # zone, name, stream, id before, last id, how many: of exact gaps id, name of the epoch, first, last
    gaps_between: str = (
        "SELECT gap.id, epoch.uid, gap.first, gap.last FROM gap JOIN epoch ON epoch.id = gap.epoch_id"
        " JOIN node ON node.id = gap.node_id WHERE node.zone = ? AND node.name = ? AND gap.stream = ?"
        " AND gap.kind = 'gap' AND gap.at_least = 0 AND gap.last IS NOT NULL AND gap.id > ? AND gap.id <= ?"
        " ORDER BY gap.id LIMIT ?"
    )
    # zone, name, stream, last id, how many: of the newest exact gaps the same
    gaps_upto: str = (
        "SELECT gap.id, epoch.uid, gap.first, gap.last FROM gap JOIN epoch ON epoch.id = gap.epoch_id"
        " JOIN node ON node.id = gap.node_id WHERE node.zone = ? AND node.name = ? AND gap.stream = ?"
        " AND gap.kind = 'gap' AND gap.at_least = 0 AND gap.last IS NOT NULL AND gap.id <= ?"
        " ORDER BY gap.id DESC LIMIT ?"
    )
    # the same of what was skipped
    skips_between: str = (
        "SELECT skip.id, epoch.uid, skip.first, skip.last FROM skip JOIN epoch ON epoch.id = skip.epoch_id"
        " JOIN node ON node.id = skip.node_id WHERE node.zone = ? AND node.name = ? AND skip.stream = ?"
        " AND skip.id > ? AND skip.id <= ? ORDER BY skip.id LIMIT ?"
    )
    skips_upto: str = (
        "SELECT skip.id, epoch.uid, skip.first, skip.last FROM skip JOIN epoch ON epoch.id = skip.epoch_id"
        " JOIN node ON node.id = skip.node_id WHERE node.zone = ? AND node.name = ? AND skip.stream = ?"
        " AND skip.id <= ? ORDER BY skip.id DESC LIMIT ?"
    )
    # node_id, stream, arrival: the records that exact gaps stood for by then
    gaps_left: str = (
        "SELECT coalesce(sum(count), 0) FROM gap WHERE node_id = ? AND stream = ? AND arrived <= ?"
        " AND kind = 'gap' AND at_least = 0 AND last IS NOT NULL AND epoch_id IS NOT NULL"
    )
    skips_left: str = (
        "SELECT coalesce(sum(count), 0) FROM skip WHERE node_id = ? AND stream = ? AND arrived <= ?"
    )
    # node_id, stream: of what is still asked for asked, came, began
    backfill_of: str = (
        "SELECT asked, came, began FROM backfill WHERE node_id = ? AND stream = ? AND ended IS NULL"
    )
    # node_id, stream, upto_gap, at_gap, upto_skip, at_skip, asked, came, asked_by, began
    add_backfill: str = (
        "INSERT INTO backfill (node_id, stream, upto_gap, at_gap, upto_skip, at_skip, asked, came, asked_by, began)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    )
    # of each that is not over id, zone, name, stream, upto_gap, at_gap, upto_skip, at_skip
    backfills: str = (
        "SELECT backfill.id, node.zone, node.name, backfill.stream, upto_gap, at_gap, upto_skip, at_skip"
        " FROM backfill JOIN node ON node.id = backfill.node_id WHERE ended IS NULL ORDER BY backfill.id"
    )
    # at_gap, at_skip, id
    advance_backfill: str = "UPDATE backfill SET at_gap = ?, at_skip = ? WHERE id = ?"
    # came, ended, id
    settle_backfill: str = "UPDATE backfill SET came = ?, ended = ? WHERE id = ?"
    # stream, uid: whether there is an epoch of that name
    epoch_called: str = "SELECT id FROM epoch WHERE stream = ? AND uid = ?"


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
