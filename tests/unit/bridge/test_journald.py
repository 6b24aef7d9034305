"""The systemd journal: its export format, where reading stands, and real journal files read by a real journalctl."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.agents.intake.bridge.journald import JournalIntake
from tabard.agents.intake.bridge.journald_export import MOST_FIELDS, MOST_VALUE, Entry, ExportReader
from tabard.agents.intake.bridge.journald_files import FilesIntake
from tabard.agents.intake.bridge.journald_place import Place, Step, when
from tabard.agents.intake.bridge.journald_record import is_own, record_of
from tabard.errors import IntakeError, JournalError, WireError
from tabard.records import LOG_FIELDS
from tests.unit.bridge.journals import START, entry_bytes, need_journals, numbered, write
from tests.unit.bridge.rig import Rig

NOW = START * 1_000 + 5_000_000_000
YEARS = 400 * 86_400.0


# --- the export format ---------------------------------------------------------------------------------


def read(data: bytes, piece: int = 0) -> list[Entry]:
    reader = ExportReader()
    if not piece:
        return list(reader.feed(data))
    return [entry for at in range(0, len(data), piece) for entry in reader.feed(data[at : at + piece])]


NAMES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ_", min_size=1, max_size=12)
VALUES = st.one_of(st.binary(max_size=300), st.text(max_size=40).map(str.encode))


@given(
    st.lists(st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=8), max_size=6),
    st.integers(1, 64),
)
def test_what_was_written_is_read_in_pieces_of_any_size(
    entries: list[list[tuple[str, bytes]]], piece: int
) -> None:
    """Text and binary values, empty ones, and names that come again."""
    data = b"".join(
        b"".join(entry_bytes({name: value})[:-1] for name, value in each) + b"\n" for each in entries
    )
    found = read(data, piece)
    assert len(found) == len(entries)
    for entry, each in zip(found, entries, strict=True):
        said = sorted([*entry.fields.items(), *entry.again])
        assert said == sorted(each)


@given(st.binary(max_size=600), st.integers(1, 64))
def test_nonsense_raises_nothing_but_a_wire_error(data: bytes, piece: int) -> None:
    """And never asks for unbounded memory: a length is only believed as far as a value is kept."""
    reader = ExportReader()
    try:
        for at in range(0, len(data), piece):
            for entry in reader.feed(data[at : at + piece]):
                record_of(entry, NOW)
    except WireError:
        return
    assert reader.held <= len(data) * 2


@pytest.mark.parametrize("binary", [True, False])
def test_a_very_large_value_is_cut_and_not_held(binary: bool) -> None:
    """A core dump passes through without taking its size in memory, and what follows it is read."""
    size = 20 * 1_048_576
    if binary:
        head, end = b"COREDUMP\n" + size.to_bytes(8, "little"), b"\n"
    else:
        head, end = b"COREDUMP=", b"\n"
    reader = ExportReader()
    found = list(reader.feed(b"MESSAGE=before\n" + head))
    for _ in range(size // 65_536):
        found += reader.feed(b"x" * 65_536)
        assert reader.held < 2 * MOST_VALUE
    found += reader.feed(end + b"AFTER=1\n\nMESSAGE=next\n\n")
    first, second = found
    assert (first.text("MESSAGE"), first.text("AFTER"), first.cut) == ("before", "1", {"COREDUMP": size})
    assert len(first.fields["COREDUMP"]) == MOST_VALUE
    assert second.text("MESSAGE") == "next"


def test_an_entry_of_too_many_fields_keeps_the_first() -> None:
    """And says how many it lost."""
    (entry,) = read(b"".join(b"F%d=1\n" % number for number in range(MOST_FIELDS + 5)) + b"\n")
    assert (len(entry.fields), entry.left_out) == (MOST_FIELDS, 5)


# --- where reading stands ------------------------------------------------------------------------------


def cursor(number: int, sequence: str = "aa", at: int | None = None) -> str:
    return (
        f"s={sequence};i={number:x};b=b;m={number:x};t={START + number if at is None else at:x};x={number:x}"
    )


def test_the_entry_at_the_cursor_is_asked_for_again_and_passed_over() -> None:
    """So that it is known that nothing is missing."""
    place = Place(cursor(7))
    assert place.arguments() == [f"--cursor={cursor(7)}"]
    assert [place.take(cursor(number)) for number in (7, 8, 9)] == [Step.KNOWN, Step.NEW, Step.NEW]
    assert (place.cursor, place.loss) == (cursor(9), None)


def test_a_cursor_that_is_not_there_any_more_is_a_loss_and_reading_goes_on_by_time() -> None:
    """The loss counts what is missing, and is said with the first entry there is."""
    place = Place(cursor(7))
    place.arguments()
    assert place.take(cursor(20)) is Step.LOST
    assert place.cursor == cursor(7)
    since = START + 7
    assert place.arguments() == [f"--since=@{since // 1_000_000}.{since % 1_000_000:06}"]
    assert place.take(cursor(12)) is Step.NEW
    assert place.loss is not None
    assert place.loss.number == 4
    assert place.take(cursor(13)) is Step.NEW
    assert place.loss is None


def test_a_jump_in_the_numbers_is_a_loss_only_where_everything_can_be_read() -> None:
    """Entries of other users, in files that may not be read, are no loss."""
    place = Place()
    place.take(cursor(1))
    place.take(cursor(5), whole=lambda: False)
    unread = place.loss
    place.take(cursor(9))
    assert (unread, place.loss and place.loss.number) == (None, 3)
    assert place.loss is not None
    assert "3 entries of the systemd journal may be missing" in place.loss.message


def test_a_number_that_no_time_was_for_says_nothing() -> None:
    """A damaged entry may have any."""
    place = Place()
    place.take(cursor(1))
    place.take(cursor(2**60, at=START + 2))
    assert place.loss is not None
    assert place.loss.number is None


def test_what_journalctl_cannot_read_is_passed_over_further_each_time() -> None:
    """Behind the entry that was read last; the loss says that it is damage, and the next entry ends it."""
    place = Place(cursor(7))
    since = []
    for _ in range(3):
        assert place.pass_over()
        since += place.arguments()
    assert [int(each[-6:]) - (START + 7) % 1_000_000 for each in since] == [1, 2, 4]
    assert place.take(cursor(12)) is Step.NEW
    assert place.loss is not None
    assert place.loss.attributes == {"intake": "journal lost", "missing": None}
    assert "what followed is damaged; it goes on at" in place.loss.message
    assert not place.passing
    assert place.arguments() == [f"--cursor={cursor(12)}"]


def test_what_is_damaged_is_not_passed_over_for_ever() -> None:
    """Nor where nobody knows when it was; and what nothing comes behind is a loss, too."""
    assert not Place().pass_over()
    place = Place(cursor(7))
    tries = 0
    while place.pass_over():
        tries += 1
    assert tries < 64
    place.end()
    assert place.loss is not None
    assert place.loss.message.endswith("and what followed is damaged; nothing goes on")
    assert not place.passing


def test_journals_of_several_machines_have_numbers_of_their_own() -> None:
    """They are interleaved by time."""
    place = Place()
    for sequence, number in [("aa", 1), ("bb", 40), ("aa", 2), ("bb", 41), ("cc", 7), ("aa", 3)]:
        assert place.take(cursor(number, sequence)) is Step.NEW
        assert place.loss is None


@given(st.text(max_size=80))
def test_no_cursor_is_too_strange(text: str) -> None:
    """Whatever a mark holds."""
    place = Place(text)
    place.arguments()
    place.take(cursor(1))
    place.give_up()
    place.arguments()


# --- entries as records --------------------------------------------------------------------------------


def as_record(**fields: Any) -> dict[str, Any]:
    data = entry_bytes(fields)
    (entry,) = read(data)
    record = dict(zip(LOG_FIELDS, record_of(entry, NOW), strict=True))
    return {name: value for name, value in record.items() if value is not None}


def test_fields_with_a_place_go_there() -> None:
    """What journald says of who logged is kept beside."""
    assert as_record(
        __REALTIME_TIMESTAMP=str(START + 3),
        _SOURCE_REALTIME_TIMESTAMP=str(START),
        PRIORITY="3",
        SYSLOG_FACILITY="3",
        SYSLOG_IDENTIFIER="shop",
        _SYSTEMD_UNIT="shop.service",
        _PID="42",
        CODE_FUNC="sell",
        CODE_LINE="17",
        CODE_FILE="shop/till.c",
        MESSAGE="it is über",
        MESSAGE_ID="fc2e22bc6ee647b6b90729ab34a250b1",
        _BOOT_ID="0123",
        _HOSTNAME="web1",
        _CAP_EFFECTIVE="0",
        ORDER="12",
    ) | {"attributes": None} == {
        "time": START * 1_000,
        "severity": 17,
        "level": "err",
        "service": "shop",
        "process": 42,
        "function": "sell",
        "line": 17,
        "module": "shop/till.c",
        "message": "it is über",
        "attributes": None,
    }


def test_the_rest_keeps_its_names_among_the_attributes() -> None:
    """A field given twice is a list; what only journald needs is left out."""
    record = as_record(
        MESSAGE="m",
        _BOOT_ID="b",
        _UID="0",
        _CAP_EFFECTIVE="1",
        SYSLOG_FACILITY="10",
        ORDER=["1", "2", "3"],
        _HOSTNAME="w",
    )
    assert json.loads(record["attributes"]) == {
        "facility": "authpriv", "host": "w", "_BOOT_ID": "b", "_UID": "0", "ORDER": ["1", "2", "3"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "service"),
    [
        ({"SYSLOG_IDENTIFIER": "a", "_SYSTEMD_UNIT": "b.service"}, "a"),
        ({"_SYSTEMD_UNIT": "b.service", "_COMM": "c"}, "b"),
        ({"_SYSTEMD_USER_UNIT": "u.service"}, "u"),
        ({"_COMM": "c"}, "c"),
        ({"_TRANSPORT": "kernel"}, "kernel"),
        ({}, None),
    ],
)
def test_the_service_is_the_best_name_there_is(fields: dict[str, str], service: str | None) -> None:
    assert as_record(MESSAGE="m", **fields).get("service") == service


def test_messages_of_bytes_of_lines_and_of_nothing() -> None:
    """Bytes that are no text are shown; without a message it is empty."""
    assert as_record(MESSAGE=b"caf\xe9")["message"] == "caf\\xe9"
    assert as_record(MESSAGE="one\ntwo")["message"] == "one\ntwo"
    assert as_record(MESSAGE=["one", "two"])["message"] == "one\ntwo"
    assert as_record(ORDER="1")["message"] == ""
    assert as_record(ORDER="1")["time"] == NOW
    assert json.loads(as_record(DUMP=b"\xff" * 5_000)["attributes"]) == {"DUMP": "<5000 bytes>"}


def test_what_programs_name_as_ps_basic_does_goes_to_its_field() -> None:
    """And a trace gives the exception in one line."""
    trace = 'Traceback (most recent call last):\n  File "a", line 1\nValueError: no'
    record = as_record(MESSAGE="m", SYSTEM_ID="till", TRACE_ID="ab", EXCEPTION_TEXT=trace, LOGGER="shop.till")
    assert (record["system"], record["trace_id"], record["exception"]) == ("till", "ab", "ValueError: no")
    assert (record["stack"], record["logger"]) == (trace, "shop.till")


@pytest.mark.parametrize(
    ("line", "own"),
    [
        ("/opt/tabard/.venv/bin/python /opt/tabard/bin/tabard agent --home /srv/t", True),
        ("python3 -m tabard --home /srv/t up", True),
        ("tabard broker main", True),
        ("tabard log --service agent", False),
        ("tabard cron exec agent -- true", False),
        ("/usr/bin/shop agent", False),
    ],
)
def test_roles_of_this_user_are_not_heard_twice(line: str, own: bool) -> None:
    """They log into the agent by themselves; a command of Tabard that speaks for others is heard."""
    (entry,) = read(entry_bytes({"MESSAGE": "m", "_CMDLINE": line, "_UID": str(os.geteuid())}))
    assert is_own(entry) is own
    (other,) = read(entry_bytes({"MESSAGE": "m", "_CMDLINE": line, "_UID": str(os.geteuid() + 1)}))
    assert not is_own(other)


# --- real journals -------------------------------------------------------------------------------------


def following(directory: Path, backlog: float = YEARS, marks: dict[str, Any] | None = None) -> Rig:
    need_journals()
    return Rig(lambda around: [JournalIntake(str(directory), backlog, around)], marks=marks)


def messages(rig: Rig, word: str = "n ") -> list[str]:
    return [record["message"] for record in rig.records() if record["message"].startswith(word)]


def test_a_directory_is_followed_as_it_grows_and_is_rotated(tmp_path: Path) -> None:
    """All in order; the mark of the last group is the last cursor."""
    need_journals()
    write(tmp_path / "a.journal", numbered(0, 600))
    with following(tmp_path) as rig:
        rig.wait_for(601)
        write(tmp_path / "a.journal", numbered(600, 10), 600)
        rig.wait_for(611)
        write(tmp_path / "b.journal", numbered(610, 10), 610)
        rig.wait_for(621)
        position = rig.intake.report().position
    assert messages(rig) == [f"n {number}" for number in range(620)]
    assert rig.journal.marks[f"journal:{tmp_path}"] == position
    assert rig.records()[0]["message"].startswith("the systemd journal is read from ")


def test_it_goes_on_where_the_mark_says(tmp_path: Path) -> None:
    """After the last entry there was, and with nothing new not at all."""
    need_journals()
    write(tmp_path / "a.journal", numbered(0, 300))
    with following(tmp_path) as first:
        first.wait_for(301)
    write(tmp_path / "a.journal", numbered(300, 5), 300)
    with following(tmp_path, marks=first.journal.marks) as second:
        assert len(second.wait_for(5)) == 5
    assert messages(second) == [f"n {number}" for number in range(300, 305)]
    with following(tmp_path, marks=second.journal.marks) as third:
        write(tmp_path / "a.journal", numbered(305, 1), 305)
        third.wait_for(1)
    assert messages(third) == ["n 305"]


def test_what_was_vacuumed_while_no_agent_ran_is_said(tmp_path: Path) -> None:
    """Nothing that is still there is passed over, not even the first entry behind the hole."""
    need_journals()
    write(tmp_path / "a.journal", numbered(0, 10))
    with following(tmp_path) as first:
        first.wait_for(11)
    (tmp_path / "a.journal").unlink()
    write(tmp_path / "b.journal", numbered(50, 10), 50)
    with following(tmp_path, marks=first.journal.marks) as second:
        found = second.wait_for(11)
        assert second.counted("lost") == 1
        assert "vacuumed before they were read" in second.intake.report().faults[0]
    assert found[0]["level"] == "WARNING"
    assert f"may be missing before this: it was read up to {when(START + 9)}" in found[0]["message"]
    assert messages(second) == [f"n {number}" for number in range(50, 60)]
    with following(tmp_path, marks=second.journal.marks) as third:
        write(tmp_path / "b.journal", numbered(60, 1), 60)
        assert [each["message"] for each in third.wait_for(1)] == ["n 60"]


def test_a_mark_that_is_no_cursor_is_said_and_costs_nothing(tmp_path: Path) -> None:
    """Journalctl refuses it; what there is is read."""
    need_journals()
    write(tmp_path / "a.journal", numbered(0, 3))
    with following(tmp_path, marks={f"journal:{tmp_path}": "nonsense"}) as rig:
        rig.until(lambda: len(messages(rig)) == 3)
    assert any("may be missing" in record["message"] for record in rig.records())


def test_old_entries_are_left_out_at_the_first_start(tmp_path: Path) -> None:
    """As the setting says, and a record says so."""
    need_journals()
    write(tmp_path / "a.journal", numbered(0, 3))
    now = int(time.time() * 1e6) - START
    write(tmp_path / "a.journal", numbered(3, 2), now)
    with following(tmp_path, backlog=3_600.0) as rig:
        rig.wait_for(3)
    assert messages(rig) == ["n 3", "n 4"]


def test_while_the_journal_of_the_agent_takes_nothing_nothing_is_read(tmp_path: Path) -> None:
    """Journalctl waits; then everything is there."""
    need_journals()
    write(tmp_path / "a.journal", numbered(0, 20_000))
    with following(tmp_path) as rig:
        rig.journal.error = JournalError("full")
        rig.until(lambda: rig.batcher.blocked is not None)
        held = rig.batcher.waiting
        for _ in range(20):
            rig.loop.turn(0.01)
        assert rig.batcher.waiting <= held + 512
        assert held < 10_000
        rig.journal.error = None
        rig.wait_for(20_001)
    assert messages(rig) == [f"n {number}" for number in range(20_000)]


def test_a_journalctl_that_dies_is_started_again_where_it_was(tmp_path: Path) -> None:
    """And it is a fault, and counted."""
    need_journals()
    write(tmp_path / "a.journal", numbered(0, 3))
    with following(tmp_path) as rig:
        rig.wait_for(4)
        os.kill(rig.intake._reader.running, 9)  # type: ignore[attr-defined]
        rig.until(lambda: rig.counted("restarts") == 1)
        assert any("journalctl ended with -9" in fault for fault in rig.intake.report().faults)
        write(tmp_path / "a.journal", numbered(3, 3), 3)
        rig.wait_for(7)
    assert messages(rig) == [f"n {number}" for number in range(6)]


def test_a_directory_that_is_not_there_is_a_fault_and_is_waited_for(tmp_path: Path) -> None:
    """Journalctl's own words are shown."""
    with following(tmp_path / "none") as rig:
        rig.until(lambda: rig.counted("restarts") == 1)
        assert any("No such file" in fault for fault in rig.intake.report().faults)
        (tmp_path / "none").mkdir()
        write(tmp_path / "none/a.journal", numbered(0, 3))
        rig.until(lambda: len(messages(rig)) == 3)


