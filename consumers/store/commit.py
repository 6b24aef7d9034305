"""One transaction: cursors compared and set, rows, batch headers, gaps, quarantine. All or nothing, on every engine.

Cursors come first, so that a conflict costs nothing. Rows go in as few statements as there can be; only when the
database refuses one is all of it done again carefully: records normalised, then batches halved down to the one
that is refused, which is quarantined while all others are stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tabard import failpoints
from tabard.brokers.delivery.leases import RECORDER
from tabard.brokers.delivery.ports import CursorConflict, Entry, EpochWork, Gap, NodeKey
from tabard.brokers.delivery.starting import SKIPPED
from tabard.consumers.store import deployed, leases, sinks, stubs
from tabard.consumers.store.cursors import state_of
from tabard.consumers.store.layout import QUARANTINED
from tabard.consumers.store.rows import Malformed, Suspicious
from tabard.consumers.store.writing import Made, Writer
from tabard.records import clean_text

BEFORE_CURSOR: Final = failpoints.declare(
    "store.before_cursor", "about to set cursors, in an open transaction"
)
BEFORE_ROWS: Final = failpoints.declare("store.before_rows", "about to write rows, cursors already set")
BEFORE_COMMIT: Final = failpoints.declare("store.before_commit", "about to commit rows and cursors")
AFTER_COMMIT: Final = failpoints.declare(
    "store.after_commit", "just past the commit, the cursor not yet sent"
)


class Refused(Exception):
    """Raised when the database, or the shape of a record, refuses the rows of a commit."""


class Ids:
    """The store's numbers for nodes and epochs, remembered until a transaction fails."""

    def __init__(self) -> None:
        self.nodes: dict[NodeKey, int] = {}
        self.epochs: dict[tuple[NodeKey, int, bytes], int] = {}
        self.policies: dict[bytes, int] = {}
        """By their documents."""
        self.gapped: set[int] | None = None
        """Epochs that a loss was stored of; None: not looked up yet."""

    def forget(self) -> None:
        """Drop everything: what a failed transaction numbered is not there."""
        self.nodes.clear()
        self.epochs.clear()
        self.policies.clear()
        self.gapped = None


DOUBT: Final = "doubt"
_NOTHING: Final = Made(0, 0, ())


@dataclass(slots=True)
class _Unit:
    """One batch on its way to the tables; `made` is set when it is ready."""

    entry: Entry
    work: EpochWork
    node_id: int
    epoch_id: int
    made: Made = _NOTHING


