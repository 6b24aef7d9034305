"""Mail to a real server with TLS: handed over, refused, interrupted, and tried again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from tabard.clock import SystemClock
from tabard.errors import SettingsError
from tabard.mail import Entry, MailError, Report, Retry, Server, address
from tabard.mail.mailer import _default_sender
from tests.unit.mail.post import PASSWORD, USER


def test_a_mail_arrives_by_starttls_with_a_login(post, mailer) -> None:
    """Encrypted, authenticated, with the id that the queue gave it; then the queue is empty."""
    name = mailer.send(
        subject="Grüße", text="Hello Ümläut\n", to=["Ann <ann@example.org>", "bob@example.org"]
    )
    assert mailer.flush() == Report(sent=1)
    (mail,) = post.mails
    assert (mail.sender, mail.recipients) == ("shop@example.org", ["ann@example.org", "bob@example.org"])
    assert (mail.tls, mail.user) == (True, USER.encode())
    message = mail.message
    assert (message["Subject"], message["From"], message["To"]) == ("Grüße", "Shop <shop@example.org>", "Ann <ann@example.org>, bob@example.org")  # fmt: skip
    assert message["Message-ID"] == f"<{name}@example.org>"
    assert message.get_content() == "Hello Ümläut\r\n"
    assert mailer.queue.entries() == [] == mailer.queue.entries(failed=True)


def test_implicit_tls(make_post, make_mailer) -> None:
    """The other way of encrypting, from the first byte."""
    post = make_post(implicit=True)
    mailer = make_mailer(post)
    mailer.send(subject="s", text="t")
    assert mailer.flush().sent == 1
    assert (post.mails[0].tls, post.mails[0].user) == (True, USER.encode())


@pytest.mark.threat("mail-to-others")
def test_without_encryption_only_without_a_password(make_post, make_mailer) -> None:
    """A server on the same host may be spoken to in the clear; a password never goes that way."""
    post = make_post(auth=False, starttls=False)
    mailer = make_mailer(post, server={"tls": "none", "user": ""})
    mailer.send(subject="s", text="t")
    assert mailer.flush().sent == 1
    with pytest.raises(SettingsError, match="never sent over a connection that is not encrypted"):
        make_mailer(post, server={"tls": "none"})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ca_file": ""}, "certificate is not to be trusted"),
        ({"host": "localhost"}, "certificate is not to be trusted"),
        ({"password": "wrong"}, "535"),
        ({"port": 1}, "refused"),
    ],
)
def test_a_server_that_cannot_be_used_keeps_the_mail_waiting(post, make_mailer, change, says) -> None:
    """An unknown authority, a certificate of another host, a wrong password: none of it is the mail's fault."""
    mailer = make_mailer(post, server=change)
    mailer.send(subject="s", text="t")
    report = mailer.flush()
    assert says in report.away
    assert (report.waiting, report.given_up, post.mails) == (1, 0, [])
    assert (mailer.queue.away()["tries"], says in mailer.queue.away()["reason"]) == (1, True)


def test_verification_can_be_switched_off(post, make_mailer) -> None:
    """For a server with a certificate of its own making, where somebody said so."""
    mailer = make_mailer(post, server={"ca_file": "", "verify": False})
    mailer.send(subject="s", text="t")
    assert mailer.flush().sent == 1


@pytest.mark.threat("mail-to-others")
def test_a_server_that_offers_no_tls_gets_nothing(make_post, make_mailer) -> None:
    """Stripping STARTTLS off the answer does not make us talk in the clear."""
    post = make_post(auth=False, starttls=False)
    mailer = make_mailer(post, server={"user": ""})
    mailer.send(subject="s", text="t")
    assert "STARTTLS" in mailer.flush().away
    assert post.mails == []


