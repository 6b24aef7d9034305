"""The queue on disk: whole or not there, bounded, for one at a time."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard import files
from tabard.mail import Limits, MailError, Queue, QueueFull, Retry
from tabard.mail.compose import Composed, compose

NOW = 1_800_000_000_000_000_000


def _mail(text: str = "t", now: int = NOW) -> Composed:
    return compose(
        sender="a@example.org", to=["b@example.org", "c@example.org"], subject="s", text=text, now=now, limit=10**6
    )  # fmt: skip


def test_what_was_put_is_there_for_another(tmp_path: Path) -> None:
    """A second object, as another process would make it, finds the same, oldest first."""
    mails = [_mail(now=NOW + number) for number in (2, 1, 3)]
    for mail in mails:
        Queue(tmp_path).put(mail, NOW)
    other = Queue(tmp_path)
    assert [entry.id for entry in other.entries()] == sorted(mail.id for mail in mails)
    with other.claim(mails[0].id) as claimed:
        assert claimed is not None
        assert claimed[1] == mails[0].raw
        assert claimed[0].recipients == ("b@example.org", "c@example.org")


@pytest.mark.threat("mail-to-others")
def test_only_this_user_can_read_it(tmp_path: Path) -> None:
    """Mails are private."""
    queue = Queue(tmp_path / "mail")
    queue.put(_mail(), NOW)
    for folder, _, names in os.walk(tmp_path / "mail"):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        assert {stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) for name in names} <= {0o600}


def test_a_mail_is_claimed_by_one(tmp_path: Path) -> None:
    """While one hands it over, nobody else does; afterwards it is gone for both."""
    one, other = Queue(tmp_path), Queue(tmp_path)
    name = one.put(_mail(), NOW).id
    with one.claim(name) as claimed:
        assert claimed is not None
        with other.claim(name) as second:
            assert second is None
        assert not other.drop(name)
        one.done(name)
    with other.claim(name) as second:
        assert second is None
    assert other.entries() == []


def test_a_full_queue_refuses(tmp_path: Path) -> None:
    """By number and by bytes, with a sentence that says so; nothing is dropped for it."""
    queue = Queue(tmp_path, Limits(2, 10**6))
    queue.put(_mail(), NOW)
    queue.put(_mail(), NOW)
    with pytest.raises(QueueFull, match="at most 2 mails"):
        queue.put(_mail(), NOW)
    assert len(queue.entries()) == 2
    with pytest.raises(QueueFull, match="bytes"):
        Queue(tmp_path, Limits(10, 2_000)).put(_mail("x" * 1_500), NOW)


@pytest.mark.parametrize("fails", [1, 2])
def test_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: int
) -> None:
    """The caller is told, and no half of a mail stays."""
    calls = []
    fsync = os.fsync

    def broken(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == fails:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    queue = Queue(tmp_path)
    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(MailError, match=r"cannot be queued.*No space left"):
        queue.put(_mail(), NOW)
    assert queue.entries() == []
    assert os.listdir(tmp_path / "queue") == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"recipients": []}', b"\xff"])
def test_a_damaged_state_is_told_and_harms_no_other(tmp_path: Path, content: bytes) -> None:
    """Nobody knows whom the mail is for; it is listed as damaged and can be dropped."""
    queue = Queue(tmp_path)
    bad, good = queue.put(_mail(), NOW).id, queue.put(_mail(now=NOW + 1), NOW).id
    (tmp_path / "queue" / f"{bad}.json").write_bytes(content)
    assert [entry.id for entry in queue.entries()] == [good]
    assert queue.damaged() == [bad]
    assert queue.drop(bad)
    assert queue.damaged() == []


def test_halves_of_mails_are_removed_in_time(tmp_path: Path) -> None:
    """What a crash left is removed after an hour, and what is being written is left alone."""
    queue = Queue(tmp_path)
    name = queue.put(_mail(), NOW).id
    half = tmp_path / "queue" / f"{NOW:020d}-0123456789ab.json"
    half.write_text("{}")
    (tmp_path / "queue" / f".{name}.json.1").write_text("")
    now = half.stat().st_mtime
    queue.tidy(now + 10)
    assert len(os.listdir(tmp_path / "queue")) == 4
    queue.tidy(now + 3_700)
    assert sorted(os.listdir(tmp_path / "queue")) == [f"{name}.eml", f"{name}.json"]


def test_those_given_up_are_bounded_too(tmp_path: Path) -> None:
    """The oldest make room, and the caller learns which."""
    queue = Queue(tmp_path, Limits(2, 10**6))
    names: list[str] = []
    dropped: list[str] = []
    for number in range(3):
        entry = queue.put(_mail(now=NOW + number), NOW)
        names.append(entry.id)
        with queue.claim(entry.id):
            dropped += queue.give_up(entry, {"b@example.org": "550 no"})
            queue.done(entry.id)
    assert dropped == names[:1]
    assert [entry.id for entry in queue.entries(failed=True)] == names[1:]


def test_reasons_add_up(tmp_path: Path) -> None:
    """A mail given up for one recipient today and for another tomorrow is one entry with both."""
    queue = Queue(tmp_path)
    entry = queue.put(_mail(), NOW)
    with queue.claim(entry.id):
        queue.give_up(entry, {"b@example.org": "550 no"})
        queue.later(entry._replace(recipients=("c@example.org",)))
    with queue.claim(entry.id):
        queue.give_up(entry, {"c@example.org": "551 moved"})
        queue.done(entry.id)
    (failed,) = queue.entries(failed=True)
    assert failed.recipients == ("b@example.org", "c@example.org")
    assert failed.reason == "b@example.org: 550 no; c@example.org: 551 moved"


def test_a_retry_joins_what_still_waits(tmp_path: Path) -> None:
    """Given up for one, waiting for the other: after a retry it waits for both."""
    queue = Queue(tmp_path)
    entry = queue.put(_mail(), NOW)
    with queue.claim(entry.id):
        queue.give_up(entry, {"b@example.org": "550 no"})
        queue.later(entry._replace(recipients=("c@example.org",), tries=3))
    assert queue.retry(entry.id, NOW + 5)
    (waiting,) = queue.entries()
    assert (waiting.recipients, waiting.tries, waiting.queued) == (
        ("c@example.org", "b@example.org"),
        0,
        NOW + 5,
    )
    assert queue.entries(failed=True) == []


@pytest.mark.parametrize("name", ["../x", "", "x", "0" * 20, "*"])
def test_an_id_is_no_path(tmp_path: Path, name: str) -> None:
    """What comes from a command line cannot lead elsewhere."""
    queue = Queue(tmp_path)
    queue.put(_mail(), NOW)
    assert not queue.drop(name)
    assert not queue.drop(name, failed=True)
    assert not queue.retry(name, NOW)


def test_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing anew keeps the old content until the new one is complete."""
    path = tmp_path / "a.json"
    files.write_json(path, {"a": 1})

    def broken(old: object, new: object) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "rename", broken)
    with pytest.raises(OSError, match="broken"):
        files.write_json(path, {"a": 2})
    assert files.read_json(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["a.json"]


@given(st.floats(1, 1e4), st.floats(1, 1e5), st.integers(1, 10_000), st.integers())
def test_pauses_are_bounded(first: float, longest: float, failures: int, seed: int) -> None:
    """Between half of the doubled pause and the longest, for any number of failures."""
    pause = Retry(first, longest).pause(failures, Random(seed))
    assert 0 < pause <= longest
    assert pause >= min(first * 2 ** min(failures - 1, 60), longest) / 2


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_no_clock_puts_a_try_off_for_ever(next_try: int, now: int) -> None:
    """A time further away than the longest pause can only be a clock that was set back."""
    due = Retry(longest=100.0).due(next_try, now)
    assert due == (next_try <= now or next_try - now > 100_000_000_000)
