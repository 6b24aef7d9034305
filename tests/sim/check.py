"""What must hold when a simulated world has come to rest: exactly once, in order, or an honest gap."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from functools import cache
from typing import NamedTuple

import msgpack

from tabard.brokers.delivery.book import forked_id
from tabard.brokers.wire.streams import LOGS, SAMPLES
from tabard.consumers.store.layout import RECORDS
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

    def covers(self, histories: list[bytes], seq: int) -> bool:
        """Whether the loss of this record is said in one of the histories of its epoch."""
        return self.stored_as in histories and self.first <= seq and (self.last is None or seq <= self.last)


class Violation(AssertionError):
    """Raised when the guarantee is broken."""


def check(world: World) -> None:
    """Raise `Violation` on anything that the guarantee does not allow."""
    if not world.at_rest:
        raise Violation("never came to rest: something kept on a node was not stored")
    for node in world.nodes:
        for stream in (LOGS, SAMPLES):
            rows, losses = stored(world, node, stream)
            _once(rows)
            _accounted(world, node, stream, rows, losses)
            _gaps_are_true(rows, losses)
            _doubts_have_a_reason(world, losses)


def stored(world: World, node: SimNode, stream: int) -> tuple[list[Row], list[Loss]]:
    """Rows and losses of one stream."""
    db: sqlite3.Connection = world.recorder.flaky.store.connection(RECORDS)
    table = "log" if stream == LOGS else "sample"
    column = "r.message" if stream == LOGS else "r.data"
    rows = [
        Row(uid, seq, value if stream == LOGS else msgpack.unpackb(value)["payload"])
        for uid, seq, value in db.execute(
            f"SELECT e.uid, r.seq, {column} FROM {table} r JOIN epoch e ON e.id = r.epoch_id "
            "JOIN node n ON n.id = r.node_id WHERE n.name = ? AND e.stream = ? ORDER BY r.id",
            (node.key.node, stream),
        )
    ]
    losses = [
        Loss(*row)
        for row in db.execute(
            "SELECT e.uid, g.first, g.last, g.kind, g.reason, g.at_least FROM gap g LEFT JOIN epoch e ON e.id = g.epoch_id "
            "JOIN node n ON n.id = g.node_id WHERE n.name = ? AND g.stream = ?",
            (node.key.node, stream),
        )
    ]
    return rows, losses


@cache
def histories(epoch: bytes) -> list[bytes]:
    """The names under which the store may keep what a node calls `epoch`."""
    names = [epoch]
    for _ in range(64):
        names.append(forked_id(names[-1]))
    return names


def _once(rows: list[Row]) -> None:
    places: dict[str, Row] = {}
    for row in rows:
        if row.payload in places:
            raise Violation(f"{row.payload} is stored twice: {places[row.payload]} and {row}")
        places[row.payload] = row


def _accounted(world: World, node: SimNode, stream: int, rows: list[Row], losses: list[Loss]) -> None:
    where = {row.payload: row for row in rows}
    excused = {entry.payload for entry in node.rolled_back}
    power = {entry.payload for entry in node.lost_by_power}
    for entry in node.accepted:
        if entry.stream != stream:
            continue
        row = where.get(entry.payload)
        if row is not None:
            if row.stored_as not in histories(entry.epoch) or row.seq != entry.seq:
                raise Violation(f"{entry} was stored in another place: {row}")
            continue
        said = [loss for loss in losses if loss.covers(histories(entry.epoch), entry.seq)]
        if any(loss.kind == "gap" for loss in said):
            if not _may_be_lost(world, node, entry):
                raise Violation(f"{entry} is in a gap, and nothing that happened may lose it: {said}")
            continue
        if entry.payload in power:
            if not said:
                raise Violation(f"{entry} was lost by a power cut, and no doubt says so")
            continue
        if world.host_restores and _dropped_with_another_history(world, entry, losses):
            continue
        if entry.payload in excused or (said and world.store_restores):
            continue
        if world.store_restores and any(loss.reason == "chain broken" for loss in losses):
            continue  # a whole epoch went with the restored store, and the next one's first record with it
        raise Violation(f"{entry} is lost without a word; said {said}")


def _dropped_with_another_history(world: World, entry: Accepted, losses: list[Loss]) -> bool:
    """Whether a quota dropped it where another history is stored, and it is said that the loss is not exact.

    Either the gap behind it counts at least so many, or there is a doubt from some place before it on.
    """
    return world.plan.quota < 1024 * 1024 and any(
        loss.at_least
        and loss.stored_as in histories(entry.epoch)
        and (
            entry.seq < loss.first
            if loss.kind == "gap"
            else loss.reason == "rolled back" and loss.first <= entry.seq
        )
        for loss in losses
    )


def _may_be_lost(world: World, node: SimNode, entry: Accepted) -> bool:
    """Whether a gap is a fair answer: a quota, a restored side, damage."""
    return (
        world.plan.quota < 1024 * 1024
        or world.store_restores > 0
        or entry.payload in {lost.payload for lost in node.rolled_back}
        or entry.payload in {lost.payload for lost in node.lost_by_power}
    )


def _doubts_have_a_reason(world: World, losses: list[Loss]) -> None:
    if world.journal_restores or world.store_restores:
        return
    for loss in losses:
        if loss.reason == "rolled back":
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