def test_server_away_and_back(post, mailer, clock) -> None:
    """Tried later and later while it is away, and not in between; when it is back, all of it arrives once."""
    post.stop()
    names = [mailer.send(subject=f"{number}", text="t") for number in range(3)]
    assert mailer.flush().waiting == 3
    tried = mailer.queue.away()["tries"]
    post.start()
    assert (mailer.flush().waiting, post.mails) == (3, []), "it is not time yet"
    clock.pass_by(10)
    assert (mailer.flush(), tried) == (Report(sent=3), 1)
    assert [mail.message["Message-ID"] for mail in post.mails] == [f"<{name}@example.org>" for name in names]
    assert mailer.queue.away() == {}
    assert post.sessions == 1, "one connection for all that was due"


def test_the_pauses_grow_to_the_longest(post, mailer, clock) -> None:
    """Each pause is about twice the one before, never more than the longest, never less than half of it."""
    post.stop()
    mailer.send(subject="s", text="t")
    pauses = []
    for _ in range(7):
        mailer.flush(force=True)
        pauses.append((mailer.queue.away()["next_try"] - clock.now) / 1e9)
    for pause, full in zip(pauses, [10, 20, 40, 80, 100, 100, 100], strict=True):
        assert full / 2 <= pause <= full


def test_force_does_not_wait(post, mailer) -> None:
    """Whoever knows that the server is back need not wait for the next try."""
    post.stop()
    mailer.send(subject="s", text="t")
    mailer.flush()
    post.start()
    assert mailer.flush(force=True).sent == 1


def test_recipients_refused_partly(post, mailer, clock) -> None:
    """Who is taken has the mail and is not asked again; who is refused for good is listed; the others wait."""
    post.rules.recipients = {"gone@example.org": "550 no such user", "full@example.org": "452 mailbox full"}
    mailer.send(subject="s", text="t", to=["ann@example.org", "gone@example.org", "full@example.org"])
    assert mailer.flush() == Report(sent=0, given_up=1, waiting=1)
    assert post.mails[0].recipients == ["ann@example.org"]
    (waiting,) = mailer.queue.entries()
    assert (waiting.recipients, waiting.tries) == (("full@example.org",), 1)
    assert "452 mailbox full" in waiting.reason
    (failed,) = mailer.queue.entries(failed=True)
    assert failed.recipients == ("gone@example.org",)
    assert "550 no such user" in failed.reason
    post.rules.recipients = {}
    clock.pass_by(10)
    assert mailer.flush() == Report(sent=1)
    assert [mail.recipients for mail in post.mails] == [["ann@example.org"], ["full@example.org"]]
    assert post.mails[0].raw == post.mails[1].raw


def test_all_refused_for_good(post, mailer) -> None:
    """Nothing waits any more, and the list of those given up says why."""
    post.rules.recipients = {"ops@example.org": "550 no such user"}
    name = mailer.send(subject="s", text="t")
    assert mailer.flush() == Report(given_up=1)
    (failed,) = mailer.queue.entries(failed=True)
    assert (failed.id, failed.reason) == (name, "ops@example.org: 550 no such user")


def test_the_mail_itself_refused(post, mailer) -> None:
    """For good, and for now; one bad mail does not hold back the next one."""
    post.rules.data = ["554 looks like spam", "451 try again", ""]
    names = [mailer.send(subject=f"{number}", text="t") for number in range(3)]
    assert mailer.flush() == Report(sent=1, given_up=1, waiting=1)
    assert [entry.id for entry in mailer.queue.entries(failed=True)] == names[:1]
    assert [(entry.id, entry.tries) for entry in mailer.queue.entries()] == [(names[1], 1)]
    assert [mail.message["Subject"] for mail in post.mails] == ["2"]


def test_the_sender_refused(post, mailer) -> None:
    """For good when it is about the mail, later when it is about who we are."""
    post.rules.sender = "550 not from you"
    mailer.send(subject="s", text="t")
    assert mailer.flush() == Report(given_up=1)
    post.rules.sender = "530 log in first"
    mailer.send(subject="s", text="t")
    assert mailer.flush().waiting == 1


