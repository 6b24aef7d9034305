"""Encodes log records that this host made itself (from JSON lines, from files) into groups for a batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tabard.agents.intake.admission import Admitted, fitted
from tabard.agents.intake.batcher import BATCH_BYTES, array_head
from tabard.agents.intake.cutting import cut_record
from tabard.brokers.wire.codec import pack
from tabard.records import MAX_RECORD, MAX_RECORDS


def encode_groups(records: Iterable[tuple[Any, ...]]) -> Iterator[Admitted]:
    """The records in order, as arrays of at most 256 of them and `BATCH_BYTES`, each made to fit."""
    parts: list[bytes] = []
    size = repaired = 0
    for record in records:
        storable = fitted(record)
        raw = pack(storable)
        if len(raw) > MAX_RECORD:
            storable = cut_record(storable, MAX_RECORD)
            raw = pack(storable)
        if parts and (len(parts) == MAX_RECORDS or size + len(raw) > BATCH_BYTES):
            yield _group(parts, repaired)
            parts, size, repaired = [], 0, 0
        parts.append(raw)
        size += len(raw)
        repaired += storable is not record
    if parts:
        yield _group(parts, repaired)


def _group(parts: list[bytes], repaired: int) -> Admitted:
    return Admitted(b"".join((array_head(len(parts)), *parts)), len(parts), repaired)
