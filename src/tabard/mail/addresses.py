"""Mail addresses, checked strictly before they come near a header or a server.

``Name <local@domain>`` or ``local@domain``; the local part is a plain word (no quotes, no comments), the domain a
host name. Both may hold letters of any language: a domain goes on the wire in its ASCII form, a local part needs a
server that speaks SMTPUTF8. Imports nothing of ``email``, because the settings check addresses with it.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, NamedTuple

from tabard.mail.errors import MailError

FORM: Final = "an address such as ops@example.org or Operations <ops@example.org>"
LIMIT: Final = 254
"""Bytes of an address on the wire."""
_LOCAL_LIMIT: Final = 64
_NAME_LIMIT: Final = 100
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]+"
_LOCAL: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_LABEL: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
_NAMED: Final = re.compile(r"(?:\"([^\"\\<>]*)\"|([^\"\\<>@,;:]*))\s*<([^<>]+)>")


class Address(NamedTuple):
    """One address."""

    name: str
    local: str
    domain: str
    """In its ASCII form."""

    @property
    def spec(self) -> str:
        """Without the name: what the server is told."""
        return f"{self.local}@{self.domain}"

    @property
    def ascii(self) -> bool:
        """Whether any server can be told of it."""
        return self.local.isascii()

    def __str__(self) -> str:
        return f"{self.name} <{self.spec}>" if self.name else self.spec


def address(text: str) -> Address:
    """The address that ``text`` is. Raises MailError when it is none, or holds what could become another header."""
    if not isinstance(text, str) or not text.isprintable():
        raise _not(text)
    match = _NAMED.fullmatch(text.strip())
    name, spec = ((match[1] or match[2] or "").strip(), match[3].strip()) if match else ("", text.strip())
    local, at, domain = spec.rpartition("@")
    if not at or _LOCAL.fullmatch(local) is None or len(name) > _NAME_LIMIT:
        raise _not(text)
    wire = _domain(domain)
    local = unicodedata.normalize("NFC", local)
    if wire is None or len(local.encode()) > _LOCAL_LIMIT or len(f"{local}@{wire}".encode()) > LIMIT:
        raise _not(text)
    return Address(name, local, wire)


def _domain(text: str) -> str | None:
    """The ASCII form of a domain, None when it is none."""
    try:
        wire = text.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None
    return wire if all(_LABEL.fullmatch(label) for label in wire.split(".")) and len(wire) <= 253 else None


def _not(text: object) -> MailError:
    return MailError("not a mail address", expected=FORM, found=repr(text)[:300])
