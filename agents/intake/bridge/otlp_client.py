"""One connection of the OTLP intake: its socket, its conversation, its deadlines."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Final

from tabard.agents.intake.bridge.otlp_http import Conversation, Refusal, Request
from tabard.agents.intake.ports import Loop

READ_BYTES: Final = 131_072
STALLED_SECONDS: Final = 60.0
"""How long a client may be silent in the middle of a request, or not read an answer."""
REQUEST_SECONDS: Final = 300.0
"""How long one request may take to come in."""
IDLE_SECONDS: Final = 900.0
"""How long a connection may be of no use."""
PARTING_SECONDS: Final = 2.0
"""How long a client that is hung up on has to read why."""


class Client:
    """Reads one request after the other, each handed to ``asked`` and read on after `answer`.

    ``gone`` is called when it is closed, ``held_more`` when a request grows that is not whole.
    """

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        origin: str,
        asked: Callable[[Client, Request], None],
        gone: Callable[[Client], None],
        held_more: Callable[[Client], None],
    ) -> None:
        self._loop = loop
        self._socket = sock
        self._fd = sock.fileno()
        self._asked = asked
        self._gone = gone
        self._held_more = held_more
        self.origin = origin
        self.records = 0
        """Of it that are journaled."""
        self.conversation = Conversation()
        self._unsent = bytearray()
        self._reading = self._writing = False
        self._waiting = self._parting = False
        self.closed = False
        self._touched = self._since = loop.now()
        self._watch()

    @property
    def held(self) -> int:
        """Bytes of a request that is not whole."""
        return self.conversation.held

    @property
    def touched(self) -> float:
        """When it last said something."""
        return self._touched

    def there(self) -> bool:
        """Whether the client still listens, as far as the kernel knows."""
        if self.closed:
            return False
        try:
            return self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False

    def answer(self, status: int, body: bytes, headers: tuple[tuple[str, str], ...] = ()) -> None:
        """Answer the request it waits for, and read the next."""
        if self.closed:
            return
        self._waiting = False
        self._send(self.conversation.answer(status, body, headers))
        if self.conversation.over:
            self._part()
        elif not self.closed:
            self._touched = self._since = self._loop.now()
            self._loop.call_at(self._touched, self._go_on)

    def sweep(self, now: float) -> bool:
        """Hang up on a client that is too slow; whether it was in the middle of something."""
        if self._waiting or self.closed:
            return False
        silent = now - self._touched
        midway = bool(self.conversation.begun or self._unsent)
        if midway and (silent > STALLED_SECONDS or now - self._since > REQUEST_SECONDS):
            if not self._unsent:
                self._send(self.conversation.cut_short(Refusal(408, 4, "too slow")))
            self._part()
            return True
        if not midway and silent > IDLE_SECONDS:
            self.close()
        return False

    def close(self) -> None:
        """Hang up; harmless when done."""
        if self.closed:
            return
        self.closed = True
        self._watch()
        self._socket.close()
        self._gone(self)

    # --- reading and writing ---

    def _watch(self) -> None:
        reading = not self.closed and (self._parting or not (self._waiting or self._unsent))
        if reading and not self._reading:
            self._loop.add_reader(self._fd, self._readable)
        elif self._reading and not reading:
            self._loop.remove_reader(self._fd)
        self._reading = reading
        writing = not self.closed and bool(self._unsent)
        if writing and not self._writing:
            self._loop.add_writer(self._fd, self._writable)
        elif self._writing and not writing:
            self._loop.remove_writer(self._fd)
        self._writing = writing

    def _readable(self) -> None:
        if not self._reading:
            return
        try:
            data = self._socket.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        if self._parting:
            return
        self._touched = self._loop.now()
        if not self.conversation.begun:
            self._since = self._touched
        request = self.conversation.feed(data)
        if request is None and self.held:
            self._held_more(self)
        self._heard(request)

    def _go_on(self) -> None:
        """What the client said before it was answered (pipelining)."""
        if not (self.closed or self._waiting or self._parting):
            self._heard(self.conversation.feed(b""))

    def _heard(self, request: Request | None) -> None:
        if self.conversation.interim:
            interim, self.conversation.interim = self.conversation.interim, b""
            self._send(interim)
        if request is not None:
            self._waiting = True
            self._watch()
            self._asked(self, request)
        elif self.conversation.over:
            self._part()
        else:
            self._watch()

    def _send(self, data: bytes) -> None:
        self._unsent += data
        self._writable()

    def _writable(self) -> None:
        if self.closed:
            return
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self.close()
            return
        if self._parting and not self._unsent:
            self._shut()
        self._watch()

    def _part(self) -> None:
        """Say nothing more, once the last answer is out. What still comes is drained, or it would be cut off."""
        if self.closed or self._parting:
            return
        self._parting = True
        self._loop.call_at(self._loop.now() + PARTING_SECONDS, self.close)
        if not self._unsent:
            self._shut()
        self._watch()

    def _shut(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
