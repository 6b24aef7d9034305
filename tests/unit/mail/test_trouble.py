"""Disks that are full, or take nothing, and what else goes wrong on this side: nobody gets a mail twice for it."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard import files
from tabard.mail import Queue, Report, Retry, Server, session
from tabard.mail.compose import compose
from tabard.mail.flush import Flusher
from tabard.mail.queue import with_last_failure
from tabard.mail.session import Session
from tests.unit.mail.conftest import Hands
from tests.unit.mail.test_nothing_lost import PEOPLE, Moody

A, B = "a@example.org", "b@example.org"


@contextlib.contextmanager
def _disk(patch: pytest.MonkeyPatch, number: int) -> Iterator[None]:
    """A disk on which nothing new can be written; what is there can be written over, or not even removed."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    with patch.context() as broken:
        broken.setattr(files, "write_json", refuse)
        broken.setattr(os, "link", refuse)
        if number == errno.EIO:
            broken.setattr(files, "remove", refuse)
        yield


def _copies(post: Any, recipient: str) -> int:
    return sum(recipient in mail.recipients for mail in post.mails)


@pytest.mark.parametrize("says", ["450 later", "550 never"])
def test_a_full_disk_doubles_no_mail(post, make_mailer, clock, monkeypatch, says) -> None:
    """Who has it is crossed off in the room that its state has already; the others get it when they can."""
    mailer = make_mailer(post)
    mailer.send(subject="s", text="t", to=[A, B])
    post.rules.recipients = {B: says}
    with _disk(monkeypatch, errno.ENOSPC):
        for _ in range(3):
            mailer.flush(force=True)
        make_mailer(post).flush(force=True)  # as another process, which knows what the disk says only
        assert [entry.recipients for entry in mailer.queue.entries()] == [(B,)]
    assert (_copies(post, A), _copies(post, B)) == (1, 0)
    post.rules.recipients = {}
    assert mailer.flush(force=True) == Report(sent=1)
    assert (_copies(post, A), _copies(post, B)) == (1, 1)
    assert mailer.queue.entries(failed=True) == []


def test_on_a_full_disk_nobody_is_asked_without_a_pause(post, make_mailer, monkeypatch) -> None:
    """Though the time of the next try could not be written."""
    mailer = make_mailer(post)
    mailer.send(subject="s", text="t", to=[A, B])
    post.rules.recipients = {B: "450 later"}
    with _disk(monkeypatch, errno.ENOSPC):
        mailer.flush()
        sessions = post.sessions
        mailer.flush()
        assert post.sessions == sessions


def test_a_broken_disk_doubles_no_mail_of_this_process(post, make_mailer, monkeypatch) -> None:
    """Neither what became of it nor that it is done can be written: it is remembered, and the disk is named."""
    mailer = make_mailer(post)
    mailer.send(subject="both", text="t", to=[A, B])
    mailer.send(subject="one", text="t", to=[A])
    post.rules.recipients = {B: "450 later"}
    with _disk(monkeypatch, errno.EIO):
        for _ in range(3):
            report = mailer.flush(force=True)
            assert "Input/output error" in report.trouble
            assert report.waiting == 2
    assert (_copies(post, A), _copies(post, B)) == (2, 0)
    post.rules.recipients = {}
    assert mailer.flush(force=True).trouble == ""
    assert (_copies(post, A), _copies(post, B)) == (2, 1)
    assert mailer.queue.count() == 0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_server_away_is_told_also_where_it_cannot_be_noted(
    post, mailer, monkeypatch, caplog, number
) -> None:
    """The report has both reasons, and the record is not lost over the disk."""
    mailer.send(subject="s", text="t")
    post.stop()
    with _disk(monkeypatch, number):
        report = mailer.flush()
    assert "refused" in report.away
    assert os.strerror(number) in report.trouble
    assert report.waiting == 1
    assert "cannot be used, next try in" in caplog.text


def test_a_mail_put_off_before_the_server_went_away_has_the_later_reason(post, mailer, clock) -> None:
    """And its own again once the server is back: the list follows what happened last."""
    mailer.send(subject="s", text="t", to=[A])
    post.rules.recipients = {A: "450 later"}
    mailer.flush()
    (own,) = mailer.queue.entries()
    assert own.last_try > own.queued
    assert with_last_failure(own, mailer.queue.away()) == own
    post.stop()
    clock.pass_by(10)
    mailer.flush()
    (entry,) = mailer.queue.entries()
    assert entry == own, "nothing is written for each mail"
    shown = with_last_failure(entry, mailer.queue.away())
    assert "refused" in shown.reason
    assert own.last_try < shown.last_try < shown.next_try
    post.start()
    mailer.flush(force=True)
    (entry,) = mailer.queue.entries()
    assert with_last_failure(entry, mailer.queue.away()).reason == f"{A}: 450 later"


def test_a_queue_written_before_the_time_of_the_last_try_was_kept(post, mailer) -> None:
    """Is read, and so is what was noted of the server."""
    name = mailer.send(subject="s", text="t")
    state = mailer.queue.folder / f"queue/{name}.json"
    assert "last_try" not in state.read_text()
    (mailer.queue.folder / "away.json").write_text('{"tries": 2, "next_try": 7, "reason": "refused"}')
    (entry,) = mailer.queue.entries()
    shown = with_last_failure(entry, mailer.queue.away())
    assert (shown.last_try, shown.next_try) == (0, 7)
    assert shown.reason == "the mail server cannot be used, 2 tries: refused"


