"""Whether the control stream in a store is what its nodes signed, all of it. Pure.

Each batch's header is signed by its node and names the digest of its body, and the header before it. The body of a control
batch can be written again from its rows (`wire.control`), so that one altered byte of a row shows. Sequence numbers show what is
missing in the middle, the chain of epochs a whole epoch, and what the newest beacons said (*heads*) the end; heads that another store
heard, or that were written down before, are witnesses whom nobody who writes this store can change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from tabard.audit import PREFIX
from tabard.brokers.delivery.ports import NodeKey
from tabard.brokers.trust.verifying import UNSIGNED, VERIFIED, VOUCHED, WRONG, Verifier
from tabard.brokers.wire.batch import DATA, Header, decode_header
from tabard.brokers.wire.control import control_body
from tabard.consumers.store.accounts import ControlBatch, ControlEpoch, ControlRow, Head
from tabard.digests import digest
from tabard.errors import WireError

ALTERED: Final = "altered"
"""Its rows are not what was signed."""
ADDED: Final = "added"
"""Rows that no batch covers."""
MISSING: Final = "missing"
"""Neither there, nor said to be lost, nor old enough for retention."""
CUT: Final = "cut"
"""A beacon named an end that is not there."""
FORGED: Final = "forged"
"""Signed by nobody who may have; or the header is damaged."""
BROKEN: Final = "broken"
"""It does not follow the batch before it."""
FAULTS: Final = (ALTERED, ADDED, MISSING, CUT, FORGED, BROKEN)

ERASED: Final = "erased"
"""Deleted on somebody's request, which is noted."""
TRIMMED: Final = "trimmed"
"""Not there any more, and old enough for retention."""
UNPROVEN: Final = "unproven"
"""Nobody signed that it should be so: changed by a policy on its way, lost or skipped by the word of this store alone, or erased without an entry
of the audit that accounts for it. Whoever can write the store can say such things."""
FORGET: Final = PREFIX + "store.forget"
COUNTS: Final = ("records", VERIFIED, VOUCHED, UNSIGNED, "revoked", "unknown", ERASED, TRIMMED, UNPROVEN)
"""Records, and batches, that were counted; see `Verifier` for who signed them."""


class Finding(NamedTuple):
    """Something that is not as it was written."""

    node: NodeKey
    epoch: str
    """Hexadecimal."""
    first: int
    last: int
    what: str
    detail: str


