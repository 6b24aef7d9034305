"""Holding an outbox against the note of how far it was committed, and filling in what it lacks."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from tabard.agents.journal.author import Opening
from tabard.agents.journal.gaps import DAMAGED, Dropped, GapMaker
from tabard.agents.journal.outbox_rows import KeptEpoch, insert_batch, insert_epoch
from tabard.agents.journal.tidemark import Note, Tidemark


class CommitNote:
    """What is known of the end of an outbox beside its database. Without a `tidemark`: nothing."""

    def __init__(self, tidemark: Tidemark | None, boot: str) -> None:
        self._tidemark = tidemark
        self._boot = boot
        self.missed: Note | None = None
        """What was once committed and is missing, until a gap says so."""

    def compare(self, epochs: Mapping[bytes, KeptEpoch]) -> bool:
        """Whether all that was committed is there. Raises OSError when the note cannot be opened."""
        note = self._tidemark.read() if self._tidemark else None
        self.missed = note if note is not None and _lacks(epochs, note) else None
        return self.missed is None

    def fill_in(self, db: sqlite3.Connection, epochs: dict[bytes, KeptEpoch], gaps: GapMaker) -> int:
        """Put a gap where records are missed, as part of a transaction; its bytes."""
        note = self.missed
        if note is None:
            return 0
        taken = any(epoch.row >= note.number for epoch in epochs.values())
        epoch = epochs.get(note.epoch) or insert_epoch(db, note.epoch, None if taken else note.number)
        size = 0
        if epoch.last < note.last:
            dropped = Dropped(note.epoch, epoch.last + 1, note.last, epoch.digest, note.digest)
            gap = gaps.make(dropped, DAMAGED)
            epoch = insert_batch(db, epoch, gap)
            size = gap.size
        epochs[note.epoch] = epoch
        return size

    def write(self, epochs: Mapping[bytes, KeptEpoch], *, closed: bool = False) -> None:
        """Note how far it is committed now."""
        if self.missed is not None and not _lacks(epochs, self.missed):
            self.missed = None
        if self._tidemark is not None and epochs:
            uid, epoch = next(reversed(list(epochs.items())))
            self._tidemark.write(Note(epoch.row, uid, epoch.last, epoch.digest, self._boot, closed))

    def close(self) -> None:
        """Give the file back; the next note opens it again."""
        if self._tidemark is not None:
            self._tidemark.close()


def _lacks(epochs: Mapping[bytes, KeptEpoch], note: Note) -> bool:
    """Whether what is there ends before `note`, or otherwise."""
    newest = next(reversed(list(epochs.items())), None)
    if newest is None or newest[1].row < note.number:
        return True
    uid, epoch = newest
    if epoch.row > note.number:
        return False
    altered = epoch.last == note.last and epoch.digest != note.digest
    return uid != note.epoch or epoch.last < note.last or altered


def after_loss(lost: int) -> Opening:
    """What the epoch says that follows a database which lost something: at least so many records."""
    return Opening("doubt", clean=False, lost=lost, doubt="the outbox lost something that it had committed")
