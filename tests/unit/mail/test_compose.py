"""What a mail consists of, and what cannot get into it."""

from __future__ import annotations

from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabard.mail import Attachment, MailError, address
from tabard.mail.compose import Composed, compose

NOW = 1_800_000_000_123_456_789


def _compose(**changes: Any) -> Composed:
    given: dict[str, Any] = {
        "sender": "shop@example.org",
        "to": ["ops@example.org"],
        "subject": "s",
        "text": "t\n",
        "now": NOW,
        "limit": 1_000_000,
        **changes,
    }
    return compose(**given)


def _text(part: Any) -> str:
    return str(part.get_content()).replace("\r\n", "\n")


def _parsed(mail: Composed) -> EmailMessage:
    return BytesParser(policy=SMTP).parsebytes(mail.raw)


def test_text_html_and_attachments(tmp_path: Path) -> None:
    """The text first, HTML as the other way to read it, files behind both."""
    (tmp_path / "list.csv").write_bytes(b"a;b\r\n\xff")
    mail = _parsed(
        _compose(
            text="Ümläut", html="<p>Ü</p>", attachments=[tmp_path / "list.csv", Attachment("raw", b"\0\1")]
        )
    )
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert (_text(text), _text(html)) == ("Ümläut\n", "<p>Ü</p>\n")
    assert [(part.get_filename(), part.get_content_type(), part.get_payload(decode=True)) for part in mail.iter_attachments()] == [
        ("list.csv", "text/csv", b"a;b\r\n\xff"),
        ("raw", "application/octet-stream", b"\0\1"),
    ]  # fmt: skip


def test_headers_a_mail_has() -> None:
    """When, from whom, which one; and that no machine should answer it."""
    mail = _parsed(_compose(headers={"Reply-To": "team@example.org"}))
    assert mail["Date"] == "Fri, 15 Jan 2027 08:00:00 -0000"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Reply-To"] == "team@example.org"
    assert mail["Message-ID"].endswith("@example.org>")
    assert _compose().message_id != _compose().message_id


def test_blind_copies_are_told_to_the_server_only() -> None:
    """They are recipients, and in no header."""
    mail = _compose(cc=["c@example.org"], bcc=["secret@example.org", "ops@example.org"])
    assert mail.recipients == ("ops@example.org", "c@example.org", "secret@example.org")
    assert b"secret" not in mail.raw


@pytest.mark.threat("mail-to-others")
@given(st.text(max_size=200))
def test_no_subject_becomes_another_header(subject: str) -> None:
    """Whatever a subject contains, it is one line, and the headers are those that were meant."""
    mail = _parsed(_compose(subject=subject, html="x"))
    assert set(mail.keys()) == {"From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"}  # fmt: skip
    assert mail["Subject"].isprintable()
    assert mail["To"] == "ops@example.org"


@given(st.text(max_size=300))
def test_no_text_breaks_the_mail(text: str) -> None:
    """Any text at all arrives as it was, but for line ends and what no mail can carry; all of it is 7 bit."""
    mail = _compose(text=text)
    assert mail.raw.isascii()
    assert max(map(len, mail.raw.split(b"\r\n"))) <= 998
    clean = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\u2400")
    clean = "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in clean)
    content = _text(_parsed(mail))
    assert content.removesuffix("\n") == clean.removesuffix("\n")


@pytest.mark.parametrize(
    "to",
    [
        "ops@example.org\r\nBcc: x@example.org",
        "Ops\n <ops@example.org>",
        "ops@example.org, x@example.org",
        "<a@example.org> <b@example.org>",
        "Ops <ops@example.org",
        '"a\\"b" <ops@example.org>',
        "ops",
        "@example.org",
        "ops@",
        "ops@-example.org",
        "ops@exa mple.org",
        "ops@example..org",
        ".ops@example.org",
        "o(comment)ps@example.org",
        "x" * 65 + "@example.org",
        "ops@" + "x" * 64 + ".org",
        "ops@[127.0.0.1]",
        "ops@example.org\0",
        "\u202eops@example.org",
        "",
        None,
    ],
)
def test_what_is_no_address_is_refused(to: Any) -> None:
    """Strictly, so that no part of an address can be anything else."""
    with pytest.raises(MailError, match="not a mail address"):
        _compose(to=[to])


@pytest.mark.parametrize(
    ("text", "name", "spec"),
    [
        ("ops@example.org", "", "ops@example.org"),
        (" Ops Team  <ops+night@EXAMPLE.org> ", "Ops Team", "ops+night@example.org"),
        ('"Team, Ops" <ops@example.org>', "Team, Ops", "ops@example.org"),
        ("Jürgen <jürgen@bücher.example>", "Jürgen", "jürgen@xn--bcher-kva.example"),
        ("root@localhost", "", "root@localhost"),
    ],
)
def test_what_is_an_address(text: str, name: str, spec: str) -> None:
    """With a name or without, plus signs, other letters, a host without a dot."""
    found = address(text)
    assert (found.name, found.spec) == (name, spec)
    assert f"<{spec}>" in str(_parsed(_compose(to=[text]))["To"]) or not name


