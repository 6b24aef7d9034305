"""What a sink makes of one batch or of the spans in a beacon: store, duplicate, gap, conflict."""

from __future__ import annotations

from collections import Counter

from tabard.brokers.delivery.book import EpochBook, StreamBook
from tabard.brokers.delivery.ports import Entry, EpochCursor, Gap, NodeKey, SinkStore
from tabard.brokers.delivery.ranges import UNKNOWN, ChainBroken, Range, Ranges, TooManyRanges
from tabard.brokers.wire.batch import DATA, GAP, NO_DIGEST, Batch
from tabard.brokers.wire.body import Open, decode_gap, decode_groups, decode_open
from tabard.brokers.wire.messages import BeaconStream, Conflict, Want
from tabard.errors import WireError

SEARCH_STEP = 16_384
"""Sequence numbers by which the search for the point of a rollback goes back at first."""


class Intake:
    """Takes batches and beacons into a stream's book. Raises StoreUnavailable when it cannot look up a cursor."""

    def __init__(self, store: SinkStore, counters: Counter[str]) -> None:
        self._store = store
        self._counters = counters

    def take(self, key: NodeKey, stream: StreamBook, batch: Batch) -> tuple[int, bool]:
        """Enter `batch`; returns the records now pending and whether the node should be answered soon."""
        header = batch.header
        book = self._book(key, stream, header.epoch)
        if header.kind == GAP:
            return 0, self._take_gap(book, batch)
        if book.seen.overlaps(header.first, header.last):
            return 0, self._compare(key, stream, book, batch)
        high = book.seen.high
        digest = batch.digest
        try:
            book.seen.add(Range(header.first, header.last, header.previous, digest))
        except TooManyRanges:
            self._counters["batches beyond the eighth range"] += 1
            return 0, True
        except ChainBroken as broken:
            if broken.seq == header.first:
                self._search(stream, book, header.first)
                return 0, True
            # the node's history leaves the store's right behind this batch
            book.seen.add(Range(header.first, header.last, header.previous, UNKNOWN))
            stream.conflict = Conflict(book.epoch, broken.seq)
        entry = Entry(batch)
        try:
            if header.kind == DATA:
                entry.groups = decode_groups(header.stream, batch.body, header.count)
            else:
                self._open(key, stream, book, decode_open(batch.body))
        except WireError as error:
            entry.poison = str(error)
            self._counters["batches quarantined"] += 1
        book.entries.append(entry)
        return header.count, header.first > high + 1 or stream.conflict is not None

    def spans(self, key: NodeKey, stream: StreamBook, part: BeaconStream, *, exact: bool) -> None:
        """Take over which epochs the node keeps. `exact`: it was said within this session, so it is no echo."""
        for epoch, oldest, last, _ in part.spans:
            book = self._book(key, stream, epoch)
            book.oldest, book.last = oldest, last
            if exact and oldest > 1:
                self._lose(book, oldest - 1, "not kept by the node any more")
        if not part.spans:
            return
        stream.listed = tuple(span[0] for span in part.spans)
        newest = stream.listed[-1]
        if stream.newest != newest:
            stream.newest = newest
            stream.live = None
            stream.conflict = None
            stream.searching = None
        if not exact:
            return
        stream.node_live = part.live
        for epoch in stream.listed[:-1]:
            book = stream.epochs[epoch]
            self._end(book, book.last)
            # beyond the node's last there is only what it had before it went back in time
            self._lose(book, book.ended or 0, "not kept by the node any more", start=book.last + 1)
        if part.more == 0:
            self._close_unlisted(stream)
        book = stream.epochs[newest]
        if book.last < book.seen.high and stream.conflict is None and stream.searching is None:
            self._counters["rolled back: a beacon ends before the cursor"] += 1
            book.agreed = 0
            stream.searching = Want(newest, book.last, book.last, 1)

    # --- pieces ----------------------------------------------------------------------------

    def _book(self, key: NodeKey, stream: StreamBook, epoch: bytes) -> EpochBook:
        book = stream.epochs.get(epoch)
        if book is None:
            cursor = self._store.load(key, stream.stream, [epoch]).get(epoch)
            book = EpochBook.of(cursor or EpochCursor(epoch, 0, Ranges()))
            stream.epochs[epoch] = book
        return book

    def _take_gap(self, book: EpochBook, batch: Batch) -> bool:
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
        trial = book.seen.copy()
        try:
            for lo, hi in pieces:
                before = _known(header.previous) if lo == header.first else UNKNOWN
                after = _known(info.last_digest) if hi == header.last else UNKNOWN
                try:
                    trial.add(Range(lo, hi, before, after))
                except ChainBroken:
                    trial.add(Range(lo, hi, UNKNOWN, UNKNOWN))
        except TooManyRanges:
            self._counters["batches beyond the eighth range"] += 1
            return True
        book.seen = trial
        book.gaps.extend(
            Gap(book.epoch, lo, hi, hi - lo + 1, at_least=False, kind="gap", reason=info.reason)
            for lo, hi in pieces
        )
        return True

    def _lose(self, book: EpochBook, upto: int, reason: str, start: int = 1) -> None:
        """Record that what is missing from `start` to `upto` will never come."""
        for lo, hi in book.seen.holes(upto, start):
            try:
                book.seen.add(Range(lo, hi, UNKNOWN, UNKNOWN))
            except TooManyRanges:
                return  # the holes before it close first; the next beacon comes back to this one
            book.gaps.append(Gap(book.epoch, lo, hi, hi - lo + 1, at_least=False, kind="gap", reason=reason))
            if lo == 1:
                detail = "the record that names the epoch before this one is gone: whole epochs may be missing"
                book.gaps.append(Gap(book.epoch, 1, 1, 0, at_least=True, kind="doubt", reason="chain broken", detail=detail))

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
                book.gaps.append(_doubt(book.epoch, book.seen.high + 1, "unknown end", detail))
                self._end(book, book.seen.high)
            self._lose(book, book.ended or 0, "not kept by the node any more")

    def _end(self, book: EpochBook, last: int) -> None:
        """`last` is where an epoch ended, as far as its node kept it."""
        ended = max(last, book.seen.high)
        if book.ended is None or book.ended < ended:
            book.ended = ended
            book.changed = True

    def _open(self, key: NodeKey, stream: StreamBook, book: EpochBook, info: Open) -> None:
        book.opened = True
        book.previous, book.previous_last = info.previous, info.previous_last
        if info.previous is None:
            before = self._store.newest(key, stream.stream)
            if before is not None and before.epoch != book.epoch:
                detail = "the node's journal began anew: what it accepted and had not sent is not known"
                book.gaps.append(_doubt(before.epoch, before.ranges.high + 1, "journal replaced", detail))
            return
        past = self._book(key, stream, info.previous)
        high = past.seen.high
        if high > info.previous_last and info.reason == "start":
            detail = (
                f"the node's journal went back to {info.previous_last}, the store has records up to {high}"
            )
            book.gaps.append(_doubt(info.previous, info.previous_last + 1, "rolled back", detail))
        self._end(past, info.previous_last)
        after = (past.ended or 0) + 1
        if info.lost is not None:
            book.gaps.append(
                Gap(info.previous, after, None, info.lost, at_least=True, kind="gap", reason="torn")
            )
        if info.power:
            detail = "power was cut: what was accepted after the last sync is not known"
            book.gaps.append(_doubt(info.previous, after, "power", detail))
        if info.doubt:
            book.gaps.append(_doubt(info.previous, info.previous_last + 1, info.reason, info.doubt))

    def _compare(self, key: NodeKey, stream: StreamBook, book: EpochBook, batch: Batch) -> bool:
        """A batch that overlaps what is seen: the same, late, or another history."""
        header = batch.header
        known = book.pending_digest(header.first)
        if known is None:
            around = book.seen.covering(header.first)
            if around is not None and around.hi == header.last:
                known = around.after or None
        if known is None:
            known = self._store.digest(key, stream.stream, book.epoch, header.first)
        if known is None and stream.searching is None and book.seen.covering(header.last):
            self._counters["late batches"] += 1  # it lies within what was given up as lost
            return False
        if known != batch.digest:
            self._search(stream, book, header.first)
            return True
        self._counters["duplicate batches"] += 1
        book.agreed = max(book.agreed, header.last)
        if stream.searching is not None and header.last == book.last < book.seen.high:
            # the node ends within what is stored, and agrees with it up to there
            stream.conflict = Conflict(book.epoch, header.last + 1)
            stream.searching = None
            return True
        return False

    def _search(self, stream: StreamBook, book: EpochBook, first: int) -> None:
        """Node and store differ at `first`: name the point when it is known, else look further back."""
        if stream.conflict is not None:
            return
        self._counters["batches of another history"] += 1
        if first <= book.oldest or first == book.agreed + 1:
            stream.conflict = Conflict(book.epoch, first)
            stream.searching = None
            return
        if stream.searching is None or first <= stream.searching.lo:
            step = (
                SEARCH_STEP
                if stream.searching is None
                else 2 * (stream.searching.hi - stream.searching.lo + 1)
            )
            book.agreed = 0
            stream.searching = Want(book.epoch, max(book.oldest, first - step), first - 1, 0)


def _known(digest: bytes) -> bytes:
    """A digest at the edge of a gap: zeros stand for one that could not be read."""
    return UNKNOWN if digest == NO_DIGEST else digest


def _doubt(epoch: bytes, first: int, reason: str, detail: str) -> Gap:
    return Gap(epoch, first, None, 0, at_least=True, kind="doubt", reason=reason, detail=detail)
