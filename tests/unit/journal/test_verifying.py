"""A journal is verified by itself: what is as its node wrote it has no fault, and whatever was changed in it has one."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tabard.agents.journal.chain import (
    BROKEN,
    CUT,
    DAMAGED,
    FAULTS,
    MISSING,
    UNFINISHED,
    Chain,
    worst,
)
from tabard.agents.journal.disk import File, RealDisk
from tabard.agents.journal.frames import Found, encode_batch, walk
from tabard.agents.journal.journal import Journal
from tabard.agents.journal.limits import Limits
from tabard.agents.journal.outbox_file import open_outbox
from tabard.agents.journal.reading import read_journal
from tabard.agents.journal.segment import FIRST_FRAME, HEAD_WINDOW
from tabard.agents.journal.tidemark import FILE as TIDEMARK
from tabard.brokers.delivery.ports import NodeKey
from tabard.brokers.trust.directory import Directory
from tabard.brokers.trust.keys import WIRE, PrivateKey
from tabard.brokers.trust.seal import KeySeal
from tabard.brokers.trust.verifying import REVOKED, UNKNOWN, UNSIGNED, VERIFIED, WRONG
from tabard.brokers.wire.batch import Batch, body_digest, encode_header
from tabard.brokers.wire.streams import CONTROL, LOGS
from tests.authors import author
from tests.trustees import Trustees
from tests.unit.journal.rig import DIRECTORY, Rig, SimClock

LIMITS = Limits(bytes=1 << 20, segment=8192, keep_acked=0, recent=0)


class Zone:
    """The keys of a zone with one node, and a directory that has its certificate."""

    def __init__(self) -> None:
        self.trustees = Trustees()
        self.seal = self.member("web1")

    def member(self, name: str) -> KeySeal:
        """The seal of a node whose certificate is known."""
        self.key = self.trustees.key()
        self.chain = self.trustees.chain("node", name, "hq", self.key, ("main",))
        return KeySeal(self.trustees.directory(), self.key, [self.chain], lambda: self.trustees.now)

    def directory(self) -> Directory:
        """As a home has it that verifies."""
        known = self.trustees.directory()
        known.take(self.chain, self.trustees.now)
        return known


class Kept(Zone):
    """A journal of logs in files, signed by the key of `web1`, with three segments or more."""

    def __init__(self, place: Path) -> None:
        super().__init__()
        self.place = place
        self.random = Random(7)
        self.journal = self.open()
        while self.journal.stats().segments < 3:
            self.add()

    def open(self) -> Journal:
        """As an agent that starts."""
        who = author(LOGS, self.random.randbytes, clock=SimClock(), seal=self.seal)
        return Journal.open(RealDisk(), str(self.place), who, LIMITS)

    def add(self) -> Batch:
        """One batch of three records."""
        batch = self.journal.append(self.random.randbytes(900), 3, {})
        assert batch is not None
        self.journal.sync()
        return batch

    @property
    def files(self) -> list[Path]:
        """The segments."""
        return sorted(self.place.glob("*.seg"))

    def verified(self, *, trusted: bool = True) -> Chain:
        """What is found in it now."""
        chain = Chain(LOGS, self.directory() if trusted else None, self.trustees.now)
        read_journal(str(self.place), chain)
        return chain

    def rewrite(self, file: Path, change: Callable[[Batch], Batch | None]) -> None:
        """Write a segment anew with other batches, and with all checksums as they have to be."""
        data = file.read_bytes()
        pieces = [piece for piece in walk(data, FIRST_FRAME) if isinstance(piece, Found)]
        out = data[:FIRST_FRAME]
        for piece in pieces:
            batch = piece.batch and change(piece.batch)
            whole = data[piece.offset : piece.offset + piece.prefix.length]
            if piece.batch is None or batch is piece.batch:
                out += whole
            elif batch is not None:
                out += encode_batch(batch, piece.prefix.kept, piece.marks)
        file.write_bytes(out)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """A journal that was closed in order."""
    made = Kept(tmp_path / "logs")
    made.journal.close()
    return made


def whats(chain: Chain) -> set[str]:
    """What was found wrong."""
    return {finding.what for finding in chain.findings}


def test_what_a_node_wrote_is_verified(kept: Kept) -> None:
    """Over two runs of an agent: every epoch is its node's, by its key, and nothing is wrong."""
    kept.journal = kept.open()
    kept.add()
    kept.journal.close()
    chain = kept.verified()
    assert chain.findings == []
    assert len(chain.epochs) == 2
    for facts in chain.epochs.values():
        assert (facts.node, set(facts.said)) == (NodeKey("web1", "hq"), {VERIFIED})
        assert facts.keys == [kept.seal.pen.key_id]
        assert facts.records == 3 * (facts.batches - 1)  # the opening is none


