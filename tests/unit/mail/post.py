"""A real SMTP server with TLS, in a thread of the test: it can refuse, hang up, go away and come back."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP as POLICY
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tabard.mail import Server
from tests.ports import free_port

USER, PASSWORD = "app", "correct horse"


@dataclass
class Arrived:
    """One mail that the server took."""

    sender: str
    recipients: list[str]
    raw: bytes
    tls: bool
    user: bytes | None

    @property
    def message(self) -> EmailMessage:
        """What its reader sees."""
        return BytesParser(policy=POLICY).parsebytes(self.raw)


@dataclass
class Rules:
    """What the server says instead of yes, by recipient or in order."""

    sender: str = ""
    recipients: dict[str, str] = field(default_factory=dict)
    data: list[str] = field(default_factory=list)
    """Answers to the next mails. ``hang up`` breaks the connection before the answer, ``keep`` after taking the mail,
    ``stall`` says nothing any more.
    """


class _Handler:
    def __init__(self, post: Post) -> None:
        self._post = post

    async def handle_MAIL(  # noqa: N802 -- the name is aiosmtpd's
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._post.rules.sender:
            return self._post.rules.sender
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 -- the name is aiosmtpd's
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self._post.rules.recipients.get(address)
        if answer == "hang up":
            self._post.hang_up(server)
            return "421 bye"
        if answer:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 -- aiosmtpd's
        answer = self._post.rules.data.pop(0) if self._post.rules.data else ""
        if answer == "stall":
            self._post.stall()
            await asyncio.Event().wait()
        if answer in {"", "keep"}:
            login = session.auth_data.login if isinstance(session.auth_data, LoginPassword) else None
            secure = (
                server.transport is not None and server.transport.get_extra_info("sslcontext") is not None
            )
            content = envelope.content if isinstance(envelope.content, bytes) else b""
            mail = Arrived(str(envelope.mail_from), list(envelope.rcpt_tos), content, secure, login)
            self._post.took(mail)
        if answer in {"hang up", "keep"}:
            self._post.hang_up(server)
            return "421 bye"
        return answer or "250 taken"


class Post:
    """The server. ``start`` and ``stop`` may be called again and again; the port stays the same."""

    def __init__(
        self,
        *,
        auth: bool = True,
        implicit: bool = False,
        starttls: bool = True,
        expired: bool = False,
        **options: Any,
    ) -> None:
        self.authority = trustme.CA()
        self.rules = Rules()
        self.mails: list[Arrived] = []
        self.sessions = 0
        self.stalled = False
        self.port = free_port()  # one that nobody is given while the server is away
        self._implicit = implicit
        self._expired = expired
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="post", daemon=True)
        self._thread.start()
        self._server: asyncio.Server | None = None
        self._protocols: list[SMTP] = []
        self._options = {"enable_SMTPUTF8": True, "hostname": "post.example.org", **options}
        context = self._context()
        self._context_of_port = context if implicit else None
        if starttls and not implicit:
            self._options |= {"tls_context": context, "require_starttls": True}
        if auth:
            self._options |= {
                "authenticator": self._authenticate,
                "auth_required": True,
                "auth_require_tls": not implicit,
            }

    def server(self, folder: Path, **changes: Any) -> Server:
        """How it is reached, its authority being trusted."""
        authority = folder / "authority.pem"
        self.authority.cert_pem.write_to_path(str(authority))
        tls = "implicit" if self._implicit else "starttls"
        server = Server(
            "127.0.0.1", self.port, tls, ca_file=str(authority), user=USER, password=PASSWORD, timeout=10.0
        )
        return server._replace(**changes)

    def start(self) -> None:
        """Listen."""

        async def listen() -> asyncio.Server:
            return await self._loop.create_server(
                self._protocol, "127.0.0.1", self.port, ssl=self._context_of_port, reuse_address=True
            )

        self._server = asyncio.run_coroutine_threadsafe(listen(), self._loop).result(20)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Go away, also from those who are connected."""
        if self._server is None:
            return
        server, self._server = self._server, None

        def end() -> None:
            server.close()
            for protocol in self._protocols:
                self.hang_up(protocol)

        self._on_loop(end)

    def close(self) -> None:
        """End for good."""
        self.stop()

        async def settle() -> None:
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(settle(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()

    def took(self, mail: Arrived) -> None:
        """Note a mail."""
        with self._changed:
            self.mails.append(mail)
            self._changed.notify_all()

    def stall(self) -> None:
        """Note that somebody waits for an answer that will not come."""
        with self._changed:
            self.stalled = True
            self._changed.notify_all()

    def hang_up(self, server: SMTP) -> None:
        """Break a connection without a word."""
        if isinstance(server.transport, asyncio.WriteTransport):
            server.transport.abort()

    def wait(self, holds: Callable[[], bool], seconds: float = 20.0) -> bool:
        """Wait until something holds about what has arrived."""
        with self._changed:
            return self._changed.wait_for(holds, seconds)

    def _protocol(self) -> SMTP:
        self.sessions += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it does not know that the whole port is encrypted
            protocol = SMTP(_Handler(self), loop=self._loop, **self._options)
        self._protocols.append(protocol)
        return protocol

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, kind: str, data: Any
    ) -> AuthResult:
        right = isinstance(data, LoginPassword) and data == LoginPassword(USER.encode(), PASSWORD.encode())
        return AuthResult(success=right, handled=False, auth_data=data)

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        until = dt.datetime.now(dt.UTC) - dt.timedelta(days=1) if self._expired else None
        self.authority.issue_cert("127.0.0.1", "post.example.org", not_after=until).configure_cert(context)
        return context

    def _on_loop(self, do: Callable[[], None]) -> None:
        done = threading.Event()

        def run() -> None:
            do()
            done.set()

        self._loop.call_soon_threadsafe(run)
        done.wait(20)
