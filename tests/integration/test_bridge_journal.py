"""A real agent that follows a real systemd journal: killed under load, nothing is lost and nothing doubled."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.integration.bridging import agent, journaled, report, said, wait_until
from tests.integration.upping import Started
from tests.numbering import difference
from tests.unit.bridge.journals import START, need_journals, numbered, write

BATCH = 250


@contextlib.contextmanager
def load(path: Path) -> Iterator[list[int]]:
    """Writes entries as fast as it can; the list holds how many there are."""
    stop, written = threading.Event(), [0]

    def run() -> None:
        while not stop.is_set():
            write(path, numbered(written[0], BATCH), written[0])
            written[0] += BATCH
            stop.wait(0.02)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield written
    finally:
        stop.set()
        thread.join()


def records(home: Path) -> int:
    """How many the intake has taken since its agent started."""
    return int(said(home)["bridge"][0]["records"])


def kill(started: Started) -> None:
    started.signal(signal.SIGKILL)
    started.rest()


def numbers(home: Path) -> list[int]:
    return [int(each["message"][2:]) for each in journaled(home) if each["message"].startswith("n ")]


@pytest.mark.chaos
def test_killed_and_restarted_under_load_each_entry_is_stored_once(tmp_path: Path) -> None:
    """In order, whenever the kill comes. The journalctl of a killed agent does not stay."""
    need_journals()
    home, journal = tmp_path / "home", tmp_path / "journal"
    journal.mkdir()
    settings = {"journal": str(journal), "journal_backlog": "365d"}
    with load(journal / "a.journal") as written:
        for _ in range(4):
            started = agent(home, **settings)
            wait_until(lambda: records(home) > 1_000, "nothing is taken")
            kill(started)
    last = written[0]
    with agent(home, **settings) as started:
        wait_until(lambda: bool(said(home)["bridge"][0]["position"]), "nothing is read")
        wait_until(lambda: not children(journal, started.process.pid), "a journalctl was left behind")
        write(journal / "a.journal", numbered(last, 1), last)
        wait_until(lambda: followed(home, last), "the last entry does not come")
        started.signal(signal.SIGTERM)
        assert started.rest() == 0
    assert not difference(numbers(home), range(last + 1))
    assert not [each for each in journaled(home) if "may be missing" in each["message"]]


def followed(home: Path, last: int) -> bool:
    return f";t={START + last:x};" in said(home)["bridge"][0]["position"]


def children(journal: Path, agent_pid: int) -> list[int]:
    """The journalctls of this journal that are not the agent's."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"--directory={journal}".encode() in (entry / "cmdline").read_bytes():
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent != agent_pid:
                    found.append(int(entry.name))
    return found


@pytest.mark.chaos
def test_archived_files_are_read_once_over_kills(tmp_path: Path) -> None:
    """And a restart when all is read adds nothing."""
    need_journals()
    home = tmp_path / "home"
    for number in range(3):
        write(tmp_path / f"{number}@x.journal", numbered(number * 8_000, 8_000), number * 8_000)
    pattern = str(tmp_path / "*.journal")
    for enough in (300, 2_000, 4_000):
        started = agent(home, journal_files=pattern)
        wait_until(partial(read_or_done, home, enough), "nothing is read")
        kill(started)
    for _ in range(2):
        with agent(home, journal_files=pattern) as started:
            wait_until(lambda: settled(home), "it does not come to its end")
            started.signal(signal.SIGTERM)
            assert started.rest() == 0
    assert not difference(numbers(home), range(24_000))


def read_or_done(home: Path, enough: int) -> bool:
    return records(home) > enough or settled(home)


def settled(home: Path) -> bool:
    """Whether all files were read."""
    counted = said(home)["bridge"][0]["counted"]
    return counted["files"] == 3 and "unread files" not in counted


def test_status_shows_how_far_it_was_read(tmp_path: Path) -> None:
    """Cursor and delay; and a journal that cannot be read is a fault in journalctl's words."""
    need_journals()
    home, journal = tmp_path / "home", tmp_path / "journal"
    with agent(home, journal=str(journal), journal_backlog="365d"):
        wait_until(lambda: bool(report(home)["faults"]), "no fault is shown")
        assert any("No such file" in fault["what"] for fault in report(home)["faults"])
        os.mkdir(journal)
        write(journal / "a.journal", numbered(0, 5))
        wait_until(lambda: records(home) == 5, "nothing is read")
        (row,) = report(home)["bridge"]
    assert (row["name"], row["address"], row["records"]) == ("journal", str(journal), 5)
    assert row["position"].startswith("s=")
    assert row["behind"] > 0
