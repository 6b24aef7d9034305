"""Entries that journalctl meets half-written: they are read once more, and whatever a journal holds that comes to an end."""

from __future__ import annotations

import contextlib
import os
import signal
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.agents.intake.bridge.journald import JournalIntake
from tabard.agents.intake.bridge.journald_export import Entry
from tabard.agents.intake.bridge.journald_files import FilesIntake
from tabard.agents.intake.bridge.journald_unfinished import (
    FILL_SECONDS,
    KNOWN_FIRST,
    KNOWN_MOST,
    MOMENTS,
    STOCK,
    Unfinished,
)
from tabard.errors import JournalError
from tests.unit.bridge.journals import START, Fields, entry_bytes, need_journals, numbered, write
from tests.unit.bridge.rig import Rig

YEARS: Final = 400 * 86_400.0
NEVER: Final = 1_000
"""Readings after which an entry has its MESSAGE that really has none."""


# --- what is decided -----------------------------------------------------------------------------------


class Kept(NamedTuple):
    """An entry in a journal of the tests."""

    number: int
    half: int = 0
    """How many readings meet it without its MESSAGE."""
    kind: int = 0


class Journal:
    """Reads entries as an intake does, and counts."""

    def __init__(self, entries: Sequence[Kept], *, every: float = 0.0) -> None:
        self.counters: Counter[str] = Counter()
        self.unfinished = Unfinished(self.counters)
        self.taken: list[tuple[int, bool]] = []
        self.readings: dict[int, int] = {}
        self.waited: list[float] = []
        self.now = 100.0
        at = 0
        while at < len(entries):
            wait = self.unfinished.again(self._met(entries[at]), self.now)
            if wait is None:
                number, half, _ = entries[at]
                self.taken.append((number, self.readings[number] > half))
                at += 1
                self.now += every
            else:
                self.waited.append(wait)
                self.now += wait

    def _met(self, kept: Kept) -> Entry:
        self.readings[kept.number] = self.readings.get(kept.number, 0) + 1
        return entry(kept.number, self.readings[kept.number] > kept.half, kept.kind)


def entry(number: int, whole: bool, kind: int = 0) -> Entry:
    found = Entry()
    fields = {"__CURSOR": f"s=aa;i={number:x}", "SYSLOG_IDENTIFIER": f"kind {kind}"}
    for name, value in (fields | {"MESSAGE": "m"} if whole else fields).items():
        found.put(name, value.encode(), len(value))
    return found


def test_what_is_whole_is_taken_at_once() -> None:
    """Also with an empty MESSAGE, and one that had no place among a thousand other fields."""
    unfinished = Unfinished(Counter())
    assert unfinished.again(entry(1, whole=True), 0.0) is None
    empty = entry(2, whole=False)
    empty.put("MESSAGE", b"", 0)
    assert unfinished.again(empty, 0.0) is None
    crowded = entry(3, whole=False)
    crowded.left_out = 1
    assert unfinished.again(crowded, 0.0) is None


@pytest.mark.parametrize("half", [1, 2])
def test_a_half_entry_is_taken_when_it_is_whole(half: int) -> None:
    """After a moment, or a longer one."""
    journal = Journal([Kept(1), Kept(2, half), Kept(3)])
    assert journal.taken == [(1, True), (2, True), (3, True)]
    assert journal.waited == list(MOMENTS[:half])
    assert journal.counters == {"read again": half, "completed": 1}


def test_what_comes_again_without_is_taken_as_it_is() -> None:
    """There is no third time."""
    journal = Journal([Kept(1, NEVER), Kept(2)])
    assert journal.taken == [(1, False), (2, True)]
    assert (journal.waited, journal.counters) == (list(MOMENTS), {"read again": len(MOMENTS)})


def test_masses_of_entries_without_a_message_cost_nothing() -> None:
    """Of one kind: a few are looked at again in an hour, more and more rarely."""
    journal = Journal([Kept(number, NEVER) for number in range(100_000)], every=0.0)
    assert len(journal.waited) == len(MOMENTS)
    hours = Journal([Kept(number, NEVER) for number in range(36_000)], every=1.0)
    pauses, pause = 0, 0.0
    while pause < 36_000:
        pause += min(KNOWN_FIRST * 2**pauses, KNOWN_MOST)
        pauses += 1
    assert 0 < len(hours.waited) <= pauses * len(MOMENTS)


def test_of_ever_new_kinds_only_so_many_are_read_again() -> None:
    """The stock bounds them, and fills with time."""
    journal = Journal([Kept(number, NEVER, number) for number in range(10_000)])
    assert len(journal.waited) <= STOCK + 1
    seconds = 2_000
    slow = Journal([Kept(number, NEVER, number) for number in range(seconds)], every=1.0)
    assert seconds / FILL_SECONDS <= len(slow.waited) <= STOCK + slow.now / FILL_SECONDS


