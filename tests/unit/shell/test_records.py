"""What a command writes becomes records, one a line."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.shell import CommandError, shell
from tabard.shell.records import LINE, Lines, Speaker
from tests.unit.shell.collect import heard


@pytest.fixture
def said() -> Iterator[list[logging.LogRecord]]:
    records: list[logging.LogRecord] = []
    with heard("tabard.shell", records.append):
        yield records


def _facts(record: logging.LogRecord) -> dict[str, object]:
    return vars(record)


def test_each_line_is_a_record_that_says_where_it_comes_from(said: list[logging.LogRecord]) -> None:
    """Command, run and stream stand beside each line; the end says how it went."""
    shell("echo one; echo two; echo three >&2; exit 4", script=True, name="count")
    start, *lines, end = said
    assert start.getMessage() == "count starts"
    assert {(_facts(line)["stream"], line.getMessage()) for line in lines} == {
        ("stdout", "one"),
        ("stdout", "two"),
        ("stderr", "three"),
    }
    assert {_facts(line)["command"] for line in said} == {"count"}
    assert len({_facts(line)["command_run"] for line in said}) == 1
    assert (end.levelname, _facts(end)["code"], _facts(end)["timed_out"]) == ("WARNING", 4, False)
    assert "exit code 4" in end.getMessage()


@pytest.mark.parametrize(
    ("argv", "level"),
    [
        (["true"], "INFO"),
        (["false"], "WARNING"),
        (["no-such-command-at-all"], "ERROR"),
        (["sleep", "1000"], "ERROR"),
    ],
)
def test_the_end_has_the_level_it_deserves(
    said: list[logging.LogRecord], argv: list[str], level: str
) -> None:
    """What could not start or had to be ended is an error, a bad code is a warning."""
    shell(argv, timeout=0.2 if argv[0] == "sleep" else 60)
    assert said[-1].levelname == level


def test_lines_come_while_the_command_runs() -> None:
    """A line is a record as soon as it is written, not at the end."""
    seen: list[str] = []

    def take(record: logging.LogRecord) -> None:
        seen.append(record.getMessage())
        if record.getMessage() == "now":
            raise KeyboardInterrupt

    with heard("live", take) as log, pytest.raises(KeyboardInterrupt):
        shell("echo now; sleep 1000", script=True, log=log)
    assert "now" in seen


def test_too_many_lines_are_counted(said: list[logging.LogRecord]) -> None:
    """A thousand records are enough; the rest is one record that says how many."""
    result = shell(["seq", "1", "5000"], lines=10)
    assert [record.getMessage() for record in said[1:11]] == [str(number) for number in range(1, 11)]
    assert "wrote 4990 more lines" in said[11].getMessage()
    assert len(said) == 13
    assert result.lines[-1] == "5000", "what is kept is not what is recorded"


def test_lines_beyond_the_bound_are_counted_right_however_they_come(said: list[logging.LogRecord]) -> None:
    """Many at once are passed over without a look at each; what was begun before them belongs to one of them."""
    shell("printf 1; sleep 0.1; printf '2\\n3\\n'; seq 1 50000; printf begun", script=True, lines=1)
    assert [record.getMessage() for record in said[1:2]] == ["12"]
    assert "wrote 50002 more lines" in said[2].getMessage()


def test_secrets_are_masked_in_every_record(said: list[logging.LogRecord]) -> None:
    """In the command line, in its output and in the reason why it did not start."""
    shell(["echo", "--password=hunter2"], hide=["hunter2"])
    shell(["hunter2"], hide=["hunter2"])
    assert len(said) == 5
    assert not any("hunter2" in record.getMessage() for record in said)
    assert said[1].getMessage() == "--password=***"


def test_a_secret_of_several_lines_is_masked_in_each(said: list[logging.LogRecord]) -> None:
    """Output is recorded line by line, so no record has the whole of it; a bracket is no secret."""
    key = "BEGIN KEY\n  0123456789\r\n}\nabcdefghij\n"
    shell(["printf", "%s", key], hide=[key], name="show")
    assert [record.getMessage() for record in said[1:5]] == ["***", "  ***", "}", "***"]


def test_a_secret_is_not_in_the_error_either(said: list[logging.LogRecord]) -> None:
    """It will be logged, or mailed; the result has everything as it was."""
    with pytest.raises(CommandError) as caught:
        shell("echo 'bad token s3cr3t' >&2; exit 3", script=True, hide=["s3cr3t"], name="login", check=True)
    assert str(caught.value).endswith(": bad token ***")
    assert caught.value.result.err == "bad token s3cr3t\n"
    assert not any("s3cr3t" in record.getMessage() for record in said)


def test_what_looks_like_a_password_is_masked_in_the_command_line(said: list[logging.LogRecord]) -> None:
    """As the samples of processes do it; nobody has to think of it."""
    shell(["true", "--password=hunter2"])
    assert said[0].getMessage() == "true --password=*** starts"


def test_a_long_line_is_cut(said: list[logging.LogRecord]) -> None:
    """A megabyte without a line end is one bounded record."""
    shell(["head", "-c", "1000000", "/dev/zero"])
    (line,) = [record for record in said if "stream" in vars(record)]
    assert LINE <= len(line.getMessage()) < LINE + 100
    assert "more characters" in line.getMessage()


def test_a_line_written_over_counts_as_last_written(said: list[logging.LogRecord]) -> None:
    """A progress bar is one record, its last state; a Windows line end is none of the text."""
    shell(r"printf '10%%\r50%%\r100%%\ndone\r\n'", script=True)
    assert [record.getMessage() for record in said if "stream" in vars(record)] == ["100%", "done"]


def test_bytes_that_are_no_text_are_escaped(said: list[logging.LogRecord]) -> None:
    """In the line that has them, wherever they were cut; what is text beside them is text."""
    lines = Lines(Speaker(logging.getLogger("tabard.shell"), "x", {}, 10, ()), "stdout", "utf-8")
    for byte in "ä\x00".encode() + b"\xff\xe2\x82\n" + "€\n".encode() + b"\xe2":
        lines.add(bytes([byte]))
    lines.close()
    assert [record.getMessage() for record in said] == ["ä\0\\xff\\xe2\\x82", "€", "\\xe2"]


@given(st.text(alphabet="aä€\n", max_size=60), st.integers(1, 7), st.sampled_from(["utf-8", "utf-16"]))
def test_lines_do_not_depend_on_how_the_bytes_arrive(text: str, size: int, encoding: str) -> None:
    """Cut anywhere, also within a character."""
    seen: list[str] = []

    raw = text.encode(encoding)
    with heard("collect", lambda record: seen.append(record.getMessage())) as log:
        lines = Lines(Speaker(log, "x", {}, 10_000, ()), "stdout", encoding)
        for start in range(0, len(raw), size):
            lines.add(raw[start : start + size])
        lines.close()
    assert seen == text.removesuffix("\n").split("\n") if text else seen == []


def test_the_last_lines_may_be_recorded_too(said: list[logging.LogRecord]) -> None:
    """Beyond the first ones, at the end, behind how many are missing; each with the time at which it was said."""
    speaker = Speaker(logging.getLogger("tabard.shell"), "x", {"a": 1}, 2, (), 3)
    for number in range(9):
        speaker.line("stdout", str(number))
    assert [record.getMessage() for record in said] == ["0", "1"]
    speaker.rest()
    assert [record.getMessage() for record in said[2:]] == [
        "x wrote 4 more lines, which are not recorded",
        "6",
        "7",
        "8",
    ]
    assert {(_facts(record)["a"], _facts(record)["stream"]) for record in said[3:]} == {(1, "stdout")}
    assert said[3].created <= said[2].created
    speaker.rest()
    assert len(said) == 6


def test_all_lines_that_fit_are_recorded(said: list[logging.LogRecord]) -> None:
    """Nothing is missing when the first and the last are all there are."""
    speaker = Speaker(logging.getLogger("tabard.shell"), "x", {}, 2, (), 3)
    for number in range(5):
        speaker.line("stderr", str(number))
    speaker.rest()
    assert [record.getMessage() for record in said] == ["0", "1", "2", "3", "4"]
