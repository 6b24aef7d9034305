"""Encodes log records that this host made itself (from JSON lines, from files) into groups for a batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tabard.agents.intake.admission import Admitted, fitted
from tabard.agents.intake.batcher import BATCH_BYTES, array_head
from tabard.agents.intake.cutting import cut_record
from tabard.agents.intake.defaults import NO_DEFAULTS, Defaults
from tabard.brokers.wire.codec import pack
from tabard.records import MAX_RECORD, MAX_RECORDS


def encode_groups(records: Iterable[tuple[Any, ...]], defaults: Defaults = NO_DEFAULTS) -> Iterator[Admitted]:
    """The records in order, as arrays of at most 256 of them and `BATCH_BYTES`, each made to fit and filled."""
    parts: list[bytes] = []
    size = repaired = 0
    for record in records:
        fit = fitted(record)
        whole = defaults.fill(fit)
        raw = pack(whole)
        too_large = len(raw) > MAX_RECORD
        if too_large:
            raw = pack(cut_record(whole, MAX_RECORD))
        if parts and (len(parts) == MAX_RECORDS or size + len(raw) > BATCH_BYTES):
            yield _group(parts, repaired)
            parts, size, repaired = [], 0, 0
        parts.append(raw)
        size += len(raw)
        repaired += too_large or fit is not record
    if parts:
        yield _group(parts, repaired)


def _group(parts: list[bytes], repaired: int) -> Admitted:
    return Admitted(b"".join((array_head(len(parts)), *parts)), len(parts), repaired)
