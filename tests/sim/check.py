"""What must hold when a simulated world has come to rest: exactly once, in order, or an honest gap."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from functools import cache
from typing import NamedTuple

import msgpack

from tabard.brokers.delivery.book import forked_id
from tabard.brokers.wire.batch import DATA
from tabard.brokers.wire.streams import CONTROL, LOGS, STREAM_NAMES
from tabard.consumers.store.layout import RECORDS, ROW_TABLES, STATE
from tests.sim.node import Accepted, SimNode
from tests.sim.world import World


class Row(NamedTuple):
    """A stored record."""

    stored_as: bytes
    """The epoch in the store: that of a node, or a later history of one."""
    seq: int
    payload: str


class Loss(NamedTuple):
    """A stored gap or doubt; without a last seq it is open-ended."""

    stored_as: bytes | None
    first: int
    last: int | None
    kind: str
    reason: str
    at_least: bool

    def covers(self, entry: Accepted) -> bool:
        """Whether the loss of this record is said in one of the histories of its epoch."""
        within = self.first <= entry.seq and (self.last is None or entry.seq <= self.last)
        return within and self.stored_as in histories(entry.epoch)


class Violation(AssertionError):
    """Raised when the guarantee is broken."""


@cache
def histories(epoch: bytes) -> tuple[bytes, ...]:
    """The names under which the store may keep what a node calls `epoch`."""
    names = [epoch]
    for _ in range(32):
        names.append(forked_id(names[-1]))
    return tuple(names)


def check(world: World) -> None:
    """Raise `Violation` on anything that the guarantee does not allow."""
    if not world.at_rest():
        raise Violation("never came to rest: something kept on a node was not stored")
    for node in world.nodes:
        for stream in STREAM_NAMES:
            rows, losses = stored(world, node, stream)
            _once(rows)
            _accounted(world, node, stream, rows, losses)
            _gaps_are_true(rows, losses)
            _nothing_is_given_up(world, node, stream, losses)
            _doubts_have_a_reason(world, losses)
            _chained(world, node, stream)


def _database(world: World, stream: int) -> sqlite3.Connection:
    return world.recorder.flaky.store.connection(STATE if stream == CONTROL else RECORDS)


def stored(world: World, node: SimNode, stream: int) -> tuple[list[Row], list[Loss]]:
    """Rows and losses of one stream."""
    db = _database(world, stream)
    column = "r.message" if stream == LOGS else "r.data"
    found = db.execute(
        f"SELECT e.uid, r.seq, {column} FROM {ROW_TABLES[stream]} r JOIN epoch e ON e.id = r.epoch_id "
        "JOIN node n ON n.id = r.node_id WHERE n.name = ? AND e.stream = ? ORDER BY r.id",
        (node.key.node, stream),
    )
    rows = [
        Row(uid, seq, value if stream == LOGS else msgpack.unpackb(value)["payload"])
        for uid, seq, value in found
    ]
    found = db.execute(
        "SELECT e.uid, g.first, g.last, g.kind, g.reason, g.at_least FROM gap g "
        "LEFT JOIN epoch e ON e.id = g.epoch_id "
        "JOIN node n ON n.id = g.node_id WHERE n.name = ? AND g.stream = ?",
        (node.key.node, stream),
    )
    return rows, [Loss(*row) for row in found]


def _once(rows: list[Row]) -> None:
    places: dict[str, Row] = {}
    for row in rows:
        if row.payload in places:
            raise Violation(f"{row.payload} is stored twice: {places[row.payload]} and {row}")
        places[row.payload] = row


def _accounted(world: World, node: SimNode, stream: int, rows: list[Row], losses: list[Loss]) -> None:
    where = {row.payload: row for row in rows}
    for entry in node.accepted:
        if entry.stream != stream:
            continue
        row = where.get(entry.payload)
        if row is None:
            _excused(world, node, entry, losses)
        elif row.stored_as not in histories(entry.epoch) or row.seq != entry.seq:
            raise Violation(f"{entry} was stored in another place: {row}")


def _excused(world: World, node: SimNode, entry: Accepted, losses: list[Loss]) -> None:
    """A record that is not stored: something must have happened, and something must be said."""
    rolled_back = entry.payload in node.rolled_back
    power = entry.payload in node.lost_by_power
    quota = world.plan.small and entry.stream != CONTROL
    said = [loss for loss in losses if loss.covers(entry)]
    if any(loss.kind == "gap" for loss in said):
        if not (quota or rolled_back or power or world.store_restores):
            raise Violation(f"{entry} is in a gap, and nothing that happened may lose it: {said}")
        return
    if power and not rolled_back and not (said or any(loss.reason == "power" for loss in losses)):
        raise Violation(f"{entry} was lost by a power cut, and no doubt says so")
    if power or rolled_back or (said and world.store_restores):
        return
    if world.store_restores and any(loss.reason == "chain broken" for loss in losses):
        return  # a whole epoch went with the restored store, and the next one's first record with it
    if world.host_restores and quota and _dropped_under_another_history(entry, losses):
        return
    raise Violation(f"{entry} is lost without a word; said {said}")


def _dropped_under_another_history(entry: Accepted, losses: list[Loss]) -> bool:
    """Whether a quota dropped it where another history is stored, and it is said that the loss is not exact.

    Either the gap behind it counts at least so many, or there is a doubt from some place before it on.
    """
    return any(
        loss.at_least
        and loss.stored_as in histories(entry.epoch)
        and (entry.seq < loss.first if loss.kind == "gap" else loss.covers(entry))
        for loss in losses
    )


def _doubts_have_a_reason(world: World, losses: list[Loss]) -> None:
    if world.journal_restores or world.store_restores:
        return
    for loss in losses:
        if loss.reason in {"rolled back", "fork", "unknown end"}:
            raise Violation(f"{loss}, and nothing was restored: a sink held what its node could lose")


def _gaps_are_true(rows: list[Row], losses: list[Loss]) -> None:
    seqs = defaultdict(set)
    for row in rows:
        seqs[row.stored_as].add(row.seq)
    for loss in losses:
        if loss.kind != "gap" or loss.stored_as is None or loss.last is None:
            continue
        inside = [seq for seq in seqs[loss.stored_as] if loss.first <= seq <= loss.last]
        if inside:
            raise Violation(f"{loss} claims records that are stored: {inside[:5]}")


def _nothing_is_given_up(world: World, node: SimNode, stream: int, losses: list[Loss]) -> None:
    """No gap claims a record that its node still keeps, unless a restored journal brought it back."""
    if world.journal_restores:
        return
    for loss in losses:
        if loss.kind != "gap" or loss.stored_as is None or loss.last is None:
            continue
        kept = node.journals[stream].read(loss.stored_as, loss.last)
        if kept is not None and kept.header.kind == DATA:
            raise Violation(f"{loss} claims records that the node still keeps")


def _chained(world: World, node: SimNode, stream: int) -> None:
    """Every stored epoch but the first names the one before it, whatever the quotas dropped."""
    if world.store_restores or world.journal_restores:
        return
    found = _database(world, stream).execute(
        "SELECT e.previous, e.opened FROM epoch e JOIN node n ON n.id = e.node_id "
        "WHERE n.name = ? AND e.stream = ?",
        (node.key.node, stream),
    )
    epochs = found.fetchall()
    if not all(opened for _, opened in epochs) or sum(previous is None for previous, _ in epochs) != 1:
        raise Violation(f"the chain of epochs of {node.key.node}'s {STREAM_NAMES[stream]} is broken")
