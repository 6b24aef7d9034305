"""Marks of files, the patterns that find them, and the names rotation gives."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.agents.intake.tail.marks import KnownMarks, Mark, digest_of, holds
from tabard.agents.intake.tail.order import rotated_later
from tabard.agents.intake.tail.siblings import Sibling, siblings
from tabard.agents.intake.tail.specs import TailSpec, service_of
from tabard.agents.intake.tail.unseen import Met, unseen_since

HEAD = b"the first bytes of a file"


def mark(offset=10, inode=7, head=HEAD, device=1, tail=b""):
    return Mark(device, inode, offset, len(head), digest_of(head), 0, len(tail), digest_of(tail))


@pytest.fixture
def content(tmp_path):
    """An open file with the given bytes."""
    opened: list[int] = []

    def make(data):
        path = tmp_path / f"content{len(opened)}"
        path.write_bytes(data)
        opened.append(os.open(path, os.O_RDONLY))
        return opened[-1]

    yield make
    for fd in opened:
        os.close(fd)


def test_a_mark_fits_its_file_however_it_has_grown(content):
    """And no other file, nor one that is shorter than what the mark saw."""
    assert mark().fits(content(HEAD))
    assert mark().fits(content(HEAD + b" and more"))
    assert not mark().fits(content(HEAD[:-1]))
    assert not mark().fits(content(b"x" + HEAD))
    assert mark(head=b"").fits(content(HEAD))
    assert not mark(offset=len(HEAD) + 1).fits(content(HEAD))


def test_files_that_begin_alike_are_told_by_what_was_read_last(content):
    """A banner of any length is no identity; the bytes before the position are."""
    banner = b"the same in every file\n" * 30
    first, second = content(banner + b"one\n"), content(banner + b"two\n")
    assert Mark.at_end(first).fits(first)
    assert not Mark.at_end(first).fits(second)
    assert not holds(first, second)
    assert holds(content(banner + b"one\nand more\n"), first)
    assert not holds(first, content(b""))


def test_marks_of_an_earlier_version_are_understood():
    """They have no digest of what was read last, and say no less than before."""
    old = list(mark(30))[:6]
    known = KnownMarks({"file:/a": old})
    found = known.of_path("/a")
    assert found is not None
    assert (found.offset, found.before, found.over) == (30, 0, False)


def test_the_furthest_mark_of_a_file_counts(content):
    """A file may have marks under several keys; its bytes decide which are its own."""
    fd = content(HEAD)
    state = os.fstat(fd)

    def of(offset, **more):
        return mark(offset, **{"inode": state.st_ino, "device": state.st_dev, **more})

    known = KnownMarks({"file:/a": of(10), "file:/b#7": of(20), "file:/c": of(24, head=b"another")})
    found = known.of_file(fd)
    assert found is not None
    assert found.offset == 20
    assert known.of_file(content(HEAD)) is None
    known.forget(state.st_ino)
    assert known.of_file(fd) is None
    known.remember(of(25))
    assert known.of_file(fd) == of(25)


def test_a_device_may_get_another_number_but_not_with_nothing_to_go_by(content):
    """Devices are numbered anew at each boot; an inode alone is not enough."""
    fd = content(HEAD)
    state = os.fstat(fd)

    def known(device, head):
        return KnownMarks({"file:/a": mark(0, inode=state.st_ino, device=device, head=head)}).of_file(fd)

    assert known(state.st_dev + 1, HEAD) is not None
    assert known(state.st_dev + 1, b"") is None
    assert known(state.st_dev, b"") is not None


def test_keys_say_which_path_and_which_rotated_file():
    """A path has one mark of the file that was there, and one of each that was moved away; "#" may be in a name."""
    known = KnownMarks({"file:/a": mark(1), "file:/a#9": mark(2), "file:/a#b": mark(3), "socket:0:/a": 5})
    assert known.of_path("/a") == mark(1)
    assert known.rotated("/a") == [mark(2)]
    assert known.paths() == ["/a", "/a#b"]


@given(
    st.dictionaries(
        st.text(max_size=8).map("file:{}".format),
        st.none()
        | st.integers()
        | st.text()
        | st.lists(st.integers() | st.binary() | st.none() | st.booleans(), max_size=10),
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
        "app.log.1": "1",
        "app.log-20251121": "20251121",
        "app.log.2025-11-21_10": "2025-11-21_10",
        "app-20251121.log": "20251121",
        "app.1.log": "1",
        "app.log.old": "",
        "app-other.log": "",
    }
    for name in [*names, "app.log", "app.log.2.gz", "other.log", "application.log"]:
        (tmp_path / name).write_text("x")
    (tmp_path / "app.log.d").mkdir()
    os.symlink(tmp_path / "app.log", tmp_path / "app.log.3")
    found = {os.path.basename(found.path): found.number for found in siblings(str(tmp_path / "app.log"))}
    assert found == names
    assert list(siblings(str(tmp_path / "none" / "app.log"))) == []


@pytest.mark.parametrize(
    ("one", "other", "later"),
    [
        ("1", "2", True),
        ("10", "9", False),
        ("01", "1", None),
        ("20251122", "20251121", True),
        ("2025-11-21_10", "2025-11-21_11", False),
        ("20251121", "2025-11-20", True),
        ("20251121", "1", None),
        ("20251121", "2025112110", None),
        ("1", "", None),
    ],
)
def test_names_say_which_file_was_rotated_later(one, other, later):
    """A counter goes up as the file grows older, a date with time; what is named otherwise does not tell."""
    assert rotated_later(one, other) is later
    assert rotated_later(other, one) is (None if later is None else not later)


def sibling(number, modified, changed):
    return Sibling(f"/app.log.{number}", 1, int(number), 10, modified, changed, number)


@pytest.mark.parametrize(
    ("read", "modified", "changed", "is_newer", "doubtful"),
    [
        ([], 200, 200, True, False),  # changed after the mark
        ([], 50, 50, False, False),  # lay there long before
        ([], 50, 200, False, True),  # its time was set back, or it was old and only renamed
        (["3"], 50, 200, True, False),  # rotated after one that was read, whatever its time
        (["3"], 50, 50, False, True),
        (["1"], 50, 200, False, False),  # rotated before one that was read
        (["1", "3"], 50, 200, True, False),  # between two that were read
        (["1", "3"], 50, 50, False, True),
    ],
)
def test_what_was_rotated_unseen_is_told_by_time_and_by_name(read, modified, changed, is_newer, doubtful):
    """The time of the last change says it, else the place among those that were read; the rest is said."""
    candidate = sibling("2", modified, changed)
    last = mark()._replace(modified=100)
    found = unseen_since(last, [(candidate, Met.NEW), *((sibling(name, 50, 50), Met.READ) for name in read)])
    assert (candidate in found.newer, candidate in found.doubtful) == (is_newer, doubtful)


@pytest.mark.parametrize(("length", "is_newer"), [(10, False), (0, True)])
def test_the_place_of_a_file_that_was_empty_says_nothing(length, is_newer):
    """It was filled, copied to another and emptied, filled again and rotated: the copy is older than it, and unread."""
    copy, last, read = sibling("2", 50, 200), sibling("1", 200, 200), sibling("3", 50, 50)
    seen = mark()._replace(modified=100, length=length)
    found = unseen_since(seen, [(copy, Met.NEW), (last, Met.LAST), (read, Met.READ)])
    assert (copy in found.newer) is is_newer


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
