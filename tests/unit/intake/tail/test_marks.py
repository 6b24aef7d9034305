"""Marks of files, the patterns that find them, and the names rotation gives."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.agents.intake.tail.marks import KnownMarks, Mark, digest_of
from tabard.agents.intake.tail.siblings import siblings
from tabard.agents.intake.tail.specs import TailSpec, service_of

HEAD = b"the first bytes of a file"


def mark(offset=100, inode=7, head=HEAD, device=1):
    return Mark(device, inode, offset, len(head), digest_of(head), 0)


def test_a_mark_fits_its_file_however_it_has_grown():
    """And no other file, nor one that is shorter than what the mark saw."""
    assert mark().fits(HEAD)
    assert mark().fits(HEAD + b" and more")
    assert not mark().fits(HEAD[:-1])
    assert not mark().fits(b"x" + HEAD)
    assert mark(head=b"").fits(HEAD)


def test_the_furthest_mark_of_a_file_counts():
    """A file may have marks under several keys; its first bytes decide which are its own."""
    known = KnownMarks({"file:/a": mark(10), "file:/b#7": mark(30), "file:/c": mark(99, head=b"another")})
    found = known.of_file(1, 7, HEAD)
    assert found is not None
    assert found.offset == 30
    assert known.of_file(1, 8, HEAD) is None
    known.forget(7)
    assert known.of_file(1, 7, HEAD) is None
    known.remember(mark(50))
    assert known.of_file(1, 7, HEAD) == mark(50)


def test_a_device_may_get_another_number_but_not_with_nothing_to_go_by():
    """Devices are numbered anew at each boot; an inode alone is not enough."""
    known = KnownMarks({"file:/a": mark(), "file:/b": mark(inode=8, head=b"")})
    assert known.of_file(2, 7, HEAD) is not None
    assert known.of_file(2, 8, HEAD) is None
    assert known.of_file(1, 8, HEAD) is not None


def test_keys_say_which_path_and_which_rotated_file():
    """A path has one mark of the file that was there, and one of each that was moved away."""
    known = KnownMarks({"file:/a": mark(1), "file:/a#9": mark(2), "file:/ab#9": mark(3), "socket:0:/a": 5})
    assert known.of_path("/a") == mark(1)
    assert known.rotated("/a") == [mark(2)]
    assert known.paths() == ["/a"]


@given(
    st.dictionaries(
        st.text(max_size=8).map("file:{}".format),
        st.none() | st.integers() | st.text() | st.lists(st.integers() | st.binary() | st.none(), max_size=7),
    )
)
def test_marks_that_are_none_are_passed_over(marks):
    """Whatever a journal hands back, nothing is raised, and what is kept is a mark."""
    known = KnownMarks(marks)
    for path in known.paths():
        found = known.of_path(path)
        assert found is not None
        assert found.offset >= 0
        assert isinstance(found.digest, bytes)


def test_rotated_files_are_told_by_their_names(tmp_path):
    """Beside the log, regular, not compressed; a number or date marks those that only rotation makes."""
    names = {
        "app.log.1": True,
        "app.log-20251121": True,
        "app.log.2025-11-21_10": True,
        "app-20251121.log": True,
        "app.1.log": True,
        "app.log.old": False,
        "app-other.log": False,
    }
    for name in [*names, "app.log", "app.log.2.gz", "other.log", "application.log"]:
        (tmp_path / name).write_text("x")
    (tmp_path / "app.log.d").mkdir()
    os.symlink(tmp_path / "app.log", tmp_path / "app.log.3")
    found = {os.path.basename(found.path): found.numbered for found in siblings(str(tmp_path / "app.log"))}
    assert found == names
    assert list(siblings(str(tmp_path / "none" / "app.log"))) == []


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/var/log/dpkg.log", "dpkg"),
        ("/var/log/nginx/error.log", "nginx"),
        ("/srv/shop/log/shop.out.log", "shop"),
        ("/var/log/syslog", "syslog"),
    ],
)
def test_the_path_speaks_of_a_program(path, service):
    """By the file's name, or the directory's where the name says nothing."""
    assert service_of(path) == service


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/var/log/*.log", "/var/log/a.log", True),
        ("/var/log/*.log", "/var/log/x/a.log", False),
        ("/var/log/*/*.log", "/var/log/x/a.log", True),
        ("/var/log/a.log", "/var/log/a.log", True),
        ("/var/log/a.log", "/var/log/b.log", False),
        ("/var/log/[ab].log", "/var/log/b.log", True),
    ],
)
def test_patterns_match_as_a_shell_does(pattern, path, matches):
    """A star does not cross directories."""
    assert TailSpec(pattern).matches(path) is matches
