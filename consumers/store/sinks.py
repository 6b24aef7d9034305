"""Whose store it is, whether its sink was retired, what the sink skipped, and what a batch fills that was missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from tabard.brokers.delivery.ports import EpochWork, Gap, Heard, NodeKey
from tabard.consumers.store.sink_results import Owned
from tabard.consumers.store.writing import Writer
from tabard.errors import ForeignStore
from tabard.records import clean_text

Pieces = list[tuple[int, int]]


def own(writer: Writer, sink: str, began: int, where: str) -> Owned:
    """Say whose store it is, unless somebody did; what it says now. Raises ForeignStore when it is another sink's."""
    owned = find(writer)
    if owned is None:
        writer.run(writer.sinks.add_sink, (sink, began))
        owned = find(writer)
    if owned is None or owned.name != sink:
        found = "no sink" if owned is None else f"a store of sink {owned.name}"
        raise ForeignStore(
            "the store belongs to another sink",
            expected=f"a store of sink {sink}, which recorder.sink names",
            found=found,
            where=where,
            hint="Set recorder.sink to the sink of this store, or give this recorder a store of its own by"
            " store.path or store.url",
        )
    return owned


def find(writer: Writer) -> Owned | None:
    """What the store says; None in one that no recorder has opened."""
    row = writer.one(writer.sinks.sink, ())
    return None if row is None else Owned(str(row[0]), int(row[1]), row[2], row[3])


def heard(writer: Writer, key: NodeKey, stream: int) -> Heard:
    """Whether a stream of a node was ever heard of, and the epochs of which something was skipped."""
    found = writer.one(writer.statements.find_node, (key.zone, key.node))
    if found is None:
        return Heard(ever=False, skipped=frozenset())
    place = (int(found[0]), stream)
    row = writer.one(writer.sinks.heard, (*place, *place))
    skipped = frozenset(bytes(uid) for (uid,) in writer.all(writer.sinks.skipped, place))
    return Heard(ever=bool(row and row[0]), skipped=skipped)


def said(writer: Writer, key: NodeKey, stream: int, epoch: bytes) -> Pieces:
    """What of an epoch is said to be lost, exactly, or was skipped: it needs not be said again."""
    node = writer.one(writer.statements.find_node, (key.zone, key.node))
    row = None if node is None else writer.one(writer.statements.find_epoch, (node[0], stream, epoch))
    if row is None:
        return []
    everything = (row[0], _ALL, 0)
    gaps = [(int(gap[1]), int(gap[2])) for gap in writer.all(writer.sinks.gaps_within, everything)]
    skips = [(int(skip[1]), int(skip[2])) for skip in writer.all(writer.sinks.skips_within, everything)]
    return sorted(gaps + skips)


def add_skip(writer: Writer, place: Sequence[int], gap: Gap, arrived: int) -> None:
    """Note what was skipped; `place` is node, stream and epoch."""
    writer.run(writer.sinks.add_skip, (*place, gap.first, gap.last, gap.count, arrived))


def fill(writer: Writer, item: EpochWork, node_id: int, epoch_id: int) -> None:
    """Take what has come after all out of what is said to be lost or skipped."""
    batches = [
        (entry.batch.header.first, entry.batch.header.last) for entry in item.entries if not entry.lost
    ]
    if not batches:
        return
    lowest, highest = min(batches)[0], max(last for _, last in batches)
    span = (epoch_id, highest, lowest)
    texts = writer.sinks
    for row_id, first, last, reason, detail, time, since in writer.all(texts.gaps_within, span):
        others = without(first, last, batches)
        rest = others.pop() if others else None
        _shrink(writer, texts.forget_gap, texts.shrink_gap, row_id, rest)
        for lo, hi in others:
            values = (node_id, item.stream, epoch_id, lo, hi, records(lo, hi), 0, "gap", reason, detail)
            writer.expect(item.stream, "gap")
            writer.run(writer.statements.add_gap, (*values, time, since))
    for row_id, first, last, since in writer.all(texts.skips_within, span):
        others = without(first, last, batches)
        rest = others.pop() if others else None
        _shrink(writer, texts.forget_skip, texts.shrink_skip, row_id, rest)
        for lo, hi in others:
            writer.run(texts.add_skip, (node_id, item.stream, epoch_id, lo, hi, records(lo, hi), since))


def _shrink(writer: Writer, forget: str, shrink: str, row_id: int, rest: tuple[int, int] | None) -> None:
    """Leave a row only the last of what is still missing; it keeps its id, by which it was asked for."""
    if rest is None or not records(*rest):
        writer.run(forget, (row_id,))
    else:
        writer.run(shrink, (*rest, records(*rest), row_id))


def without(first: int, last: int, taken: Iterable[tuple[int, int]]) -> Pieces:
    """What is left of a closed range."""
    left = [(first, last)]
    for lo, hi in taken:
        left = [
            piece
            for a, b in left
            for piece in (((a, min(b, lo - 1)), (max(a, hi + 1), b)) if lo <= b and a <= hi else ((a, b),))
            if piece[0] <= piece[1]
        ]
    return left


def records(first: int, last: int) -> int:
    """How many records a range stands for: an epoch's opening is none."""
    return last - first + (first > 1)


def retire(writer: Writer, who: str | None, when: int | None) -> None:
    """Note that the sink is retired, or with None that it is not any more; the first word on it stays."""
    owned = find(writer)
    if owned is None or (owned.retired is None) == (when is None):
        return
    writer.run(writer.sinks.set_retired, (when, None if who is None else clean_text(who)))


_ALL: Final = 2**62
