"""What is known of a job: kept whole, damaged files told from good ones, names that are no paths."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.errors import HomeError, UsageError
from tabard.home import Home
from tabard.ops.cronexec.state import Damaged, JobFile, Known, began, jobs


@pytest.fixture
def file(tmp_path: Path) -> JobFile:
    """A job of which nothing is known."""
    made = JobFile(Home(tmp_path), "backup")
    made.make_folder()
    return made


def test_what_is_written_is_read(file: JobFile) -> None:
    """And nothing else is left in the folder."""
    assert file.read() is None
    known = Known(command="x", due=7, seen=8, start=9, code=3, duration=0.5, runs=2)
    file.write(known)
    assert file.read() == known
    assert os.listdir(file.folder) == ["backup.json"]


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "ä", "x" * 65, "-x", "a\n"])
def test_a_name_is_no_path(tmp_path: Path, name: str) -> None:
    """It becomes the name of a file and of a service."""
    with pytest.raises(UsageError, match="not a name for a job"):
        JobFile(Home(tmp_path), name)


@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(),
    lambda inner: st.dictionaries(st.sampled_from(Known._fields), inner, max_size=5),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_file_is_known_or_damaged(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Whatever is in it."""
    made = JobFile(Home(tmp_path_factory.mktemp("home")), "x")
    made.make_folder()
    made.path.write_bytes(content)
    found = made.read()
    assert isinstance(found, (Known, Damaged))
    if isinstance(found, Known):
        made.write(found)
        assert made.read() == found


def test_a_newer_file_may_know_more(file: JobFile) -> None:
    """What this version does not know is passed over."""
    file.path.write_text('{"runs": 3, "colour": "red"}')
    assert file.read() == Known(runs=3)


def test_jobs_are_listed_by_name(file: JobFile) -> None:
    """Locks and the files of an unfinished writing are no jobs."""
    for name in ("b.json", "a.json", "c.lock", ".d.json.77", "-.json"):
        (file.folder / name).write_text("{}")
    assert [found.name for found in jobs(Home(file.folder.parent))] == ["a", "b"]
    assert jobs(Home("/nonexistent")) == []


def test_a_folder_that_cannot_be_read_is_not_one_without_jobs(tmp_path: Path) -> None:
    """A list that is empty for want of a right would say that nothing is wrong. A home without jobs has no folder."""
    home = Home(tmp_path)
    assert jobs(home) == []
    (tmp_path / "cron").write_text("no directory")
    with pytest.raises(HomeError, match="cannot be listed"):
        jobs(home)


def test_edits_follow_one_another(file: JobFile) -> None:
    """Nobody's note is lost, however many write at a time."""
    file.write(Known())

    def count() -> None:
        for _ in range(20):
            with file.edit():
                known = file.read()
                assert isinstance(known, Known)
                file.write(known._replace(refused=known.refused + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    known = file.read()
    assert isinstance(known, Known)
    assert known.refused == 80


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """An error that says where."""
    (tmp_path / "cron").write_text("in the way")
    made = JobFile(Home(tmp_path), "x")
    with pytest.raises(HomeError, match="cron"):
        made.make_folder()
    with pytest.raises(HomeError):
        made.write(Known())


def test_a_process_is_known_by_when_it_began() -> None:
    """One that has ended is none, also before it was waited for."""
    assert began(os.getpid()) == began(os.getpid())
    assert began(2**22 + 1) is None
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert began(child.pid) is None
    child.wait()