def test_a_server_that_dies_in_the_middle(post, mailer, clock) -> None:
    """Before it has the mail: the mail is tried again, on a new connection; the others go on at once."""
    post.rules.data = ["hang up"]
    mailer.send(subject="first", text="t")
    mailer.send(subject="second", text="t")
    assert mailer.flush() == Report(sent=1, waiting=1)
    assert [mail.message["Subject"] for mail in post.mails] == ["second"]
    clock.pass_by(10)
    assert mailer.flush() == Report(sent=1)
    assert [mail.message["Subject"] for mail in post.mails] == ["second", "first"]


def test_a_server_that_dies_before_its_answer_gets_the_same_mail_again(post, mailer, clock) -> None:
    """At least once: nobody can know that it arrived, so it is sent again, with the same Message-ID and bytes."""
    post.rules.data = ["keep"]
    mailer.send(subject="s", text="t")
    assert mailer.flush().waiting == 1
    clock.pass_by(10)
    assert mailer.flush() == Report(sent=1)
    one, other = post.mails
    assert one.raw == other.raw
    assert one.message["Message-ID"] == other.message["Message-ID"]


def test_a_server_that_dies_at_a_recipient(post, mailer) -> None:
    """Whoever was said yes to before has nothing yet, since the mail itself never went."""
    post.rules.recipients = {"bob@example.org": "hang up"}
    mailer.send(subject="s", text="t", to=["ann@example.org", "bob@example.org"])
    assert mailer.flush().waiting == 1
    assert mailer.queue.entries()[0].recipients == ("ann@example.org", "bob@example.org")
    assert post.mails == []


def test_a_server_that_dies_every_time_is_away(post, mailer) -> None:
    """After a few lost sessions the rest of the queue is not thrown at it."""
    post.rules.data = ["hang up"] * 10
    for number in range(6):
        mailer.send(subject=f"{number}", text="t")
    report = mailer.flush()
    assert (report.waiting, post.sessions) == (6, 3)
    assert report.away
    assert mailer.queue.away()["tries"] == 1


def test_too_old_is_given_up_with_the_last_reason(post, mailer, clock) -> None:
    """Also while the server is away; the list keeps the mail."""
    post.stop()
    mailer.send(subject="s", text="t")
    mailer.flush()
    clock.pass_by(86_401)
    assert mailer.flush() == Report(given_up=1)
    (failed,) = mailer.queue.entries(failed=True)
    assert "not handed over within 86400 s" in failed.reason
    assert "refused" in failed.reason


def test_given_up_can_be_tried_again(post, mailer) -> None:
    """After the mistake was put right: to those who did not get it, with the same bytes."""
    post.rules.recipients = {"ops@example.org": "550 no such user"}
    name = mailer.send(subject="s", text="t", to=["ann@example.org", "ops@example.org"])
    mailer.flush()
    post.rules.recipients = {}
    assert mailer.queue.retry(name, mailer.queue.entries(failed=True)[0].queued)
    assert mailer.queue.entries(failed=True) == []
    assert mailer.flush() == Report(sent=1)
    assert [mail.recipients for mail in post.mails] == [["ann@example.org"], ["ops@example.org"]]
    assert not mailer.queue.retry(name, 0)


def test_other_letters_need_a_server_that_takes_them(make_post, make_mailer, tmp_path) -> None:
    """SMTPUTF8 where the server has it, and a clear refusal where not; a domain alone needs nothing."""
    able, unable = make_post(), make_post(enable_SMTPUTF8=False)
    mailer = make_mailer(able)
    mailer.send(subject="s", text="t", to=["jürgen@bücher.example"])
    assert mailer.flush() == Report(sent=1)
    assert able.mails[0].recipients == ["jürgen@xn--bcher-kva.example"]
    mailer = make_mailer(unable)
    mailer.send(subject="s", text="t", to=["ann@bücher.example"])
    assert mailer.flush() == Report(sent=1)
    mailer.send(subject="s", text="t", to=["jürgen@example.org"])
    assert mailer.flush() == Report(given_up=1)
    assert "SMTPUTF8" in mailer.queue.entries(failed=True)[0].reason


