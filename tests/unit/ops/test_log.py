"""`tabard log`: every line reaches the agent once, as it comes, or the exit code says that it did not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard import exits
from tabard.home import Home
from tabard.ops import lines as lines_module
from tabard.ops.cli import log as log_module
from tabard.ops.lines import read_lines
from tabard.ops.main import main
from tabard.records import LOG_INDEX
from tests.unit.ground.listening import Listener

MESSAGE = LOG_INDEX["message"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """The home the command line is run with."""
    return Home(tmp_path / "home").ensure()


@pytest.fixture
def listener(home: Home) -> Iterator[Listener]:
    """An agent's socket that answers as told."""
    made = Listener(home.socket("intake.sock"))
    yield made
    made.close()


def messages(listener: Listener) -> list[Any]:
    """What was said, in the order of arrival."""
    return [record[MESSAGE] for record in listener.records]


def test_a_json_object_becomes_a_record_with_fields(tabard, listener: Listener) -> None:
    """What the line says itself counts, the options fill the rest; what is no object is the message."""
    objects = [
        '{"level": "ERROR", "message": "disk is full", "disk": "sdb"}',
        '{"msg": "calm", "service": "own", "time": 5}',
        '{"message": "cut off"',
        "[1, 2]",
    ]
    options = ("--service", "shop", "--level", "info", "--field", "ticket=7")
    assert tabard("log", *options, stdin="\n".join(objects)).returncode == exits.DONE
    assert messages(listener) == ["disk is full", "calm", *objects[2:]]

    def column(name: str) -> list[Any]:
        return [record[LOG_INDEX[name]] for record in listener.records]

    assert column("service") == ["shop", "own", "shop", "shop"]
    assert column("level") == ["ERROR", "INFO", "INFO", "INFO"]
    assert column("severity") == [17, 9, 9, 9]
    assert column("time")[1] == 5_000_000_000
    assert [json.loads(text) for text in column("attributes")] == [
        {"disk": "sdb", "ticket": "7"},
        {"ticket": "7"},
        {"ticket": "7"},
        {"ticket": "7"},
    ]


def test_attributes_are_an_object_or_wrong_use(tabard, listener: Listener) -> None:
    """Together with the fields that have no column; anything else never reaches the agent."""
    options = ("--field", 'attributes={"order": 7}', "--field", "ticket=4")
    assert tabard("log", "x", *options).returncode == exits.DONE
    assert json.loads(listener.records[0][LOG_INDEX["attributes"]]) == {"order": 7, "ticket": "4"}
    for wrong in ("order", "[1]", ""):
        done = tabard("log", "x", "--field", f"attributes={wrong}")
        assert done.returncode == exits.WRONG_USE
        assert "a JSON object" in done.stderr
    assert len(listener.records) == 1


def test_a_message_that_looks_like_json_stays_one(tabard, listener: Listener) -> None:
    """What stands on the command line is taken as it is."""
    assert tabard("log", '{"message": "x"}').returncode == exits.DONE
    assert messages(listener) == ['{"message": "x"}']


def test_lines_arrive_in_order_with_what_was_said_about_them(tabard, listener: Listener) -> None:
    """Level, service, fields and attributes stand in every record; blank lines are left out."""
    options = ("--service", "backup", "--level", "warn", "--field", "product=shop", "--field", "ticket=4711")
    done = tabard("log", *options, stdin="one\n\n  \ntwo\r\nthree")
    assert (done.returncode, done.stdout, done.stderr) == (exits.DONE, "", "")
    assert messages(listener) == ["one", "two", "three"]
    said = {name: listener.records[0][position] for name, position in LOG_INDEX.items()}
    assert (said["service"], said["level"], said["severity"], said["product"]) == (
        "backup",
        "WARN",
        13,
        "shop",
    )
    assert json.loads(said["attributes"]) == {"ticket": "4711"}


def test_one_message_is_its_arguments(tabard, listener: Listener) -> None:
    """Without standard input being read."""
    assert tabard("log", "disk", "is full", stdin="ignored").returncode == exits.DONE
    assert messages(listener) == ["disk is full"]


def test_bytes_that_are_no_text_are_taken_in(tabard, listener: Listener) -> None:
    """A script in another encoding loses no record by it, wherever such bytes stand."""
    options = ("--service", "caf\udce9", "--field", "product=\udcff")
    assert tabard("log", "it is \udcff", *options).returncode == exits.DONE
    assert messages(listener) == ["it is \ufffd"]
    said = {name: listener.records[0][position] for name, position in LOG_INDEX.items()}
    assert (said["service"], said["product"]) == ("caf\ufffd", "\ufffd")


def test_without_an_agent_it_fails_at_once_and_says_where_it_looked(tabard, home: Home) -> None:
    """The sentence names the socket and how to start an agent."""
    done = tabard("log", "x")
    assert done.returncode == exits.FAILED
    assert str(home.socket("intake.sock")) in done.stderr
    assert "tabard up" in done.stderr


