"""``tabard mail``: sending from scripts, and the queue as an operator sees it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tabard import exits
from tabard.mail import Queue, Report
from tabard.ops.cli.mail_flush import tell
from tests.unit.mail.conftest import make_post
from tests.unit.mail.post import PASSWORD, USER, Post
from tests.unit.ops_reading.test_json import described

__all__ = ["make_post"]


@pytest.fixture
def post(make_post, tmp_path: Path) -> Post:
    """A server, and a home whose settings name it."""
    post: Post = make_post()
    ca_file = post.server(tmp_path).ca_file
    (tmp_path / "home").mkdir()
    (tmp_path / "home/tabard.toml").write_text(
        f"""
[mail]
host = "127.0.0.1"
port = {post.port}
ca_file = "{ca_file}"
user = "{USER}"
sender = "Shop <shop@example.org>"
to = ["everybody@example.org"]

[stage.PRODUCTION]
mail = ["production@example.org"]

[stage.TESTING]
mail = ["test@example.org"]
"""
    )
    return post


@pytest.fixture
def mail(tabard):
    def run(*arguments: str, stdin: str = "", **env: str):
        return tabard("mail", *arguments, stdin=stdin, TABARD_MAIL_PASSWORD=PASSWORD, **env)

    return run


def test_send_takes_standard_input(post, mail, tmp_path) -> None:
    """Text from a pipe, a file beside it, the password from the environment."""
    (tmp_path / "list.csv").write_text("a;b\n")
    done = mail("send", "--subject", "Disks", "--to", "ann@example.org", "--attach", str(tmp_path / "list.csv"), stdin="full: 97 %\n")  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 sent, 0 given up, 0 waiting\n", "")
    (arrived,) = post.mails
    assert (arrived.sender, arrived.recipients, arrived.tls) == (
        "shop@example.org",
        ["ann@example.org"],
        True,
    )
    body = arrived.message.get_body(("plain",))
    assert body is not None and body.get_content() == "full: 97 %\r\n"
    assert [part.get_filename() for part in arrived.message.iter_attachments()] == ["list.csv"]


def test_mail_goes_to_the_stage(post, mail) -> None:
    """Each stage has its own addresses; without one the general ones hold."""
    for env in ({"DEV_STAGE": "PRODUCTION"}, {"DEV_STAGE": "TESTING"}, {}, {"DEV_STAGE": "DEVELOPMENT"}):
        assert mail("send", "--subject", "s", stdin="t", **env).returncode == 0
    assert [arrived.recipients for arrived in post.mails] == [
        ["production@example.org"],
        ["test@example.org"],
        ["everybody@example.org"],
        ["everybody@example.org"],
    ]


def test_the_queue_while_the_server_is_away(post, mail, tmp_path) -> None:
    """It waits, the list says why, and a flush sends it when the server is back."""
    post.stop()
    done = mail("send", "--subject", "Grüße", stdin="t")
    assert done.returncode == 3
    assert "1 waiting" in done.stderr
    listed = mail("queue", "-o", "json")
    assert listed.returncode == 3
    assert "the mail server cannot be used" in listed.stderr and "refused" in listed.stderr
    (row,) = json.loads(listed.stdout)
    assert list(row) == described("tabard mail queue")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", row["queued"])
    assert (row["recipients"], row["subject"], row["tries"]) == (["everybody@example.org"], "Grüße", 0)
    assert row["reason"].startswith("the mail server cannot be used, 1 try: ") and "refused" in row["reason"]
    assert row["queued"] < row["last_try"] < row["next_try"]
    post.start()
    assert mail("flush").returncode == 3, "it is not time yet"
    done = mail("flush", "--all")
    assert (done.returncode, done.stdout) == (0, "1 sent, 0 given up, 0 waiting\n")
    assert len(post.mails) == 1
    done = mail("flush")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), "nothing to say to cron"


def test_given_up_retried_and_dropped(post, mail, tmp_path) -> None:
    """An operator sees the reason, puts it right, and sends again, or not."""
    post.rules.recipients = {"ann@example.org": "550 no such user"}
    assert mail("send", "--subject", "s", "--to", "ann@example.org", stdin="t").returncode == 3
    done = mail("send", "--subject", "s", "--to", "ann@example.org", stdin="t")
    assert done.returncode == 3
    assert "1 given up" in done.stdout
    rows = json.loads(mail("queue", "--failed", "-o", "json").stdout)
    assert [row["reason"] for row in rows] == ["ann@example.org: 550 no such user"] * 2
    post.rules.recipients = {}
    assert mail("retry", rows[0]["id"]).stdout == "1 of 1\n"
    assert mail("flush").stdout == "1 sent, 0 given up, 0 waiting\n"
    assert mail("drop", "--failed", "--all").stdout == "1 of 1\n"
    queue = Queue(tmp_path / "home/mail")
    assert queue.entries() == [] == queue.entries(failed=True)
    done = mail("drop", rows[0]["id"])
    assert (done.returncode, done.stdout) == (3, "0 of 1\n")


def test_a_login_that_is_refused_is_the_reason_of_each_mail(post, mail, tmp_path) -> None:
    """Of what waits already and of what is queued later, which was not tried yet."""
    for _ in range(2):
        done = mail("send", "--subject", "s", stdin="t", TABARD_MAIL_USER="nobody")
        assert done.returncode == 3
    first, second = json.loads(mail("queue", "-o", "json").stdout)
    for row in (first, second):
        assert row["reason"].startswith("the mail server cannot be used, 1 try: 535 ")
    assert (first["last_try"] is not None, second["last_try"]) == (True, None)
    mail("flush", "--all", TABARD_MAIL_USER="nobody")
    first, second = json.loads(mail("queue", "-o", "json").stdout)
    assert first["last_try"] == second["last_try"] > second["queued"]
    assert "2 tries: 535" in second["reason"]
    assert "535" in mail("queue").stdout
    assert mail("flush", "--all").stdout == "2 sent, 0 given up, 0 waiting\n"


def test_a_server_that_nobody_waits_for_is_nobodys_trouble(post, mail) -> None:
    """Once the mails were dropped, neither the line of cron nor the list has anything to say."""
    post.stop()
    mail("send", "--subject", "s", stdin="t")
    assert mail("queue").returncode == 3 == mail("flush").returncode
    mail("drop", "--all")
    for command in ("flush", "queue"):
        done = mail(command)
        assert (done.returncode, done.stderr) == (0, "")


def test_what_became_of_mails_is_a_record(post, mail, tmp_path) -> None:
    """Of send and of the line of cron alike: in the spool for the agent, in the local file for people; not printed."""
    home = tmp_path / "home"

    def told() -> str:
        text: str = (home / "log/mail.log").read_text(encoding="utf-8")
        return text

    post.rules.recipients = {"ann@example.org": "450 later"}
    done = mail("send", "--subject", "s", "--to", "ann@example.org", "--to", "bob@example.org", stdin="t")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "tabard: the mail waits in the queue: ann@example.org: 450 later\n"
    assert "handed over for bob@example.org" in told()
    assert "450 later" in told()
    post.rules.recipients = {"ann@example.org": "550 no such user"}
    before = set((home / "spool").iterdir())
    done = mail("flush", "--all")
    assert (done.returncode, done.stdout) == (3, "0 sent, 1 given up, 0 waiting\n")
    assert done.stderr == "tabard: `tabard mail queue --failed` says why mails were given up\n"
    assert "is given up: ann@example.org: 550 no such user" in told()
    spooled = b"".join(path.read_bytes() for path in set((home / "spool").iterdir()) - before)
    assert b"550 no such user" in spooled and b"tabard-mail" in spooled


def test_a_flush_that_puts_all_off_says_so_to_who_asked_for_all(post, mail) -> None:
    """A cron line, which does not ask for all, has nothing to mail."""
    post.rules.recipients = {"ann@example.org": "450 later"}
    mail("send", "--subject", "s", "--to", "ann@example.org", stdin="t")
    done = mail("flush", "--all")
    assert (done.returncode, done.stdout, done.stderr) == (0, "0 sent, 0 given up, 1 waiting\n", "")
    done = mail("flush")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("send", "--subject", "s", "--to", "nobody"), 1, "not a mail address"),
        (("send", "--subject", "s", "--attach", "/missing"), 1, "/missing: cannot be attached"),
        (("drop",), 2, "which mails are meant"),
        (("drop", "x", "--all"), 2, "which mails are meant"),
    ],
)
def test_what_is_wrong_is_told(post, mail, arguments, code, says) -> None:
    """One sentence on standard error."""
    done = mail(*arguments)
    assert done.returncode == code
    assert says in done.stderr


def test_a_damaged_mail_is_told_and_dropped_with_all(post, mail, tmp_path) -> None:
    """Nobody can say whom it is for: it can only go."""
    post.stop()
    for subject in ("bad", "good"):
        mail("send", "--subject", subject, stdin="t")
    queue = Queue(tmp_path / "home/mail")
    bad = queue.entries()[0].id
    (queue.folder / f"queue/{bad}.json").write_text("{")
    assert f"damaged on disk, nobody can say whom it is for: {bad}" in mail("queue").stderr
    assert mail("drop", "--all").stdout == "2 of 2\n"
    assert (queue.count(), queue.damaged()) == (0, [])


def test_without_a_server_it_says_which_setting(tabard) -> None:
    """Nothing is queued that nobody could ever send."""
    done = tabard("mail", "send", "--subject", "s", "--to", "a@example.org", stdin="t")
    assert done.returncode == 1
    assert "mail.host" in done.stderr


def test_a_disk_that_refuses_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Beside what went well, and in the exit code."""
    assert (
        tell(Report(sent=1, waiting=2, trouble="No space left on device (/srv/tabard/mail)")) == exits.PARTLY
    )
    out, err = capsys.readouterr()
    assert out == "1 sent, 0 given up, 2 waiting\n"
    assert (
        err
        == "tabard: the queue cannot be worked off as it should: No space left on device (/srv/tabard/mail)\n"
    )
