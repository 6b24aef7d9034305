"""Lines and records out of bytes: every byte counted, however it is read."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.agents.intake.tail.assemble import FLUSH_SECONDS, MOST_LINES, Assembled, Assembler, Style
from tabard.agents.intake.tail.lines import LONGEST, Line, Splitter
from tabard.records import LOG_INDEX

WALL = 1_763_765_724_000_000_000


def split(data, cuts=(), offset=0):
    splitter = Splitter(offset)
    found: list[Line] = []
    start = 0
    for cut in [*sorted(cuts), len(data)]:
        found += splitter.feed(data[start:cut])
        start = cut
    return found, splitter


@given(st.binary(max_size=200) | st.text("ab\n", max_size=200).map(str.encode), st.data())
def test_lines_do_not_depend_on_how_the_file_was_read(data, draws):
    """The same lines at the same offsets in any pieces; together with the rest they are the file."""
    cuts = draws.draw(st.lists(st.integers(0, len(data)), max_size=8))
    lines, splitter = split(data, cuts, offset=7)
    assert lines == split(data, offset=7)[0]
    rest = list(splitter.flush())
    assert b"".join(line.raw + b"\n" for line in lines) + b"".join(line.raw for line in rest) == data
    assert splitter.end == 7 + len(data)
    for line in lines:
        assert data[: line.end - 7].endswith(line.raw + b"\n")


@pytest.mark.parametrize("size", [LONGEST - 1, LONGEST, LONGEST + 1, 3 * LONGEST, 3 * LONGEST + 5])
def test_a_very_long_line_comes_in_pieces(size):
    """No piece is longer than the most, none is lost, and the pieces are numbered."""
    data = b"x" * size + b"\nnext\n"
    lines, _ = split(data, range(0, size, 10_000))
    assert all(len(line.raw) <= LONGEST for line in lines)
    assert b"".join(line.raw for line in lines) == data.replace(b"\n", b"")
    assert lines[-1] == Line(b"next", len(data), 0)
    pieces = [line.piece for line in lines[:-1]]
    assert pieces == ([0] if size < LONGEST else list(range(1, len(pieces) + 1)))


def test_a_part_that_was_flushed_is_followed_by_the_rest_of_its_line():
    """Neither is lost, and both are marked as pieces."""
    splitter = Splitter(0)
    assert list(splitter.feed(b"one\ntw")) == [Line(b"one", 4, 0)]
    assert list(splitter.flush()) == [Line(b"tw", 6, 1)]
    assert list(splitter.feed(b"o\nthree\n")) == [Line(b"o", 8, 2), Line(b"three", 14, 0)]
    assert list(splitter.flush()) == []


def assemble(text, style=None, *, end=True):
    assembler = Assembler(style or Style())
    found: list[Assembled] = []
    for line in split(text.encode())[0]:
        found += assembler.feed(line, 0.0, WALL)
    if end:
        found += assembler.flush()
    return found


def messages(text, style=None, *, end=True):
    return [item.record[LOG_INDEX["message"]] for item in assemble(text, style, end=end)]


TRACE = """\
2025-11-21 22:55:24,123 ERROR app: boom
Traceback (most recent call last):
  File "x.py", line 1, in <module>

    fail()
ValueError: no
2025-11-21 22:55:25,000 INFO app: going on
"""


def test_a_trace_belongs_to_the_line_with_the_time():
    """What follows a line with a time and has none itself is part of its record, blank lines too."""
    first, second = messages(TRACE)
    assert first == TRACE.partition("\n2025")[0]
    assert second == "2025-11-21 22:55:25,000 INFO app: going on"
    record = assemble(TRACE)[0].record
    assert record[LOG_INDEX["level"]] == "ERROR"
    assert record[LOG_INDEX["severity"]] == 17


def test_the_offset_of_a_record_is_behind_its_last_line():
    """A restart there reads the next record from its first line."""
    first, second = assemble(TRACE)
    assert TRACE.encode()[first.end :].startswith(b"2025-11-21 22:55:25")
    assert second.end == len(TRACE.encode())


def test_in_a_file_without_times_indented_lines_continue():
    """As traces and lists are usually written."""
    assert messages("one\ntwo\n  more\n\tmore\nthree\n") == ["one", "two\n  more\n\tmore", "three"]


PYTHON = """\
Traceback (most recent call last):
  File "x.py", line 1, in <module>
    1 / 0
    ~~^~~
ZeroDivisionError: division by zero

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "x.py", line 3, in <module>
    fail()