def test_a_mail_larger_than_the_server_takes_is_given_up_at_once(make_post, make_mailer) -> None:
    """The server says its limit, so nothing has to be sent to learn it."""
    post = make_post(data_size_limit=2_000)
    mailer = make_mailer(post)
    mailer.send(subject="s", text="x" * 5_000)
    assert mailer.flush() == Report(given_up=1)
    assert "takes 2000" in mailer.queue.entries(failed=True)[0].reason


def test_the_thread_hands_over_and_ends(post, make_mailer) -> None:
    """In the background, without a call; close waits for it."""
    with make_mailer(post, background=True) as mailer:
        mailer.send(subject="one", text="t")
        assert post.wait(lambda: len(post.mails) == 1)
        mailer.send(subject="two", text="t")
    assert [mail.message["Subject"] for mail in post.mails] == ["one", "two"]
    assert mailer.queue.entries() == []


def test_the_thread_tries_again_by_itself(post, make_mailer) -> None:
    """The server comes back while the application runs: the mail goes without anybody asking."""
    post.stop()
    with make_mailer(post, background=True, clock=SystemClock(), retry=Retry(0.2, 0.4, 60.0)) as mailer:
        mailer.send(subject="s", text="t")
        post.start()
        assert post.wait(lambda: len(post.mails) == 1)


def test_close_leaves_the_rest_in_the_queue(post, make_mailer) -> None:
    """A server that is away does not hold up the end of the application."""
    post.stop()
    mailer = make_mailer(post, background=True)
    mailer.send(subject="s", text="t")
    mailer.close()
    assert len(mailer.queue.entries()) == 1


def test_a_forked_child_has_its_own_thread(post, make_mailer) -> None:
    """What a child sends after a fork arrives as well."""
    with make_mailer(post, background=True) as mailer:
        mailer.send(subject="parent", text="t")
        assert post.wait(lambda: len(post.mails) == 1)
        child = os.fork()
        if child == 0:
            mailer.send(subject="child", text="t")
            mailer.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    assert [mail.message["Subject"] for mail in post.mails] == ["parent", "child"]


_PROGRAM = """
    import sys
    from tabard.mail import Mailer, Server
    server = Server("127.0.0.1", int(sys.argv[2]), ca_file=sys.argv[3], user=sys.argv[4], password=sys.argv[5])
    mailer = Mailer(sys.argv[1], server, sender="a@example.org", to=["b@example.org"], background=sys.argv[6] == "on")
    mailer.send(subject="from a script", text="t")
    print("queued", flush=True)
    if sys.argv[6] == "wait":
        sys.stdin.read()
"""


def _script(folder: Path, server: Server, mode: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_PROGRAM), str(folder / "mail"), str(server.port), server.ca_file, USER, PASSWORD, mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def test_a_short_script_need_not_close(post, tmp_path) -> None:
    """The end of the interpreter waits for the thread as close does."""
    process = _script(tmp_path, post.server(tmp_path), "on")
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert [mail.message["Subject"] for mail in post.mails] == ["from a script"]


def test_what_a_killed_process_queued_is_handed_over_by_the_next(post, make_mailer, tmp_path) -> None:
    """The queue is on disk from the moment that send returns."""
    mailer = make_mailer(post, clock=SystemClock())
    process = _script(tmp_path, post.server(tmp_path), "wait")
    assert process.stdout is not None and process.stdout.readline() == "queued\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert mailer.flush().sent == 1
    assert [mail.message["Subject"] for mail in post.mails] == ["from a script"]


