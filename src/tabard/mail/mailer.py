"""``Mailer``: queue a mail and go on; a thread hands it over."""

from __future__ import annotations

import atexit
import logging
import os
import re
import threading
import time
from collections.abc import Mapping, Sequence
from random import Random
from types import TracebackType
from typing import Final, Self

from tabard.clock import Clock, SystemClock
from tabard.mail.addresses import address
from tabard.mail.compose import Attachment, addresses, compose
from tabard.mail.errors import MailError
from tabard.mail.flush import Flusher, Report
from tabard.mail.queue import Limits, Queue
from tabard.mail.retry import Retry
from tabard.mail.server import Server
from tabard.settings.given import Application, settings_of
from tabard.settings.values import Settings

CLOSING: Final = 10.0
"""Seconds that ``close`` waits for what is being handed over."""
MAIL_LIMIT: Final = 10_485_760
_IDLE: Final = 60.0
"""Seconds after which the thread looks again in any case: clocks jump, and other processes queue too."""


class Mailer:
    """Queues mails below ``folder`` and hands them to ``server``.

    ``sender`` is whom mails come from, ``to`` who gets those that name nobody. The thread starts with the first mail
    and ends with ``close``, which the end of a ``with`` block and of the interpreter call too. What is not handed over
    by then stays in the queue, for the next Mailer of this folder or ``tabard mail flush``.

    Safe to use in several threads, and after a fork. Raises MailError for a sender or recipient that is no address,
    SettingsError for a server that would be told a password in the clear.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        server: Server,
        *,
        sender: str,
        to: Sequence[str] = (),
        limits: Limits | None = None,
        retry: Retry | None = None,
        mail_limit: int = MAIL_LIMIT,
        background: bool = True,
        clock: Clock | None = None,
        log: logging.Logger | None = None,
    ) -> None:
        address(sender)  # now, and not with the first mail in the night
        self.to: Final = tuple(str(one) for one in addresses(to, "to"))
        """Who gets the mails that name nobody."""
        self.queue: Final = Queue(folder, limits)
        self._clock = clock or SystemClock()
        log = log or logging.getLogger("tabard.mail")
        self._retry = retry or Retry()
        self._random = Random()
        self._flusher = Flusher(self.queue, server.checked(), self._retry, self._clock, self._random, log)
        self._log = log
        self._sender = sender
        self._mail_limit = mail_limit
        self._background = background
        self._reset()

    @classmethod
    def of(
        cls,
        given: Settings | Application | None = None,
        *,
        to: Sequence[str] | None = None,
        background: bool = True,
    ) -> Self:
        """The mailer of a home: that of settings, of a ``tabard.Config``, or of this user.

        Mails that name nobody go to ``to``, else to the stage's addresses, else to mail.to. Raises SettingsError when
        the settings name no server.
        """
        settings = settings_of(given)
        return cls(
            settings.home.path / "mail",
            Server.of(settings),
            sender=settings.str("mail.sender") or _default_sender(),
            to=to or settings.stage.mail or settings.strings("mail.to"),
            limits=Limits(settings.int("mail.queue_mails"), settings.bytes("mail.queue_bytes")),
            retry=Retry(
                settings.seconds("mail.retry"),
                settings.seconds("mail.retry_longest"),
                settings.seconds("mail.age"),
            ),
            mail_limit=settings.bytes("mail.message_bytes"),
            background=background,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(
        self,
        *,
        subject: str,
        text: str,
        html: str | None = None,
        to: Sequence[str] = (),
        cc: Sequence[str] = (),
        bcc: Sequence[str] = (),
        attachments: Sequence[Attachment | str | os.PathLike[str]] = (),
        headers: Mapping[str, str] | None = None,
        sender: str | None = None,
    ) -> str:
        """Queue a mail and return its id; from here on it is handed over at least once, or listed as given up.

        Raises MailError when it cannot be composed or queued (QueueFull when the queue has no room): nothing was
        kept then.
        """
        recipients = to or (() if cc or bcc else self.to)
        if not recipients and not cc and not bcc:
            raise MailError(
                "nobody to write to",
                expected="recipients in the call, in [stage.NAME] mail or in mail.to",
            )
        now = self._clock.wall()
        mail = compose(
            sender=sender or self._sender,
            to=recipients,
            cc=cc,
            bcc=bcc,
            subject=subject,
            text=text,
            html=html,
            attachments=attachments,
            headers=headers,
            now=now,
            limit=self._mail_limit,
        )
        self.queue.put(mail, now)
        if self._background:
            self._wake_thread()
        return mail.id

    def flush(self, *, force: bool = False) -> Report:
        """Hand over now, in this thread, what is due; with ``force`` all that waits."""
        return self._flusher.flush(force=force)

    def close(self, wait: float = CLOSING) -> None:
        """End the thread, which finishes the pass it is in for at most ``wait`` seconds."""
        if self._pid != os.getpid():
            return
        with self._changed:
            self._closed = True
            self._until = time.monotonic() + wait
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(wait)
            atexit.unregister(self.close)

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._asked = False
        self._until = float("inf")
        self._troubles = 0
        """Passes in a row that the disk did not let come to their end."""

    def _wake_thread(self) -> None:
        if self._pid != os.getpid():
            self._reset()  # a forked child has neither the thread nor its lock's owner
        with self._changed:
            self._asked = True
            if self._thread is None or not self._thread.is_alive():
                self._closed = False
                self._until = float("inf")
                thread = threading.Thread(target=self._run, name="tabard-mail", daemon=True)
                try:
                    thread.start()
                except (
                    RuntimeError
                ) as error:  # the interpreter is ending, or the system has no room for another
                    self._log.warning(
                        "mails wait in the queue for somebody else to hand them over: %s", error
                    )
                    return
                self._thread = thread
                atexit.register(self.close)
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._asked and not self._closed:
                    self._changed.wait(self._pause())
                if self._closed and not self._asked:
                    return
                self._asked = False
            try:
                report = self._flusher.flush(stop=lambda: time.monotonic() > self._until)
                self._troubles = self._troubles + 1 if report.trouble else 0
            except Exception:
                # A full disk or a mistake here must not end the thread: what is queued waits for it.
                self._log.exception("the queue of mails cannot be worked off now")
                self._troubles += 1

    def _pause(self) -> float:
        """Seconds until there is something to do."""
        if self._troubles:
            return min(self._retry.pause(self._troubles, self._random), _IDLE)
        try:
            next_try = self._flusher.next_try()
        except OSError:
            next_try = None
        if next_try is None:
            return _IDLE
        return min(max((next_try - self._clock.wall()) / 1e9, 0.1), _IDLE)


def _default_sender() -> str:
    """The user of this process on this host, as local mail has always been sent; an address, whatever they are called."""
    import getpass

    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a number that no file knows, as in containers
        name = str(os.getuid())
    user = "-".join(re.findall(r"[A-Za-z0-9_-]+", name, re.ASCII)) or "nobody"
    labels = re.findall(r"[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*", os.uname().nodename.replace("_", "-"), re.ASCII)
    host = ".".join(label[:63].rstrip("-") for label in labels[:4]) or "localhost"
    return f"{user[:64]}@{host if '.' in host else f'{host}.localdomain'}"