def test_without_journalctl_the_agent_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the error names the setting."""
    monkeypatch.setenv("PATH", str(tmp_path))
    rig = Rig(lambda around: [JournalIntake("auto", 0.0, around)])
    with pytest.raises(IntakeError, match=r"intake\.journal: cannot read the systemd journal"):
        rig.intake.open()
    rig.loop.close()


def test_every_kind_of_entry_as_systemd_writes_it(tmp_path: Path) -> None:
    """Fields given twice, bytes, lines, a value of two megabytes."""
    need_journals()
    write(
        tmp_path / "a.journal",
        [
            {"MESSAGE": b"caf\xe9\nau lait", "ORDER": ["1", "2"], "PRIORITY": "4"},
            {"MESSAGE": "big", "DUMP": b"\x00" * 2_000_000, "TEXT": "x" * 2_000_000},
            {"MESSAGE": "y" * 500_000},
        ],
    )
    with following(tmp_path) as rig:
        first, second, third = rig.wait_for(4)[1:]
    assert (first["message"], first["level"]) == ("caf\\xe9\nau lait", "warning")
    assert sorted(json.loads(first["attributes"])["ORDER"]) == ["1", "2"]
    assert second["message"] == "big"
    assert json.loads(second["attributes"])["journal.cut"] == {"DUMP": 2_000_000, "TEXT": 2_000_000}
    assert len(third["message"]) == MOST_VALUE
    assert json.loads(third["attributes"])["journal.cut"] == {"MESSAGE": 500_000}


def reading(*patterns: str, marks: dict[str, Any] | None = None) -> Rig:
    need_journals()
    return Rig(lambda around: [FilesIntake(patterns, around)], marks=marks)


def test_files_are_read_once_whatever_they_are_called(tmp_path: Path) -> None:
    """One that has grown since is read on."""
    need_journals()
    write(tmp_path / "a@1.journal", numbered(0, 700))
    write(tmp_path / "a@2.journal", numbered(700, 10), 700)
    pattern = str(tmp_path / "*.journal")
    with reading(pattern) as first:
        first.until(lambda: first.batcher.accepted >= 710 and first.counted("unread files") == 0)
        write(tmp_path / "c.journal", numbered(710, 1), 710)
        first.intake._look()  # type: ignore[attr-defined]
        first.wait_for(711)
    assert messages(first) == [f"n {number}" for number in range(711)]
    (tmp_path / "a@1.journal").rename(tmp_path / "z [old]*.journal")
    write(tmp_path / "a@2.journal", numbered(711, 1), 711)
    with reading(pattern, marks=first.journal.marks) as second:
        second.until(lambda: second.batcher.accepted >= 1 and second.counted("unread files") == 0)
    assert messages(second) == ["n 711"]


def damage(path: Path, *messages: str) -> None:
    """Make journalctl fail at these entries."""
    raw = path.read_bytes()
    for message in messages:
        assert raw.count(b"MESSAGE=" + message.encode() + b"\0") == 1
        raw = raw.replace(b"MESSAGE=" + message.encode() + b"\0", b"MESSAGE-" + message.encode() + b"\0")
    path.write_bytes(raw)


def test_a_damaged_entry_of_a_followed_journal_is_passed_over(tmp_path: Path) -> None:
    """It does not keep what comes behind it from being read; a record says that something may be missing."""
    need_journals()
    write(tmp_path / "a.journal", numbered(0, 60))
    write(tmp_path / "b.journal", numbered(60, 30), 60)
    damage(tmp_path / "a.journal", "n 20", "n 40", "n 41")
    with following(tmp_path) as rig:
        rig.until(lambda: messages(rig)[-1:] == ["n 89"])
    numbers = [int(message[2:]) for message in messages(rig)]
    assert numbers == sorted(set(numbers))
    assert set(range(20)) | set(range(60, 90)) <= set(numbers)
    assert len(numbers) >= 80
    assert any("what followed is damaged" in message for message in messages(rig, ""))


def test_a_damaged_entry_of_a_file_is_passed_over(tmp_path: Path) -> None:
    """Also when nothing comes behind it: the file is done with."""
    need_journals()
    write(tmp_path / "a.journal", numbered(0, 60))
    damage(tmp_path / "a.journal", "n 20", "n 59")
    with reading(str(tmp_path / "*.journal")) as rig:
        rig.until(lambda: rig.counted("unread files") == 0 and rig.batcher.accepted >= 50)
        rig.until(lambda: messages(rig, "")[-1].endswith("nothing goes on"))
        marks = rig.journal.marks
    assert sum("what followed is damaged" in message for message in messages(rig, "")) == 2
    with reading(str(tmp_path / "*.journal"), marks=marks) as again:
        assert again.counted("unread files") == 0


def test_what_is_no_journal_is_a_fault(tmp_path: Path) -> None:
    """Nothing hangs at a pipe, and what is a journal is read."""
    need_journals()
    (tmp_path / "b.journal").write_bytes(b"LPKSHHRH" + bytes(5_000))
    (tmp_path / "c.journal").write_bytes(b"no journal")
    os.mkfifo(tmp_path / "d.journal")
    write(tmp_path / "e.journal", numbered(0, 3))
    with reading(str(tmp_path / "*.journal"), str(tmp_path / "none")) as rig:
        rig.until(lambda: rig.batcher.accepted >= 3 and rig.counted("unread files") == 0)
        faults = " ".join(rig.intake.report().faults)
    assert messages(rig) == ["n 0", "n 1", "n 2"]
    assert "c.journal is no journal" in faults
    assert "d.journal is no journal" in faults
    assert "b.journal cannot be read to its end" in faults
    assert "no file is called" in faults


def test_what_is_vacuumed_while_it_waits_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the numbers that are missing; many holes together, where somebody can know that they are holes."""
    numbers = [1, 2, 5, 6, 20, 30]
    text = b"".join(entry_bytes({"__CURSOR": cursor(number), "MESSAGE": f"n {number}"}) for number in numbers)
    (tmp_path / "entries").write_bytes(text)
    script = tmp_path / "journalctl"
    script.write_text(f"#!/bin/sh\ncat {tmp_path}/entries\nexec sleep 1000\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (tmp_path / "system.journal").touch()
    rig = Rig(lambda around: [JournalIntake(str(tmp_path), YEARS, around)])
    with rig:
        rig.until(lambda: "missing" in rig.records()[-1]["message"] if rig.batcher.accepted > 8 else False)
        assert rig.counted("lost") == 2 + 13 + 9
    losses = [record["message"] for record in rig.records() if "missing" in record["message"]]
    assert [loss.split(" of the")[0] for loss in losses] == ["2 entries", "22 entries"]
    assert messages(rig) == [f"n {number}" for number in numbers]
    (tmp_path / "system.journal").rename(tmp_path / "user-1000.journal")
    rig = Rig(lambda around: [JournalIntake(str(tmp_path), YEARS, around)])
    with rig:
        rig.wait_for(7)
        assert rig.counted("lost") == 0


def test_journalctl_is_gone_after_the_end(tmp_path: Path) -> None:
    """Nothing is left behind by a clean stop."""
    with following(tmp_path) as rig:
        pid = rig.intake._reader.running  # type: ignore[attr-defined]
    assert subprocess.run(["ps", "-p", str(pid)], capture_output=True, check=False).returncode == 1