class _Counting(RealDisk):
    """A disk that knows how much was read from it."""

    read = 0

    def open(self, path: str, *, write: bool = False) -> File:
        """A file that counts."""
        file, disk = super().open(path, write=write), self

        class Counted:
            def __getattr__(self, name: str) -> Any:
                return getattr(file, name)

            def read_at(self, size: int, offset: int) -> bytes:
                found = file.read_at(size, offset)
                disk.read += len(found)
                return found

        return Counted()


def test_a_file_is_read_whole_once_only(kept: Kept) -> None:
    """Its head is looked at before, by the bytes that a head has at most."""
    disk = _Counting()
    read_journal(str(kept.place), Chain(LOGS, None, kept.trustees.now), disk)
    sizes = sum(file.stat().st_size for file in kept.files)
    note = (kept.place / TIDEMARK).stat().st_size
    assert sizes < disk.read <= sizes + note + len(kept.files) * HEAD_WINDOW


def test_reading_changes_nothing(kept: Kept) -> None:
    """An old journal is left as it was, a damaged one as well."""
    with kept.files[1].open("r+b") as file:
        file.seek(2000)
        file.write(b"\xff\xff\xff")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in kept.place.iterdir()}
    kept.verified()
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in kept.place.iterdir()} == before


@pytest.mark.parametrize("place", [0, 1, -1])
def test_any_byte_that_was_flipped_is_found(kept: Kept, place: int) -> None:
    """In any part of any file, the head and the marks as well."""
    file = kept.files[place]
    data = file.read_bytes()
    for offset in range(0, len(data), 61):
        file.write_bytes(data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :])
        assert whats(kept.verified()) & {DAMAGED, CUT, UNFINISHED}, offset
    file.write_bytes(data)
    assert kept.verified().findings == []


def test_any_tail_that_was_cut_is_found(kept: Kept) -> None:
    """Also at the end of a frame, where nothing that is left looks torn: the note beside it says how far it went."""
    file = kept.files[-1]
    data = file.read_bytes()
    ends = [piece.offset for piece in walk(data, FIRST_FRAME) if isinstance(piece, Found) and piece.batch]
    for size in (*ends, *(end + 60 for end in ends)):
        file.write_bytes(data[:size])
        assert CUT in whats(kept.verified()), size
    file.unlink()
    (finding,) = kept.verified().findings
    assert (finding.what, finding.detail) == (CUT, "by the note beside it")


def test_an_unfinished_frame_at_the_end_is_no_fault(kept: Kept) -> None:
    """Its writer died in it, so nobody was told of it; it is said all the same."""
    kept.journal = kept.open()
    before = kept.files[-1].stat().st_size
    unsynced = kept.journal.append(kept.random.randbytes(900), 3, {})
    assert unsynced is not None
    file = kept.files[-1]
    data = file.read_bytes()
    file.write_bytes(data[: before + 100])
    assert whats(kept.verified()) == {UNFINISHED}


@pytest.mark.parametrize("place", [0, 1])
def test_a_file_that_is_gone_is_missing(kept: Kept, place: int) -> None:
    """One between others; of the first nothing can be told from one that every sink had stored."""
    kept.files[place].unlink()
    found = kept.verified().findings
    assert [finding.what for finding in found] == [MISSING] * place


def test_a_batch_that_was_taken_out_is_missing(kept: Kept) -> None:
    """With all checksums put right."""
    batches: list[Batch] = []
    kept.rewrite(kept.files[1], lambda batch: None if batches.append(batch) or len(batches) == 2 else batch)  # type: ignore[func-returns-value]
    (finding,) = kept.verified().findings
    gone = batches[1].header
    assert (finding.what, finding.first, finding.last) == (MISSING, gone.first, gone.last)