def test_where_nothing_can_be_kept_nothing_is_handed_over(post, mailer, monkeypatch) -> None:
    """On a disk that became read-only each pass would send everything again."""
    mailer.send(subject="s", text="t")
    access = os.access
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: not mode & os.W_OK and access(path, mode))
        report = mailer.flush()
    assert "cannot be written" in report.trouble
    assert (report.sent, report.waiting, post.mails) == (0, 1, [])
    assert mailer.flush() == Report(sent=1)


def test_the_thread_waits_longer_and_longer_for_the_disk(post, make_mailer, monkeypatch, caplog) -> None:
    """And says each time what is wrong; it is not the end of it."""
    mailer = make_mailer(post, background=True, retry=Retry(0.05, 0.2, 86_400.0))
    asked = threading.Semaphore(0)

    def broken() -> None:
        asked.release()
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    pauses: list[float] = []
    pause = mailer._pause

    def noted() -> float:
        pauses.append(pause())
        return pauses[-1]

    monkeypatch.setattr(mailer, "_pause", noted)
    with monkeypatch.context() as patch:
        patch.setattr(mailer.queue, "check_writable", broken)
        mailer.send(subject="s", text="t")
        for _ in range(4):
            assert asked.acquire(timeout=20)
    assert post.wait(lambda: len(post.mails) == 1)
    mailer.close()
    assert all(0.025 <= pause <= 0.2 for pause in pauses[:4])
    assert any("cannot keep what became of it" in record.message for record in caplog.records)


def test_a_mail_that_cannot_be_said_does_not_hold_up_the_others(post, mailer, monkeypatch, caplog) -> None:
    """It waits with the reason, and ends among those given up."""
    names = [mailer.send(subject=subject, text="t") for subject in ("bad", "good")]
    hand_over = Session._hand_over

    def picky(self: Session, entry: Any, raw: bytes) -> Any:
        if entry.subject == "bad":
            raise ValueError("odd")
        return hand_over(self, entry, raw)

    monkeypatch.setattr(Session, "_hand_over", picky)
    assert mailer.flush() == Report(sent=1, waiting=1)
    assert [mail.message["Subject"] for mail in post.mails] == ["good"]
    (entry,) = mailer.queue.entries()
    assert (entry.id, entry.tries) == (names[0], 1)
    assert "ValueError: odd" in entry.reason


def test_a_damaged_mail_is_a_record(post, mailer, caplog) -> None:
    """Once in each process; it is in nobody's way."""
    bad = mailer.send(subject="bad", text="t")
    mailer.send(subject="good", text="t")
    (mailer.queue.folder / f"queue/{bad}.json").write_text("{")
    for _ in range(2):
        mailer.flush()
    assert [mail.message["Subject"] for mail in post.mails] == ["good"]
    assert [record.levelname for record in caplog.records if f"{bad} is damaged" in record.getMessage()] == [
        "ERROR"
    ]


def test_a_child_forked_meanwhile_does_not_hold_the_mail(post, make_mailer) -> None:
    """Its copy of the lock is worth nothing once the mail was put back."""
    mailer = make_mailer(post)
    name = mailer.send(subject="s", text="t")
    with mailer.queue.claim(name):
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(0)
    try:
        assert mailer.flush() == Report(sent=1)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_where_no_thread_can_be_started_the_mail_is_queued_all_the_same(
    post, make_mailer, monkeypatch
) -> None:
    """At the end of the interpreter there is none; what was queued is not an error for that."""
    mailer = make_mailer(post, background=True)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        mailer.send(subject="s", text="t")
    assert mailer.queue.count() == 1
    mailer.send(subject="t", text="t")
    assert post.wait(lambda: len(post.mails) == 2)
    mailer.close()


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(["yes", "never", "later", "lost", "away"]), max_size=30),
    st.lists(st.sampled_from([0, 0, errno.ENOSPC, errno.EIO]), max_size=60),
    st.lists(st.integers(1, 3), min_size=1, max_size=3),
    st.integers(),
)
def test_each_recipient_is_accounted_for_on_any_disk(
    moods: list[str], disk: list[int], mails: list[int], seed: int
) -> None:
    """Whatever the server says and whichever write fails: nobody is forgotten, and none gets it twice for the disk."""
    clock, moody = Hands(), Moody(list(moods))
    fates = iter(disk)
    real: dict[str, Callable[..., None]] = {"write_json": files.write_json, "remove": files.remove}

    def maybe(name: str) -> Any:
        def write(*args: Any) -> None:
            number = next(fates, 0)
            if number and not (name == "remove" and number == errno.ENOSPC):
                raise OSError(number, os.strerror(number))
            real[name](*args)

        return write

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "Session", moody.session)
        log = logging.getLogger("moody")
        log.setLevel(logging.CRITICAL)
        queue = Queue(folder)
        flusher = Flusher(queue, Server("x"), Retry(10.0, 100.0, 1e9), clock, Random(seed), log)
        wanted = set()
        for people in mails:
            now = clock.wall()
            mail = compose(
                sender="s@example.org", to=PEOPLE[:people], subject="s", text="t", now=now, limit=10**6
            )
            queue.put(mail, now)
            wanted |= {(mail.id, recipient) for recipient in mail.recipients}
        for name in real:
            patch.setattr(files, name, maybe(name))
        waiting = wanted
        for _ in range(120):
            with contextlib.suppress(OSError):  # that the server is away could not be noted
                flusher.flush()
            waiting = {(entry.id, one) for entry in queue.entries() for one in entry.recipients}
            failed = {(entry.id, one) for entry in queue.entries(failed=True) for one in entry.recipients}
            assert set(moody.has) | waiting | failed == wanted
            if not waiting:
                break
            clock.pass_by(100)
        assert not waiting
        assert not {name for (name, _), times in moody.has.items() if times > 1} - moody.unsure