@given(st.text(max_size=60))
def test_an_address_is_refused_or_harmless(text: str) -> None:
    """Whatever is accepted is one address for the parser of mails, too."""
    try:
        mail = _compose(to=[text])
    except MailError:
        return
    parsed = _parsed(mail)
    assert len(parsed["To"].addresses) == 1
    assert len(mail.recipients) == 1
    assert not any(char in mail.recipients[0] for char in "\r\n <>,;")


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"X-A": "1\r\nBcc: x@example.org"}, "not the value of a header"),
        ({"X-A\r\nBcc": "1"}, "not a header of your own"),
        ({"X A": "1"}, "not a header of your own"),
        ({"bcc": "x@example.org"}, "not a header of your own"),
        ({"Content-Type": "text/html"}, "not a header of your own"),
        ({"From": "x@example.org"}, "not a header of your own"),
        ({"X-A": ""}, "not the value of a header"),
        ({"X-A": 5}, "not the value of a header"),
        ({"Reply-To": "a b <c, <"}, "Reply-To: not a header that a mail can have"),
        ({"Reply-To": "a@example.org", "reply-to": "b@example.org"}, "reply-to: not a header"),
    ],
)
def test_headers_of_ones_own_are_checked(headers: dict[str, str], says: str) -> None:
    """One line each, and none of those that are written here."""
    with pytest.raises(MailError, match=says):
        _compose(headers=headers)


def test_attachments_are_bounded(tmp_path: Path) -> None:
    """Too large a file is refused before it is read whole; a missing one is named."""
    (tmp_path / "big").write_bytes(b"x" * 3_000)
    with pytest.raises(MailError, match="too large"):
        _compose(limit=2_000, attachments=[tmp_path / "big"])
    with pytest.raises(MailError, match="too large"):
        _compose(limit=3_500, attachments=[tmp_path / "big"])
    with pytest.raises(MailError, match="missing: cannot be attached"):
        _compose(attachments=[tmp_path / "missing"])
    with pytest.raises(MailError, match="not a media type"):
        _compose(attachments=[Attachment("x", b"", "text/html\r\nX: y")])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"subject": None}, "subject: not a text"),
        ({"subject": ValueError("x")}, "subject: not a text"),
        ({"text": b"x"}, "text: not a text"),
        ({"html": 5}, "html: not a text"),
        ({"attachments": "a.csv"}, "not a list of attachments"),
        ({"attachments": [("a", "b")]}, "not an attachment"),
        ({"attachments": [Attachment(*cast("tuple[str, bytes]", ("a", "b")))]}, "not an attachment"),
        ({"attachments": ["a\0"]}, "cannot be attached"),
    ],
)
def test_what_cannot_be_composed_is_told_as_that(changes: dict[str, Any], says: str) -> None:
    """Never as whatever exception the mail library has for it."""
    with pytest.raises(MailError, match=says):
        _compose(**changes)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.csv", "text/csv"),
        ("a.csv.gz", "application/gzip"),
        ("a.tar.xz", "application/x-xz"),
        ("a.svgz", "application/gzip"),
        ("old.eml", "application/octet-stream"),
        ("a.unheard-of", "application/octet-stream"),
    ],
)
def test_the_kind_of_an_attachment_is_that_of_its_bytes(name: str, kind: str) -> None:
    """What is packed is not called what it would be unpacked, and a mail in a file is a file."""
    (part,) = _parsed(_compose(attachments=[Attachment(name, b"x")])).iter_attachments()
    assert part.get_content_type() == kind


@pytest.mark.parametrize(
    ("name", "kept"),
    [("../../etc/passwd", "passwd"), ("a\r\nb.txt", "ab.txt"), (".bashrc", "bashrc"), ("", "attachment"), ("C:\\x\\ä.txt", "ä.txt")],
)  # fmt: skip
def test_names_of_attachments_lead_nowhere(name: str, kept: str) -> None:
    """Only the last part, without control characters or a leading dot."""
    (part,) = _parsed(_compose(attachments=[Attachment(name, b"x")])).iter_attachments()
    assert part.get_filename() == kept


def test_a_string_is_no_list_of_recipients() -> None:
    """Its letters would each be an address."""
    with pytest.raises(MailError, match="not a list of addresses"):
        _compose(to="ops@example.org")
    with pytest.raises(MailError, match="not a list of recipients"):
        _compose(to=[f"u{number}@example.org" for number in range(501)])
