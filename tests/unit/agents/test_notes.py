"""What an agent keeps of its sinks: over restarts, against a disk that refuses, and when somebody spoilt the file."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from tabard.agents.notes import FILE, MAX_SINKS, Notes
from tabard.brokers.delivery.notes import BY_NODE, BY_SINK, Retirement
from tabard.errors import JournalError

OWN = Retirement(BY_NODE, "ada@host", 5)
TOLD = Retirement(BY_SINK, "bob@hub", 7)


def test_what_is_noted_is_there_after_a_restart(tmp_path: Path) -> None:
    """Who is retired, by whom and since when; who was met; what no control record says yet."""
    notes = Notes.open(tmp_path)
    notes.meet("main")
    notes.retire("plant", OWN)
    again = Notes.open(tmp_path)
    assert again.retired() == {"plant": OWN}
    assert (again.met("main"), again.met("plant")) == (True, False)
    assert again.untold() == [("plant", "retired", OWN)]
    again.told("plant")
    again.restore("plant", "ada@host")
    last = Notes.open(tmp_path)
    assert last.retired() == {}
    assert last.untold() == [("plant", "restored", Retirement(BY_NODE, "ada@host", 5))]
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_the_first_word_stays_and_a_nodes_own_goes_before_a_sinks(tmp_path: Path) -> None:
    """Saying it again writes nothing; what the people of a node say, the sink cannot take back."""
    notes = Notes.open(tmp_path)
    notes.retire("plant", TOLD)
    written = (tmp_path / FILE).stat().st_mtime_ns
    notes.retire("plant", TOLD._replace(who="carl", since=9))
    assert notes.retired()["plant"] == TOLD
    assert (tmp_path / FILE).stat().st_mtime_ns == written
    notes.retire("plant", OWN)
    notes.retire("plant", TOLD)
    assert notes.retired()["plant"] == OWN


def test_a_disk_that_refuses_changes_nothing() -> None:
    """The caller is told, and may try again."""
    full = True
    kept: list[bytes] = []

    def save(content: bytes) -> None:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        kept.append(content)

    notes = Notes(lambda: None, save, "notes")
    with pytest.raises(JournalError, match="No space left"):
        notes.retire("plant", OWN)
    assert notes.retired() == {}
    full = False
    notes.retire("plant", OWN)
    assert Notes(lambda: kept[-1], save, "notes").retired() == {"plant": OWN}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "null",
        "[1]",
        '{"version": 2, "sinks": {}}',
        '{"version": 1, "sinks": {"../x": {}}}',
        '{"version": 1, "sinks": {"main": 3}}',
        '{"version": 1, "sinks": {"main": {"retired": ["god", "x", 1]}}}',
        '{"version": 1, "sinks": {"main": {"retired": ["node", "x"]}}}',
        '{"version": 1, "sinks": {"main": {"untold": ["retired", "node", 4, 1]}}}',
    ],
)
def test_a_file_that_makes_no_sense_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    """The agent goes on, says it, and keeps the file to be looked at."""
    (tmp_path / FILE).write_text(content)
    notes = Notes.open(tmp_path)
    assert notes.retired() == {}
    assert "tabard sink retire" in caplog.text
    assert (tmp_path / "sinks.damaged").read_text() == content
    notes.meet("main")
    assert json.loads((tmp_path / FILE).read_text())["sinks"] == {"main": {"met": True}}


def test_a_file_that_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    """It may be readable the next time: nobody is taken for required on a guess."""
    (tmp_path / FILE).mkdir()
    with pytest.raises(JournalError, match="cannot be read now"):
        Notes.open(tmp_path)


def test_there_are_not_too_many() -> None:
    """Names come from settings and orders; a script that invents some fills no disk."""
    notes = Notes(lambda: None, lambda _content: None, "notes")
    for number in range(MAX_SINKS):
        notes.meet(f"s{number}")
    with pytest.raises(JournalError, match="too many sinks"):
        notes.meet("one-more")
