"""The journal of one stream: frames in segments, an epoch for every start, gaps where it had to drop.

A frame that `Journal.append` returned survives the death of the process; one that was synced after
survives a power cut. Nothing here waits for a sink, and nothing is sent from here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tabard import failpoints
from tabard.agents.journal.catalog import Catalog
from tabard.agents.journal.disk import Disk
from tabard.agents.journal.faults import DiskRefused, Fault, Faults
from tabard.agents.journal.fork import (
    FORK_WRITTEN,
    Cut,
    carried,
    decide,
    remove_unfinished,
    write_cut,
    write_epoch,
)
from tabard.agents.journal.gaps import GapMaker
from tabard.agents.journal.limits import MAX_MARKS, Limits
from tabard.agents.journal.opening import Opening, Owner, open_body
from tabard.agents.journal.quota import Quota
from tabard.agents.journal.reader import SegmentReader
from tabard.agents.journal.recover import Recovered, Recovery
from tabard.agents.journal.segment import Head, Prior, Segment, encode_marks
from tabard.agents.journal.shelf import Shelf
from tabard.agents.journal.writer import SyncJob, Writer, start_segment
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
from tabard.errors import JournalError

BEFORE_ROLL = failpoints.declare("journal.before_roll", "about to begin a new segment")

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
        self.durable: tuple[bytes, int] = (b"", 0)
        """The epoch being written and the last sequence number of it that a power cut cannot take."""
        self._shelf = shelf
        self._limits = limits
        self._clock = clock
        self._seal = seal
        self._entropy = entropy
        self._owner = owner
        self._gaps = GapMaker(stream, seal)
        self._catalog = Catalog()
        self._reader = SegmentReader(shelf, self._catalog, self._gaps)
        self._quota = Quota(shelf, self._catalog, self._reader, self._gaps, self._gone)
        self._writer: Writer | None = None
        self._pending: dict[int, Writer] = {}
        """Writers of closed segments with bytes that are not known to be durable."""
        self._names_dirty = False
        self._recent: OrderedDict[int, Batch] = OrderedDict()
        self._recent_bytes = 0
        self._next_number = 1
        self._time_base = 0.0
        self._stale = False
        """The files could not be read anew after they changed: to be tried again."""
        self._opening = Opening("start")
        """What the next epoch's OPEN has to say."""

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
        try:
            journal._begin()
            journal.sync()
        except JournalError:
            pass  # noted as a fault; reading works, and append tries again
        return journal

    # --- writing -------------------------------------------------------------------------------

    def append(self, body: bytes, count: int, marks: Mapping[str, Any]) -> Batch:
        """Cut a batch of `count` records and write it, with the marks of the sources in it.

        Raises:
            JournalError: the disk refused; nothing was accepted (`retry` is true: try again later).
        """
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
        encoded = pack(dict(marks)) if marks else b""
        try:
            self._write(writer, batch, encoded)
        except OSError as error:
            raise self._shelf.faults.refused(
                "a batch cannot be written", self._shelf.path(segment.name), error
            ) from error
        for source, mark in marks.items():
            self._set_mark(source, mark)
        self._remember(batch)
        return batch

    def _write(self, writer: Writer, batch: Batch, marks: bytes) -> None:
        before = writer.segment.footprint
        writer.append(batch, self._kept(), marks)
        self._catalog.bytes += writer.segment.footprint - before

    def _ready_writer(self) -> Writer:
        """The writer of a segment with room, on a disk that was not exchanged. Raises JournalError."""
        writer = self._writer
        if writer is not None and writer.broken:
            self._end_epoch(Opening("error"))
            writer = None
        if self._stale:
            self._reload()
        if writer is None:
            return self._begin()
        if writer.segment.size >= self._limits.roll_at:
            return self._roll()
        return writer

    def _begin(self) -> Writer:
        """Begin the next epoch. Raises JournalError; the next call tries again."""
        tip = self._catalog.tip
        batch = self._open_batch(self._opening, tip)
        epoch = batch.header.epoch
        writer = self._start(epoch, 1, NO_DIGEST, tip, batch)
        self._opening = Opening("start")
        self._recent.clear()
        self._recent_bytes = 0
        self._remember(batch)
        self.durable = (epoch, 0)
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
        number, self._next_number = self._next_number, self._next_number + 1
        head = self._head(epoch, base, previous, prior)
        try:
            failpoints.hit(BEFORE_ROLL)
            writer = start_segment(self._shelf, number, head, self.marks, opening)
        except OSError as error:
            raise self._shelf.faults.refused(
                "a segment cannot be begun", self._shelf.directory, error
            ) from error
        self._put_away()
        self._names_dirty = True
        self._writer = writer
        self._catalog.add(writer.segment)
        return writer

    def _head(self, epoch: bytes, base: int, previous: bytes, prior: Prior | None) -> Head:
        newest = self._catalog.newest
        return Head(
            self.stream,
            epoch,
            base,
            previous,
            prior,
            self._owner.boot,
            self._clock.monotonic(),
            self._clock.wall(),
            self._kept(),
            before=newest.newest if newest else 0,
        )

    def _put_away(self) -> None:
        """The segment written until now is closed; its file stays open until it is durable."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        if writer.unsynced:
            self._pending[writer.segment.number] = writer
        else:
            writer.retire()

    def _end_epoch(self, opening: Opening) -> None:
        """Write no more in this epoch; the next one says why."""
        self._put_away()
        self._opening = opening

    def _set_mark(self, source: str, mark: Any) -> None:
        self.marks.pop(source, None)
        self.marks[source] = mark
        if len(self.marks) > MAX_MARKS:
            del self.marks[next(iter(self.marks))]

    def _remember(self, batch: Batch) -> None:
        self._recent[batch.header.first] = batch
        self._recent_bytes += batch.size
        while self._recent_bytes > self._limits.recent and len(self._recent) > 1:
            _, old = self._recent.popitem(last=False)
            self._recent_bytes -= old.size

    def _kept(self) -> int:
        """Journal time now, in milliseconds: it goes on while this boot lasts, and stands still between boots."""
        return int(self._time_base + self._clock.monotonic() * 1000)

    # --- syncing -------------------------------------------------------------------------------

    @property
    def unsynced(self) -> int:
        """Bytes that a power cut would take."""
        closed = sum(writer.unsynced for writer in self._pending.values())
        return closed + (self._writer.unsynced if self._writer else 0)

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
        writers = [writer for writer in (*self._pending.values(), self._writer) if writer and writer.unsynced]
        if not writers and not self._names_dirty:
            return None
        try:
            for writer in writers:
                writer.rewrite()
        except OSError as error:
            raise self._shelf.faults.refused(
                "a segment cannot be written again", self._shelf.directory, error
            ) from error
        job = SyncJob(self._shelf, writers, self._catalog.tip, names=self._names_dirty)
        self._names_dirty = False
        return job

    def finish_sync(self, job: SyncJob) -> None:
        """Take the outcome of a sync into account. Raises JournalError when it failed; try again later."""
        job.settle()
        if job.error is not None:
            self._names_dirty |= job.names
            raise self._shelf.faults.refused("a sync failed", self._shelf.directory, job.error) from job.error
        for number, writer in list(self._pending.items()):
            if not writer.unsynced:
                writer.retire()
                del self._pending[number]
        if job.tip is not None and job.tip.epoch == self.durable[0]:
            self.durable = (job.tip.epoch, max(job.tip.last, self.durable[1]))
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
        self._reconsider("the journal was replaced, cut or removed while it was written")

    def _reconsider(self, doubt: str) -> None:
        """Take what is on disk now for the journal, account for what is missing, and begin an epoch that says so."""
        before = self.spans()
        self._reload()
        self._account(before)
        self._opening = Opening("doubt", clean=False, doubt=doubt)
        self._begin()

    def _reload(self) -> None:
        """Read the journal's files anew; the next epoch follows what is there. Raises JournalError."""
        self._stale = True
        for writer in (*self._pending.values(), self._writer):
            if writer is not None:
                writer.retire()
        self._pending.clear()
        self._writer = None
        self._catalog.clear()
        self._reader.clear()
        self._quota.clear()
        marks = self.marks
        self._recover()
        self.marks = marks  # what was accepted is accounted for, so nothing is to be read again
        self._opening = Opening("start")
        self._stale = False

    def _account(self, before: Sequence[EpochSpan]) -> None:
        """Put gaps at the end of the catalog for what it lacks of the spans `before`."""
        newest = self._catalog.newest
        known = [span.epoch for span in before]
        start = known.index(newest.epoch) if newest and newest.epoch in known else 0
        for span in before[start:]:
            kept = self._catalog.epoch(span.epoch)
            base = kept[-1].end + 1 if kept else span.oldest
            if base > span.last:
                continue
            previous, prior = (kept[-1].digest, None) if kept else (NO_DIGEST, self._catalog.tip)
            head = self._head(span.epoch, base, previous, prior)
            head = head._replace(end=span.last, digest=span.digest, gap=True)
            missing = Segment(self._next_number, head, span.last, span.digest, 0)
            self._next_number += 1
            self._catalog.add(missing)
            self._reader.mend(missing)

    # --- reading -------------------------------------------------------------------------------

    def spans(self) -> Sequence[EpochSpan]:
        """The epochs kept, oldest first; the last one is the epoch being written."""
        return self._catalog.spans()

    def read(self, epoch: bytes, seq: int) -> Batch | None:
        """The batch that holds `seq`; a gap where it is damaged; None when it is not kept."""
        writer = self._writer
        if writer is None or epoch != writer.segment.epoch:
            segment = self._catalog.find(epoch, seq)
            return self._reader.read(segment, seq) if segment else None
        recent = self._recent.get(seq)
        if recent is not None:
            return recent
        segment = self._catalog.find(epoch, seq)
        if segment is not writer.segment:
            return self._reader.read(segment, seq) if segment else None
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
        held = self.read(epoch, max(seq, segments[0].base) if segments else seq)
        if held is None and seq <= last:
            raise DiskRefused("a fork needs what cannot be read now", where=self._shelf.directory)
        if held is None:
            cut = Cut(epoch, last, segments[-1].digest if segments else NO_DIGEST)
            self._end_epoch(Opening("fork", doubt=detail, forked=Prior(*cut)))
            self._begin()
            self.sync()
            return
        cut = Cut(epoch, held.header.first - 1, held.header.previous)
        try:
            self._write_fork(cut, detail)
        except OSError as error:
            raise self._shelf.faults.refused(
                "a fork cannot be written", self._shelf.directory, error
            ) from error
        self._reload()
        self._begin()
        self.sync()

    def _write_fork(self, cut: Cut, detail: str) -> None:
        segments = self._catalog.epoch(cut.epoch)
        tip = self._catalog.tip
        if tip and tip.epoch == cut.epoch:
            tip = Prior(*cut)
        opening = self._open_batch(Opening("fork", doubt=detail, forked=Prior(*cut)), tip)
        new = opening.header.epoch

        def new_head(batch: Batch) -> Head:
            first, previous = batch.header.first, batch.header.previous
            return self._head(new, first, previous, tip if first == 1 else None)

        number = self._next_number
        batches = carried(self.read_from(cut.epoch, cut.last + 1), opening, self._seal)
        marks = encode_marks(self.marks, self._kept())
        written = write_epoch(self._shelf, batches, new_head, marks, self._limits.roll_at, number)
        self._next_number = number + len(written)
        try:
            changed, remove = write_cut(self._shelf, segments, cut, self._gaps)
            written.append(changed)
            decide(self._shelf, written, remove)
        except OSError:
            remove_unfinished(self._shelf, written)
            raise
        failpoints.hit(FORK_WRITTEN)

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
        kept = int(self._time_base + now * 1000)
        newest = self._catalog.newest
        share = self._limits.age * 1000 / _AGE_SHARE
        try:
            if newest and self._writer and not newest.bare and newest.head.kept < kept - share:
                self._roll()
            self._quota.drop_old(kept - int(self._limits.age * 1000))
            self._quota.shrink(self._limits.bytes)
            if self._catalog.bytes > self._limits.bytes and self._writer and not self._writer.segment.bare:
                self._roll()
                self._quota.shrink(self._limits.bytes)
        except DiskRefused:
            return  # noted as a fault

    def _gone(self, segment: Segment) -> None:
        writer = self._pending.pop(segment.number, None)
        if writer is not None:
            writer.retire()

    # --- the rest ------------------------------------------------------------------------------

    def close(self) -> None:
        """End in order: the next start knows that nothing was lost. Raises JournalError when the disk fails."""
        writer = self._writer
        try:
            if writer is not None and not writer.broken:
                writer.mark_closed(self._kept())
            self.sync()
        except OSError as error:
            raise self._shelf.faults.refused(
                "the journal cannot be closed", self._shelf.directory, error
            ) from error
        finally:
            for open_writer in (*self._pending.values(), self._writer):
                if open_writer is not None:
                    open_writer.retire()
            self._pending.clear()
            self._writer = None

    def faults(self) -> tuple[Fault, ...]:
        """What is wrong with the disk, in words."""
        return self._shelf.faults.list()

    def stats(self) -> Stats:
        """Where it stands."""
        oldest = self._catalog.oldest
        age = (self._kept() - oldest.head.kept) / 1000 if oldest else 0.0
        return Stats(
            self._catalog.bytes,
            len(self._catalog),
            self.unsynced,
            max(age, 0.0),
            self._quota.dropped_records,
            self._reader.mended,
        )

    def _recover(self) -> None:
        recovery = Recovery(self._shelf, self._catalog, self._reader, self._gaps, self.stream)
        try:
            found = recovery.run(self._owner.boot)
        except OSError as error:
            raise self._shelf.faults.refused(
                "the journal cannot be read now", self._shelf.directory, error
            ) from error
        self.marks = found.marks
        self._next_number = max(found.next_number, self._next_number)
        self._time_base = self._resumed_time(found)
        power = found.last is not None and found.last.boot != self._owner.boot and not found.closed
        self._opening = Opening("start", clean=found.closed, power=power, lost=found.lost)

    def _resumed_time(self, found: Recovered) -> float:
        """What to add to the monotonic clock, in milliseconds, to get journal time."""
        last, now = found.last, self._clock.monotonic()
        kept = float(found.kept)
        if last is not None and last.boot == self._owner.boot:
            kept = max(kept, last.kept + (now - last.monotonic) * 1000)
        return kept - now * 1000
