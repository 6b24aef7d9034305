"""The rows of an outbox: its epochs, batches and marks, read and written inside whatever transaction is under way."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from tabard.agents.journal.gaps import DAMAGED, Dropped, GapMaker, chain_digest
from tabard.brokers.delivery.ranges import Ranges
from tabard.brokers.wire.batch import NO_DIGEST, Batch, check_batch
from tabard.brokers.wire.codec import pack, unpack
from tabard.errors import WireError


class KeptEpoch(NamedTuple):
    """What the outbox keeps of an epoch."""

    row: int
    """Its id in the database."""
    oldest: int
    last: int
    digest: bytes
    """Digest after `last`."""


class Found(NamedTuple):
    """A batch as its row holds it."""

    rowid: int
    batch: Batch
    damaged: bool
    """The row does not hold what was committed: `batch` is a gap in its place."""


def load_epochs(db: sqlite3.Connection) -> dict[bytes, KeptEpoch]:
    """All epochs by name, oldest first."""
    oldest = dict(db.execute("SELECT epoch, min(first) FROM outbox_batch GROUP BY epoch"))
    rows = db.execute("SELECT id, uid, last, digest FROM outbox_epoch ORDER BY id").fetchall()
    return {uid: KeptEpoch(row, oldest.get(row, last + 1), last, digest) for row, uid, last, digest in rows}


def load_marks(db: sqlite3.Connection) -> dict[str, Any]:
    """Every source's mark, the source heard of last at the end; one that cannot be read is left out."""
    marks = {}
    for source, mark in db.execute("SELECT source, mark FROM outbox_mark ORDER BY id"):
        try:
            marks[source] = unpack(mark)
        except WireError:
            continue
    return marks


def find_batch(
    db: sqlite3.Connection, epoch: bytes, known: KeptEpoch, seq: int, gaps: GapMaker
) -> Found | None:
    """The batch of an epoch that holds `seq`, None when it is not kept."""
    found = db.execute(
        "SELECT rowid, first, last, previous, digest, head, signature, body FROM outbox_batch"
        " WHERE epoch = ? AND first <= ? ORDER BY first DESC LIMIT 1",
        (known.row, seq),
    ).fetchone()
    if found is None or found[2] < seq:
        return None
    rowid, first, last, previous, digest, head, signature, body = found
    try:
        batch = check_batch(head, signature, body)
    except WireError:
        batch = None
    if batch and (batch.header.epoch, batch.header.first, chain_digest(batch)) == (epoch, first, digest):
        return Found(rowid, batch, damaged=False)
    return Found(rowid, gaps.make(Dropped(epoch, first, last, previous, digest), DAMAGED), damaged=True)


def replace_batch(db: sqlite3.Connection, rowid: int, batch: Batch) -> None:
    """Put another batch into a row."""
    db.execute(
        "UPDATE outbox_batch SET head = ?, signature = ?, body = ? WHERE rowid = ?",
        (batch.head, batch.signature, batch.body, rowid),
    )


def stored_rows(
    db: sqlite3.Connection, epochs: Mapping[bytes, KeptEpoch], stored: Mapping[bytes, Ranges]
) -> list[tuple[int, int]]:
    """Row and size of the batches that are stored everywhere, oldest first, up to the first that is not."""
    rows: list[tuple[int, int]] = []
    newest = next(reversed(list(epochs)), None)
    for uid, epoch in epochs.items():
        held = stored[uid].covering(epoch.oldest) if uid in stored else None
        upto = held.hi if held else 0
        if uid == newest:
            upto = min(upto, epoch.last - 1)  # the newest batch stays, for sinks to compare histories by
        rows += db.execute(
            "SELECT rowid, size FROM outbox_batch WHERE epoch = ? AND last <= ? ORDER BY first",
            (epoch.row, upto),
        )
        if upto < epoch.last:
            break
    return rows


def kept_between(db: sqlite3.Connection, epoch: KeptEpoch, lo: int, hi: int) -> int:
    """Bytes of the batches of an epoch that hold any of these sequence numbers."""
    found = db.execute(
        "SELECT coalesce(sum(size), 0) FROM outbox_batch WHERE epoch = ? AND last >= ? AND first <= ?",
        (epoch.row, lo, hi),
    ).fetchone()
    return int(found[0])


def insert_epoch(db: sqlite3.Connection, uid: bytes, row: int | None = None) -> KeptEpoch:
    """Begin an epoch that holds nothing yet, with the next row id or with `row`."""
    cursor = db.execute(
        "INSERT INTO outbox_epoch (id, uid, last, digest) VALUES (?, ?, 0, ?)", (row, uid, NO_DIGEST)
    )
    return KeptEpoch(cursor.lastrowid or 0, 1, 0, NO_DIGEST)


def insert_batch(db: sqlite3.Connection, epoch: KeptEpoch, batch: Batch) -> KeptEpoch:
    """Put a batch at the end of an epoch; what is kept of that now."""
    header = batch.header
    digest = chain_digest(batch)
    db.execute(
        "INSERT INTO outbox_batch (epoch, first, last, previous, digest, size, head, signature, body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            epoch.row,
            header.first,
            header.last,
            header.previous,
            digest,
            batch.size,
            batch.head,
            batch.signature,
            batch.body,
        ),
    )
    db.execute("UPDATE outbox_epoch SET last = ?, digest = ? WHERE id = ?", (header.last, digest, epoch.row))
    return epoch._replace(last=header.last, digest=digest)


COMMANDS_LOST: Final = "commands lost"
"""The mark of an outbox that lost something: commands may have been executed that it does not know."""


def mark_begun(db: sqlite3.Connection, *, lost: bool) -> bool:
    """Note that an epoch is begun, and whether something was lost before it; whether the one before was closed in order."""
    state = db.execute("SELECT clean FROM outbox_state").fetchone()
    db.execute("INSERT OR REPLACE INTO outbox_state (only, clean) VALUES (1, 0)")
    if lost:
        insert_mark(db, COMMANDS_LOST, True)
    return state is None or state[0] == 1


def insert_mark(db: sqlite3.Connection, source: str, mark: Any) -> None:
    """Remember how far a source was read."""
    db.execute("INSERT OR REPLACE INTO outbox_mark (source, mark) VALUES (?, ?)", (source, pack(mark)))
