"""A mail as bytes, and whom it goes to. Everything that enters a header is checked or made one harmless line."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from tabard.mail.addresses import Address, address
from tabard.mail.errors import MailError
from tabard.records import clean_text

if TYPE_CHECKING:
    from email.headerregistry import Address as HeaderAddress
    from email.message import EmailMessage

SUBJECT: Final = 500
"""Characters of a subject; what is longer is cut."""
RECIPIENTS: Final = 500
_KIND: Final = re.compile(r"[a-z]+/[a-z0-9.+-]+", re.ASCII)
_INNER: Final = ("multipart/", "message/")
"""Media types that are mails, or parts of them, themselves."""
_ANY: Final = "application/octet-stream"
_PACKED: Final = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "compress": "application/x-compress",
}
_HEADER: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,60}", re.ASCII)
_OWN: Final = frozenset(
    {
        *("from", "to", "cc", "bcc", "sender", "subject", "date", "message-id"),
        *("mime-version", "auto-submitted", "return-path", "received"),
    }
)
"""Headers that are written here, and by nobody else."""


class Attachment(NamedTuple):
    """A file in a mail."""

    name: str
    data: bytes
    kind: str = ""
    """Its media type; found by the name when empty."""


class Composed(NamedTuple):
    """A mail that is ready for the queue."""

    id: str
    message_id: str
    sender: str
    recipients: tuple[str, ...]
    subject: str
    utf8: bool
    """Whether it needs a server that takes addresses in other letters."""
    raw: bytes


def compose(
    *,
    sender: str,
    to: Sequence[str],
    cc: Sequence[str] = (),
    bcc: Sequence[str] = (),
    subject: str,
    text: str,
    html: str | None = None,
    attachments: Sequence[Attachment | str | os.PathLike[str]] = (),
    headers: Mapping[str, str] | None = None,
    now: int,
    limit: int,
) -> Composed:
    """The mail. ``now`` is nanoseconds since 1970 UTC, ``limit`` its most bytes.

    Raises MailError for an address that is none, a header that could be two, an attachment that cannot be read, and
    a mail that is too large.
    """
    from email import policy
    from email.message import EmailMessage
    from email.utils import formatdate

    origin = address(sender)
    groups = {"To": addresses(to, "to"), "Cc": addresses(cc, "cc"), "Bcc": addresses(bcc, "bcc")}
    everybody = [one for group in groups.values() for one in group]
    recipients = tuple(dict.fromkeys(one.spec for one in everybody))
    if not 1 <= len(recipients) <= RECIPIENTS:
        raise MailError("not a list of recipients", expected=f"1 to {RECIPIENTS}", found=str(len(recipients)))
    utf8 = not all(one.ascii for one in (origin, *everybody))
    name = f"{now:020d}-{secrets.token_hex(6)}"
    message_id = f"<{name}@{origin.domain}>"
    message = EmailMessage(policy=policy.SMTP.clone(cte_type="7bit", utf8=utf8))
    message["From"] = _header(origin)
    for title in ("To", "Cc"):  # nobody is told of the others
        if groups[title]:
            message[title] = [_header(one) for one in groups[title]]
    message["Subject"] = subject = _line(subject)
    message["Date"] = formatdate(now / 1e9)
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"  # so that no absence notice answers it
    for title, value in (headers or {}).items():
        _set(message, title, _own_header(title, value))
    message.set_content(_body(text, "text"))
    if html is not None:
        message.add_alternative(_body(html, "html"), subtype="html")
    left = limit
    if isinstance(attachments, (str, bytes)):
        raise MailError("not a list of attachments", expected="a list", found=repr(attachments)[:200])
    for item in attachments:
        file = _attachment(item, left)
        left -= len(file.data)
        main, _, sub = _kind(file).partition("/")
        message.add_attachment(file.data, maintype=main, subtype=sub, filename=_file_name(file.name))
    raw = message.as_bytes()
    if len(raw) > limit:
        raise MailError("the mail is too large", expected=f"at most {limit} bytes", found=str(len(raw)))
    return Composed(name, message_id, origin.spec, recipients, subject, utf8, raw)


def addresses(texts: Sequence[str], what: str) -> list[Address]:
    """Several addresses. Raises MailError for one that is none, and for a string in the place of a list."""
    if isinstance(texts, str):
        raise MailError("not a list of addresses", expected="a list", found=repr(texts)[:200], where=what)
    return [address(text) for text in texts]


def _header(one: Address) -> HeaderAddress:
    from email.headerregistry import Address as HeaderAddress

    return HeaderAddress(one.name, one.local, one.domain)


def _line(text: str) -> str:
    """A subject: one line, whatever it was. A mail with an odd subject is better than none."""
    clean = clean_text(_text(text, "subject"))
    line = " ".join("".join(char if char.isprintable() else " " for char in clean).split())
    return line if len(line) <= SUBJECT else f"{line[: SUBJECT - 1]}…"


def _own_header(title: str, value: str) -> str:
    if (
        not isinstance(title, str)
        or _HEADER.fullmatch(title) is None
        or title.lower() in _OWN
        or title.lower().startswith("content-")
    ):
        raise MailError(
            "not a header of your own", expected="a name such as Reply-To", found=repr(title)[:200]
        )
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= 998:
        raise MailError("not the value of a header", expected="one line of at most 998 characters", found=repr(value)[:200], where=title)  # fmt: skip
    return value


def _set(message: EmailMessage, title: str, value: str) -> None:
    try:
        message[title] = value
    except Exception as error:  # whatever the mail library thinks of a value, or of a second one
        raise MailError("not a header that a mail can have", found=f"{value!r} ({error})"[:300], where=title) from error  # fmt: skip


def _text(text: object, what: str) -> str:
    if not isinstance(text, str):
        raise MailError("not a text", expected="a string", found=type(text).__name__, where=what)
    return text


def _body(text: str, what: str) -> str:
    """Text with line ends as the mail library wants them, and nothing that no reader could show."""
    return clean_text(_text(text, what)).replace("\r\n", "\n").replace("\r", "\n")


def _attachment(item: object, left: int) -> Attachment:
    if isinstance(item, (str, os.PathLike)):
        return _read(item, left)
    if isinstance(item, Attachment) and isinstance(item.name, str) and isinstance(item.data, bytes):
        return item
    expected = "a path, or an Attachment of a name and bytes"
    raise MailError("not an attachment", expected=expected, found=repr(item)[:200])


def _read(path: str | os.PathLike[str], left: int) -> Attachment:
    """A file from the disk, of which no more than fits is read."""
    try:
        with open(path, "rb") as file:
            data = file.read(left + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise MailError(
            "cannot be attached",
            expected="a file that can be read",
            found=(error.strerror if isinstance(error, OSError) else None) or str(error),
            where=os.fspath(path),
        ) from error
    if len(data) > left:
        raise MailError("the mail is too large", expected=f"at most {left} bytes more", where=os.fspath(path))
    return Attachment(os.path.basename(path), data)


def _kind(file: Attachment) -> str:
    import mimetypes

    kind = file.kind
    if not kind:
        guess, packed = mimetypes.guess_type(file.name)
        # What is packed is not what it would be unpacked: a.csv.gz is no text. And a mail as a file is a file.
        kind = _PACKED.get(packed, _ANY) if packed else guess or _ANY
        if kind.startswith(_INNER):
            kind = _ANY
    if _KIND.fullmatch(kind) is None or kind.startswith(_INNER):
        raise MailError(
            "not a media type", expected="one such as text/csv", found=repr(kind)[:200], where=file.name
        )
    return kind


def _file_name(name: str) -> str:
    """The last part of a name, without anything that would steer whoever saves it."""
    base = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(char for char in clean_text(base) if char.isprintable() and char not in '"<>|:*?')
    return kept.lstrip(".")[:150] or "attachment"
