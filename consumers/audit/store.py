"""Verifying the control stream of a store: what `verifying` needs, read in one view of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, TypeVar

from tabard.brokers.trust.verifying import Verifier
from tabard.brokers.wire.streams import CONTROL
from tabard.consumers.audit.verifying import Auditor
from tabard.consumers.store import accounts, signed
from tabard.consumers.store.accounts import Head, Kept
from tabard.consumers.store.limits import RetentionLimits
from tabard.consumers.store.ports import StoreReader
from tabard.consumers.store.reading import Reading
from tabard.consumers.store.room import ROW_OVERHEAD

T = TypeVar("T")

NEARLY: Final = 0.9
"""Of a limit: from there on retention may have been at work."""


def verified(reader: StoreReader, verifier: Verifier, limits: RetentionLimits, now: int) -> Auditor:
    """All of it, the heads that this store heard included; ``limits`` say what retention may have deleted. Raises StoreError."""
    return reader.ask(lambda view: _verified(view, verifier, limits, now))


def _verified(view: Reading, verifier: Verifier, limits: RetentionLimits, now: int) -> Auditor:
    verifier.learn(signed.signers(view))
    since = _kept_since(accounts.kept(view), limits, now)
    auditor = Auditor(verifier, kept_since=since, erased=accounts.erased(view))
    for epoch in accounts.epochs(view):
        batches = _paged(partial(accounts.batches, view, epoch.id), lambda batch: batch.first)
        rows = _paged(partial(accounts.rows_of, view, epoch.id), lambda row: row.seq)
        auditor.epoch(epoch, batches, rows, accounts.told(view, epoch.id))
    auditor.heads(accounts.heads(view), "this store")
    auditor.finish()
    return auditor


def _kept_since(kept: Kept, limits: RetentionLimits, now: int) -> int:
    """What arrived before it may be gone, and nothing is wrong: retention deletes what is oldest."""
    by_age = now - round(limits.age(CONTROL) * 1e9)
    size, count = limits.size(CONTROL), limits.count(CONTROL)
    full = kept.bytes + kept.rows * ROW_OVERHEAD >= NEARLY * size or bool(
        count and kept.rows >= NEARLY * count
    )
    return max(by_age, kept.oldest) if full else by_age


def heads(reader: StoreReader) -> list[Head]:
    """The ends that this store heard. Raises StoreError."""
    return reader.ask(accounts.heads)


def _paged(step: Callable[[int], Sequence[T]], place: Callable[[T], int]) -> Iterator[T]:
    after = -1
    while found := step(after):
        yield from found
        after = place(found[-1])
