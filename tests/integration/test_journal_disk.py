"""The journal on a real file system: full, read-only, damaged, and under a process that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from tabard.agents.journal.disk import RealDisk
from tabard.agents.journal.faults import DiskRefused
from tabard.agents.journal.journal import Journal
from tabard.agents.journal.limits import Limits
from tabard.agents.journal.outbox import Outbox
from tabard.agents.journal.outbox_file import open_outbox
from tabard.brokers.delivery.ranges import Range, Ranges
from tabard.brokers.wire.batch import DATA, GAP, NO_DIGEST, Batch
from tabard.brokers.wire.streams import CONTROL, LOGS
from tests.authors import author
from tests.conftest import Need
from tests.unit.journal.rig import data, everything, gaps, opening

LIMITS = Limits(segment=64 * 1024, keep_acked=0, recent=0)


def start(directory: Path, limits: Limits = LIMITS) -> Journal:
    """Open the journal in `directory` as an agent does."""
    return Journal.open(RealDisk(), str(directory), author(LOGS), limits)


def fill(journal: Journal, times: int, size: int = 5_000) -> None:
    """Append batches of two records."""
    for number in range(times):
        journal.append(os.urandom(size), 2, {"s": number})


def store_all(journal: Journal) -> None:
    """Every sink has stored what is shown."""
    spans = journal.spans()
    journal.release({s.epoch: Ranges([Range(1, s.last, NO_DIGEST, s.digest)]) for s in spans})


@pytest.fixture
def small_disk(tmp_path: Path, need: Need) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    mount = [need("mount"), "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True)
    need.that(done.returncode == 0, f"the right to mount a tmpfs ({done.stderr.strip()})")
    yield place
    subprocess.run([need("umount"), "-l", str(place)], check=True)


def test_files_are_private_and_come_back(tmp_path: Path) -> None:
    """Directory 0700, files 0600; closed in order, reopened, read byte for byte."""
    journal = start(tmp_path / "a" / "logs")
    fill(journal, 50)
    journal.sync()
    kept = everything(journal)
    journal.close()
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "a" / "logs").iterdir()}
    assert modes == {0o600}
    assert (tmp_path / "a" / "logs").stat().st_mode & 0o777 == 0o700
    journal = start(tmp_path / "a" / "logs")
    assert everything(journal)[:-1] == kept
    assert opening(journal)["clean"] is True
    assert journal.marks == {"s": 49}
    journal.close()


def test_a_sync_in_another_thread(tmp_path: Path) -> None:
    """While appends go on in this one, over several segments."""
    journal = start(tmp_path)
    for _ in range(10):
        fill(journal, 20)
        job = journal.sync_job()
        assert job is not None
        thread = Thread(target=job.run)
        thread.start()
        fill(journal, 20)
        thread.join()
        journal.finish_sync(job)
        store_all(journal)
    journal.sync()
    assert journal.spans()[-1].last == 1 + 10 * 40 * 2
    assert gaps(everything(journal)) == []
    journal.close()


def test_a_full_disk_refuses_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    """Nothing accepted is lost; what sinks stored makes room, also when one segment fills the disk."""
    for limits in (LIMITS, Limits(recent=0)):
        directory = small_disk / str(limits.segment)
        journal = start(directory, limits)
        accepted: list[Batch] = []
        for _ in range(3):
            with pytest.raises(DiskRefused, match="No space left") as refused:
                accepted.extend(journal.append(os.urandom(7_001), 2, {}) for _ in range(1_000))
            assert refused.value.retry
            assert {fault.kind for fault in journal.faults()} == {"full"}
            assert data(everything(journal))[-1] == accepted[-1]
            journal.sync()
            store_all(journal)
            accepted.append(journal.append(b"after", 1, {}))
        journal.sync()
        assert journal.faults() == ()
        kept = everything(journal)
        assert gaps(kept) == []
        assert data(kept) == accepted[-len(data(kept)) :]
        journal.close()
        for path in directory.iterdir():
            path.unlink()


def test_a_journal_starts_on_a_full_disk(small_disk: Path) -> None:
    """It reads and publishes what it has; with room it begins its epoch."""
    journal = start(small_disk / "logs")
    fill(journal, 20)
    journal.close()
    (small_disk / "logs" / "reserve").unlink()
    stuff = small_disk / "stuff"
    with pytest.raises(OSError, match="No space"):
        stuff.write_bytes(bytes(2 << 20))
    journal = start(small_disk / "logs")
    assert len(data(everything(journal))) == 20
    assert journal.spans()[-1].last == 41
    with pytest.raises(DiskRefused):
        fill(journal, 1)
    stuff.unlink()
    fill(journal, 1)
    journal.sync()
    assert journal.spans()[-1].last == 3
    assert opening(journal)["previous_last"] == 41
    journal.close()


def test_a_read_only_file_system_is_read(small_disk: Path, need: Need) -> None:
    """Damage on it as well, as a gap; nothing raises but append."""
    journal = start(small_disk / "logs")
    fill(journal, 40)
    journal.close()
    path = sorted((small_disk / "logs").glob("*.seg"))[1]
    image = bytearray(path.read_bytes())
    image[9_000:9_010] = b"ruined now"
    path.write_bytes(image)
    subprocess.run([need("mount"), "-o", "remount,ro", str(small_disk)], check=True)
    journal = start(small_disk / "logs")
    kept = everything(journal)
    assert len(gaps(kept)) == 1
    assert len(data(kept)) == 39
    with pytest.raises(DiskRefused, match="Read-only"):
        fill(journal, 1)
    journal.enforce(1e9)
    journal.sync()
    assert {"read-only", "damaged"} <= {fault.kind for fault in journal.faults()}
    subprocess.run([need("mount"), "-o", "remount,rw", str(small_disk)], check=True)
    fill(journal, 1)
    assert len(data(everything(journal))) == 40
    journal.close()


def test_a_file_replaced_while_it_is_written(tmp_path: Path) -> None:
    """As by a restored backup: a new epoch in doubt, and a gap for what the backup lacks."""
    journal = start(tmp_path)
    fill(journal, 3)
    journal.sync()
    path = next(tmp_path.glob("*.seg"))
    backup = path.read_bytes()
    fill(journal, 3)
    path.unlink()
    path.write_bytes(backup)
    journal.sync()
    assert opening(journal)["reason"] == "doubt"
    assert gaps(everything(journal)) == [(8, 13, "missing")]
    journal.close()


WRITER = textwrap.dedent(
    """
    import os, sys
    from pathlib import Path
    sys.path.insert(0, os.getcwd())
    from tests.integration.test_journal_disk import LIMITS, start
    from dataclasses import replace
    from tabard.brokers.delivery.ranges import Range, Ranges
    from tabard.brokers.wire.batch import NO_DIGEST
    journal = start(Path(sys.argv[1]), replace(LIMITS, bytes=600_000))
    number = 0
    while True:
        batch = journal.append(os.urandom(3_000), 2, {"s": number})
        os.write(1, f"{batch.header.epoch.hex()} {batch.header.first} {batch.digest.hex()}\\n".encode())
        number += 1
        if number % 20 == 0:
            journal.sync()
            journal.enforce(0.0)
        if number % 60 == 0:
            (*_, span) = journal.spans()
            upto = span.last // 2
            os.write(1, f"stored {span.epoch.hex()} {upto}\\n".encode())
            journal.release({span.epoch: Ranges([Range(1, upto, NO_DIGEST, NO_DIGEST)])})
    """
)
POINTS = [
    "journal.before_write=kill@37",
    "journal.after_write=kill@111",
    "journal.before_sync=kill@6",
    "journal.after_sync=kill@4",
    "journal.before_roll=kill@5",
    "journal.gap_written=kill@2",
    "journal.before_unlink=kill@2",
]


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_process_loses_nothing_it_acknowledged(tmp_path: Path, point: str) -> None:
    """SIGKILL at every fail-point: each batch it told of is there, or inside a gap that a quota made."""
    env = {**os.environ, "TABARD_FAILPOINTS": point}
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(tmp_path)], env=env, capture_output=True, timeout=120
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    journal = start(tmp_path)
    kept = everything(journal)
    digests = {batch.digest for batch in kept if batch.header.kind == DATA}
    covered = [batch.header for batch in kept if batch.header.kind == GAP]
    assert all(reason == "quota" for _, _, reason in gaps(kept))
    lines = [line.split() for line in done.stdout.decode().split("\n")[:-1]]
    stored = {words[1]: int(words[2]) for words in lines if words[0] == "stored"}
    told = [words for words in lines if words[0] != "stored"]
    assert told
    for epoch, first, digest in told:
        let_go = int(first) <= stored.get(epoch, 0)
        in_gap = any(h.epoch.hex() == epoch and h.first <= int(first) <= h.last for h in covered)
        assert let_go or in_gap or bytes.fromhex(digest) in digests
    fill(journal, 1)
    assert data(everything(journal))
    journal.close()


OUTBOX = textwrap.dedent(
    """
    import os, sys
    sys.path.insert(0, os.getcwd())
    from tests.integration.test_journal_disk import start_outbox
    outbox = start_outbox(sys.argv[1])
    with outbox.transaction() as db:
        db.execute("CREATE TABLE IF NOT EXISTS done (number INTEGER)")
    for number in range(1000):
        with outbox.transaction() as db:
            db.execute("INSERT INTO done VALUES (?)", (number,))
            outbox.append(str(number).encode(), 1, {})
        os.write(1, f"{number}\\n".encode())
    """
)


def start_outbox(directory: str) -> Outbox:
    """Open the outbox in `directory` as an agent does."""
    return open_outbox(directory, author(CONTROL), LIMITS)


@pytest.mark.parametrize("point", ["outbox.before_commit=kill@20", "outbox.after_commit=kill@20"])
def test_a_killed_process_answers_for_what_it_did(tmp_path: Path, point: str) -> None:
    """What was noted as done and the answer to it are there together, or neither is."""
    env = {**os.environ, "TABARD_FAILPOINTS": point}
    done = subprocess.run(
        [sys.executable, "-c", OUTBOX, str(tmp_path)], env=env, capture_output=True, timeout=120
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    told = [int(line) for line in done.stdout.split()]
    outbox = start_outbox(str(tmp_path))
    answers = [
        int(batch.body)
        for span in outbox.spans()
        for batch in outbox.read_from(span.epoch, span.oldest)
        if batch.header.kind == DATA
    ]
    with outbox.transaction() as db:
        noted = [number for (number,) in db.execute("SELECT number FROM done ORDER BY number")]
    assert answers == noted
    assert set(told) <= set(answers)
    assert len(answers) == len(told) + ("after" in point)
    outbox.close()
