"""What the delivery core asks of a store about nodes, cursors and batches, for every engine alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tabard.brokers.delivery.ports import EpochCursor, NodeKey
from tabard.brokers.delivery.ranges import UNKNOWN, Range, Ranges
from tabard.consumers.store import cursors
from tabard.consumers.store.writing import Writer
from tabard.digests import digest


def load(writer: Writer, key: NodeKey, stream: int, epochs: Sequence[bytes]) -> dict[bytes, EpochCursor]:
    """The cursors of those `epochs` that the store knows, also of those that it had forgotten."""
    node_id = _node_id(writer, key)
    if node_id is None:
        return {}
    found = {}
    for epoch in epochs:
        place = (node_id, stream, epoch)
        row = writer.one(writer.statements.find_epoch, place)
        if row is None and _revive(writer, place):
            row = writer.one(writer.statements.find_epoch, place)
        if row is not None:
            found[epoch] = cursors.cursor_of(row)
    return found


def unfinished(writer: Writer, key: NodeKey, stream: int) -> list[EpochCursor]:
    """The cursors whose end is unknown or not reached, oldest first."""
    node_id = _node_id(writer, key)
    if node_id is None:
        return []
    place = (node_id, stream)
    rows = writer.all(writer.statements.unfinished, place)
    if len(rows) > 1:  # their order shows in the whole chain only; a node that cron starts has a long one
        rows = writer.all(writer.statements.epochs, place)
    return cursors.unfinished(rows)


def batch_digest(writer: Writer, key: NodeKey, stream: int, epoch: bytes, last: int) -> bytes | None:
    """The digest of the stored or quarantined batch that ends at `last`, None when there is none, or its header is gone."""
    for head, first, count in _batches_at(writer, key, stream, epoch, last):
        if first + count - 1 == last:
            return digest(head)
    return None


def spans(writer: Writer, key: NodeKey, stream: int, epoch: bytes, seq: int) -> bool:
    """Whether one batch that is stored or in quarantine holds both `seq` and what follows it, as far as headers are kept."""
    found = _batches_at(writer, key, stream, epoch, seq)
    return any(first + count - 1 > seq for _head, first, count in found)


def _batches_at(
    writer: Writer, key: NodeKey, stream: int, epoch: bytes, seq: int
) -> Iterator[tuple[bytes, int, int]]:
    """Header, first and count of the last batches that begin at `seq` or before."""
    node_id = _node_id(writer, key)
    row = None if node_id is None else writer.one(writer.statements.find_epoch, (node_id, stream, epoch))
    if row is None:
        return
    for text in (writer.statements.header, writer.statements.quarantined_header):
        found = writer.one(text, (row[0], seq))
        if found is not None:
            yield bytes(found[0]), int(found[1]), int(found[2])


def _node_id(writer: Writer, key: NodeKey) -> int | None:
    row = writer.one(writer.statements.find_node, (key.zone, key.node))
    return None if row is None else int(row[0])


def _revive(writer: Writer, place: tuple[int, int, bytes]) -> bool:
    """Make a cursor again of an epoch that was forgotten; whether it was one."""
    row = writer.one(writer.statements.find_past, place)
    if row is None:
        return False
    ended = int(row[0])
    ranges = Ranges([Range(1, ended, UNKNOWN, UNKNOWN)] if ended else [])
    state: tuple[Any, ...] = (1, ranges.encode(), None, 0, 1, ended, 1)
    writer.begin()
    writer.one(writer.statements.add_epoch, (*place, *state, 0))
    writer.run(writer.statements.forget_past, place)
    writer.commit()
    return True
