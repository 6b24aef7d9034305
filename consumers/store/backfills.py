"""What was asked for again: the ranges of gaps and of what was skipped are opened in the cursors, a few at a time.

A cursor that does not cover a range any more is all it takes: the sink sees a hole and asks for it as for any other, at
the rate of its credit, beside what is new. What comes takes its place out of the gap in the transaction of its rows
(`sinks.fill`). What the node does not keep closes again as it was, and says nothing that is not said already. So it may be asked
as often as one likes, by whomever, and may be broken off at any point.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from tabard.brokers.delivery.book import forked_id
from tabard.brokers.delivery.ports import CursorConflict, EpochCursor, NodeKey
from tabard.brokers.delivery.ranges import MAX_RANGES, UNKNOWN, Range, Ranges
from tabard.brokers.wire.streams import STREAM_NAMES
from tabard.consumers.store.cursors import cursor_of, state_of
from tabard.consumers.store.writing import Writer
from tabard.records import clean_text

ROUND: Final = 64
"""Rows of gaps that are opened at a time."""
_ID: Final = 0


class Backfill(NamedTuple):
    """One stream of a node of which something was asked for again and is not all looked for."""

    id: int
    key: NodeKey
    stream: int
    upto_gap: int
    at_gap: int
    upto_skip: int
    at_skip: int


class Wanted(NamedTuple):
    """What is asked for again of one stream of a node."""

    key: NodeKey
    stream: str
    asked: int
    """Records; of those that are asked for already, how many are still to come."""
    new: bool
    """Whether nobody had asked before."""


class Hole(NamedTuple):
    """A range that was opened."""

    epoch: bytes
    first: int
    last: int


def ask(writer: Writer, node: str | None, zone: str | None, who: str, now: int) -> list[Wanted]:
    """Ask for all that exact gaps and skips stand for, of one node, of a zone and those below it, or of all."""
    texts = writer.sinks
    found: dict[tuple[int, NodeKey, int], list[int]] = {}
    for text, place in ((texts.gaps_by_stream, 0), (texts.skips_by_stream, 1)):
        for node_id, name, at, stream, upto, count, since in writer.all(text, ()):
            if (node is None or name == node) and (zone is None or f"{at}/".startswith(f"{zone}/")):
                row = found.setdefault((int(node_id), NodeKey(name, at), int(stream)), [0, 0, 0, now])
                row[place] = int(upto)
                row[2] += int(count)
                row[3] = max(row[3], int(since))
    wanted = []
    for (node_id, key, stream), (gaps, skips, count, since) in sorted(found.items()):
        there = writer.one(texts.backfill_of, (node_id, stream))
        if there is None:
            values = (node_id, stream, gaps, 0, skips, 0, count, 0, clean_text(who), since)
            writer.run(texts.add_backfill, values)
            wanted.append(Wanted(key, STREAM_NAMES[stream], count, new=True))
        else:
            wanted.append(Wanted(key, STREAM_NAMES[stream], int(there[0]) - int(there[1]), new=False))
    return wanted


def waiting(writer: Writer) -> list[Backfill]:
    """Those that are not over, in the order they were asked for."""
    return [
        Backfill(int(row[0]), NodeKey(row[2], row[1]), *(int(value) for value in row[3:]))
        for row in writer.all(writer.sinks.backfills, ())
    ]


def opened(writer: Writer, backfill: Backfill) -> list[Hole]:
    """The ranges that were opened and are neither filled nor closed again."""
    place = (backfill.key.zone, backfill.key.node, backfill.stream)
    cursors: dict[bytes, EpochCursor] = {}
    holes = []
    for text, at in ((writer.sinks.gaps_upto, backfill.at_gap), (writer.sinks.skips_upto, backfill.at_skip)):
        for _row_id, name, first, last in writer.all(text, (*place, at, ROUND)):
            uid = bytes(name)
            if uid not in cursors:
                cursors[uid] = _cursor(writer, backfill, uid)[1]
            if cursors[uid].ranges.holes(int(last), int(first)):
                holes.append(Hole(uid, int(first), int(last)))
    return holes


def reopen(writer: Writer, backfill: Backfill) -> int | None:
    """Open the next few ranges, in one transaction; how many, None when all were asked for. Raises CursorConflict.

    None can be opened as long as a cursor has no room for one more hole.
    """
    rows = _rows(writer, backfill)
    if not rows:
        return None
    writer.begin()
    at = [backfill.at_gap, backfill.at_skip]
    known: dict[bytes, tuple[int, EpochCursor]] = {}
    changed: set[bytes] = set()
    opened = 0
    for uid, which, row_id, first, last in rows:
        if uid not in known:
            known[uid] = _cursor(writer, backfill, uid)
        cursor = known[uid][1]
        ranges = _punched(cursor.ranges, first, last)
        if len(ranges) > MAX_RANGES - 1:
            break  # when those before it are closed there is room for it
        if not _is_forked(writer, backfill, cursor):
            cursor.ranges = ranges
            changed.add(uid)
            opened += 1
        at[which] = row_id
    states = [
        (*state_of(cursor, cursor.version + 1), epoch_id, cursor.version)
        for uid, (epoch_id, cursor) in known.items()
        if uid in changed
    ]
    if states and writer.set_cursors(states) != len(states):
        raise CursorConflict("a cursor was changed while a range of it was opened")
    writer.run(writer.sinks.advance_backfill, (*at, backfill.id))
    writer.commit()
    return opened


def settle(writer: Writer, backfill: Backfill, ended: int | None) -> None:
    """Count what has come by now; with `ended` it is over."""
    node = writer.one(writer.statements.find_node, (backfill.key.zone, backfill.key.node))
    row = writer.one(writer.sinks.backfill_of, (node[0], backfill.stream)) if node else None
    if node is None or row is None:
        return
    asked, _came, since = (int(value) for value in row)
    place = (node[0], backfill.stream, since)
    left = sum(
        int(found[0])
        for text in (writer.sinks.gaps_left, writer.sinks.skips_left)
        if (found := writer.one(text, place)) is not None
    )
    writer.run(writer.sinks.settle_backfill, (max(asked - left, 0), ended, backfill.id))


def _rows(writer: Writer, backfill: Backfill) -> list[tuple[bytes, int, int, int, int]]:
    """Of those to be opened next the name of the epoch, 0 for a gap and 1 for a skip, id, first, last."""
    found: list[tuple[bytes, int, int, int, int]] = []
    texts = writer.sinks
    lanes = (
        (texts.gaps_between, backfill.at_gap, backfill.upto_gap),
        (texts.skips_between, backfill.at_skip, backfill.upto_skip),
    )
    for which, (text, low, high) in enumerate(lanes):
        if high > low and len(found) < ROUND:
            place = (backfill.key.zone, backfill.key.node, backfill.stream, low, high, ROUND - len(found))
            found += [
                (bytes(uid), which, int(row_id), int(first), int(last))
                for row_id, uid, first, last in writer.all(text, place)
            ]
    return found


def _cursor(writer: Writer, backfill: Backfill, uid: bytes) -> tuple[int, EpochCursor]:
    node = writer.one(writer.statements.find_node, (backfill.key.zone, backfill.key.node))
    row: Sequence[object] | None = (
        writer.one(writer.statements.find_epoch, (node[0], backfill.stream, uid)) if node else None
    )
    if row is None:
        raise CursorConflict(f"epoch {uid.hex()} is not in the store any more")
    return int(str(row[_ID])), cursor_of(row)


def _is_forked(writer: Writer, backfill: Backfill, cursor: EpochCursor) -> bool:
    """Whether it is one of two histories of an epoch: what their node keeps would be taken for the other's."""
    later = writer.one(writer.sinks.epoch_called, (backfill.stream, forked_id(cursor.epoch)))
    return later is not None or (cursor.previous is not None and cursor.epoch == forked_id(cursor.previous))


def _punched(ranges: Ranges, first: int, last: int) -> Ranges:
    """The ranges without a closed range; the digests at its edges are not known any more."""
    left = Ranges()
    for item in ranges:
        if item.hi < first or last < item.lo:
            left.items.append(item)
            continue
        if item.lo < first:
            left.items.append(Range(item.lo, first - 1, item.before, UNKNOWN))
        if last < item.hi:
            left.items.append(Range(last + 1, item.hi, UNKNOWN, item.after))
    return left
