"""What must hold when a simulated world has come to rest: exactly once, in order, or an honest gap."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from functools import cache
from itertools import pairwise, product
from typing import NamedTuple

import msgpack

from tabard.brokers.delivery.book import forked_id
from tabard.brokers.delivery.seams import UNPROVEN
from tabard.brokers.delivery.withdrawn import BROKEN
from tabard.brokers.wire.batch import DATA
from tabard.brokers.wire.streams import CONTROL, LOGS, STREAM_NAMES
from tabard.consumers.store.layout import RECORDS, ROW_TABLES, STATE
from tests.sim.boundary import GONE, REDACTED, WHOLE, WITHHELD, exception_of
from tests.sim.check_keys import REVOKED, KeyCheck
from tests.sim.clock import EPOCH_NS
from tests.sim.node import Accepted, SimNode
from tests.sim.sink import SimRecorder
from tests.sim.world import World


class Row(NamedTuple):
    """A stored record."""

    stored_as: bytes
    """The epoch in the store: that of a node, or a later history of one."""
    seq: int
    payload: str
    exception: str | None = None
    redacted: bool = False
    """Whether it says that it was redacted."""


class Loss(NamedTuple):
    """A stored gap or doubt; without a last seq it is open-ended."""

    stored_as: bytes | None
    first: int
    last: int | None
    kind: str
    reason: str
    at_least: bool
    count: int  # type: ignore[assignment]  # the field, not tuple.count

    def covers(self, entry: Accepted) -> bool:
        """Whether the loss of this record is said in one of the histories of its epoch."""
        within = self.first <= entry.seq and (self.last is None or entry.seq <= self.last)
        return within and self.stored_as in histories(entry.epoch)

    def holds(self, row: Row) -> bool:
        """Whether it stands for the place of that row."""
        last = row.seq if self.last is None else self.last
        return self.stored_as == row.stored_as and self.first <= row.seq <= last


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
    for node, recorder, stream in product(world.nodes, world.recorders, STREAM_NAMES):
        if recorder.name in node.retired() | node.told_to_retire:
            _check_retired(node, recorder)
        else:
            _Check(world, node, recorder, stream).run()


def _check_retired(node: SimNode, recorder: SimRecorder) -> None:
    """Nothing is sent to a retired sink, nor held for it, whatever happened since."""
    assert node.publisher is not None
    if node.publisher.stored(recorder.name):
        raise Violation(f"{node.key.node} still sends to {recorder.name}, which is retired")


def _database(recorder: SimRecorder, stream: int) -> sqlite3.Connection:
    return recorder.flaky.store.connection(STATE if stream == CONTROL else RECORDS)


def stored(recorder: SimRecorder, node: SimNode, stream: int) -> tuple[list[Row], list[Loss]]:
    """Rows and losses of one stream."""
    db = _database(recorder, stream)
    column = "r.message, r.exception, r.attributes" if stream == LOGS else "r.data, NULL, NULL"
    found = db.execute(
        f"SELECT e.uid, r.seq, {column} FROM {ROW_TABLES[stream]} r JOIN epoch e ON e.id = r.epoch_id "
        "JOIN node n ON n.id = r.node_id WHERE n.name = ? AND e.stream = ? ORDER BY r.id",
        (node.key.node, stream),
    )
    rows = [
        Row(
            uid,
            seq,
            value if stream == LOGS else msgpack.unpackb(value)["payload"],
            exception,
            '"redacted": ["exception (pattern)"]' in (attributes or ""),
        )
        for uid, seq, value, exception, attributes in found
    ]
    found = db.execute(
        "SELECT e.uid, g.first, g.last, g.kind, g.reason, g.at_least, g.count FROM gap g "
        "LEFT JOIN epoch e ON e.id = g.epoch_id "
        "JOIN node n ON n.id = g.node_id WHERE n.name = ? AND g.stream = ?",
        (node.key.node, stream),
    )
    return rows, [Loss(*row) for row in found]


def skipped(recorder: SimRecorder, node: SimNode, stream: int) -> list[Loss]:
    """What of a stream the sink did not want."""
    found = _database(recorder, stream).execute(
        "SELECT e.uid, s.first, s.last, 'skipped', '', 0, s.count FROM skip s JOIN epoch e ON e.id = s.epoch_id "
        "JOIN node n ON n.id = s.node_id WHERE n.name = ? AND s.stream = ?",
        (node.key.node, stream),
    )
    return [Loss(*row) for row in found]


class _Check:
    """One stream of one node in one sink's store."""

    def __init__(self, world: World, node: SimNode, recorder: SimRecorder, stream: int) -> None:
        self._world = world
        self._node = node
        self._recorder = recorder
        self._stream = stream
        self._rows, self._losses = stored(recorder, node, stream)
        self._skips = skipped(recorder, node, stream)
        self._quota = world.plan.small and stream != CONTROL
        """Whether the journal may have dropped records."""
        self._keys = KeyCheck(world.keys, node, recorder, stream, _database(recorder, stream))

    def run(self) -> None:
        """Raise `Violation` on anything that the guarantee does not allow."""
        self._once()
        self._accounted()
        self._skips_are_true()
        self._losses_are_told_once()
        self._gaps_are_true()
        self._nothing_is_given_up()
        self._doubts_have_a_reason()
        self._parted_histories_are_told()
        self._chained()
        broken = self._keys.broken()
        if broken:
            raise Violation(broken)
        self._bounded()

    def _once(self) -> None:
        places: dict[str, Row] = {}
        for row in self._rows:
            if row.payload in places:
                raise Violation(f"{row.payload} is stored twice: {places[row.payload]} and {row}")
            places[row.payload] = row

    def _accounted(self) -> None:
        where = {row.payload: row for row in self._rows}
        for entry in self._node.accepted:
            if entry.stream != self._stream:
                continue
            row = where.get(entry.payload)
            if row is None:
                self._excused(entry)
            elif row.stored_as not in histories(entry.epoch) or row.seq != entry.seq:
                raise Violation(f"{entry} was stored in another place: {row}")

    def _due(self, payload: str) -> str:
        border = self._world.border
        return border.due(self._recorder.name, self._stream, payload) if border else WHOLE

    def _bounded(self) -> None:
        """What passed the boundary is what its policy lets pass, and below it all is whole."""
        for row in self._rows:
            due = self._due(row.payload)
            if due == WITHHELD:
                raise Violation(f"{row} passed the boundary, and its policy withholds it")
            if due == REDACTED and (row.exception != GONE or not row.redacted):
                raise Violation(f"{row} passed the boundary, and its policy redacts it")
            sent = exception_of(self._node.key.zone, self._stream, row.payload)
            if due == WHOLE and (row.exception != sent or row.redacted):
                raise Violation(f"{row} is not what its node sent, and no policy says so")

    def _excused(self, entry: Accepted) -> None:
        """A record that is not stored: something must have happened, and something must be said."""
        if self._due(entry.payload) == WITHHELD:
            return
        if any(skip.covers(entry) for skip in self._skips):
            first = self._recorder.flaky.first[self._node.key, self._stream]
            if EPOCH_NS + int(entry.at * 1e9) > first:
                raise Violation(f"{entry} was skipped, and came after its node was heard of")
            return
        rolled_back = entry.payload in self._node.rolled_back
        power = entry.payload in self._node.lost_by_power
        restored = self._recorder.restores > 0
        said = [loss for loss in self._losses if loss.covers(entry)]
        if any(loss.reason == REVOKED for loss in said):
            if not (rolled_back or power or restored) and (why := self._keys.is_wrongly_aside(entry)):
                raise Violation(f"{entry} counts as signed by a revoked key, and {why}")
            return
        if any(loss.kind == "gap" for loss in said):
            if not (self._quota or rolled_back or power or restored):
                raise Violation(f"{entry} is in a gap, and nothing that happened may lose it: {said}")
            return
        if self._opening_is_aside():
            return  # what it would have said of a power cut or a history before is in doubt, and said to be
        if power and not rolled_back and not (said or self._power_is_told(entry)):
            raise Violation(f"{entry} was lost by a power cut, and no doubt says so")
        if power or rolled_back or (said and restored):
            return
        if restored and any(loss.reason == BROKEN for loss in self._losses):
            return  # a whole epoch went with the restored store, and the next one's first record with it
        dropped = self._quota or self._node.journal_restores > self._node.host_restores
        if said and self._node.host_restores and dropped:
            return  # the node let go of it where another history is stored: only a doubt can say so
        raise Violation(f"{entry} is lost without a word; said {said}")

    def _opening_is_aside(self) -> bool:
        """Whether something was lost before an epoch whose first record was signed by a revoked key."""
        happened = self._node.lost_by_power or self._node.host_restores or self._recorder.restores
        return bool(
            happened and self._keys.revocations and any(loss.reason == BROKEN for loss in self._losses)
        )

    def _power_is_told(self, entry: Accepted) -> bool:
        """Of an epoch of which nothing was synced, the doubt stands at the end of the one before it."""
        names = histories(entry.epoch)
        known = any(row.stored_as in names for row in self._rows) or any(
            loss.stored_as in names for loss in self._losses
        )
        return not known and any(loss.reason == "power" for loss in self._losses)

    def _parted_histories_are_told(self) -> None:
        """Where records are stored that their node went back behind, a doubt or an inexact gap says so."""
        if self._recorder.restores or self._node.restored_alive:
            return  # the doubt may have gone with the store, or the process in memory known better than its files
        if self._node.journal_restores > 1:
            return  # the later one may have brought back what the earlier one took
        parted = [row for row in self._rows if row.payload in self._node.rolled_back]
        if parted and not any(loss.at_least for loss in self._losses):
            raise Violation(
                f"{parted[0]} is of a time that its node does not know any more, and nothing says so"
            )

    def _doubts_have_a_reason(self) -> None:
        if self._node.journal_restores or self._recorder.restores:
            return
        if self._node.was_read_only:
            return  # what a dead process may not have synced is shown from a disk on which it cannot be
        for loss in self._losses:
            if loss.reason == "unknown end" and self._keys.revocations:
                continue  # what would name its end is the opening by a revoked key
            if loss.reason in {"rolled back", "fork", "unknown end", UNPROVEN}:
                raise Violation(f"{loss}, and nothing was restored: a sink held what its node could lose")

    def _skips_are_true(self) -> None:
        if not self._skips:
            return
        began, installed = self._recorder.began, self._node.installed
        if self._recorder.begins != "now" or began is None or installed is None or installed >= began:
            raise Violation(f"{self._skips[0]}, and nothing was from before the sink began")
        places = [row for row in self._rows for skip in self._skips if skip.holds(row)]
        if places:
            raise Violation(f"{places[0]} is stored, and counts as skipped")

    def _losses_are_told_once(self) -> None:
        exact = sorted(
            (loss.stored_as or b"", loss.first, loss.last)
            for loss in [*self._losses, *self._skips]
            if loss.kind != "doubt" and not loss.at_least and loss.last is not None
        )
        for one, other in pairwise(exact):
            if one[0] == other[0] and other[1] <= one[2]:
                raise Violation(f"what is missing is said twice: {one} and {other}")

    def _gaps_are_true(self) -> None:
        seqs = defaultdict(set)
        for row in self._rows:
            seqs[row.stored_as].add(row.seq)
        for loss in self._losses:
            if loss.kind != "gap" or loss.stored_as is None or loss.last is None:
                continue
            inside = sum(loss.first <= seq <= loss.last for seq in seqs[loss.stored_as])
            records = loss.last - loss.first + (loss.first > 1)  # an epoch's opening is none
            if loss.at_least:
                if not (self._node.journal_restores or self._recorder.restores):
                    raise Violation(f"{loss} is not exact, and nothing was restored")
                if not 0 < loss.count <= records - inside:
                    raise Violation(f"{loss} counts more than is missing: {inside} of {records} are stored")
            elif inside:
                raise Violation(f"{loss} claims {inside} records that are stored")
            elif loss.count != records:
                raise Violation(f"{loss} is exact, and {records} records were there")

    def _nothing_is_given_up(self) -> None:
        """No gap claims a record that its node still keeps, unless a restored journal brought it back."""
        if self._node.journal_restores:
            return
        for loss in self._losses:
            if (
                loss.kind == "gap"
                and loss.reason != REVOKED
                and loss.stored_as is not None
                and loss.last is not None
            ):
                kept = self._node.journals[self._stream].read(loss.stored_as, loss.last)
                if kept is not None and kept.header.kind == DATA:
                    raise Violation(f"{loss} claims records that the node still keeps")

    def _chained(self) -> None:
        """Every stored epoch but the first names the one before it and its end, in the order they were written."""
        if self._recorder.restores or self._node.journal_restores or self._recorder.begins == "now":
            return
        if self._keys.revocations:
            return  # the opening by a revoked key names nothing
        found = _database(self._recorder, self._stream).execute(
            "SELECT e.uid, e.previous, e.previous_last, e.opened FROM epoch e JOIN node n ON n.id = e.node_id "
            "WHERE n.name = ? AND e.stream = ?",
            (self._node.key.node, self._stream),
        )
        epochs = found.fetchall()
        name = f"{self._node.key.node}'s {STREAM_NAMES[self._stream]}"
        roots = [uid for uid, previous, _last, _opened in epochs if previous is None]
        if not all(opened for *_, opened in epochs) or len(roots) != 1:
            raise Violation(f"the chain of epochs of {name} is broken")
        follower = {previous: (uid, last) for uid, previous, last, _opened in epochs}
        written: dict[bytes, int] = {}
        for entry in self._node.accepted:
            if entry.stream == self._stream and entry.payload not in self._node.lost_by_power:
                written[entry.epoch] = entry.seq
        order = [roots[0]]
        while (after := follower.get(order[-1])) is not None:
            uid, last = after
            if last < written.get(order[-1], 0):
                raise Violation(
                    f"{name}: an epoch ended at {written[order[-1]]}, and the next one says {last}"
                )
            order.append(uid)
        if [uid for uid in order if uid in written] != list(written):
            raise Violation(f"{name}: the epochs are chained in another order than they were written in")