class Auditor:
    """Goes through the epochs of all nodes; `findings` and `counts` are what came of it."""

    def __init__(
        self, verifier: Verifier, *, kept_since: int, erased: Collection[tuple[str | None, str | None]] = ()
    ) -> None:
        """``kept_since``: what arrived before it, retention may have deleted. ``erased``: node and zone of each erasure, None: of any."""
        self.findings: list[Finding] = []
        self.counts: dict[NodeKey, Counter[str]] = {}
        self._verifier = verifier
        self._kept_since = kept_since
        self._erased = erased
        self._accounted = 0
        """Entries that account for an erasure."""
        self._ends: dict[NodeKey, dict[str, tuple[str, int]]] = {}
        """Of each node the digests of its headers, and where they end: what a head is looked up in."""

    def epoch(
        self,
        epoch: ControlEpoch,
        batches: Iterable[ControlBatch],
        rows: Iterable[ControlRow],
        told: Sequence[tuple[int, int]],
    ) -> None:
        """Verify one epoch: its batches and its rows, each in the order of their seqs, and what is said to be missing of it."""
        left = _Rows(rows)
        name, at = epoch.uid.hex(), 1
        if not epoch.previous_known and not epoch.first_of_node and epoch.created >= self._kept_since:
            self._find(epoch, 0, 0, MISSING, "the epoch before it, which it names, is not there")
        for batch in batches:
            try:
                header = decode_header(batch.head)
            except WireError as error:
                self._find(epoch, batch.first, batch.first, FORGED, f"a damaged header: {error.what}")
                continue
            self._absent(epoch, at, header.first - 1, told, batch.arrived)
            self._added(epoch, left.below(header.first))
            self._judge(epoch, batch, header)
            mine = left.below(header.last + 1)
            self._content(epoch, batch, header, mine, told)
            self._ends.setdefault(epoch.node, {})[digest(batch.head).hex()] = (name, header.last)
            at = max(at, header.last + 1)
        self._added(epoch, left.rest())
        for stored in epoch.stored:
            self._absent(epoch, max(stored.lo, at), stored.hi, told, epoch.created)

    def heads(self, heads: Iterable[Head], who: str) -> None:
        """Hold the ends that were heard against what is there; ``who`` heard them. Call it after all epochs."""
        for head in heads:
            if head.behind or not head.digest:
                continue  # not all of it was stored then; or nobody wrote down what to compare
            if head.digest not in self._ends.get(head.node, {}) and head.heard >= self._kept_since:
                said = f"{who} heard that it ends at {head.last} with {head.digest[:16]}"
                self.findings.append(Finding(head.node, head.epoch, head.last, head.last, CUT, said))

    def finish(self) -> None:
        """Believe no erasure when there are more of them than somebody accounted for. Call it last."""
        if len(self._erased) > self._accounted:
            for counts in self.counts.values():
                counts[UNPROVEN] += counts.pop(ERASED, 0)

    # --- one batch -------------------------------------------------------------------------------

    def _judge(self, epoch: ControlEpoch, batch: ControlBatch, header: Header) -> None:
        counts = self._verifier.counts.setdefault(epoch.node, Counter())
        broken = counts[BROKEN]
        said = self._verifier.batch(epoch.node, (1, epoch.id), batch.head, batch.signature, batch.proof)
        if said == WRONG:
            self._find(epoch, header.first, header.last, FORGED, "not signed by whom it names")
        else:
            self._count(epoch, said, 1)
        if counts[BROKEN] > broken:
            self._find(epoch, header.first, header.last, BROKEN, "it does not follow the batch before it")

    def _content(
        self,
        epoch: ControlEpoch,
        batch: ControlBatch,
        header: Header,
        rows: Sequence[ControlRow],
        told: Sequence[tuple[int, int]],
    ) -> None:
        if header.kind != DATA:
            self._added(epoch, rows)
            return
        self._count(epoch, "records", len(rows))
        if len({row.seq for row in rows}) < header.count:
            there = {row.seq for row in rows}
            lacking = [seq for seq in range(header.first, header.last + 1) if seq not in there]
            if any(lo <= header.last and hi >= header.first for lo, hi in told):
                self._count(epoch, UNPROVEN, 1)
                return
            for seq in lacking:
                self._absent(epoch, seq, seq, told, batch.arrived)
            return
        body = control_body([(row.time, row.kind, row.data) for row in rows])
        if digest(body) == header.body_digest:
            self._accounted += sum(row.kind == FORGET for row in rows)
            return
        if self._is_erased(epoch.node) and not any(row.data for row in rows):
            self._count(epoch, ERASED, len(rows))  # the newest row of a table stays, emptied
        else:
            self._find(epoch, header.first, header.last, ALTERED, "its records are not what its node signed")

    def _absent(
        self, epoch: ControlEpoch, first: int, last: int, told: Sequence[tuple[int, int]], arrived: int
    ) -> None:
        """What of a range is not there: no header of its node says that it is lost, at most this store does."""
        absent = list(_without(first, last, told))
        if last >= first:
            self._count(epoch, UNPROVEN, last - first + 1 - sum(hi - lo + 1 for lo, hi in absent))
        for lo, hi in absent:
            if self._is_erased(epoch.node):
                self._count(epoch, ERASED, hi - lo + 1)
            elif arrived < self._kept_since:
                self._count(epoch, TRIMMED, hi - lo + 1)
            else:
                self._find(epoch, lo, hi, MISSING, "neither there nor said to be lost")

    def _added(self, epoch: ControlEpoch, rows: Sequence[ControlRow]) -> None:
        for row in rows:
            self._find(epoch, row.seq, row.seq, ADDED, f"no batch covers it: {row.kind}")

    def _is_erased(self, node: NodeKey) -> bool:
        return any(
            (name is None or name == node.node)
            and (zone is None or node.zone == zone or node.zone.startswith(zone + "/"))
            for name, zone in self._erased
        )

    def _find(self, epoch: ControlEpoch, first: int, last: int, what: str, detail: str) -> None:
        self.findings.append(Finding(epoch.node, epoch.uid.hex(), first, last, what, detail))

    def _count(self, epoch: ControlEpoch, what: str, count: int) -> None:
        self.counts.setdefault(epoch.node, Counter())[what] += count


class _Rows:
    """Rows in the order of their seqs, handed out up to one."""

    def __init__(self, rows: Iterable[ControlRow]) -> None:
        self._rows: Iterator[ControlRow] = iter(rows)
        self._next = next(self._rows, None)

    def below(self, seq: int) -> list[ControlRow]:
        """Those before it that were not handed out yet."""
        found = []
        while self._next is not None and self._next.seq < seq:
            found.append(self._next)
            self._next = next(self._rows, None)
        return found

    def rest(self) -> list[ControlRow]:
        """All that are left."""
        return self.below(1 << 63)


def _without(first: int, last: int, told: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """What of a range no other one covers; ``told`` is in order."""
    for lo, hi in told:
        if first > last:
            return
        if hi < first:
            continue
        if lo > last:
            break
        if lo > first:
            yield first, lo - 1
        first = max(first, hi + 1)
    if first <= last:
        yield first, last
