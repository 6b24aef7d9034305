"""Whatever happens in whatever order, the journal keeps its promise: kept, or a gap, and never a number twice."""

from __future__ import annotations

import errno
from contextlib import suppress
from random import Random

from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tabard.agents.journal.faults import DiskRefused
from tabard.agents.journal.frames import Found, walk
from tabard.agents.journal.limits import Limits
from tabard.agents.journal.writer import SyncJob
from tabard.brokers.delivery.ranges import Range, Ranges
from tabard.brokers.wire.batch import DATA, GAP, NO_DIGEST, OPEN
from tabard.brokers.wire.codec import unpack
from tests.sim.disk import Killed
from tests.unit.journal.rig import Rig, everything, opening

LIMITS = Limits(bytes=64 * 1024, segment=8192, keep_acked=8192, recent=4096, age=10_000.0)


class JournalMachine(RuleBasedStateMachine):
    """A journal on a disk where everything goes wrong, next to a plain list of what it promised."""

    def __init__(self) -> None:
        super().__init__()
        self.rig = Rig(limits=LIMITS, rng=Random(7))
        self.rig.open()
        self.promised: dict[bytes, int] = {}
        """Bodies accepted and not settled (released, or covered by a gap), with their order."""
        self.shown: set[bytes] = set()
        """Those of them that `spans` named: no power cut may take them."""
        self.identity: dict[tuple[bytes, int], bytes] = {}
        """Digest of every batch ever seen, by epoch and first sequence number."""
        self.where: dict[bytes, tuple[bytes, int, int]] = {}
        """Epoch, first and last sequence number of a batch, as last seen."""
        self.flips = 0
        """Bits that flipped."""
        self.spoilt = 0
        """Batches lost by that."""
        self.next_mark = 0
        self.job: SyncJob | None = None

    # --- work ------------------------------------------------------------------------------

    @rule(size=st.integers(1, 1500), count=st.integers(1, 5), times=st.integers(1, 12))
    def append(self, size: int, count: int, times: int) -> None:
        """Accept batches; a refusal accepts nothing."""
        for _ in range(times):
            body = self.rig.rng.randbytes(size + 16)
            try:
                batch = self.rig.journal.append(body, count, {"mark": self.next_mark})
            except DiskRefused:
                return
            assert batch.body == body
            self.see(batch.header.epoch, batch.header.first, batch.digest)
            self.where[body] = (batch.header.epoch, batch.header.first, batch.header.last)
            self.promised[body] = self.next_mark
            self.next_mark += 1

    @rule()
    def sync(self) -> None:
        """Make it durable."""
        if self.job is None:
            with suppress(DiskRefused):
                self.rig.journal.sync()
            self.note_shown()

    @rule()
    def sync_beside(self) -> None:
        """Begin a sync, or end the one that was begun some steps ago."""
        with suppress(DiskRefused):
            if self.job is None:
                self.job = self.rig.journal.sync_job()
                if self.job is not None:
                    self.job.run()
            else:
                job, self.job = self.job, None
                self.rig.journal.finish_sync(job)
        self.note_shown()

    @rule(share=st.floats(0, 1))
    def release(self, share: float) -> None:
        """Sinks have stored everything up to somewhere."""
        spans = self.rig.journal._catalog.spans()
        place = int(share * len(spans))
        cursors = {span.epoch: span.last for span in spans[:place]}
        if place < len(spans):
            last = spans[place]
            cursors[last.epoch] = last.oldest + int((last.last - last.oldest) * share)
        for epoch, upto in cursors.items():
            for batch in self.rig.journal.read_from(epoch, self.oldest(epoch)):
                if batch.header.last <= upto and batch.header.kind == DATA:
                    self.settle(batch.body)
        self.rig.journal.release(
            {epoch: Ranges([Range(1, upto, NO_DIGEST, NO_DIGEST)]) for epoch, upto in cursors.items() if upto}
        )

    @rule(later=st.sampled_from([0, 0, 1500, 20_000]))
    def enforce(self, later: int) -> None:
        """Keep to the limits."""
        self.rig.clock.seconds += later
        self.rig.journal.enforce(self.rig.clock.monotonic())
        self.look()

    @precondition(lambda self: self.job is None)
    @rule()
    def renew(self) -> None:
        """A sink holds another history of the epoch being written."""
        with suppress(DiskRefused):
            self.rig.journal.renew("two histories")
        self.look()

    # --- trouble ---------------------------------------------------------------------------

    @rule(power=st.booleans())
    def die(self, power: bool) -> None:
        """Kill, or a power cut, and a start."""
        self.crash(power)
        self.rig.open()
        self.check_opening(power)
        self.look()

    @precondition(lambda self: self.job is None)
    @rule(power=st.booleans(), after=st.integers(1, 30), again=st.integers(1, 12), what=st.integers(0, 3))
    def die_amid(self, power: bool, after: int, again: int, what: int) -> None:
        """Die at some operation of the disk, and once more while starting."""
        disk = self.rig.disk
        disk.fuse = disk.operations + after
        try:
            if what == 0:
                self.enforce(1500)
            elif what == 1:
                self.renew()
            else:
                for _ in range(12):
                    self.append(700, 2, 1)
                self.sync()
        except Killed:
            disk.fuse = None
            self.crash(power)
            disk.fuse = disk.operations + again
            try:
                self.rig.open()
            except Killed:
                disk.fuse = None
                self.crash(power)
                self.rig.open()
            disk.fuse = None
            self.look()
        disk.fuse = None

    @rule(
        operation=st.sampled_from(
            ["write", "sync", "create", "rename", "syncdir", "unlink", "truncate", "link"]
        ),
        number=st.sampled_from([errno.EIO, errno.ENOSPC]),
        after=st.integers(0, 5),
    )
    def break_disk(self, operation: str, number: int, after: int) -> None:
        """One of the next operations fails."""
        self.rig.disk.fail(operation, number, after=after)

    @rule(where=st.floats(0, 1), offset=st.floats(0, 1), bit=st.integers(0, 7))
    def flip(self, where: float, offset: float, bit: int) -> None:
        """A bit of a segment flips."""
        files = self.rig.files()
        path = files[min(int(where * len(files)), len(files) - 1)]
        image = self.rig.disk.get(path)
        if image:
            at = min(int(offset * len(image)), len(image) - 1)
            self.rig.disk.corrupt(path, at, bytes([image[at] ^ (1 << bit)]))
            self.flips += 1
            frames = [piece for piece in walk(image, 8) if isinstance(piece, Found)]
            note(f"flip in {path} at {at}, frames at {[piece.offset for piece in frames]}")

    @precondition(lambda self: self.job is None and not self.flips)
    @rule(share=st.floats(0, 1))
    def cut(self, share: float) -> None:
        """Somebody cuts the newest segment while no process runs: what sinks were shown is there, or in a gap."""
        self.crash(power=False)
        path = self.rig.files()[-1]
        image = self.rig.disk.get(path)
        self.rig.disk.put(path, image[: int(len(image) * share)])
        self.rig.open()
        kept = everything(self.rig.journal)
        bodies = {batch.body for batch in kept}
        gaps = [(b.header.epoch, b.header.first, b.header.last, "") for b in kept if b.header.kind == GAP]
        for body in [body for body in self.promised if body not in bodies]:
            assert body not in self.shown or any(self.inside(body, gap) for gap in gaps), "lost silently"
            self.settle(body)

    # --- what must hold --------------------------------------------------------------------

    def crash(self, power: bool) -> None:
        """The process is gone, and with the power what nobody was shown."""
        self.rig.disk.heal()
        self.job = None
        if power:
            self.rig.power_cut()
            self.promised = {body: mark for body, mark in self.promised.items() if body in self.shown}

    def look(self) -> None:
        """Read everything and compare."""
        self.rig.disk.heal()
        kept = everything(self.rig.journal)
        bodies = set()
        gaps = []
        for batch in kept:
            header = batch.header
            if header.kind == GAP:
                gaps.append((header.epoch, header.first, header.last, unpack(batch.body)["reason"]))
            else:
                self.see(header.epoch, header.first, batch.digest)
                assert batch.body not in bodies, "a batch is kept twice"
                bodies.add(batch.body)
                self.where[batch.body] = (header.epoch, header.first, header.last)
        newest = [batch for batch in kept if batch.header.kind == OPEN]
        lost = unpack(newest[-1].body).get("lost") if newest else None
        for body in [body for body in self.promised if body not in bodies]:
            covering = [gap for gap in gaps if self.inside(body, gap)]
            if not covering:
                # Only at the end of an epoch, when a start said so, and no more than was damaged.
                assert lost is not None or self.spoilt < self.flips, "a batch is lost and nobody says so"
                self.spoilt += 1
            elif all("quota" not in gap[3] and "age" not in gap[3] for gap in covering):
                self.spoilt += 1
            self.settle(body)
        assert self.spoilt <= self.flips, "more is lost than was damaged"

    def check_opening(self, power: bool) -> None:
        """The new epoch follows the one before it, without a step missed."""
        spans = self.rig.journal._catalog.spans()
        facts = opening(self.rig.journal)
        if len(spans) > 1:
            assert (facts["previous"], facts["previous_last"]) == (spans[-2].epoch, spans[-2].last)
        assert facts["clean"] is False
        assert facts.get("power", False) == power or self.flips
        if self.promised and not self.flips:
            assert self.rig.journal.marks["mark"] >= max(self.promised.values())

    def see(self, epoch: bytes, first: int, digest: bytes) -> None:
        """One number, one batch, for ever."""
        assert self.identity.setdefault((epoch, first), digest) == digest, "a number was used twice"

    def inside(self, body: bytes, gap: tuple[bytes, int, int, str]) -> bool:
        """Whether a gap covers the place where a batch stood when it was last seen."""
        epoch, first, last = self.where[body]
        return gap[0] == epoch and gap[1] <= first and last <= gap[2]

    def note_shown(self) -> None:
        """Remember what is shown to sinks."""
        ends = {span.epoch: span.last for span in self.rig.journal.spans()}
        self.shown |= {
            body for body in self.promised if self.where[body][2] <= ends.get(self.where[body][0], 0)
        }

    def settle(self, body: bytes) -> None:
        """Nothing more is promised of a batch."""
        self.promised.pop(body, None)
        self.shown.discard(body)

    def oldest(self, epoch: bytes) -> int:
        """The first sequence number kept of an epoch."""
        return next(span.oldest for span in self.rig.journal._catalog.spans() if span.epoch == epoch)

    def teardown(self) -> None:
        """At the end, too."""
        self.rig.disk.heal()
        self.rig.disk.fuse = None
        self.look()


TestJournal = JournalMachine.TestCase
TestJournal.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
