"""Reading the files of a journal for their own sake: of any journal, also one that no agent of this host wrote. Nothing is written.

Which files count, and up to where, is what the agent itself goes by: what lies beyond the end that a later file states was never
accepted, and a gap that was to take the place of others takes it.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, NamedTuple

from tabard.agents.journal.chain import CUT, DAMAGED, MISSING, UNFINISHED, Chain
from tabard.agents.journal.disk import Disk, RealDisk
from tabard.agents.journal.frames import HEAD, Damage, walk
from tabard.agents.journal.mend import may_be_unfinished
from tabard.agents.journal.outbox_file import BESIDE
from tabard.agents.journal.outbox_file import FILE as OUTBOX
from tabard.agents.journal.segment import (
    FIRST_FRAME,
    HEAD_WINDOW,
    Head,
    SegmentDamaged,
    Tip,
    read_head,
    segment_name,
    segment_number,
    unfinished_start,
)
from tabard.agents.journal.tidemark import FILE as TIDEMARK
from tabard.agents.journal.tidemark import Note, Tidemark
from tabard.brokers.wire.batch import KINDS, check_batch
from tabard.brokers.wire.streams import CONTROL
from tabard.errors import WireError

_NOTED: Final = "the note beside it"
_LATER: Final = "the file after it"


class _File(NamedTuple):
    number: int
    head: Head | None
    """None when it cannot be read."""


def read_journal(directory: str, chain: Chain, disk: Disk | None = None) -> None:
    """Take what is in the `directory` of one stream through `chain`. Raises OSError when that cannot be read."""
    disk = disk or RealDisk()
    if chain.stream == CONTROL:
        _read_outbox(directory, chain)
    else:
        _Segments(directory, chain, disk).read()


def is_journal(directory: Path) -> bool:
    """Whether it is the directory of a stream, as far as the names in it say so."""
    names = [path.name for path in directory.iterdir()] if directory.is_dir() else []
    return OUTBOX in names or TIDEMARK in names or any(segment_number(name) is not None for name in names)


class _Segments:
    def __init__(self, directory: str, chain: Chain, disk: Disk) -> None:
        self._directory = directory
        self._chain = chain
        self._disk = disk

    def read(self) -> None:
        numbers = sorted(filter(None, map(segment_number, self._disk.names(self._directory))))
        found = [_File(number, self._head(number, newest=number == numbers[-1])) for number in numbers]
        files = _valid(found)
        for place, file in enumerate(files):
            self._read(file, files[place + 1] if place + 1 < len(files) else None)
        note = Tidemark(self._disk, f"{self._directory}/{TIDEMARK}").read()
        if note is not None and max(numbers, default=0) <= note.number:
            _hold(self._chain, note)

    def _data(self, number: int, size: int | None = None) -> bytes:
        """The first `size` bytes of a file, or all."""
        file = self._disk.open(f"{self._directory}/{segment_name(number)}")
        try:
            return file.read_at(file.stat().size if size is None else size, 0)
        finally:
            file.close()

    def _head(self, number: int, *, newest: bool) -> Head | None:
        try:
            return read_head(self._data(number, HEAD_WINDOW))
        except SegmentDamaged as damage:
            begun = newest and unfinished_start(
                self._data(number)
            )  # its writer died in its first write: it held nothing
            what = UNFINISHED if begun else DAMAGED
            self._chain.find(b"", None, None, what, f"{segment_name(number)}: {damage}")
            return None

    def _read(self, file: _File, following: _File | None) -> None:
        head, chain = file.head, self._chain
        tip: Tip | None = None
        if head is not None:
            if head.prior is not None and chain.epochs:
                prior, says = head.prior, "the head of the file after it"
                chain.ends(prior.epoch, prior.last, prior.digest, what=MISSING, says=says)
            if head.stated_end is not None:
                tip = Tip(head.end, head.digest)
            elif following is not None and following.head is not None:
                tip = head.ended_by(following.head)
        self._frames(file, tip.last if tip else None, newest=following is None)
        if head is not None and tip is not None and tip.last >= head.base:
            chain.ends(
                head.epoch, tip.last, tip.digest, what=MISSING, says=_LATER if following else "its own head"
            )

    def _frames(self, file: _File, end: int | None, *, newest: bool) -> None:
        data, chain = self._data(file.number), self._chain
        epoch = file.head.epoch if file.head else b""
        last = file.head.base - 1 if file.head else 0
        for piece in walk(data, FIRST_FRAME):
            if end is not None and last >= end:
                return  # what follows was never accepted
            if isinstance(piece, Damage):
                if file.head is None and piece.offset == FIRST_FRAME:
                    continue  # it is said already
                last = self._damage(file, piece, epoch, last, data if newest else b"")
            elif piece.batch is not None:
                header = piece.batch.header
                if end is not None and header.last > end:
                    continue
                epoch, last = header.epoch, header.last
                chain.batch(piece.batch)

    def _damage(self, file: _File, damage: Damage, epoch: bytes, last: int, tail: bytes) -> int:
        """Note it; the last number that is accounted for. `tail` is the data of the newest file, else empty."""
        prefix, where = damage.prefix, f"{segment_name(file.number)} from byte {damage.offset}"
        if tail and damage.end == len(tail) and may_be_unfinished(tail, damage, last + 1):
            self._chain.find(epoch, None, None, UNFINISHED, where)
        elif damage.whole and prefix and prefix.kind in KINDS and prefix.width and prefix.first == last + 1:
            self._chain.ruined(epoch, prefix.first, prefix.last, damage.digest, where)
            return prefix.last
        elif prefix is None or prefix.kind != HEAD:
            self._chain.find(epoch, None, None, DAMAGED, where)
        return last


def _valid(files: Sequence[_File]) -> list[_File]:
    """Without those whose place a gap took, and whose names were still there when its writer died."""
    kept: list[_File] = []
    for file in files:
        head = file.head
        while head is not None and kept and (before := kept[-1].head) and head.replaces(before):
            kept.pop()
        kept.append(file)
    return kept


def _hold(chain: Chain, note: Note) -> None:
    """Hold the end of a journal against the note of it."""
    chain.ends(note.epoch, note.last, note.digest, what=CUT, says=_NOTED)


def _read_outbox(directory: str, chain: Chain) -> None:
    path = Path(directory, OUTBOX)
    number = 0
    if path.exists():
        with tempfile.TemporaryDirectory() as room:
            copy = _copied(path, room)
            try:
                with closing(sqlite3.connect(copy)) as db:
                    found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
                    if found != "ok":
                        chain.find(b"", None, None, DAMAGED, f"{OUTBOX}: {found}")
                    number = _read_rows(db, chain)
            except sqlite3.DatabaseError as error:
                chain.find(b"", None, None, DAMAGED, f"{OUTBOX}: {error}")
    note = Tidemark(RealDisk(), f"{directory}/{TIDEMARK}").read()
    if note is not None and number <= note.number:
        _hold(chain, note)


def _copied(path: Path, room: str) -> Path:
    """A copy of a database, with what lies beside it: a host that died in a transaction left one to be undone, which writes."""
    for part in ("", *BESIDE):
        with suppress(FileNotFoundError):
            shutil.copyfile(f"{path}{part}", Path(room, f"{OUTBOX}{part}"))
    return Path(room, OUTBOX)


def _read_rows(db: sqlite3.Connection, chain: Chain) -> int:
    """The number of the newest epoch, 0 when there is none."""
    epochs = db.execute("SELECT id, uid, last, digest FROM outbox_epoch ORDER BY id").fetchall()
    for number, epoch, last, digest in epochs:
        rows = db.execute(
            "SELECT first, last, digest, head, signature, body FROM outbox_batch WHERE epoch = ? ORDER BY first",
            (number,),
        )
        held = False
        for first, end, after, head, signature, body in rows:
            held = True
            try:
                batch = check_batch(head, signature, body)
            except WireError as error:
                chain.ruined(epoch, first, end, after, f"{OUTBOX}: {error}")
                continue
            header = batch.header
            if (header.epoch, header.first, header.last) != (epoch, first, end):
                chain.ruined(epoch, first, end, after, f"{OUTBOX}: a batch in another one's place")
                continue
            chain.batch(batch)
        if held or (number, epoch) == epochs[-1][:2]:  # of older ones all may be stored, and let go of
            chain.ends(epoch, last, digest, what=MISSING, says="the table of its epochs")
    return int(epochs[-1][0]) if epochs else 0