shop.errors.Failed: boom"""
JAVA = """\
Exception in thread "main" java.lang.RuntimeException: outer
\tat Shop.main(Shop.java:3)
Caused by: java.io.IOException: inner
\tat Shop.read(Shop.java:9)
\t... 1 more
Caused by: java.lang.IllegalStateException
\tat Shop.open(Shop.java:12)"""


@pytest.mark.parametrize(
    "trace",
    [
        PYTHON,
        JAVA,
        PYTHON.partition("\n\n")[0],
        'Traceback (most recent call last):\n  File "x.py", line 1\n    f()\nKeyboardInterrupt',
    ],
)
def test_a_trace_without_times_is_one_record(trace):
    """With the exception it ends with, and with its causes; the lines around it are records of their own."""
    assert messages(f"before: it\n{trace}\nafter: it\nand more\n") == [
        "before: it",
        trace,
        "after: it",
        "and more",
    ]


def test_only_a_trace_takes_a_line_that_is_not_indented():
    """An indented list, or a cause without frames before it, is none."""
    assert messages("list:\n  one\nError: no\nCaused by: nobody\n") == [
        "list:\n  one",
        "Error: no",
        "Caused by: nobody",
    ]


@given(
    st.lists(st.sampled_from([*PYTHON.split("\n"), *JAVA.split("\n"), "x", "Error: y", "\tz"]), max_size=30)
)
def test_no_line_is_lost_among_traces(lines):
    """However they are joined, every line that is not blank is there, in order."""
    found = "\n".join(messages("".join(f"{line}\n" for line in lines))).split("\n")
    assert [line for line in found if line] == [line for line in lines if line]


def test_blanks_at_the_end_of_a_line_stay():
    """The message is the whole line, and so are the blank lines within a trace."""
    assert messages("one  \n two\t\n   \n three\n \nfour\n") == ["one  \n two\t\n   \n three", "four"]
    assert messages("one \t\r\n", Style("plain")) == ["one \t"]


def test_a_plain_file_has_a_record_a_line():
    """Nothing is held back, nothing joined, no time looked for."""
    found = assemble("2025-11-21 22:55:24 one\n  two\n", Style("plain"), end=False)
    assert [item.record[LOG_INDEX["message"]] for item in found] == ["2025-11-21 22:55:24 one", "  two"]
    assert {item.record[LOG_INDEX["time"]] for item in found} == {WALL}


def test_a_pattern_says_where_records_begin():
    """It goes before every other rule."""
    style = Style("plain", first=re.compile(r"^BEGIN"))
    assert messages("BEGIN 1\nx\nBEGIN 2\ny\nz\n", style) == ["BEGIN 1\nx", "BEGIN 2\ny\nz"]


def test_the_last_record_is_held_back_for_a_moment_only():
    """It may still grow; when it does not, it is due soon."""
    assembler = Assembler(Style())
    assert list(assembler.feed(Line(b"one", 4, 0), 10.0, WALL)) == []
    assert assembler.due == 10.0 + FLUSH_SECONDS
    assert [item.end for item in assembler.flush()] == [4]
    assert assembler.due is None


def test_a_record_does_not_grow_for_ever():
    """Thousands of lines that continue become several records, and none of the lines is lost."""
    text = "first\n" + "".join(f" {number}\n" for number in range(2 * MOST_LINES))
    found = messages(text)
    assert len(found) == 3
    assert "\n".join(found) + "\n" == text


def test_a_record_does_not_wait_behind_a_hole():
    """Nothing but blank lines follows for long: the record is ended, and they are not kept in memory."""
    assembler = Assembler(Style())
    lines = [Line(b"one", 4, 0), *(Line(b"", 5 + number, 0) for number in range(MOST_LINES))]
    assert [item.end for line in lines for item in assembler.feed(line, 0.0, WALL)] == [4]
    assert list(assembler.feed(Line(b"two", 2_000, 0), 0.0, WALL)) == []
    assert [item.end for item in assembler.feed(Line(b"\0" * LONGEST, 70_000, 1), 0.0, WALL)] == [2_000]


def test_settings_fill_in_what_the_line_does_not_say():
    """The service of the settings always counts, file name and level only where nothing else is said."""
    line = "Nov 21 22:55:24 host prog[1]: hello\n"

    def field(name, style, text=line):
        return assemble(text, style)[0].record[LOG_INDEX[name]]

    assert field("service", Style(fallback="file")) == "prog"
    assert field("service", Style(service="mine", fallback="file")) == "mine"
    assert field("service", Style(fallback="file"), "hello\n") == "file"
    assert field("level", Style(level="WARNING")) == "WARNING"
    assert field("severity", Style(level="WARNING")) == 13
    assert field("level", Style(level="WARNING"), "ERROR: x\n") == "ERROR"


def test_odd_bytes_stay_readable():
    """Latin-1 is kept as escapes, NULs around a line are padding, blank lines are no records."""
    assembler = Assembler(Style("plain"))
    lines = [b"caf\xe9", b"\0\0\0after a hole", b"\0\0", b"  \r", b"dos\r"]
    found = [item for raw in lines for item in assembler.feed(Line(raw, 0, 0), 0.0, WALL)]
    assert [item.record[LOG_INDEX["message"]] for item in found] == ["caf\\xe9", "after a hole", "dos"]
