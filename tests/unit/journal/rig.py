"""A journal on a `SimDisk`, and what must hold of it whatever happened."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from tabard.agents.journal.gaps import chain_digest
from tabard.agents.journal.journal import Journal
from tabard.agents.journal.limits import Limits
from tabard.brokers.delivery.ranges import Range, Ranges
from tabard.brokers.wire.batch import DATA, GAP, NO_DIGEST, OPEN, Batch, check_batch
from tabard.brokers.wire.codec import unpack
from tabard.brokers.wire.streams import LOGS
from tests.authors import OWNER, author
from tests.sim.disk import SimDisk

DIRECTORY = "/j/logs"
SMALL = Limits(bytes=1 << 20, segment=8192, keep_acked=0, recent=0)
"""Segments of two blocks, nothing kept in memory: every read goes to the disk."""


@dataclass
class SimClock:
    """A clock that stands still until it is told."""

    seconds: float = 1000.0
    now: int = 1_700_000_000_000_000_000

    def monotonic(self) -> float:
        """Seconds."""
        return self.seconds

    def wall(self) -> int:
        """Nanoseconds."""
        return self.now


@dataclass
class Rig:
    """One host: its disk, its clock, its boot, and a journal on it."""

    disk: SimDisk = field(default_factory=SimDisk)
    clock: SimClock = field(default_factory=SimClock)
    limits: Limits = SMALL
    boots: int = 1
    stream: int = LOGS
    directory: str = DIRECTORY
    rng: Random = field(default_factory=lambda: Random(1))
    _journal: Journal | None = None

    @property
    def journal(self) -> Journal:
        """The journal, opened at first use."""
        return self._journal or self.open()

    def open(self, **limits: Any) -> Journal:
        """Start again; what the one before held open is forgotten, as when its process died."""
        self.limits = replace(self.limits, **limits)
        self._journal = Journal.open(
            self.disk,
            self.directory,
            author(
                self.stream,
                self.rng.randbytes,
                owner=OWNER._replace(boot=f"boot {self.boots}"),
                clock=self.clock,
            ),
            self.limits,
        )
        return self._journal

    def power_cut(self) -> None:
        """Cut the power and boot again."""
        self.disk.power_cut(self.rng)
        self.boots += 1

    def add(
        self, times: int = 1, *, size: int = 500, count: int = 3, marks: dict[str, Any] | None = None
    ) -> Batch:
        """Append `times` batches; returns the last."""
        batch = None
        for _ in range(times):
            batch = self.journal.append(self.rng.randbytes(size), count, marks or {})
        assert batch is not None
        return batch

    def fill(self, segments: int) -> None:
        """Append until there are so many segments."""
        while self.journal.stats().segments < segments:
            self.add()

    def files(self) -> list[str]:
        """Paths of the segments, rising."""
        return [
            f"{self.directory}/{name}"
            for name in sorted(self.disk.names(self.directory))
            if name.endswith(".seg")
        ]

    def quarantined(self) -> list[str]:
        """Names in the quarantine."""
        try:
            return sorted(self.disk.names(f"{self.directory}/quarantine"))
        except FileNotFoundError:
            return []

    def kinds(self) -> set[str]:
        """Kinds of the faults known."""
        return {fault.kind for fault in self.journal.faults()}

    def store_all(self) -> None:
        """Every required sink has everything."""
        self.journal.sync()
        self.journal.release(
            {
                span.epoch: Ranges([Range(1, span.last, NO_DIGEST, span.digest)])
                for span in self.journal.spans()
            }
        )


def everything(journal: Journal) -> list[Batch]:
    """All that is kept, in order; asserts that nothing is missing between, and that the digests chain."""
    batches: list[Batch] = []
    for span in journal._catalog.spans():  # also what is not durable yet
        at, chain = span.oldest, None
        for batch in journal.read_from(span.epoch, span.oldest):
            header = batch.header
            assert check_batch(batch.head, batch.signature, batch.body) == batch
            if header.kind == GAP and header.first < at:
                chain = None  # it was merged with the one before it while this was read
            else:
                assert header.first == at, f"a hole before {header.first}, expected {at}"
            assert (header.kind == OPEN) == (header.first == 1 and header.kind != GAP)
            if chain is not None and NO_DIGEST not in (chain, header.previous):
                assert header.previous == chain, f"the chain breaks at {at}"
            chain = chain_digest(batch)
            at = header.last + 1
            batches.append(batch)
        assert at == span.last + 1, f"read up to {at - 1}, the span says {span.last}"
        if chain not in (None, NO_DIGEST):
            assert span.digest == chain
    return batches


def data(batches: list[Batch]) -> list[Batch]:
    """Those that carry records."""
    return [batch for batch in batches if batch.header.kind == DATA]


def gaps(batches: list[Batch]) -> list[tuple[int, int, str]]:
    """First, last and reason of the gap frames."""
    return [
        (batch.header.first, batch.header.last, unpack(batch.body)["reason"])
        for batch in batches
        if batch.header.kind == GAP
    ]


def opening(journal: Journal) -> dict[str, Any]:
    """What the OPEN of the newest epoch says."""
    batch = journal.read(journal._catalog.spans()[-1].epoch, 1)
    assert batch is not None and batch.header.kind == OPEN
    facts: dict[str, Any] = unpack(batch.body)
    return facts
