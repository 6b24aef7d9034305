"""Puts the records of one read into groups for the batcher, encoded all at once where nothing has to be looked at."""

from __future__ import annotations

from typing import Any, Final

from tabard.agents.intake.batcher import BATCH_BYTES
from tabard.agents.intake.bridge.ports import Surroundings
from tabard.agents.intake.grouping import encode_groups
from tabard.brokers.wire.codec import pack
from tabard.records import MAX_RECORDS

SMALL: Final = 32_768
"""Bytes of a source's record up to which the record cannot become too large, whatever it is made of."""

Record = tuple[Any, ...]


class Gatherer:
    """Collects records in the order they came. `flush` hands them on; nothing may be kept over a turn of the loop."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._batcher = surroundings.batcher
        self._defaults = surroundings.defaults
        self._records: list[Record] = []
        self._size = 0
        self._sure = True
        self.origin = ""
        """Whose records are being collected."""
        self.total = 0
        """Records handed on since the start."""
        self.repaired = 0

    def add(self, record: Record, size: int, *, sure: bool) -> None:
        """Take a record of full width that was ``size`` bytes at its source.

        ``sure``: it is known to fit the store's columns (types, bounds, neither NULs nor surrogates).
        """
        self._records.append(record)
        self._size += size
        if not sure or size > SMALL:
            self._sure = False
        if len(self._records) >= MAX_RECORDS or self._size >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand what was collected to the batcher."""
        records = self._records
        if not records:
            return
        sure, self._records, self._size, self._sure = self._sure, [], 0, True
        self.total += len(records)
        if sure and (not self._defaults or self._defaults.named(records)):
            raw = pack(records)
            if len(raw) <= BATCH_BYTES:
                self._batcher.add("", None, self.origin, raw, len(records))
                return
        for group in encode_groups(records, self._defaults):
            self.repaired += group.repaired
            self._batcher.add("", None, self.origin, group.records, group.total)
