"""What a sink makes of one batch or of the spans in a beacon: store, duplicate, gap, another history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from tabard.brokers.delivery.book import EpochBook, NodeBook, StreamBook, forked_id
from tabard.brokers.delivery.epochs import Epochs
from tabard.brokers.delivery.lately import own_of
from tabard.brokers.delivery.partly import is_of_the_node
from tabard.brokers.delivery.ports import Admitted, Entry, Gap, NodeKey, Withheld
from tabard.brokers.delivery.ranges import UNKNOWN, ChainBroken, Range, Ranges, TooManyRanges
from tabard.brokers.delivery.seal import Seal
from tabard.brokers.delivery.seams import follow, is_proven, unproven
from tabard.brokers.delivery.signers import Signers
from tabard.brokers.delivery.starting import SKIPPED
from tabard.brokers.delivery.withdrawn import set_aside
from tabard.brokers.wire.batch import DATA, GAP, NO_DIGEST, Batch, Header
from tabard.brokers.wire.body import Open, decode_gap, decode_groups, decode_open
from tabard.brokers.wire.messages import BeaconStream
from tabard.errors import WireError


class HistoryDiffers(Exception):
    """Raised when a batch is of another history of its epoch than the one stored: the node went back in time.

    Nothing was entered. The caller begins a new session, in which the node says what it keeps now.
    """

    def __init__(self, epoch: bytes) -> None:
        super().__init__(f"another history of epoch {epoch.hex()}")
        self.epoch = epoch


class Intake:
    """Takes batches and beacons into a stream's book. Raises StoreUnavailable when it cannot look something up."""

    def __init__(
        self,
        epochs: Epochs,
        counters: Counter[str],
        prepare: Callable[[int, Entry], None] | None = None,
        seal: Seal | None = None,
    ) -> None:
        self._epochs = epochs
        self._counters = counters
        self._prepare = prepare
        self._signers = Signers(seal, counters)
        self.keep_signers_again = self._signers.again

    def take(self, key: NodeKey, stream: StreamBook, admitted: Admitted) -> tuple[int, bool]:
        """Enter a batch; returns the records now pending and whether the node should be answered soon.

        One whose key was taken back is set aside, see `withdrawn`.

        Raises:
            HistoryDiffers: another batch than the one stored stands there now, or it follows another one.
        """
        batch = admitted.batch
        header = batch.header
        book = self._epochs.book(key, stream, header.epoch)
        if header.kind == GAP:
            return 0, self._take_gap(key, stream, book, batch)
        if book.seen.overlaps(header.first, header.last):
            self._compare(key, stream, book, batch)
            return 0, False
        high = book.seen.high
        try:
            book.seen.add(Range(header.first, header.last, header.previous, batch.digest))
        except TooManyRanges:
            self._counters["batches beyond the eighth range"] += 1
            return 0, True
        except ChainBroken as broken:
            raise HistoryDiffers(book.epoch) from broken
        answer = header.first > high + 1
        if self._epochs.held_before(key, stream, book, batch):
            self._counters["batches held by an earlier history"] += 1
            book.changed = True
            stream.unacked += 1
            return 0, answer
        follow(self._epochs, key, stream, book, header)
        if admitted.withdrawn:
            set_aside(stream, book, batch, self._counters)
            return 0, answer
        entry = self._entry(key, stream, book, admitted)
        if self._prepare is not None:
            self._prepare(header.stream, entry)
        book.entries.append(entry)
        return entry.count, answer

    def spans(self, node: NodeBook, stream: StreamBook, part: BeaconStream, *, exact: bool) -> None:
        """Take over which epochs a node keeps. `exact`: it was said within this session, so it is no echo.

        An epoch whose end is not the one stored, or that is disputed, is taken anew as another history.
        """
        stream.own = own_of(node.beacon.facts)
        for epoch, oldest, last, digest in part.spans:
            book = self._epochs.book(node.key, stream, epoch)
            book.oldest, book.last = oldest, last
            if not exact:
                continue
            if (stream.stream, epoch) in node.disputed or _contradicts(book.seen, last, _known(digest)):
                book = self._fork(stream, book)
            if oldest > 1:
                self._lose(stream, book, oldest - 1, "not kept by the node any more")
        if not part.spans:
            return
        stream.listed = tuple(span[0] for span in part.spans)
        newest = stream.listed[-1]
        if stream.newest != newest:
            stream.newest = newest
            stream.live = None
        if not exact:
            return
        stream.node_live = part.live
        for epoch in stream.listed[:-1]:
            book = stream.epochs[epoch]
            self._end(book, book.last)
            # an end that was known before lies beyond what a node has that went back in time
            self._lose(stream, book, book.ended or 0, "not kept by the node any more", start=book.last + 1)
        if len(stream.listed) > 1 and not stream.begins:
            self._note(stream.epochs[newest])
        if part.more == 0:
            self._close_unlisted(stream)

    @staticmethod
    def _note(book: EpochBook) -> None:
        """Store that there is an epoch of which nothing is stored yet: the one before it ends there.

        Else nobody would miss it, if its node went back behind both before anything of it came.
        """
        book.changed = book.changed or not book.cursor.version

    def _fork(self, stream: StreamBook, book: EpochBook) -> EpochBook:
        """The node went back in time: take all it keeps of the epoch anew, beside what is stored."""
        if not book.cursor.ranges.items:
            return book  # nothing is stored of it; or it was forked a moment ago, and that is not stored yet
        self._counters["forked epoch"] += 1
        detail = (
            f"the node went back in time: of what is stored here up to {book.seen.high}, it holds from "
            f"{book.oldest} to {book.last}, which may differ and is stored as epoch {forked_id(book.stored_as).hex()}"
        )
        book.gaps.append(_doubt(book.stored_as, book.oldest, "rolled back", detail))
        if stream.newest == book.epoch:
            stream.live = None
        fork = stream.epochs[book.epoch] = book.fork()
        return fork

    # --- pieces ----------------------------------------------------------------------------

    def _entry(self, key: NodeKey, stream: StreamBook, book: EpochBook, admitted: Admitted) -> Entry:
        entry = Entry(admitted.batch, attested=admitted.attested, voucher=admitted.voucher)
        header = admitted.batch.header
        self._signers.keep(entry)
        try:
            if header.kind == DATA:
                entry.groups = decode_groups(header.stream, admitted.body, header.count)
                if admitted.attested:
                    self._part(entry)
            else:
                info = decode_open(admitted.body)
                self._signers.rotated(key, entry, info)
                self._open(key, stream, book, info)
        except WireError as error:
            entry.poison = str(error)
            self._counters["batches quarantined"] += 1
        return entry

    def _part(self, entry: Entry) -> None:
        """Take out what stands in the place of withheld records. Raises WireError for a stub that belongs elsewhere."""
        from tabard.brokers.wire.attested import part  # a node needs none of it

        groups, entry.groups = entry.groups, None
        parted = part(groups or (), entry.batch.header.first, {each.policy for each in entry.attested})
        entry.groups, entry.seqs = parted.groups, parted.seqs
        entry.withheld = tuple(Withheld(*run) for run in parted.withheld)
        self._counters["records withheld by policies"] += entry.batch.header.count - entry.count

    def _take_gap(self, key: NodeKey, stream: StreamBook, book: EpochBook, batch: Batch) -> bool:
        header = batch.header
        try:
            info = decode_gap(batch.body)
        except WireError:
            self._counters["malformed gap"] += 1
            return False
        pieces = book.seen.holes(header.last, header.first)
        if not pieces:
            self._counters["duplicate gaps"] += 1
            return False
        partly = pieces != [(header.first, header.last)]
        if partly and not self._epochs.follows(key, stream, book, batch):
            raise HistoryDiffers(book.epoch)
        unsure = partly and not is_of_the_node(self._epochs, key, stream, book, header, info)
        lost = book.unsaid(header.first, header.last)
        trial = book.seen.copy()
        try:
            for lo, hi in pieces:
                before = _known(header.previous) if lo == header.first else UNKNOWN
                after = _known(info.last_digest) if hi == header.last else UNKNOWN
                try:
                    trial.add(Range(lo, hi, before, after))
                except ChainBroken as broken:
                    if broken.seq == header.first:
                        raise HistoryDiffers(book.epoch) from broken
                    trial.add(Range(lo, hi, UNKNOWN, UNKNOWN))
        except TooManyRanges:
            self._counters["batches beyond the eighth range"] += 1
            return True
        book.seen = trial
        book.changed = True
        if pieces[0][0] == header.first:
            follow(self._epochs, key, stream, book, header)
        if info.open and not book.opened and header.first == 1:
            self._open_from_gap(key, stream, book, info.open)
        if unsure:
            self._lost_around(book, header, lost, info.reason)
        else:
            self._add_gaps(book, lost, info.reason, at_least=info.at_least)
        return True

    @staticmethod
    def _lost_around(book: EpochBook, header: Header, lost: Sequence[tuple[int, int]], reason: str) -> None:
        """Of what is stored within a gap nobody can say whether it is what the node dropped.

        So the loss reaches over all of it, and what is missing is the least that it can be.
        """
        records = sum(hi - lo + (lo > 1) for lo, hi in lost)
        if records:
            book.gaps.append(Gap(book.stored_as, header.first, header.last, records, True, "gap", reason))

    def _open_from_gap(self, key: NodeKey, stream: StreamBook, book: EpochBook, opening: bytes) -> None:
        try:
            self._open(key, stream, book, decode_open(opening))
        except WireError:
            self._counters["malformed gap"] += 1  # the loss is real all the same

    @staticmethod
    def _add_gaps(
        book: EpochBook,
        lost: Iterable[tuple[int, int]],
        reason: str,
        *,
        at_least: bool = False,
        kind: str = "gap",
    ) -> None:
        for lo, hi in lost:
            records = hi - lo + (lo > 1)  # an epoch's opening is none
            if records:
                book.gaps.append(Gap(book.stored_as, lo, hi, records, at_least, kind, reason))

    def _lose(self, stream: StreamBook, book: EpochBook, upto: int, reason: str, start: int = 1) -> None:
        """Record that what is missing from `start` to `upto` will never come.

        To a sink that only begins with this stream, what was gone by then is no loss.
        """
        unwanted = stream.begins and not book.cursor.version
        seam = 0
        for lo, hi in book.seen.holes(upto, start):
            lost = book.unsaid(lo, hi)
            proven = is_proven(stream, book, lo)
            try:
                book.seen.add(Range(lo, hi, UNKNOWN, UNKNOWN))
            except TooManyRanges:
                break  # the holes before it close first; the next beacon comes back to this one
            book.changed = True
            self._add_gaps(book, lost, reason, kind=SKIPPED if unwanted else "gap")
            if lost and start == 1 and not proven:
                seam = lo
            if lo == 1 and lost and not book.opened and not unwanted:
                detail = (
                    "the record that names the epoch before this one is gone: whole epochs may be missing"
                )
                book.gaps.append(
                    Gap(
                        book.stored_as,
                        1,
                        1,
                        0,
                        at_least=True,
                        kind="doubt",
                        reason="chain broken",
                        detail=detail,
                    )
                )
        if seam and not unwanted:
            unproven(book, seam)

    def _close_unlisted(self, stream: StreamBook) -> None:
        """The node names all it keeps: what is missing of any other epoch will never come."""
        chained = all(stream.epochs[epoch].seen.covering(1) for epoch in stream.listed)
        for book in stream.epochs.values():
            if book.epoch in stream.listed or book.finished:
                continue
            if book.ended is None:
                if not chained:
                    continue  # the record that names this epoch as its predecessor is still to come
                # the node went back to a time before this epoch
                detail = "the node does not know this epoch any more: what it held beyond this is not known"
                book.gaps.append(_doubt(book.stored_as, book.seen.high + 1, "unknown end", detail))
                self._end(book, book.seen.high)
            self._lose(stream, book, book.ended or 0, "not kept by the node any more")

    def _end(self, book: EpochBook, last: int) -> None:
        """`last` is where an epoch ended, as far as its node kept it."""
        ended = max(last, book.seen.high)
        if book.ended is None or book.ended < ended:
            book.ended = ended
            book.changed = True

    def _open(self, key: NodeKey, stream: StreamBook, book: EpochBook, info: Open) -> None:
        book.opened = True
        if info.previous is None:
            return  # a new journal; if there was another one, its epochs are unlisted
        past = self._epochs.book(key, stream, info.previous)
        if not book.past:
            book.previous, book.previous_last = past.stored_as, info.previous_last
        if past.epoch not in stream.listed:  # else the beacon tells how much of it the node still has
            self._check_end(key, stream, past, info)
        self._end(past, info.previous_last)
        after = (past.ended or 0) + 1
        if info.lost is not None:
            book.gaps.append(
                Gap(past.stored_as, after, None, info.lost, at_least=True, kind="gap", reason="torn")
            )
        if info.power:
            detail = "power was cut: what was accepted after the last sync is not known"
            book.gaps.append(_doubt(past.stored_as, after, "power", detail))
        if info.doubt:
            # what is stored may be of another history than the node's, unless it was parted from that by a fork
            first = 1 if info.reason == "fork" and not past.past else info.previous_last + 1
            book.gaps.append(_doubt(past.stored_as, first, info.reason, info.doubt))

    def _check_end(self, key: NodeKey, stream: StreamBook, past: EpochBook, info: Open) -> None:
        """Say so when an epoch that the node keeps nothing of ended otherwise than what is stored of it."""
        last, high = info.previous_last, past.seen.high
        known = self._epochs.digest(key, stream, past, last)
        same = info.previous_digest in (NO_DIGEST, known)
        if high < last or (high == last and (same or known is None)):
            return
        detail = f"the node went back in time: its epoch ended at {last}, and what is stored goes to {high}"
        past.gaps.append(_doubt(past.stored_as, last + 1 if same else 1, "rolled back", detail))

    def _compare(self, key: NodeKey, stream: StreamBook, book: EpochBook, batch: Batch) -> None:
        """A batch that overlaps what is seen: the same, or late. Raises HistoryDiffers."""
        header = batch.header
        known = self._epochs.digest(key, stream, book, header.last)
        around = book.seen.covering(header.first)
        inside = around is not None and header.last <= around.hi
        if known == batch.digest or (
            known is None and inside and self._epochs.held_before(key, stream, book, batch)
        ):
            self._counters["duplicate batches"] += 1
        elif known is None and inside and self._epochs.follows(key, stream, book, batch):
            self._counters["late batches"] += 1  # it lies within what was given up as lost
        else:
            raise HistoryDiffers(book.epoch)


def _contradicts(seen: Ranges, last: int, digest: bytes) -> bool:
    """Whether an epoch that ends at `last` with `digest` cannot be what was `seen`."""
    if last < seen.high:
        return True
    top = seen.covering(last)
    return top is not None and bool(top.after) and bool(digest) and top.after != digest


def _known(digest: bytes) -> bytes:
    """A digest at the edge of a gap: zeros stand for one that could not be read."""
    return UNKNOWN if digest == NO_DIGEST else digest


def _doubt(epoch: bytes, first: int, reason: str, detail: str) -> Gap:
    return Gap(epoch, first, None, 0, at_least=True, kind="doubt", reason=reason, detail=detail)
