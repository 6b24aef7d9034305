"""The journal of one stream: frames in segments, an epoch for every start, gaps where it had to drop.

A frame that `Journal.append` returned survives the death of the process; one that was synced after
survives a power cut. Nothing here waits for a sink, and nothing is sent from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tabard.agents.journal.aging import JournalTime
from tabard.agents.journal.catalog import Catalog
from tabard.agents.journal.disk import Disk
from tabard.agents.journal.faults import DiskRefused, Fault, Faults
from tabard.agents.journal.fork import Cut, carried, write_fork
from tabard.agents.journal.gaps import GapMaker
from tabard.agents.journal.limits import MAX_MARKS, MAX_SEGMENTS, Limits
from tabard.agents.journal.opening import Opening, Owner, open_body
from tabard.agents.journal.quota import Quota
from tabard.agents.journal.reader import SegmentReader
from tabard.agents.journal.recent import Recent
from tabard.agents.journal.recover import Recovery, account_for
from tabard.agents.journal.segment import Head, Prior, Segment, encode_marks
from tabard.agents.journal.shelf import Shelf
from tabard.agents.journal.unsynced import Unsynced
from tabard.agents.journal.writer import SyncJob, Writer, reopen_segment, start_segment
from tabard.brokers.delivery.ports import EpochSpan
from tabard.brokers.delivery.ranges import Ranges
from tabard.brokers.delivery.seal import Seal
from tabard.brokers.wire.batch import (
    DATA,
    EPOCH_BYTES,
    NO_DIGEST,
    OPEN,
    Batch,
    Header,
    body_digest,
    seal_batch,
)
from tabard.brokers.wire.codec import pack
from tabard.clock import Clock

_AGE_SHARE = 8
"""A segment grows for at most this part of the journal's age limit, so that little goes at once."""


@dataclass(frozen=True, slots=True)
class Stats:
    """Where a journal stands."""

    bytes: int
    """Bytes on disk."""
    segments: int
    unsynced: int
    """Bytes that a power cut would take."""
    oldest_age: float
    """Seconds, by journal time, since the oldest segment began."""
    dropped: int
    """Records that gave way to gaps since it was opened."""
    mended: int
    """Segments found damaged since it was opened."""


