"""What of a job's output becomes records."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tabard.ops.cronexec.said import TRACEBACK, Said, without_blank
from tabard.shell.records import LINE, Lines


class Heard(logging.Handler):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.texts.append(record.getMessage())


@pytest.fixture
def heard() -> Iterator[Heard]:
    """A handler of the logger ``job``."""
    heard, log = Heard(), logging.getLogger("job")
    log.addHandler(heard)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    yield heard
    log.removeHandler(heard)


def speaker(lines: int = 100, last: int = 0) -> Said:
    """One over that logger."""
    return Said(logging.getLogger("job"), "x", {}, lines, (), last)


def say(said: Said, text: str) -> None:
    """As a command would, in pieces that no line fits into."""
    lines = Lines(said, "stderr", "utf-8")
    for start in range(0, len(text), 7):
        lines.add(text[start : start + 7].encode())
    lines.close()


def test_blank_lines_are_no_records(heard: Heard) -> None:
    """They tell a reader nothing; what else is written is as it is."""
    said = speaker()
    say(said, "one\n\n   \n\t\r\n  two\n")
    assert heard.texts == ["one", "  two"]
    said.rest()
    assert heard.texts == ["one", "  two"]


def test_a_traceback_is_one_record(heard: Heard) -> None:
    """With the exception that ends it; what stands around it is not part of it."""
    trace = f'{TRACEBACK}\n  File "x.py", line 1, in <module>\n    1 / 0\n    ~~^~~\nZeroDivisionError: division by zero'
    say(speaker(), f"before\n{trace}\n\nafter\n")
    assert heard.texts == ["before", trace, "after"]


def test_a_traceback_of_one_output_does_not_hold_up_the_other(heard: Heard) -> None:
    """Each has its own."""
    said = speaker()
    said.line("stderr", TRACEBACK)
    said.line("stdout", "goes on")
    said.line("stderr", "  frame")
    said.line("stderr", "Oops")
    assert heard.texts == ["goes on", f"{TRACEBACK}\n  frame\nOops"]


def test_a_traceback_that_is_cut_off_is_said_at_the_end(heard: Heard) -> None:
    """Once."""
    said = speaker()
    say(said, f"{TRACEBACK}\n  frame\n")
    assert heard.texts == []
    said.rest()
    said.rest()
    assert heard.texts == [f"{TRACEBACK}\n  frame"]


def test_of_a_traceback_that_is_too_long_the_reason_is_kept(heard: Heard) -> None:
    """It stands at the end. What never ends is not held for ever."""
    say(speaker(), f"{TRACEBACK}\n" + "  frame\n" * 450 + "Oops\n")
    assert heard.texts == [f"{TRACEBACK}" + "\n  frame" * 399, *["  frame"] * 51, "Oops"]
    heard.texts.clear()
    say(speaker(), f"{TRACEBACK}\n" + f"  {'x' * 200}\n" * 100 + "Oops\n")
    (text,) = heard.texts
    assert len(text) < LINE
    assert (text.splitlines()[0], text.splitlines()[-1]) == (TRACEBACK, "Oops")


def test_a_traceback_counts_as_one_of_the_last_lines(heard: Heard) -> None:
    """It is what a reader looks for."""
    said = speaker(1, 2)
    say(said, f"1\n2\n3\n{TRACEBACK}\n  frame\nOops\n4\n")
    said.rest()
    assert heard.texts == [
        "1",
        "x wrote 2 more lines, which are not recorded",
        f"{TRACEBACK}\n  frame\nOops",
        "4",
    ]


def test_many_blank_lines_are_passed_over_at_once() -> None:
    """Whatever they consist of; nothing else is touched."""
    assert without_blank(b"a\n\n \t\r\n\n  b \n\n") == b"a\n  b \n"
    assert without_blank(b"\n" * 1_000_000) == b"\n"
    assert without_blank(b"\n" + b" " * 100_000 + b"x") == b"\n" + b" " * 100_000 + b"x"