def altered(batch: Batch, key: PrivateKey | None, **changes: Any) -> Batch:
    """A batch with another body, signed by some key or not anew."""
    header = batch.header._replace(body_digest=body_digest(b"altered"), **changes)
    head = encode_header(header)
    return Batch(header, head, key.sign(WIRE, head) if key else batch.signature, b"altered")


@pytest.mark.threat("altered-journal")
def test_a_batch_of_a_foreign_key_is_wrong(kept: Kept) -> None:
    """Of nobody, of another node, and without being signed anew; what follows it does not follow any more."""
    other = kept.trustees.key()
    issued = kept.trustees.chain("node", "web2", "hq", other, ("main",))
    file, data = kept.files[1], kept.files[1].read_bytes()
    last = [p.batch for p in walk(data, FIRST_FRAME) if isinstance(p, Found) and p.batch][2]
    for key, changes in (
        (None, {}),
        (other, {}),
        (other, {"key_id": other.public.key_id}),
    ):
        file.write_bytes(data)

        def change(batch: Batch, key: Any = key, changes: Any = changes) -> Batch:
            return altered(batch, key, **changes) if batch == last else batch

        kept.rewrite(file, change)
        directory = kept.directory()
        directory.take(issued, kept.trustees.now)
        chain = Chain(LOGS, directory, kept.trustees.now)
        read_journal(str(kept.place), chain)
        assert whats(chain) == {WRONG, BROKEN}, changes
        assert {finding.first for finding in chain.findings if finding.what == WRONG} == {last.header.first}


@pytest.mark.threat("altered-journal")
def test_a_signature_that_was_taken_away_is_wrong(kept: Kept) -> None:
    """What names a key is signed by it; a journal cannot be made one of a time without keys."""
    kept.rewrite(kept.files[0], lambda batch: batch._replace(signature=b""))
    chain = kept.verified()
    assert whats(chain) == {WRONG}


def test_an_opening_names_whose_it_is(kept: Kept) -> None:
    """A whole journal by the key of another node does not become this one's by its name."""
    kept.seal = kept.member("web2")
    kept.place = kept.place.parent / "other"
    kept.journal = kept.open()
    kept.add()
    kept.journal.close()
    assert worst(next(iter(kept.verified().epochs.values())).said) == WRONG


def test_who_is_not_known_is_not_believed(kept: Kept) -> None:
    """In a home without keys, and in one with another root: nothing is wrong with it, and nothing is verified."""
    assert {worst(facts.said) for facts in kept.verified(trusted=False).epochs.values()} == {UNKNOWN}
    chain = Chain(LOGS, Trustees(seed=5).directory(), kept.trustees.now)
    read_journal(str(kept.place), chain)
    assert (chain.findings, {worst(facts.said) for facts in chain.epochs.values()}) == ([], {UNKNOWN})


def test_a_revoked_key_is_told(kept: Kept) -> None:
    """Nobody can say when it signed what lies there."""
    directory = kept.directory()
    directory.take_roster(kept.trustees.revoke(kept.seal.pen.key_id), kept.trustees.now)
    chain = Chain(LOGS, directory, kept.trustees.now)
    read_journal(str(kept.place), chain)
    assert (chain.findings, {worst(facts.said) for facts in chain.epochs.values()}) == ([], {REVOKED})


@pytest.mark.parametrize("seed", range(60))
def test_no_history_of_a_disk_that_keeps_its_word_has_a_fault(seed: int) -> None:
    """Whatever quotas, releases, deaths and power cuts made of it: what an agent left is what is verified."""
    random = Random(seed)
    rig = Rig(rng=random)
    for _ in range(random.randrange(4, 14)):
        match random.randrange(6):
            case 0 | 1:
                rig.add(random.randrange(1, 30), marks={"s": random.randrange(99)})
            case 2:
                rig.add(3)
                rig.journal.sync()
                rig.power_cut()
                rig.open()
            case 3:
                rig.store_all()
            case 4:
                rig.open(bytes=random.choice([24 << 10, 48 << 10, 1 << 20]))
                rig.journal.enforce(0)
            case 5:
                rig.open()
    rig.journal.sync()
    chain = Chain(LOGS, None, 0)
    read_journal(DIRECTORY, chain, rig.disk)
    assert not whats(chain) & set(FAULTS), f"seed {seed}: {chain.findings}"
    for span in rig.journal.spans():
        facts = chain.epochs[span.epoch]
        assert (facts.first, facts.last) == (span.oldest, span.last), f"seed {seed}"


