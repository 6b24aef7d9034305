"""What a policy at a boundary did to a batch, beside its rows: which records it withheld, and who attests that.

Records that were withheld are no loss: they are where they were handed on, and nothing here counts them as missing.
Stubs next to each other are one row, also those of batches that come soon after each other: a policy may withhold all
that a node says, batch for batch, and shall cost the store next to nothing.

A proof carries the policy that it names; each policy is kept once, cut out of the proofs, so that whoever wants
to verify again puts both together (`proof_of`).

Where stubs stand in the order of the log: just behind the record before them in their batch, else just before the one
behind them. Of a batch that holds nothing else nobody knows when it was said: it stands at its arrival, between the
records that are stored on either side of it in its epoch.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from tabard.brokers.delivery.ports import Attested, CursorConflict, Entry
from tabard.consumers.store.rows import Malformed
from tabard.digests import digest
from tabard.records import TIME_MAX, TIME_MIN, clean_text

if TYPE_CHECKING:
    from tabard.consumers.store.writing import Writer

JOINED: Final = 600_000_000_000
"""Nanoseconds after its arrival in which stubs that follow are added to a row."""
WHOLE: Final = -1
"""In place of where a proof was cut: it does not carry its policy."""

Place = tuple[int, int, int]
"""Node, stream and epoch."""
Neighbours = Callable[[int, int], tuple[int | None, int | None]]
"""Given the first number of stubs and their last, the event times of the stored records on both sides."""


class Policing:
    """Writes it, in the open transaction of the rows. `known` are the ids of policies, by the document."""

    def __init__(self, writer: Writer, known: dict[bytes, int], arrived: int) -> None:
        self._writer = writer
        self._known = known
        self._arrived = arrived

    def note(self, entries: Sequence[tuple[Entry, Place]]) -> None:
        """Note what was attested and withheld of some batches, those of an epoch in order."""
        attestations: list[Sequence[Any]] = []
        stubs: list[_Stubs] = []
        last: dict[int, _Stubs] = {}
        for entry, place in entries:
            ids = {each.policy: self._policy_id(each) for each in reversed(entry.attested)}
            header, epoch_id = entry.batch.header, place[2]
            for number, each in enumerate(entry.attested):
                cut, proof = _without(each.proof, each.document)
                row = (epoch_id, header.first, number, header.last, ids[each.policy], each.broker, cut, proof)
                attestations.append(row)
            for first, count, policy, time in _placed(entry, self._arrived, self._neighbours(place)):
                before = last.get(epoch_id)
                if before is None and not self._extends(place, first, count, ids[policy]):
                    last[epoch_id] = before = _Stubs(place, first, 0, ids[policy], time)
                    stubs.append(before)
                if before is not None and not before.extend(first, count, ids[policy]):
                    last[epoch_id] = _Stubs(place, first, count, ids[policy], time)
                    stubs.append(last[epoch_id])
        self._writer.add_policed(attestations, [each.row(self._arrived) for each in stubs])

    def _extends(self, place: Place, first: int, count: int, policy_id: int) -> bool:
        """Add stubs to those that are stored just before them; False: there are none, or of long ago."""
        found = self._writer.one(self._writer.statements.withheld_before, (place[2], first))
        if found is None:
            return False
        row_id, begin, there, policy, arrived = (int(value) for value in found)
        if begin + there != first or policy != policy_id or not 0 <= self._arrived - arrived <= JOINED:
            return False
        self._writer.run(self._writer.statements.extend_withheld, (there + count, row_id))
        return True

    def _policy_id(self, attested: Attested) -> int:
        found = self._known.get(attested.document)
        if found is None:
            name = digest(attested.document)
            texts = self._writer.statements
            row = self._writer.one(texts.find_policy, (name,))
            if row is None:
                values = (
                    name,
                    clean_text(attested.zone),
                    clean_text(attested.policy),
                    attested.document,
                    self._arrived,
                )
                row = self._writer.one(texts.add_policy, values)
            if row is None:  # another recorder has noted it meanwhile
                row = self._writer.one(texts.find_policy, (name,))
            if row is None:
                raise CursorConflict(f"the policy {attested.policy} comes and goes in the store")
            found = self._known[attested.document] = int(row[0])
        return found

    def _neighbours(self, place: Place) -> Neighbours:
        _node, stream, epoch_id = place
        texts = self._writer.statements

        def times(first: int, last: int) -> tuple[int | None, int | None]:
            before = self._writer.one(texts.time_before[stream], (epoch_id, first))
            after = self._writer.one(texts.time_after[stream], (epoch_id, last))
            return None if before is None else int(before[0]), None if after is None else int(after[0])

        return times


class _Stubs:
    """A row to be."""

    def __init__(self, place: Place, first: int, count: int, policy_id: int, time: int) -> None:
        self._place = place
        self._first = first
        self._count = count
        self._policy_id = policy_id
        self._time = time

    def extend(self, first: int, count: int, policy_id: int) -> bool:
        """Add those that follow; False: they do not, or are of another policy."""
        if first != self._first + self._count or policy_id != self._policy_id:
            return False
        self._count += count
        return True

    def row(self, arrived: int) -> tuple[int, ...]:
        """As `add_withheld` takes it."""
        return (*self._place, self._first, self._count, self._policy_id, self._time, arrived)


def check(entry: Entry) -> None:
    """Raise Malformed for stubs that lie outside of their batch, overlap, or name a policy that nobody attests."""
    header = entry.batch.header
    names = {each.policy for each in entry.attested}
    end = header.first
    for first, count, policy in entry.withheld:
        if policy not in names:
            raise Malformed(f"records were withheld by the policy {policy}, which nobody attests")
        if first < end or count < 1:
            raise Malformed(f"the records withheld from {first} on are not in order")
        end = first + count
    if end > header.last + 1:
        raise Malformed(f"records were withheld up to {end - 1}, the batch ends at {header.last}")


def proof_of(proof: bytes, cut: int, document: bytes) -> bytes:
    """A proof as it came, from what is stored of it."""
    return proof if cut == WHOLE else proof[:cut] + document + proof[cut:]


def _without(proof: bytes, document: bytes) -> tuple[int, bytes]:
    cut = proof.find(document) if document else WHOLE
    return (WHOLE, proof) if cut == WHOLE else (cut, proof[:cut] + proof[cut + len(document) :])


def _placed(entry: Entry, arrived: int, neighbours: Neighbours) -> Iterator[tuple[int, int, str, int]]:
    """First number, count and policy of each run of stubs, and its place in the order by event time."""
    if not entry.withheld:
        return
    seqs = entry.seqs or ()
    times = [_time(record, arrived) for group in entry.groups or () for record in group[3]]
    for first, count, policy in entry.withheld:
        at = bisect_left(seqs, first)
        if at:
            time = times[at - 1]
        elif seqs:
            time = max(times[0] - 1, 0)
        else:
            before, after = neighbours(first, first + count - 1)
            time = arrived if before is None else max(arrived, before)
            time = time if after is None else max(min(time, after - 1), 0)
        yield first, count, policy, time


def _time(record: Any, arrived: int) -> int:
    """When a record says it happened, as its row will have it."""
    time = record[0] if isinstance(record, (list, tuple)) and record else None
    return time if isinstance(time, int) and TIME_MIN < time <= TIME_MAX else arrived
