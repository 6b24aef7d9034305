"""Ending an epoch before its end, and carrying what it kept from there on into a new one.

All new files are written and synced under temporary names; then a manifest gets its name, and from that
moment on the fork has happened: `finish_fork` renames and removes what the manifest lists, now or at the
next start. Before that moment, the next start removes the temporary files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from tabard import failpoints
from tabard.agents.journal.frames import encode_batch
from tabard.agents.journal.gaps import GapMaker, chain_digest
from tabard.agents.journal.mend import Expect, mend, mended_head, mended_image
from tabard.agents.journal.segment import Head, Segment, encode_head, segment_name
from tabard.agents.journal.shelf import MANIFEST, Shelf
from tabard.brokers.delivery.seal import Seal
from tabard.brokers.wire.batch import OPEN, Batch, seal_batch
from tabard.brokers.wire.codec import pack, unpack
from tabard.errors import WireError

FORK_WRITTEN = failpoints.declare(
    "journal.fork_written", "past deciding a fork, before old segments are removed"
)
_MAX_MANIFEST: Final = 1 << 20


class Cut(NamedTuple):
    """Where an epoch is to end."""

    epoch: bytes
    last: int
    digest: bytes


def carried(batches: Iterable[Batch], opening: Batch, seal: Seal) -> Iterator[Batch]:
    """`opening`, and after it the bodies of `batches` byte for byte under the sequence numbers that follow."""
    yield opening
    last, chain = opening.header.last, opening.digest
    for batch in batches:
        if batch.header.kind == OPEN:
            continue
        header = batch.header._replace(
            epoch=opening.header.epoch, key_id=seal.key_id, first=last + 1, previous=chain
        )
        moved = seal_batch(header, batch.body, seal.sign)
        last, chain = header.last, chain_digest(moved)
        yield moved


def write_fork(
    shelf: Shelf,
    segments: list[Segment],
    cut: Cut,
    batches: Iterable[Batch],
    new_head: Callable[[Batch], Head],
    marks: bytes,
    roll_at: int,
    number: int,
    gaps: GapMaker,
) -> int:
    """Write `batches` as a new epoch in segments from `number` on, end the epoch of `segments`, and decide.

    Returns the number after the last one used. Raises OSError; then nothing has happened.
    """
    written = _write_epoch(shelf, batches, new_head, marks, roll_at, number)
    try:
        changed, remove = _write_cut(shelf, segments, cut, gaps)
        written.append(changed)
        _decide(shelf, written, remove)
    except OSError:
        _remove_unfinished(shelf, written)
        raise
    failpoints.hit(FORK_WRITTEN)
    return number + len(written) - 1


def _write_epoch(
    shelf: Shelf,
    batches: Iterable[Batch],
    new_head: Callable[[Batch], Head],
    marks: bytes,
    roll_at: int,
    number: int,
) -> list[int]:
    numbers: list[int] = []
    try:
        for group in _grouped(batches, roll_at):
            head = new_head(group[0])
            frames = [encode_batch(batch, head.kept) for batch in group]
            shelf.write_whole(segment_name(number), [encode_head(head), marks, *frames])
            numbers.append(number)
            number += 1
    except OSError:
        _remove_unfinished(shelf, numbers)
        raise
    return numbers


def _grouped(batches: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    """Runs of consecutive batches of at least `size` bytes, but for the last run."""
    group: list[Batch] = []
    room = size
    for batch in batches:
        group.append(batch)
        room -= batch.size
        if room <= 0:
            yield group
            group, room = [], size
    if group:
        yield group


def _remove_unfinished(shelf: Shelf, numbers: Iterable[int]) -> None:
    """Take away what was written for a fork that is not to be."""
    for number in numbers:
        shelf.remove_temporary(segment_name(number))


def _write_cut(shelf: Shelf, segments: list[Segment], cut: Cut, gaps: GapMaker) -> tuple[int, list[int]]:
    """Write, under a temporary name, what is left of an epoch's last segment.

    Returns its number and those of the segments of which nothing is left. One always stays, empty if it
    must be, to say where the epoch ended. Raises OSError.
    """
    kept = [segment for segment in segments if segment.base <= cut.last] or segments[:1]
    target = kept[-1]
    head = target.head
    if head.base > cut.last:
        head = head._replace(
            base=cut.last + 1, previous=cut.digest, end=cut.last, digest=cut.digest, gap=False
        )
        image: Iterable[bytes] = [encode_head(head._replace(cut=True))]
    else:
        data = shelf.read(target.name)
        mended = mend(data, Expect(head.epoch, head.base, head.previous, cut.last, cut.digest), gaps)
        image = mended_image(mended_head(head, mended)._replace(cut=True), mended, data)
    shelf.write_whole(target.name, image)
    return target.number, [
        segment.number for segment in segments if segment.base > cut.last and segment is not target
    ]


def _decide(shelf: Shelf, rename: list[int], remove: list[int]) -> None:
    """Make the fork happen: from here on it is finished, if not now, at the next start.

    Raises OSError; then it has not happened.
    """
    shelf.sync()
    shelf.write_whole(MANIFEST, [pack([rename, remove])])
    try:
        shelf.adopt(MANIFEST)
    except OSError:
        shelf.remove_temporary(MANIFEST)
        raise


def finish_fork(shelf: Shelf) -> None:
    """Rename and remove what a manifest lists, if there is one. Raises OSError; the next call goes on."""
    if shelf.stat(MANIFEST) is None:
        return
    shelf.sync()  # before anything else: the manifest itself must not be lost any more
    try:
        rename, remove = unpack(shelf.read(MANIFEST), limit=_MAX_MANIFEST, items=_MAX_MANIFEST)
    except (WireError, ValueError, TypeError):
        shelf.set_aside(MANIFEST, "it is unreadable: a fork of the journal may be half done")
        return
    for number in rename:
        shelf.adopt(segment_name(number))
    for number in remove:
        shelf.discard(segment_name(number))
    shelf.sync()
    shelf.discard(MANIFEST)
    shelf.sync()