def test_half_entries_are_never_too_many() -> None:
    """What a reading was worth is put back; an entry of a kind that has messages is no other one."""
    journal = Journal(
        [Kept(number, number % 2 * len(MOMENTS), 0) for number in range(5_000)],
    )
    assert all(whole for _, whole in journal.taken)
    mixed = Journal(
        [Kept(number, NEVER if number % 2 else number % 4 // 2, number % 2) for number in range(999)]
    )
    assert [number for number, whole in mixed.taken if not whole] == list(range(1, 999, 2))


def test_another_entry_first_is_judged_by_itself() -> None:
    """One of another file came in between, or the one that was asked for is gone: nothing is waited for."""
    counters: Counter[str] = Counter()
    unfinished = Unfinished(counters)
    assert unfinished.again(entry(5, whole=False), 0.0) == MOMENTS[0]
    assert unfinished.again(entry(4, whole=True), 0.1) is None
    assert unfinished.again(entry(3, whole=False, kind=1), 0.1) == MOMENTS[0]
    assert unfinished.again(entry(3, whole=True, kind=1), 0.2) is None
    assert unfinished.again(entry(5, whole=True), 0.2) is None
    assert unfinished.again(entry(6, whole=True), 0.3) is None
    assert counters == {"read again": 2, "completed": 1}


def test_an_entry_without_a_place_is_not_read_again() -> None:
    """There is nothing to know it by."""
    placeless = entry(1, whole=False)
    del placeless.fields["__CURSOR"]
    assert Unfinished(Counter()).again(placeless, 0.0) is None


@given(
    st.lists(st.tuples(st.sampled_from([0, 0, 0, 1, 2, 3, NEVER]), st.integers(0, 30)), max_size=120),
    st.sampled_from([0.0, 0.01, 5.0]),
)
def test_each_entry_is_taken_once_in_order_and_the_readings_are_bounded(
    given_entries: list[tuple[int, int]], every: float
) -> None:
    """Whatever comes; what is whole is never taken for half."""
    entries = [Kept(number, half, kind) for number, (half, kind) in enumerate(given_entries)]
    journal = Journal(entries, every=every)
    assert [number for number, _ in journal.taken] == list(range(len(entries)))
    worth = sum(half <= len(MOMENTS) for half, _ in given_entries) * len(MOMENTS)
    assert len(journal.waited) <= worth + STOCK + (journal.now - 100.0) / FILL_SECONDS + 1
    assert all(whole for (_, whole), kept in zip(journal.taken, entries, strict=True) if not kept.half)


# --- a journalctl that says what it is told to ---------------------------------------------------------


def cursor(number: int) -> str:
    return f"s=aa;i={number:x};b=b;m={number:x};t={START + number:x};x={number:x}"


def said(number: int, *, whole: bool = True) -> bytes:
    fields = {"__CURSOR": cursor(number), "PRIORITY": "6"}
    return entry_bytes(fields | {"MESSAGE": f"n {number}"} if whole else fields)


class Fake:
    """Stands where journalctl does. What its starts say, one after the other; further ones say what the last does."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._directory = directory
        bin_, self._runs = directory / "bin", directory / "runs"
        bin_.mkdir()
        self._runs.mkdir()
        script = bin_ / "journalctl"
        script.write_text(
            f'#!/bin/sh\ncd {self._runs}\nn=$(ls | grep -c asked)\necho "$@" > asked.$n\n'
            "[ -f says.$n ] || n=last\ncat says.$n\n[ -f end.$n ] || exec sleep 1000\n"
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(bin_), prepend=":")

    def says(self, *starts: bytes, ends: bool = False) -> None:
        """What each start says; with `ends` it ends then."""
        for name, what in [*enumerate(starts), ("last", starts[-1])]:
            (self._runs / f"says.{name}").write_bytes(what)
            if ends:
                (self._runs / f"end.{name}").touch()

    @property
    def asked(self) -> list[str]:
        """What each start was asked for, its last argument."""
        found = sorted(self._runs.glob("asked.*"), key=lambda path: int(path.suffix[1:]))
        return [path.read_text().split()[-1] for path in found]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    return Fake(tmp_path, monkeypatch)


def following(directory: Path, marks: dict[str, Any] | None = None) -> Rig:
    return Rig(lambda around: [JournalIntake(str(directory), YEARS, around)], marks=marks)


def messages(rig: Rig) -> list[str]:
    """Those of entries."""
    return [each["message"] for each in rig.records() if each.get("service") != "tabard-agent"]


def everything(numbers: Sequence[int], *half: int) -> bytes:
    return b"".join(said(number, whole=number not in half) for number in numbers)


def test_what_came_before_a_half_entry_is_handed_on_and_reading_goes_on_behind_it(
    tmp_path: Path, fake: Fake
) -> None:
    """What came behind it in the same piece is not taken: it comes again, and once."""
    fake.says(everything([1, 2, 3, 4], 3), everything([2, 3, 4, 5]))
    with following(tmp_path) as rig:
        rig.until(lambda: rig.counted("read again") == 1)
        assert rig.intake.report().position == cursor(2)
        rig.until(lambda: messages(rig) == [f"n {number}" for number in range(1, 6)])
        assert (rig.counted("completed"), rig.counted("restarts"), rig.counted("lost")) == (1, 0, 0)
        assert not rig.intake.report().faults
    assert fake.asked[1:] == [f"--cursor={cursor(2)}"]


def test_two_entries_that_came_as_one_are_read_again(tmp_path: Path, fake: Fake) -> None:
    """An older journalctl breaks off in the middle of the first, without its end."""
    broken = said(2, whole=False).removesuffix(b"\n")
    fake.says(said(1) + broken + everything([3, 4]), everything([1, 2, 3, 4]))
    with following(tmp_path) as rig:
        rig.until(lambda: messages(rig) == ["n 1", "n 2", "n 3", "n 4"])
        assert (rig.counted("completed"), rig.counted("lost")) == (1, 0)
    assert fake.asked[1:] == [f"--cursor={cursor(1)}"]


def test_two_entries_that_come_as_one_each_time_end(tmp_path: Path, fake: Fake) -> None:
    """What is behind them is read."""
    broken = said(2, whole=False).removesuffix(b"\n")
    fake.says(*[said(1) + broken + everything([3, 4])] * 3)
    with following(tmp_path) as rig:
        rig.until(lambda: messages(rig) == ["n 1", "n 3", "n 4"])
        assert (rig.counted("completed"), rig.intake.report().position) == (0, cursor(4))


def test_the_first_entry_of_all_is_read_again_without_a_cursor_before_it(tmp_path: Path, fake: Fake) -> None:
    """From where the backlog begins."""
    fake.says(everything([1, 2], 1), everything([1, 2, 3]))
    with following(tmp_path) as rig:
        rig.until(lambda: messages(rig) == ["n 1", "n 2", "n 3"])
        assert rig.counted("completed") == 1
    assert fake.asked[0] == fake.asked[1]
    assert fake.asked[0].startswith("--since=@")


def test_a_kill_in_between_costs_nothing(tmp_path: Path, fake: Fake) -> None:
    """The mark stands before the half entry."""
    fake.says(everything([1, 2, 3], 3), everything([2, 3, 4]))
    with following(tmp_path) as first:
        first.until(lambda: first.counted("read again") == 1)
    assert messages(first) == ["n 1", "n 2"]
    with following(tmp_path, marks=first.journal.marks) as second:
        second.until(lambda: messages(second) == ["n 3", "n 4"])
    assert len(fake.asked) == 2


def test_after_the_end_nothing_is_read_again(tmp_path: Path, fake: Fake) -> None:
    """Though it was about to be."""
    fake.says(everything([1, 2], 2))
    with following(tmp_path) as rig:
        rig.until(lambda: rig.counted("read again") == 1)
        rig.intake.close()
        later = rig.loop.now() + 2 * MOMENTS[0]
        rig.until(lambda: rig.loop.now() > later)
    assert len(fake.asked) == 1


def test_the_entry_at_the_cursor_need_not_be_whole(tmp_path: Path, fake: Fake) -> None:
    """It was taken before."""
    fake.says(everything([1, 2, 3], 1))
    with following(tmp_path, marks={f"journal:{tmp_path}": cursor(1)}) as rig:
        rig.until(lambda: messages(rig) == ["n 2", "n 3"])
        assert rig.counted("read again") == 0


def test_behind_a_cursor_that_is_gone_a_half_entry_is_read_again_by_time(tmp_path: Path, fake: Fake) -> None:
    """And the loss is said once, before it."""
    fake.says(everything([7, 8], 7), everything([7, 8], 7), everything([7, 8]))
    with following(tmp_path, marks={f"journal:{tmp_path}": cursor(1)}) as rig:
        rig.until(lambda: messages(rig) == ["n 7", "n 8"])
        losses = [each["message"] for each in rig.records() if "may be missing" in each["message"]]
        assert (len(losses), rig.counted("completed")) == (1, 1)
    assert [each.partition("=")[0] for each in fake.asked] == ["--cursor", "--since", "--since"]


def test_masses_without_a_message_are_taken(tmp_path: Path, fake: Fake) -> None:
    """In order, after a few further readings."""
    numbers = range(1, 3_001)
    fake.says(everything(numbers, *numbers))
    with following(tmp_path) as rig:
        rig.wait_for(3_001)
        assert messages(rig) == [""] * 3_000
        assert rig.intake.report().position == cursor(3_000)
        assert len(MOMENTS) <= rig.counted("read again") <= STOCK
        assert rig.counted("completed") == 0


def test_while_the_journal_of_the_agent_takes_nothing_nothing_is_read_again(
    tmp_path: Path, fake: Fake
) -> None:
    """Journalctl waits in its pipe."""
    fake.says(everything([1, 2], 2), everything([1, 2, 3]))
    with following(tmp_path) as rig:
        rig.until(lambda: rig.counted("read again") == 1)
        rig.batcher.flush()
        for each in rig.batcher.on_blocked:
            each()
        rig.batcher.blocked = JournalError("full")
        rig.until(lambda: len(fake.asked) == 2)
        assert messages(rig) == ["n 1"]
        rig.batcher.blocked = None
        for each in rig.batcher.on_ready:
            each()
        rig.until(lambda: messages(rig) == ["n 1", "n 2", "n 3"])


def test_a_file_that_is_written_to_is_read_like_that_too(tmp_path: Path, fake: Fake) -> None:
    """And read to its end."""
    (tmp_path / "a.journal").write_bytes(b"LPKSHHRH" + bytes(100))
    fake.says(everything([1, 2], 2), everything([1, 2]), ends=True)
    with Rig(lambda around: [FilesIntake([str(tmp_path / "*.journal")], around)]) as rig:
        rig.until(lambda: rig.batcher.accepted == 2 and not rig.counted("unread files"))
        assert messages(rig) == ["n 1", "n 2"]
        assert (rig.counted("completed"), rig.counted("unreadable")) == (1, 0)


# --- real journals -------------------------------------------------------------------------------------


class Value:
    """The bytes in a journal file that say how many entries have a value: its writer sets them last."""

    _COMPACT: Final = 16

    def __init__(self, path: Path, value: bytes) -> None:
        self._path = path
        raw = path.read_bytes()
        assert raw.count(value + b"\0") == 1
        (flags,) = struct.unpack_from("<I", raw, 12)
        self._at = raw.index(value + b"\0") - (16 if flags & self._COMPACT else 8)
        self._before = raw[self._at : self._at + 8]
        assert struct.unpack("<Q", self._before) == (1,)

    def half(self) -> None:
        """As journald has it between two stores."""
        self._put(bytes(8))

    def whole(self) -> None:
        """As it is a moment later."""
        self._put(self._before)

    def _put(self, what: bytes) -> None:
        with self._path.open("r+b") as file:
            file.seek(self._at)
            file.write(what)


@contextlib.contextmanager
def stopped(rig: Rig) -> Iterator[None]:
    """The journalctl of an intake stands still."""
    pid: int = rig.intake._reader.running  # type: ignore[attr-defined]
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    need_journals()
    found = tmp_path / "journal"
    found.mkdir()
    return found / "a.journal"


def test_a_real_entry_that_is_half_written_at_the_tail_is_stored_whole(journal: Path) -> None:
    """Journalctl meets it while its writer is at it, and says nothing of that."""
    write(journal, numbered(0, 3))
    with following(journal.parent) as rig:
        rig.wait_for(4)
        with stopped(rig):
            write(journal, numbered(3, 2), 3)
            value = Value(journal, b"MESSAGE=n 3")
            value.half()
        rig.until(lambda: rig.counted("read again") == 1)
        value.whole()
        rig.until(lambda: messages(rig) == [f"n {number}" for number in range(5)])
        assert (rig.counted("completed"), rig.counted("restarts")) == (1, 0)


def test_a_real_entry_whose_writer_was_killed_is_stored_as_it_is(journal: Path) -> None:
    """And what is written behind it as usual."""
    entries: list[Fields] = [{**each, "ORDER": "12"} for each in numbered(0, 3)]
    write(journal, entries)
    Value(journal, b"MESSAGE=n 1").half()
    with following(journal.parent) as rig:
        rig.until(lambda: messages(rig) == ["n 0", "", "n 2"])
        assert '"ORDER":"12"' in rig.records()[2]["attributes"].replace(" ", "")
        assert (rig.counted("read again"), rig.counted("completed")) == (len(MOMENTS), 0)
        write(journal, numbered(3, 1), 3)
        rig.until(lambda: messages(rig)[-1] == "n 3")


def test_real_entries_without_a_message_are_stored_once_and_in_order(journal: Path) -> None:
    """Thousands of them among others."""
    write(
        journal,
        [
            {**each, "ORDER": str(number)} if number % 3 else {"ORDER": str(number), "_PID": "7"}
            for number, each in enumerate(numbered(0, 6_000))
        ],
    )
    with following(journal.parent) as rig:
        rig.wait_for(6_001)
        assert messages(rig) == [f"n {number}" if number % 3 else "" for number in range(6_000)]
        assert len(MOMENTS) <= rig.counted("read again") <= STOCK