class Commit:
    """Writes `work` into one file or schema. Used once."""

    def __init__(self, writer: Writer, ids: Ids, arrived: int) -> None:
        self._writer = writer
        self._statements = writer.statements
        self._ids = ids
        self._arrived = arrived
        self.stored: Counter[int] = Counter()
        """Rows written, by stream."""
        self._refused: list[tuple[_Unit, str]] = []
        """Batches to be quarantined, and why. It is done behind the rows: their places are among those."""

    def run(self, work: Sequence[EpochWork]) -> int:
        """One durable transaction; returns how many rows it wrote.

        After any error the caller ends the transaction and forgets the numbers given in it.

        Raises:
            LeaseLost: a claim under which it is written does not count any more.
            CursorConflict: a cursor is not the one the work was based on.
            OSError, or an error of the driver: the database failed.
        """
        try:
            rows = self._attempt(work, careful=False)
        except Refused:
            self._writer.rollback()
            self._ids.forget()
            rows = self._attempt(work, careful=True)
        failpoints.hit(AFTER_COMMIT)
        return rows

    def _attempt(self, work: Sequence[EpochWork], *, careful: bool) -> int:
        self._writer.begin()
        claims = {item.claim for item in work if item.claim is not None}
        if claims:
            leases.hold(self._writer, RECORDER.name, sorted(claims))
        failpoints.hit(BEFORE_CURSOR)
        nodes = [self.node_id(item.key) for item in work]
        self._set_cursors(work, nodes)
        epochs = [self._known_epoch(item, node_id) for item, node_id in zip(work, nodes, strict=True)]
        failpoints.hit(BEFORE_ROWS)
        units = [
            _Unit(entry, item, node_id, epoch_id)
            for item, node_id, epoch_id in zip(work, nodes, epochs, strict=True)
            for entry in item.entries
        ]
        self._keep_signers(units)
        rows = 0
        self.stored.clear()
        self._refused.clear()
        for stream in sorted({item.stream for item in work}):
            rows += self._store_stream(
                stream, [unit for unit in units if unit.work.stream == stream], careful=careful
            )
        for unit, reason in self._refused:
            self._quarantine(unit, reason)
        for item, node_id, epoch_id in zip(work, nodes, epochs, strict=True):
            if item.entries and item.fills:
                sinks.fill(self._writer, item, node_id, epoch_id)
            if item.entries and epoch_id in self._gapped():
                self._move_gaps(item, epoch_id)
        for item, node_id in zip(work, nodes, strict=True):
            for gap in item.gaps:
                self._add_gap(item, node_id, gap)
        failpoints.hit(BEFORE_COMMIT)
        self._writer.commit()
        return rows

    # --- nodes, epochs, cursors ---------------------------------------------------------------------

    def node_id(self, key: NodeKey) -> int:
        """The number of a node, given now if it has none yet."""
        found = self._ids.nodes.get(key)
        if found is None:
            writer, place = self._writer, (key.zone, key.node)
            row = writer.one(self._statements.find_node, place)
            if row is None:
                row = writer.one(self._statements.add_node, (*place, self._arrived))
            if row is None:  # another recorder has given it one meanwhile
                row = writer.one(self._statements.find_node, place)
            if row is None:
                raise CursorConflict(f"the node {key.node} comes and goes in the store")
            found = self._ids.nodes[key] = int(row[0])
        return found

    def _set_cursors(self, work: Sequence[EpochWork], nodes: Sequence[int]) -> None:
        changed = []
        for item, node_id in zip(work, nodes, strict=True):
            cursor = item.cursor
            state = state_of(cursor, cursor.version + 1)
            if cursor.version == 0:
                self._add_epoch(item, node_id, state)
                continue
            epoch_id = self._known_epoch(item, node_id)
            changed.append((*state, epoch_id, cursor.version))
        if changed:
            done = self._writer.set_cursors(changed)
            if done != len(changed):
                raise CursorConflict(
                    f"{len(changed) - done} of {len(changed)} cursors were changed by another recorder"
                )

    def _add_epoch(self, item: EpochWork, node_id: int, state: tuple[Any, ...]) -> None:
        epoch = item.cursor.epoch
        row = self._writer.one(
            self._statements.add_epoch, (node_id, item.stream, epoch, *state, self._arrived)
        )
        if row is None:
            raise CursorConflict(f"epoch {epoch.hex()} of {item.key.node} is known already")
        self._ids.epochs[item.key, item.stream, epoch] = int(row[0])

    def _known_epoch(self, item: EpochWork, node_id: int) -> int:
        found = self._epoch_id(item.key, item.stream, item.cursor.epoch, node_id)
        if found is None:
            raise CursorConflict(f"epoch {item.cursor.epoch.hex()} of {item.key.node} is not in the store")
        return found

    def _epoch_id(self, key: NodeKey, stream: int, epoch: bytes, node_id: int) -> int | None:
        found = self._ids.epochs.get((key, stream, epoch))
        if found is None:
            row = self._writer.one(self._statements.find_epoch, (node_id, stream, epoch))
            if row is None:
                return None
            found = self._ids.epochs[key, stream, epoch] = int(row[0])
        return found

    # --- rows ---------------------------------------------------------------------------------------

    def _store_stream(self, stream: int, units: Sequence[_Unit], *, careful: bool) -> int:
        stored = []
        for unit in units:
            reason = unit.entry.poison or self._make(unit, careful=careful)
            if reason is None:
                stored.append(unit)
            else:
                self._refused.append((unit, reason))
        if careful:
            stored = self._bisect(stream, stored)
        else:
            try:
                self._insert(stream, stored)
            except self._writer.refusals as error:
                raise Refused from error
        return self._count(stream, stored)

    def _make(self, unit: _Unit, *, careful: bool) -> str | None:
        """Make the unit's rows ready, or say why the batch cannot become rows."""
        try:
            if unit.entry.attested or unit.entry.withheld:
                stubs.check(unit.entry)
            unit.made = self._writer.make(
                unit.work.stream, unit.entry, unit.node_id, unit.epoch_id, self._arrived, careful=careful
            )
        except Malformed as error:
            return str(error)
        except Exception as error:
            if not isinstance(error, (Suspicious, *self._writer.refusals)):
                raise
            if careful:
                return f"{type(error).__name__}: {error}"
            raise Refused from error
        return None

    def _insert(self, stream: int, units: Sequence[_Unit]) -> None:
        if not units:
            return
        self._writer.insert(stream, [unit.made for unit in units])
        for unit in units:
            if unit.made.configurations:
                deployed.note(self._writer, unit.made.configurations, unit.node_id, self._arrived)
        self._writer.add_batches([self._batch_row(unit) for unit in units])
        attested = [unit for unit in units if unit.entry.attested]
        if attested:
            places = [(unit.node_id, unit.work.stream, unit.epoch_id) for unit in attested]
            stubs.Policing(self._writer, self._ids.policies, self._arrived).note(
                [(unit.entry, place) for unit, place in zip(attested, places, strict=True)]
            )

    def _bisect(self, stream: int, units: Sequence[_Unit]) -> list[_Unit]:
        """Store what the database takes, quarantine the batches it refuses; returns what was stored."""
        if not units:
            return []
        try:
            with self._writer.part():
                self._insert(stream, units)
        except self._writer.refusals as error:
            self._ids.policies.clear()  # what the part numbered is not there
            if len(units) == 1:
                self._refused.append((units[0], f"refused by the database: {error}"))
                return []
            middle = len(units) // 2
            return self._bisect(stream, units[:middle]) + self._bisect(stream, units[middle:])
        return list(units)

    def _batch_row(self, unit: _Unit) -> tuple[Any, ...]:
        header = unit.entry.batch.header
        batch = unit.entry.batch
        return (
            unit.epoch_id,
            header.first,
            header.count,
            header.stream,
            header.kind,
            batch.head,
            batch.signature,
            self._arrived,
            unit.entry.proof or None,
        )

    def _keep_signers(self, units: Sequence[_Unit]) -> None:
        """The keys that are new here, with what proves whose they are."""
        signers = {unit.entry.signer_id: unit.entry.signer for unit in units if unit.entry.signer}
        for key_id in sorted(signers):
            self._writer.run(self._statements.add_signer, (key_id, signers[key_id], self._arrived))

    def _quarantine(self, unit: _Unit, reason: str) -> None:
        batch = unit.entry.batch
        header = batch.header
        self._writer.expect(header.stream, "quarantine")
        self._writer.run(
            self._statements.add_quarantine,
            (
                unit.node_id,
                header.stream,
                unit.epoch_id,
                header.first,
                header.count,
                clean_text(reason),
                batch.head,
                batch.signature,
                batch.body,
                self._time_of(header.stream, unit.epoch_id, header.first),
                self._arrived,
            ),
        )
        size = len(batch.head) + len(batch.signature) + len(batch.body)
        self._writer.count(QUARANTINED, 1, size)

    def _count(self, stream: int, units: Sequence[_Unit]) -> int:
        """Add what was stored to the totals; how many rows that was."""
        rows = sum(unit.made.rows for unit in units)
        if rows:
            self.stored[stream] += rows
            self._writer.count(stream, rows, sum(unit.made.size for unit in units))
        return rows

    # --- gaps ---------------------------------------------------------------------------------------

    def _add_gap(self, item: EpochWork, node_id: int, gap: Gap) -> None:
        epoch_id = None if gap.epoch is None else self._epoch_id(item.key, item.stream, gap.epoch, node_id)
        if gap.kind == SKIPPED and epoch_id is not None:
            sinks.add_skip(self._writer, (node_id, item.stream, epoch_id), gap, self._arrived)
            return
        detail = gap.detail
        if gap.epoch is not None and epoch_id is None:
            detail = f"epoch {gap.epoch.hex()}; {detail}" if detail else f"epoch {gap.epoch.hex()}"
        if epoch_id is not None:
            self._gapped().add(epoch_id)
        # What is in doubt from the first record on has no place behind one: it stands where it came up, to be seen.
        whole = gap.kind == DOUBT and gap.first == 1
        self._writer.expect(item.stream, "gap")
        self._writer.run(
            self._statements.add_gap,
            (
                node_id,
                item.stream,
                epoch_id,
                gap.first,
                gap.last,
                gap.count,
                int(gap.at_least),
                gap.kind,
                clean_text(gap.reason),
                clean_text(detail),
                self._arrived
                if whole
                else self._time_of(item.stream, epoch_id, _behind(gap.first, gap.last)),
                self._arrived,
            ),
        )

    def _gapped(self) -> set[int]:
        if self._ids.gapped is None:
            self._ids.gapped = {int(row[0]) for row in self._writer.all(self._statements.gapped, ())}
        return self._ids.gapped

    def _move_gaps(self, item: EpochWork, epoch_id: int) -> None:
        """A loss may be stored before the records in front of it (backfill): it stands behind them all the same."""
        lowest = min(entry.batch.header.first for entry in item.entries)
        for row_id, first, last, time in self._writer.all(self._statements.later_gaps, (epoch_id, lowest)):
            found = self._time_of(item.stream, epoch_id, _behind(first, last))
            if found != time:
                self._writer.run(self._statements.move_gap, (found, row_id))

    def _time_of(self, stream: int, epoch_id: int | None, seq: int) -> int:
        """Where a loss stands in the order by event time: at the record before it, else before the one after it."""
        if epoch_id is not None:
            before, after = (
                self._writer.one(texts[stream], (epoch_id, seq))
                for texts in (self._statements.time_before, self._statements.time_after)
            )
            if before is not None:
                return int(before[0])
            if after is not None:  # a gap comes after the records of its time
                return max(int(after[0]) - 1, 0)
        return self._arrived


def _behind(first: int, last: int | None) -> int:
    """Of a loss that reaches over stored records, what is missing stands behind the last of them."""
    return first if last is None else last