def test_a_process_killed_while_it_hands_over_leaves_the_mail_to_the_next(
    post, make_mailer, tmp_path
) -> None:
    """Its lock ends with it; the mail is still there and goes out."""
    post.rules.data = ["stall"]
    process = _script(tmp_path, post.server(tmp_path), "on")
    assert post.wait(lambda: post.stalled)
    mailer = make_mailer(post, clock=SystemClock())
    assert mailer.flush() == Report(waiting=1), "it is in another's hands"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert mailer.flush() == Report(sent=1)


def test_many_hands_send_each_mail_once(post, make_mailer) -> None:
    """Several processes or threads work off one queue, and nobody gets a mail twice."""
    mailers = [make_mailer(post) for _ in range(4)]
    names = {mailers[0].send(subject=str(number), text="t") for number in range(40)}
    threads = [threading.Thread(target=mailer.flush) for mailer in mailers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(post.mails) == 40
    assert {mail.message["Message-ID"] for mail in post.mails} == {f"<{name}@example.org>" for name in names}


def test_a_session_is_not_used_for_ever(post, mailer) -> None:
    """Servers count the mails of a session; a new one is opened before they hang up."""
    for number in range(51):
        mailer.send(subject=str(number), text="t")
    assert mailer.flush() == Report(sent=51)
    assert post.sessions == 2


def test_a_server_that_says_nothing_does_not_hold_for_ever(tmp_path, make_mailer, post) -> None:
    """It takes the connection and is silent: after the time-out it counts as away."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mailer = make_mailer(post, server={"port": silent.getsockname()[1], "timeout": 0.2})
        mailer.send(subject="s", text="t")
        report = mailer.flush()
    assert (report.waiting, "timed out" in report.away) == (1, True)


def test_while_the_server_is_away_nothing_is_read_for_each_mail(post, mailer, monkeypatch) -> None:
    """Thousands queued meanwhile do not make each further one dearer."""
    post.stop()
    mailer.send(subject="s", text="t")
    mailer.flush()

    def read(*, failed: bool = False) -> list[Entry]:
        raise AssertionError("the queue was read")

    monkeypatch.setattr(mailer.queue, "entries", read)
    mailer.send(subject="s", text="t")
    assert mailer.flush().waiting == 2


@pytest.mark.threat("mail-to-others")
def test_a_certificate_that_has_run_out_is_not_trusted(make_post, make_mailer) -> None:
    """Whoever made it."""
    post = make_post(expired=True)
    mailer = make_mailer(post)
    mailer.send(subject="s", text="t")
    assert "certificate has expired" in mailer.flush().away
    assert post.mails == []


@pytest.mark.parametrize("change", [{"sender": "nobody"}, {"to": ["ops@example.org", "x y@z"]}, {"to": "ops@example.org"}])  # fmt: skip
def test_addresses_are_looked_at_before_there_is_a_mail(post, make_mailer, change) -> None:
    """Not with the first one, in the night."""
    with pytest.raises(MailError, match="address"):
        make_mailer(post, **change)


@pytest.mark.parametrize("user", ["app", "DOM\\\\ann b", "jörg", "", None])
@pytest.mark.parametrize("host", ["web1", "web_1.example.org", "a.b.c.d.e", "-x-", "ü", "1" * 64])
def test_mail_has_a_sender_whoever_the_process_is(monkeypatch, user, host) -> None:
    """Where the settings name none: also a user that no file knows, on a host with an odd name."""

    def getuser() -> str:
        if user is None:
            raise KeyError("getpwuid(): uid not found: 4711")
        return str(user)

    monkeypatch.setattr("getpass.getuser", getuser)
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(nodename=host))
    assert "@" in str(address(_default_sender()))


def test_a_mail_to_nobody_is_an_error(post, make_mailer) -> None:
    """Neither the call nor the stage names anybody."""
    with pytest.raises(MailError, match="nobody to write to"):
        make_mailer(post, to=[]).send(subject="s", text="t")
