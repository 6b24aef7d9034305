"""A process that dies at any disk operation, or whose power is cut there, loses nothing it may not lose."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from tabard.brokers.wire.batch import GAP, Batch
from tests.sim.disk import Killed
from tests.unit.journal.rig import Rig, data, everything, opening


class Ledger:
    """What was promised: batches accepted, and those of them that a power cut must not take."""

    def __init__(self) -> None:
        self.accepted: list[Batch] = []
        self.synced: list[Batch] = []
        self.ruined: int | None = 0
        """How many batches may be lost; None where a quota drops them."""

    def add(self, rig: Rig, times: int = 1) -> None:
        """Append batches."""
        for _ in range(times):
            self.accepted.append(rig.add(marks={"source": len(self.accepted)}))

    def sync(self, rig: Rig) -> None:
        """Make them durable."""
        rig.journal.sync()
        self.synced = list(self.accepted)

    def check(self, rig: Rig, *, power: bool) -> None:
        """Everything promised is there or inside a gap, and no number was used twice."""
        kept = everything(rig.journal)
        bytes_of = {
            (batch.header.epoch, batch.header.first): batch for batch in kept if batch.header.kind != GAP
        }
        covered = [
            (batch.header.epoch, batch.header.first, batch.header.last)
            for batch in kept
            if batch.header.kind == GAP
        ]
        for batch in self.synced if power else self.accepted:
            header = batch.header
            found = bytes_of.get((header.epoch, header.first))
            gone = any(e == header.epoch and lo <= header.first <= hi for e, lo, hi in covered)
            assert found == batch or (found is None and gone), f"{header.first} is lost"
        for batch in data(kept):
            mine = [one for one in self.accepted if one.header[2:5] == batch.header[2:5]]
            assert not mine or mine == [batch], f"{batch.header.first} was used twice"
        lost = [batch for batch in self.synced if batch not in kept]
        assert self.ruined is None or len(lost) <= self.ruined, "more is lost than was ruined"
        mark = rig.journal.marks.get("source", -1)
        assert mark >= len(self.synced if power else self.accepted) - 1


def write_and_roll(rig: Rig, ledger: Ledger) -> None:
    """Append over several segments, syncing now and then, and end in order."""
    for _ in range(5):
        ledger.add(rig, 9)
        ledger.sync(rig)
        ledger.add(rig, 2)
    rig.journal.close()
    rig.open()
    ledger.add(rig, 2)


def drop_by_quota(rig: Rig, ledger: Ledger) -> None:
    """Let segments give way to gaps that merge."""
    ledger.ruined = None
    rig.open(bytes=60_000)
    for _ in range(12):
        ledger.add(rig, 9)
        ledger.sync(rig)
        rig.journal.enforce(rig.clock.monotonic())


def mend_what_was_damaged(rig: Rig, ledger: Ledger) -> None:
    """Read a journal with a ruined frame in its middle."""
    ledger.add(rig, 40)
    ledger.sync(rig)
    ledger.ruined = 1
    rig.disk.corrupt(rig.files()[1], 4000, b"ruin")
    everything(rig.journal)
    ledger.add(rig, 3)
    ledger.sync(rig)


SCENARIOS = [write_and_roll, drop_by_quota, mend_what_was_damaged]


@pytest.mark.parametrize("power", [False, True], ids=["kill", "power cut"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_death_at_every_operation(scenario: Callable[[Rig, Ledger], None], power: bool) -> None:
    """At each operation of the disk in turn; recovery itself dies once as well."""
    dry = Rig()
    scenario(dry, Ledger())
    for fuse in range(1, dry.disk.operations + 1):
        rig, ledger = Rig(rng=Random(fuse)), Ledger()
        rig.disk.fuse = fuse
        try:
            scenario(rig, ledger)
        except Killed:
            pass
        else:
            pytest.fail(f"operation {fuse} was never reached")
        for again in (fuse % 7 + 1, None):
            if power:
                rig.power_cut()
            rig.disk.fuse = again and rig.disk.operations + again
            try:
                rig.open()
                everything(rig.journal)
            except Killed:
                continue
            rig.disk.fuse = None
            ledger.check(rig, power=power)
            assert power or ledger.ruined == 1 or "lost" not in opening(rig.journal), "a false loss"
