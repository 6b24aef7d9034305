"""An intake on a real journal, killed at each of its fail-points: every record once, whatever the moment."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import msgpack
import pytest

from tabard import intake_frames
from tabard.agents.intake.protocol import frame_of
from tabard.agents.journal.disk import RealDisk
from tabard.agents.journal.journal import Journal
from tabard.agents.journal.limits import Limits
from tabard.brokers.wire.batch import DATA
from tabard.brokers.wire.streams import LOGS
from tabard.clock import SystemClock
from tabard.intake_frames import HEAD
from tabard.records import LOG_INDEX
from tests.authors import author
from tests.unit.intake.samples import log_record

FRAMES = 40
LINES = 120
MESSAGE = LOG_INDEX["message"]


def open_journal(directory):
    """The journal of the log stream, as an agent opens it."""
    return Journal.open(RealDisk(), directory, author(LOGS), Limits())


def serve(directory):
    """What the child does: an intake socket and a tailed file over a journal, until SIGTERM."""
    from tabard.agents.intake.batcher import Batcher
    from tabard.agents.intake.server import IntakeServer
    from tabard.agents.intake.tail.specs import TailSpec
    from tabard.agents.intake.tail.tailer import Tailer
    from tabard.brokers.loop import Loop

    loop, clock = Loop(), SystemClock()
    journal = open_journal(f"{directory}/journal")
    batcher = Batcher(journal, loop, linger=0.002)
    marks = dict(journal.marks)
    server = IntakeServer(loop, batcher, clock, path=f"{directory}/intake.sock", marks=marks)
    tailer = Tailer(loop, batcher, clock, [TailSpec(f"{directory}/app.log", "plain")], marks=marks)

    def stop_when_read():
        (row,) = tailer.sources()
        if row["offset"] < os.path.getsize(f"{directory}/app.log"):
            loop.call_at(loop.now() + 0.02, stop_when_read)
        else:
            loop.stop()

    loop.on_signal(signal.SIGTERM, stop_when_read)
    server.open()
    tailer.start()
    print("ready", flush=True)
    loop.run()
    server.close()
    tailer.close()
    batcher.flush()
    journal.close()
    loop.close()


class Producer:
    """A client that resends what was not acknowledged, and a program that writes a log file."""

    def __init__(self, directory):
        self.directory = directory
        self.accepted = 0
        self.lines = 0

    def write_lines(self, count):
        """Append to the file that is tailed."""
        with open(self.directory / "app.log", "a") as file:
            for _ in range(count):
                file.write(f"line {self.lines}\n")
                self.lines += 1

    def send(self):
        """Send what is not acknowledged until all of it is, or the agent dies. True when all is."""
        with socket.socket(socket.AF_UNIX) as sock:
            stream = sock.makefile("rb")
            try:
                sock.connect(str(self.directory / "intake.sock"))
                sock.sendall(frame_of(intake_frames.HELLO, 0, {"v": 1, "source": "app"}))
                self.accepted = self.answer(stream)
                for number in range(self.accepted + 1, FRAMES + 1):
                    messages = [log_record(message=f"frame {number} {part}") for part in range(3)]
                    sock.sendall(frame_of(intake_frames.RECORDS, number, messages))
                    self.write_lines(min(LINES // FRAMES, LINES - self.lines))
                    if number % 7 == 0:
                        self.accepted = self.answer(stream)
                while self.accepted < FRAMES:
                    self.accepted = self.answer(stream)
            except OSError:
                return False
            finally:
                stream.close()
        return True

    @staticmethod
    def answer(stream):
        """The number of the next answer."""
        head = stream.read(HEAD.size)
        if len(head) < HEAD.size:
            raise ConnectionError("the agent is gone")
        return HEAD.unpack(head)[2]


def start(directory, failpoints=""):
    """A child that serves; returns when it listens."""
    code = f"from tests.integration.test_intake_killed import serve; serve({str(directory)!r})"
    environment = {
        **os.environ,
        "TABARD_FAILPOINTS": failpoints,
        "TABARD_FAILPOINT_LOG": str(directory / "hits"),
    }
    root = Path(__file__).parents[2]
    child = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, cwd=root, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    child.stdout.readline()  # "ready", or nothing when it was killed before
    return child


def journaled(directory):
    """Every message that the journal holds, by source."""
    journal = open_journal(str(directory / "journal"))
    found: dict[str, list[str]] = {}
    for span in journal.spans():
        for batch in journal.read_from(span.epoch, 1):
            if batch.header.kind == DATA:
                for source, _, _, records in msgpack.unpackb(batch.body):
                    found.setdefault(source.partition(":")[0], []).extend(
                        record[MESSAGE] for record in records
                    )
    journal.close()
    return found


@pytest.mark.chaos
@pytest.mark.parametrize("at", [1, 2, 5])
@pytest.mark.parametrize("point", ["intake.before_append", "intake.after_append", "tail.after_read"])
def test_killed_at_a_fail_point_nothing_is_lost_or_doubled(tmp_path, point, at):
    """The client resends, the file is read on from its mark: each record is journaled exactly once, in order."""
    producer = Producer(tmp_path)
    producer.write_lines(1)
    child = start(tmp_path, f"{point}=kill@{at}")
    with child:
        while child.poll() is None:
            producer.send()
            producer.write_lines(1)  # until the fail-point of the tailer is met as well
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(0.05)
    assert child.returncode == -signal.SIGKILL
    with start(tmp_path) as child:
        assert producer.send()
        producer.write_lines(max(LINES - producer.lines, 0))
        child.terminate()
    assert child.returncode == 0
    found = journaled(tmp_path)
    assert found["socket"] == [
        f"frame {number} {part}" for number in range(1, FRAMES + 1) for part in range(3)
    ]
    assert found["file"] == [f"line {number}" for number in range(producer.lines)]
    assert point in (tmp_path / "hits").read_text()