def test_a_broken_connection_loses_and_doubles_nothing(tabard, listener: Listener) -> None:
    """An agent that goes away in the middle gets the rest when it is back."""
    listener.hang_up_before = {1, 3, 4}
    text = "".join(f"line {number}\n" for number in range(2000))
    assert tabard("log", stdin=text).returncode == exits.DONE
    assert messages(listener) == [f"line {number}" for number in range(2000)]


def test_an_agent_that_stays_away_is_waited_for_and_then_given_up(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code says that lines were not accepted."""
    monkeypatch.setattr(log_module, "PATIENCE", 0.0)
    monkeypatch.setattr(log_module, "_PAUSE", 0.0)
    listener = Listener(home.socket("intake.sock"))

    def lines(_descriptor: int, _turns: Iterator[None]) -> Iterator[list[str]]:
        yield ["one"]
        listener.wait_for(1)
        listener.close()
        yield ["two"]

    monkeypatch.setattr(log_module, "read_lines", lines)
    assert main(["--home", str(home.path), "log"]) == exits.FAILED
    assert "no agent takes records" in capsys.readouterr().err


def test_refused_frames_are_reported(tabard, listener: Listener) -> None:
    """Part of it was done: exit code 3, and the agent's reason."""
    listener.refuse = {1}
    done = tabard("log", "x")
    assert done.returncode == exits.PARTLY
    assert "told to" in done.stderr


def test_a_line_is_sent_when_it_is_written(home: Home, listener: Listener) -> None:
    """`tail -f | tabard log` does not wait for a buffer to fill, and Ctrl-C loses nothing that was read."""
    command = [sys.executable, "-m", "tabard.ops.main", "log", "--home", str(home.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        for number in (1, 2):
            process.stdin.write(b"line %d\n" % number)
            process.stdin.flush()
            listener.wait_for(number)
        process.send_signal(signal.SIGINT)
        assert process.wait() == exits.INTERRUPTED
    assert messages(listener) == ["line 1", "line 2"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_was_written_before_a_signal_is_handed_over(
    home: Home, listener: Listener, number: signal.Signals, code: int
) -> None:
    """Also the beginning of a line, and what is in the pipe and was not read; then it ends, though the writer goes on."""
    command = [sys.executable, "-m", "tabard.ops.main", "log", "--home", str(home.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"line 1\nbegun ")
        process.stdin.flush()
        listener.wait_for(1)
        process.send_signal(signal.SIGSTOP)
        process.stdin.write(b"and ended\n" + b"more\n" * 2_000 + b"rest")
        process.stdin.flush()
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        assert process.wait() == code
    assert messages(listener) == ["line 1", "begun and ended", *["more"] * 2_000, "rest"]


def test_a_writer_without_an_end_does_not_keep_it_from_ending(home: Home, listener: Listener) -> None:
    """What a pipe may hold is taken, and no more."""
    command = [sys.executable, "-m", "tabard.ops.main", "log", "--home", str(home.path)]
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as endless:
        with subprocess.Popen(command, stdin=endless.stdout) as process:
            listener.wait_for(1_000)
            process.send_signal(signal.SIGTERM)
            assert process.wait() == 128 + signal.SIGTERM
        endless.kill()
    assert set(messages(listener)) == {"y"}


@pytest.mark.parametrize("field", ["product", "=x", "time=1"])
def test_a_malformed_field_is_wrong_use(tabard, field: str) -> None:
    """Numbers of the record are not for the command line to say."""
    assert tabard("log", "--field", field, "x").returncode == exits.WRONG_USE


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file to read lines from."""
    return tmp_path_factory.mktemp("lines") / "input"


def pieces_of(scratch: Path, content: bytes, most: int = 200_000, at_once: int = 65_536) -> list[str]:
    """What ``read_lines`` makes of a file."""
    scratch.write_bytes(content)
    descriptor = os.open(scratch, os.O_RDONLY)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lines_module, "MAX_LINE", most)
            patch.setattr(lines_module, "_READ", at_once)
            return [piece for lines in read_lines(descriptor) for piece in lines]
    finally:
        os.close(descriptor)


@given(st.lists(st.text("aé日𝄞", min_size=1, max_size=9)), st.integers(5, 12), st.integers(1, 9))
def test_long_lines_become_several_and_nothing_is_lost(
    scratch: Path, written: list[str], most: int, at_once: int
) -> None:
    """However the bytes come: every piece is within bounds, no character is torn, joined it is what was written."""
    pieces = pieces_of(scratch, "\n".join(written).encode(), most, at_once)
    assert "".join(pieces) == "".join(written)
    assert all(len(piece.encode()) <= most for piece in pieces)
    assert len(pieces) >= len(written)


def test_bytes_that_are_no_text_are_shown(scratch: Path) -> None:
    """Latin-1 and binary noise stay readable and complete."""
    assert pieces_of(scratch, b"gr\xfc\xdfe\r\n\x00\xff") == ["gr\\xfc\\xdfe", "\x00\\xff"]


@given(st.binary(max_size=300), st.integers(5, 12), st.integers(1, 9))
def test_no_input_makes_a_failure(scratch: Path, content: bytes, most: int, at_once: int) -> None:
    """Any bytes become lines, and none of them is empty."""
    assert all(pieces_of(scratch, content, most, at_once))
