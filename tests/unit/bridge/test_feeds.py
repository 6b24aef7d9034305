"""Streams of nonsense: each reader takes it, or says once that it cannot, and what it gives can be journaled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.agents.intake.admission import admit
from tabard.agents.intake.batcher import Batcher
from tabard.agents.intake.bridge.gather import Gatherer
from tabard.agents.intake.bridge.known import KnownLayouts
from tabard.agents.intake.bridge.pickled import MOST_BYTES, RecordReader
from tabard.agents.intake.bridge.ports import Surroundings
from tabard.agents.intake.bridge.streams import Desk, Reader
from tabard.agents.intake.bridge.syslog import SyslogParser
from tabard.agents.intake.bridge.syslogs import SyslogReader
from tabard.agents.intake.bridge.troubles import Troubles
from tabard.errors import SettingsError, WireError
from tabard.home import Home
from tabard.settings import load
from tabard.settings.lint import lint
from tests.unit.bridge.samples import CAPTURES, attributes, framed, record_pickle
from tests.unit.intake.fakes import FakeClock, FakeLoop, ListJournal

SYSLOG = [
    b'<14>1 2026-11-22T02:58:15Z h app 7 - [a b="c"] \xef\xbb\xbfm\n', b"<13>Nov 22 03:58:15 h app[7]: m\n",
    b"24 <13>Nov 22 03:58:15 a: m", b"<13>x\0", b"\n", b"9 <13>a\nb\0c", b"no syslog at all\r\n",
]  # fmt: skip


class Taking:
    """A reader whose records go to a journal that is a list."""

    def __init__(self, kind: str) -> None:
        loop = FakeLoop()
        self.journal = ListJournal()
        self.batcher = Batcher(self.journal, loop, linger=0.01)
        clock = FakeClock(loop)
        around = Surroundings(loop, self.batcher, clock)
        self.desk = Desk(Gatherer(around), Counter(), Troubles("x", loop))
        self.reader: Reader = (
            RecordReader(self.desk, wall=clock.wall, known=KnownLayouts())
            if kind == "pickle"
            else SyslogReader(self.desk, SyslogParser(clock.wall))
        )

    def feed(self, stream: bytes, steps: Callable[[], int]) -> bool:
        """Feed a stream in steps; whether it was taken to its end."""
        at = 0
        taken = True
        while at < len(stream):
            step = steps()
            try:
                self.reader.feed(stream[at : at + step])
            except WireError:
                taken = False
                break
            at += step
            assert self.reader.held <= MOST_BYTES + 4
        self.reader.finish()
        assert self.reader.held == 0
        self.desk.gatherer.flush()
        self.batcher.flush()
        for group in self.journal.groups():
            assert admit(msgpack.packb(group[3])).repaired == 0
        return taken


@pytest.mark.parametrize("kind", ["pickle", "syslog"])
@pytest.mark.parametrize("seed", range(25))
def test_mutated_streams_are_taken_or_refused(kind: str, seed: int) -> None:
    """Whatever is journaled of them fits the store's columns."""
    random = Random(seed)
    if kind == "pickle":
        parts = [framed(record_pickle(attributes(msg=f"n {n}", x="y" * n))) for n in range(20)]
        parts.append((CAPTURES / "py38-p2.bin").read_bytes())
    else:
        parts = SYSLOG * 6
    for _ in range(20):
        stream = bytearray(b"".join(random.choice(parts) for _ in range(10)))
        for _ in range(random.randrange(4)):
            at = random.randrange(len(stream))
            if random.random() < 0.5:
                stream[at] = random.randrange(256)
            else:
                del stream[at : at + random.randrange(9)]
        Taking(kind).feed(bytes(stream), lambda: random.choice((1, 7, 100, 10_000)))


@given(st.binary(max_size=300), st.integers(1, 50), st.sampled_from(["pickle", "syslog"]))
def test_random_streams_are_taken_or_refused(stream: bytes, step: int, kind: str) -> None:
    """Nothing but a refusal comes of them."""
    Taking(kind).feed(stream, lambda: step)


@given(st.lists(st.sampled_from(SYSLOG[:2] + SYSLOG[6:]), min_size=1), st.integers(1, 50))
def test_the_size_of_reads_changes_nothing(lines: list[bytes], step: int) -> None:
    """The same records, whether a stream comes at once or in small parts."""
    one, other = Taking("syslog"), Taking("syslog")
    assert one.feed(b"".join(lines), lambda: 1_000_000)
    assert other.feed(b"".join(lines), lambda: step)
    assert one.journal.records() == other.journal.records()
    assert len(one.journal.records()) == len(lines)


@pytest.mark.parametrize("name", ["socket_handler", "syslog_tcp", "syslog_udp"])
def test_an_address_that_others_can_reach_is_warned_of(tmp_path, name: str) -> None:
    """`tabard check` names the setting; a loopback address is fine, one that is taken by another is an error."""
    key = f"intake.{name}"
    for address, warned in (("0.0.0.0:9020", True), ("192.0.2.1:9020", True), ("127.0.0.1:9020", False)):
        findings = list(lint(load(Home(tmp_path), env={}, args={key: address})))
        assert any(key in str(finding.error) and finding.warning for finding in findings) == warned
    if name != "syslog_udp":
        given = {"intake.tcp": "127.0.0.1:9020", key: "127.0.0.1:9020"}
        with pytest.raises(SettingsError, match="also bound by"):
            load(Home(tmp_path), env={}, args=given)