class Journal:
    """One stream's journal (`ports.StreamJournal`). Owned by one thread; only `SyncJob.run` may run in another."""

    def __init__(
        self,
        shelf: Shelf,
        stream: int,
        *,
        limits: Limits,
        clock: Clock,
        seal: Seal,
        entropy: Callable[[int], bytes],
        owner: Owner,
    ) -> None:
        self.stream = stream
        self.marks: dict[str, Any] = {}
        """Every intake source's mark as of the last frame kept; the source heard of last stands last."""
        self._shelf = shelf
        self._limits = limits
        self._clock = clock
        self._time = JournalTime(clock, owner.boot)
        self._seal = seal
        self._entropy = entropy
        self._owner = owner
        self._gaps = GapMaker(stream, seal)
        self._catalog = Catalog()
        self._reader = SegmentReader(shelf, self._catalog, self._gaps)
        self._unsynced = Unsynced(shelf)
        self._quota = Quota(shelf, self._catalog, self._reader, self._gaps, self._unsynced.discard)
        self._recent = Recent(limits.recent)
        self._writer: Writer | None = None
        self._next_number = 1
        self._opening = Opening("start")
        """What the next epoch's OPEN has to say."""
        self._stale = False
        """The files could not be read anew after they changed: to be tried again."""
        self._spans: tuple[tuple[int, Prior | None], tuple[EpochSpan, ...]] = ((-1, None), ())
        """The spans, and what they were made of."""

    @classmethod
    def open(
        cls,
        disk: Disk,
        directory: str,
        stream: int,
        *,
        limits: Limits,
        clock: Clock,
        seal: Seal,
        entropy: Callable[[int], bytes],
        boot: str,
        node: str,
        zone: str,
        version: str,
    ) -> Journal:
        """Recover what `directory` holds and begin a new epoch.

        On a disk that takes no writes the journal opens all the same: what is there can be read, and
        every `append` tries again to begin the epoch.

        Args:
            disk: where the files are.
            directory: the journal's own directory; made if missing.
            stream: the stream's id.
            limits: its bounds.
            clock: monotonic for ages, wall for stamps.
            seal: signs the batches.
            entropy: as many random bytes as asked for; names epochs.
            boot: changes with every boot of the host.
            node: this node's name, for the OPEN.
            zone: this node's zone path, for the OPEN.
            version: the agent's version, for the OPEN.

        Raises:
            JournalError: the directory cannot be used at all.
        """
        shelf = Shelf(disk, directory, Faults(clock))
        journal = cls(
            shelf,
            stream,
            limits=limits,
            clock=clock,
            seal=seal,
            entropy=entropy,
            owner=Owner(boot, node, zone, version),
        )
        journal._recover()
        # What fails here is noted as a fault. Reading works, and append and sync try again.
        with suppress(DiskRefused):
            journal.sync()  # what a process that was killed left
        with suppress(DiskRefused):
            journal._begin()
            journal.sync()
        return journal

    def _recover(self) -> None:
        recovery = Recovery(self._shelf, self._catalog, self._reader, self._gaps, self.stream)
        try:
            found = recovery.run(self._owner.boot)
        except OSError as error:
            raise self._refused("the journal cannot be read now", error) from error
        self.marks = found.marks
        self._next_number = found.next_number
        self._time.resume(found.last, found.kept)
        for segment in found.unsynced:
            writer = reopen_segment(self._shelf, segment)
            if writer is not None:
                self._unsynced.add(writer)
        power = found.last is not None and found.last.boot != self._owner.boot and not found.closed
        self._opening = Opening("start", clean=found.closed, power=power, lost=found.lost)

    # --- writing -------------------------------------------------------------------------------

    def append(self, body: bytes, count: int, marks: Mapping[str, Any]) -> Batch:
        """Cut a batch of `count` records and write it, with the marks of the sources in it.

        Raises:
            JournalError: the disk refused; nothing was accepted (`retry` is true: try again later).
        """
        try:
            batch = self._append(body, count, marks)
        except DiskRefused as refused:
            if not refused.full or not self._make_room():
                raise
            batch = self._append(body, count, marks)
        for source, mark in marks.items():
            self.marks.pop(source, None)
            self.marks[source] = mark
            if len(self.marks) > MAX_MARKS:
                del self.marks[next(iter(self.marks))]
        self._recent.add(batch)
        return batch

    def _append(self, body: bytes, count: int, marks: Mapping[str, Any]) -> Batch:
        writer = self._ready_writer()
        segment = writer.segment
        header = Header(
            self.stream,
            DATA,
            segment.epoch,
            self._seal.key_id,
            segment.end + 1,
            count,
            body_digest(body),
            segment.digest,
        )
        batch = seal_batch(header, body, self._seal.sign)
        before = segment.footprint
        try:
            writer.append(batch, self._time.now(), pack(dict(marks)) if marks else b"")
        except OSError as error:
            raise self._refused("a batch cannot be written", error) from error
        self._catalog.bytes += segment.footprint - before
        return batch

    def _ready_writer(self) -> Writer:
        """The writer of a segment with room. Raises JournalError."""
        if self._stale:
            self._reload()
        writer = self._writer
        if writer is not None and writer.broken:
            self._put_away()
            self._opening = Opening("error")
            writer = None
        if writer is None:
            return self._begin()
        if writer.segment.size >= self._limits.roll_at:
            return self._roll()
        return writer

    def _make_room(self) -> bool:
        """On a full disk: remove all that is stored everywhere, the segment being written included."""
        before = self._catalog.bytes
        self._quota.drop_acked(0)
        writer = self._writer
        if self._catalog.bytes < before or writer is None or writer.segment.bare:
            return self._catalog.bytes < before
        if not self._quota.stores(writer.segment) or not self._shelf.give_reserve():
            return False
        segment = writer.segment
        try:
            self._roll()
        except DiskRefused:
            return False
        self._quota.drop_stored(segment)
        self._shelf.take_reserve()
        return True

    # --- epochs and segments -------------------------------------------------------------------

    def _begin(self) -> Writer:
        """Begin the next epoch. Raises JournalError; the next call tries again."""
        tip = self._catalog.tip
        batch = self._open_batch(self._opening, tip)
        writer = self._start(batch.header.epoch, 1, NO_DIGEST, tip, batch)
        self._opening = Opening("start")
        self._recent.clear()
        self._recent.add(batch)
        self._shelf.take_reserve()
        return writer

    def _open_batch(self, opening: Opening, tip: Prior | None) -> Batch:
        body = open_body(opening, tip, self._owner, self._clock.wall())
        epoch = self._entropy(EPOCH_BYTES)
        header = Header(self.stream, OPEN, epoch, self._seal.key_id, 1, 1, body_digest(body), NO_DIGEST)
        return seal_batch(header, body, self._seal.sign)

    def _roll(self) -> Writer:
        """Go on in a new segment. Raises JournalError; the next call tries again."""
        assert self._writer is not None
        segment = self._writer.segment
        return self._start(segment.epoch, segment.end + 1, segment.digest, None, None)

    def _start(
        self, epoch: bytes, base: int, previous: bytes, prior: Prior | None, opening: Batch | None
    ) -> Writer:
        head = self._head(epoch, base, previous, prior)
        try:
            writer = start_segment(self._shelf, self._number(), head, self.marks, opening)
        except OSError as error:
            raise self._refused("a segment cannot be begun", error) from error
        self._put_away()
        self._writer = writer
        self._catalog.add(writer.segment)
        self._unsynced.names_dirty = True
        return writer

    def _number(self) -> int:
        number, self._next_number = self._next_number, self._next_number + 1
        return number

    def _head(self, epoch: bytes, base: int, previous: bytes, prior: Prior | None) -> Head:
        newest = self._catalog.newest
        current = self._writer.segment.number if self._writer else self._next_number
        return Head(
            self.stream,
            epoch,
            base,
            previous,
            prior,
            self._owner.boot,
            self._clock.monotonic(),
            self._clock.wall(),
            self._time.now(),
            before=newest.newest if newest else 0,
            unsynced=self._unsynced.oldest(current),
        )

    def _put_away(self) -> None:
        """The segment written until now is closed; its file stays open until it is durable."""
        writer, self._writer = self._writer, None
        if writer is not None:
            self._unsynced.add(writer)

    # --- syncing -------------------------------------------------------------------------------

    @property
    def unsynced(self) -> int:
        """Bytes that a power cut would take."""
        return self._unsynced.size(self._writer)

    def sync(self) -> None:
        """Make everything appended durable. Raises JournalError when the disk fails; try again later."""
        job = self.sync_job()
        if job is not None:
            job.run()
            self.finish_sync(job)

    def sync_job(self) -> SyncJob | None:
        """A sync of everything appended so far, None when all is durable.

        ``run()`` it in any thread, then hand it to `finish_sync` in the owner's thread. Appending may go on
        meanwhile. Raises JournalError when what a failed sync left cannot be written again.
        """
        self._check_replaced()
        try:
            return self._unsynced.job(self._writer, self._catalog.tip)
        except OSError as error:
            raise self._refused("a segment cannot be written again", error) from error

    def finish_sync(self, job: SyncJob) -> None:
        """Take the outcome of a sync into account. Raises JournalError when it failed; try again later."""
        try:
            self._unsynced.finish(job)
        except OSError as error:
            raise self._refused("a sync failed", error) from error
        self._shelf.faults.clear("full", "read-only", "failing")

    def _check_replaced(self) -> None:
        """Begin a new epoch when somebody replaced or cut the file that is being written."""
        writer = self._writer
        if writer is None:
            return
        name = writer.segment.name
        stat = self._shelf.stat(name)
        if stat is not None and stat.identity == writer.identity and stat.size >= writer.segment.size:
            return
        self._shelf.faults.note("replaced", self._shelf.path(name), "somebody replaced, cut or removed it")
        before = self._catalog.spans()
        self._reload()
        for missing in account_for(self._catalog, before, self._missing):
            self._reader.mend(missing)
        doubt = "the journal was replaced, cut or removed while it was written"
        self._opening = Opening("doubt", clean=False, doubt=doubt)
        self._begin()

    def _missing(self, span: EpochSpan, base: int) -> Segment:
        kept = self._catalog.epoch(span.epoch)
        previous, prior = (kept[-1].digest, None) if kept else (NO_DIGEST, self._catalog.tip)
        head = self._head(span.epoch, base, previous, prior)
        head = head._replace(end=span.last, digest=span.digest, gap=True)
        return Segment(self._number(), head, span.last, span.digest, 0, head.kept)

    def _reload(self) -> None:
        """Read the journal's files anew; the next epoch follows what is there. Raises JournalError."""
        self._stale = True
        if self._writer is not None:
            self._writer.retire()
            self._writer = None
        self._unsynced.clear()
        self._catalog.clear()
        self._reader.clear()
        self._quota.clear()
        marks = self.marks
        self._recover()
        self.marks = marks  # what was accepted is accounted for, so nothing is to be read again
        self._opening = Opening("start")
        self._stale = False

    # --- reading -------------------------------------------------------------------------------

    def spans(self) -> Sequence[EpochSpan]:
        """The epochs kept, oldest first, as far as a power cut would leave them.

        The last one is the epoch being written, as of the last sync. It is missing as long as the disk
        lets none begin; on the first start of all there is none then.
        """
        tip = self._unsynced.tip
        made_of = (self._catalog.version, tip)
        if self._spans[0] != made_of:
            self._spans = (made_of, _durable(self._catalog.spans(), tip))
        return self._spans[1]

    def read(self, epoch: bytes, seq: int) -> Batch | None:
        """The batch that holds `seq`; a gap where it is damaged; None when it is not kept."""
        writer = self._writer
        current = writer is not None and epoch == writer.segment.epoch
        recent = self._recent.get(seq) if current else None
        if recent is not None:
            return recent
        segment = self._catalog.find(epoch, seq)
        if segment is None:
            return None
        if writer is None or segment is not writer.segment:
            return self._reader.read(segment, seq)
        try:
            batch = writer.read(seq)
            if batch is None:
                # Damaged while it is written: close it, so that it can be mended like any other.
                self._roll()
                batch = self._reader.read(segment, seq)
        except (OSError, DiskRefused):
            return None
        return batch

    def read_from(self, epoch: bytes, seq: int) -> Iterator[Batch]:
        """The batches of `epoch` from the one that holds `seq` on, up to what is not kept."""
        while (batch := self.read(epoch, seq)) is not None:
            yield batch
            seq = batch.header.last + 1

    # --- forking -------------------------------------------------------------------------------

    def fork(self, epoch: bytes, seq: int, detail: str) -> None:
        """End `epoch` before `seq` and carry what is kept of it from there on into a new epoch.

        Where `seq` lies inside a batch, all of that batch is carried. The new epoch's OPEN names the end of
        `epoch` as what it follows, and `detail` as doubt. After it one more epoch begins, to be written.

        Raises:
            JournalError: the disk refused; either nothing changed, or the fork is finished by the next call
                that writes, or at the next start.
        """
        self._ready_writer()
        self.sync()
        segments = self._catalog.epoch(epoch)
        last = segments[-1].end if segments else seq - 1
        held = self.read(epoch, max(seq, segments[0].base)) if segments else None
        if held is not None:
            self._carry(Cut(epoch, held.header.first - 1, held.header.previous), detail)
        elif seq <= last:
            raise DiskRefused("a fork needs what cannot be read now", where=self._shelf.directory)
        else:
            ended = Prior(epoch, last, segments[-1].digest if segments else NO_DIGEST)
            self._put_away()
            self._opening = Opening("fork", doubt=detail, forked=ended)
        self._begin()
        self.sync()

    def _carry(self, cut: Cut, detail: str) -> None:
        tip = self._catalog.tip
        if tip and tip.epoch == cut.epoch:
            tip = Prior(*cut)
        opening = self._open_batch(Opening("fork", doubt=detail, forked=Prior(*cut)), tip)

        def new_head(batch: Batch) -> Head:
            header = batch.header
            return self._head(header.epoch, header.first, header.previous, tip if header.first == 1 else None)

        try:
            self._next_number = write_fork(
                self._shelf,
                self._catalog.epoch(cut.epoch),
                cut,
                carried(self.read_from(cut.epoch, cut.last + 1), opening, self._seal),
                new_head,
                encode_marks(self.marks, self._time.now()),
                self._limits.roll_at,
                self._next_number,
                self._gaps,
            )
        except OSError as error:
            raise self._refused("a fork cannot be written", error) from error
        self._reload()

    # --- letting go ----------------------------------------------------------------------------

    def release(self, cursors: Mapping[bytes, Ranges]) -> None:
        """Every required sink has stored these ranges of the epochs named; lower ones take that back.

        Segments stored everywhere are removed, oldest first, all but the newest `Limits.keep_acked` bytes.
        """
        self._quota.mark(cursors)
        self._quota.drop_acked(self._limits.keep_acked)

    def enforce(self, now: float) -> None:
        """Keep within the limits of bytes and age, at monotonic time `now`.

        What cannot be removed is said by `faults`; the next call tries again.
        """
        kept = self._time.at(now)
        share = self._limits.age * 1000 / _AGE_SHARE
        newest = self._writer.segment if self._writer else None
        try:
            if newest and not newest.bare and newest.head.kept < kept - share:
                newest = self._roll().segment
            self._quota.drop_old(kept - int(self._limits.age * 1000))
            self._quota.shrink(self._limits.bytes)
            self._quota.thin(MAX_SEGMENTS)
            if newest and not newest.bare and self._catalog.bytes > self._limits.bytes:
                self._roll()
                self._quota.shrink(self._limits.bytes)
        except DiskRefused:
            return  # noted as a fault

    # --- the rest ------------------------------------------------------------------------------

    def close(self) -> None:
        """End in order: the next start knows that nothing was lost. Raises JournalError when the disk fails."""
        writer = self._writer
        try:
            if writer is not None and not writer.broken:
                writer.mark_closed(self._time.now())
            self.sync()
        except OSError as error:
            raise self._refused("the journal cannot be closed", error) from error
        finally:
            self._unsynced.clear()
            if self._writer is not None:
                self._writer.retire()
                self._writer = None

    def faults(self) -> tuple[Fault, ...]:
        """What is wrong with the disk, in words."""
        return self._shelf.faults.list()

    def stats(self) -> Stats:
        """Where it stands."""
        oldest = self._catalog.oldest
        age = (self._time.now() - oldest.head.kept) / 1000 if oldest else 0.0
        return Stats(
            self._catalog.bytes,
            len(self._catalog),
            self.unsynced,
            max(age, 0.0),
            self._quota.dropped_records,
            self._reader.mended,
        )

    def _refused(self, what: str, error: OSError) -> DiskRefused:
        return self._shelf.faults.refused(what, self._shelf.directory, error)


def _durable(spans: tuple[EpochSpan, ...], tip: Prior | None) -> tuple[EpochSpan, ...]:
    """What of `spans` is at or before `tip`."""
    if tip is None:
        return ()
    epochs = [span.epoch for span in spans]
    if tip.epoch not in epochs:
        return spans[:-1]  # it was let go since; what is written now is younger than the last sync
    place = epochs.index(tip.epoch)
    span = spans[place]
    return (*spans[:place], span._replace(last=tip.last, digest=tip.digest))