class Box(Zone):
    """The control stream in its database."""

    def __init__(self, place: Path) -> None:
        super().__init__()
        self.place = place
        who = author(CONTROL, Random(3).randbytes, clock=SimClock(), seal=self.seal)
        outbox = open_outbox(str(place), who, LIMITS)
        for _ in range(4):
            outbox.append(b"answer", 1, {})
        outbox.close()

    def execute(self, statement: str) -> None:
        """Change it behind the agent's back."""
        with closing(sqlite3.connect(self.place / "outbox.db")) as db, db:
            db.execute(statement)

    def found(self) -> list[tuple[str, int | None, int | None]]:
        """What is wrong."""
        chain = Chain(CONTROL, self.directory(), self.trustees.now)
        read_journal(str(self.place), chain)
        if not chain.findings:
            (facts,) = chain.epochs.values()
            assert (facts.records, dict(facts.said)) == (4, {VERIFIED: 5})
        return [(each.what, each.first, each.last) for each in chain.findings]


@pytest.fixture
def box(tmp_path: Path) -> Box:
    """An outbox with four answers behind its opening."""
    return Box(tmp_path / "control")


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE outbox_state SET clean = clean", []),
        ("DELETE FROM outbox_batch WHERE first = 3", [(MISSING, 3, 3)]),
        ("DELETE FROM outbox_batch WHERE first > 3", [(MISSING, 4, 5)]),
        ("UPDATE outbox_batch SET body = x'00' WHERE first = 2", [(DAMAGED, 2, 2)]),
        ("UPDATE outbox_batch SET signature = x'' WHERE first = 2", [(WRONG, 2, 2)]),
        ("UPDATE outbox_batch SET first = 30, last = 30 WHERE first = 5", [(DAMAGED, 30, 30), (MISSING, 5, 5)]),
    ],
)  # fmt: skip
@pytest.mark.threat("altered-journal")
def test_the_control_stream(box: Box, statement: str, found: list[Any]) -> None:
    """Rows that were changed, or taken out of the middle or the end."""
    box.execute(statement)
    assert box.found() == found


def test_a_control_stream_whose_end_was_cut_out_of_all_tables(box: Box) -> None:
    """The note beside the database knows of it."""
    box.execute("DELETE FROM outbox_batch WHERE first > 3")
    box.execute(
        "UPDATE outbox_epoch SET last = 3, digest = (SELECT digest FROM outbox_batch WHERE first = 3)"
    )
    assert box.found() == [(CUT, 4, 5)]
    (box.place / "outbox.db").write_bytes(b"no database, and long enough to be looked at as one" * 99)
    assert {what for what, _, _ in box.found()} == {DAMAGED, CUT}


def test_a_journal_without_keys(tmp_path: Path) -> None:
    """Nothing is wrong with it; nobody signed it."""
    rig = Rig()
    rig.add(4)
    rig.journal.sync()
    chain = Chain(LOGS, Trustees().directory(), 0)
    read_journal(DIRECTORY, chain, rig.disk)
    (facts,) = chain.epochs.values()
    assert (chain.findings, worst(facts.said)) == ([], UNSIGNED)


def test_a_control_stream_of_a_host_that_died_in_a_transaction(box: Box, tmp_path: Path) -> None:
    """What was not committed is undone in what is looked at; nothing is written where it lies."""
    died = tmp_path / "died"
    with closing(sqlite3.connect(box.place / "outbox.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = TRUNCATE")
        db.execute("PRAGMA cache_size = 1")
        db.execute("BEGIN")
        db.execute("CREATE TABLE filler (data BLOB)")
        for _ in range(200):
            db.execute("INSERT INTO filler VALUES (zeroblob(4096))")
        db.execute("DELETE FROM outbox_batch WHERE first = 3")
        shutil.copytree(box.place, died)
        db.execute("ROLLBACK")
    assert (died / "outbox.db-journal").stat().st_size
    before = {path.name: path.read_bytes() for path in died.iterdir()}
    box.place = died
    assert box.found() == []
    assert {path.name: path.read_bytes() for path in died.iterdir()} == before
