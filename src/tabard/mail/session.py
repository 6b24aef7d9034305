"""One session with a mail server. What it answers is sorted by what can be done about it. Imports ``smtplib``."""

from __future__ import annotations

import contextlib
import os
import smtplib
import ssl
from dataclasses import dataclass, field
from typing import Final

from tabard.mail.queue import Entry
from tabard.mail.server import Server

DATA_TIMEOUT: Final = 120.0
"""Least seconds the server may take for the mail itself, which it may want to look through."""
_AUTHENTICATION: Final = frozenset({530, 534, 535, 538})
"""Answers to a sender that mean who we are, not what the mail is."""
_CLOSING: Final = 421
_TOO_MANY: Final = 552
"""As an answer to a recipient: for old servers, that there are too many of them."""


class ServerAway(Exception):
    """Raised when the server cannot be used: not there, not to be trusted, or it does not know us."""


class SessionLost(Exception):
    """Raised when the server goes away in the middle: the mail may or may not be with it."""


@dataclass(slots=True)
class Outcome:
    """What became of a mail, by recipient."""

    accepted: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """For good, and why."""
    later: dict[str, str] = field(default_factory=dict)
    """Not now, and why."""


class Session:
    """A connection that mails can be handed over by. Raises ServerAway when there can be none."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.broken = False
        """Whether it is of no use any more, though what was handed over is settled."""
        try:
            self._smtp = self._connected()
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise ServerAway(_why(error)) from error

    def close(self) -> None:
        """Say goodbye, as far as the server still listens."""
        with contextlib.suppress(OSError, smtplib.SMTPException):
            self._smtp.quit()
        self._smtp.close()

    def hand_over(self, entry: Entry, raw: bytes) -> Outcome:
        """Give the server a mail for those who do not have it yet. Raises SessionLost."""
        try:
            return self._hand_over(entry, raw)
        except (OSError, smtplib.SMTPServerDisconnected) as error:
            raise SessionLost(_why(error)) from error

    def _connected(self) -> smtplib.SMTP:
        server = self._server
        name = os.uname().nodename
        if server.tls == "implicit":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, name, timeout=server.timeout, context=_context(server)
            )
        else:
            smtp = smtplib.SMTP(server.host, server.port, name, timeout=server.timeout)
        try:
            smtp.ehlo_or_helo_if_needed()
            if server.tls == "starttls":
                smtp.starttls(context=_context(server))
                smtp.ehlo()
            if server.user:
                smtp.login(server.user, server.password)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _hand_over(self, entry: Entry, raw: bytes) -> Outcome:
        outcome = Outcome()
        recipients = list(entry.recipients)
        refusal = self._too_much(entry, raw)
        if refusal:
            return Outcome(refused=dict.fromkeys(recipients, refusal))
        options = [f"SIZE={len(raw)}"] if self._smtp.has_extn("size") else []
        if entry.utf8:
            options += ["SMTPUTF8", "BODY=8BITMIME"]
            self._smtp.command_encoding = "utf-8"
        try:
            code, answer = self._said(self._smtp.mail(entry.sender, options))
            if code // 100 != 2:
                self._reset()
                return _all(
                    recipients, code, answer, permanent=code // 100 == 5 and code not in _AUTHENTICATION
                )
            for recipient in recipients:
                code, answer = self._said(self._smtp.rcpt(recipient))
                if code in {250, 251, 252}:
                    outcome.accepted.append(recipient)
                elif code // 100 == 5 and code != _TOO_MANY:
                    outcome.refused[recipient] = f"{code} {answer}"
                else:
                    outcome.later[recipient] = f"{code} {answer}"
        finally:
            self._smtp.command_encoding = "ascii"
        if not outcome.accepted:
            self._reset()
            return outcome
        return self._data(outcome, raw)

    def _data(self, outcome: Outcome, raw: bytes) -> Outcome:
        sock = self._smtp.sock
        if sock is not None:
            sock.settimeout(max(self._server.timeout, DATA_TIMEOUT))
        try:
            code, answer = self._said(self._smtp.data(raw))
        except smtplib.SMTPDataError as error:
            code, answer = self._said((error.smtp_code, _bytes(error.smtp_error)))
            if code // 100 not in {4, 5}:  # it neither wants the mail now nor refuses it: nothing was sent
                raise smtplib.SMTPServerDisconnected(f"{code} {answer}, where 354 was expected") from error
            self._reset()
        finally:
            with contextlib.suppress(OSError):  # closed by now, if the server went away
                if sock is not None:
                    sock.settimeout(self._server.timeout)
        if code // 100 == 2:
            return outcome
        rest = _all(outcome.accepted, code, answer, permanent=code // 100 == 5)
        outcome.accepted = []
        outcome.refused.update(rest.refused)
        outcome.later.update(rest.later)
        return outcome

    def _too_much(self, entry: Entry, raw: bytes) -> str:
        """Why this server can never take the mail; "" when nothing is known against it."""
        if entry.utf8 and not self._smtp.has_extn("smtputf8"):
            return "the server takes no addresses in other letters (SMTPUTF8)"
        most = self._smtp.esmtp_features.get("size", "") if self._smtp.has_extn("size") else ""
        if most.isascii() and most.isdigit() and 0 < int(most) < len(raw):
            return f"the mail has {len(raw)} bytes, and the server takes {most}"
        return ""

    def _said(self, answer: tuple[int, bytes]) -> tuple[int, str]:
        code, text = answer
        words = _words(text)
        if code == _CLOSING or code < 0:
            raise smtplib.SMTPServerDisconnected(f"{code} {words}")
        return code, words

    def _reset(self) -> None:
        try:
            self._smtp.rset()
        except OSError:  # some servers hang up on whom they refuse; that they refused stays true
            self.broken = True


def _all(recipients: list[str], code: int, answer: str, *, permanent: bool) -> Outcome:
    reasons = dict.fromkeys(recipients, f"{code} {answer}")
    return Outcome(refused=reasons) if permanent else Outcome(later=reasons)


def _context(server: Server) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=os.path.expanduser(server.ca_file) or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not server.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _words(text: bytes) -> str:
    """What somebody else says, in one line that steers no terminal."""
    line = " ".join(text.decode("utf-8", "backslashreplace").split())
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)


def _bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def _why(error: Exception) -> str:
    """What was wrong, in one line: the server's own words where it had some."""
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {_words(_bytes(error.smtp_error))}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not to be trusted: {error.verify_message}"
    return _words(str(error).encode()) or type(error).__name__
