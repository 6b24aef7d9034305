"""One client of the intake: its bytes in, its answers out, both bounded."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Final, Protocol

from tabard.agents.intake.listeners import Peer
from tabard.agents.intake.ports import Loop
from tabard.agents.intake.protocol import Event, Hello, Parser, frame_of
from tabard.intake_frames import ACCEPTED, ERROR, frame

READ_BYTES: Final = 262_144
"""Bytes read at a turn, so that one busy client does not keep the others waiting."""
READ_LINES: Final = 16_384
"""The same for JSON lines, which take twenty times as long to read."""
_MOST_UNSENT: Final = 65_536
"""Bytes of answers a client may leave unread before it is not read from either."""
_PARTING_SECONDS: Final = 2.0
"""How long a client that is cut off has to read why."""


class Owner(Protocol):
    """Who decides what a client's events mean."""

    def on_events(self, connection: Connection, events: Iterator[Event], /) -> None:
        """The client said this."""

    def on_end(self, connection: Connection, /) -> None:
        """The client will say nothing more, but may still read answers."""

    def on_closed(self, connection: Connection, /) -> None:
        """The connection is gone."""


class Connection:
    """A client's socket and parser. Hands events on; what they mean is its owner's to say."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        peer: Peer,
        parser: Parser,
        owner: Owner,
    ) -> None:
        self._loop = loop
        self._owner = owner
        self._socket = sock
        self._fd = sock.fileno()
        self.peer: Final = peer
        self.parser: Final = parser
        self.touched = loop.now()
        """When it last said something (monotonic seconds)."""
        self.hello: Hello | None = None
        """How it named itself; None until it did."""
        self.accepted = 0
        """Records it sent that are journaled."""
        self._unsent = bytearray()
        self._acknowledge = 0
        self._paused = True
        self._reading = False
        self._writing = False
        self._parting = False
        self.ended = False
        """Whether it will say nothing more."""
        self.closed = False

    def count(self, records: int) -> None:
        """Remember that so many more of its records are journaled."""
        self.accepted += records

    # --- reading ---

    def resume(self) -> None:
        """Read from this client (again)."""
        self.touched = self._loop.now()  # it could not speak meanwhile
        self._paused = False
        self._watch()

    def pause(self) -> None:
        """Read nothing more for now; the kernel makes the client wait."""
        self._paused = True
        self._watch()

    def _watch(self) -> None:
        wanted = not self.closed and (
            self._parting or not (self._paused or self.ended or len(self._unsent) > _MOST_UNSENT)
        )
        if wanted and not self._reading:
            self._loop.add_reader(self._fd, self._readable)
        elif self._reading and not wanted:
            self._loop.remove_reader(self._fd)
        self._reading = wanted

    def _readable(self) -> None:
        if not self._reading:  # told to pause in the same turn of the loop
            return
        try:
            data = self._socket.recv(READ_BYTES if self.parser.binary else READ_LINES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        if self._parting:
            if not data:
                self.close()
            return
        self.touched = self._loop.now()
        if data:
            self._owner.on_events(self, self.parser.feed(data))
            return
        self.ended = True
        self._watch()
        self._owner.on_events(self, self.parser.finish())
        if not self.closed:
            self._owner.on_end(self)

    # --- writing ---

    def send(self, answer: bytes) -> None:
        """Send ``answer`` or keep it until the client reads. Nothing goes out once it was cut off."""
        if self.closed or self._parting:
            return
        self._unsent += answer
        self._writable()

    def acknowledge(self, number: int) -> None:
        """Tell the client that every frame up to ``number`` is kept.

        Only the newest of these waits for a client that does not read: it says all the older ones said.
        """
        self._acknowledge = number
        if not self._unsent:
            self._writable()

    def _writable(self) -> None:
        if self.closed or self._parting:
            return
        while self._unsent or self._acknowledge:
            if not self._unsent:
                self._unsent += frame(ACCEPTED, self._acknowledge)
                self._acknowledge = 0
            try:
                del self._unsent[: self._socket.send(self._unsent)]
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                self.close()
                return
        self._await_room(bool(self._unsent))
        self._watch()

    def _await_room(self, wanted: bool) -> None:
        if wanted and not self._writing:
            self._loop.add_writer(self._fd, self._writable)
        elif self._writing and not wanted:
            self._loop.remove_writer(self._fd)
        self._writing = wanted

    # --- the end ---

    def cut_off(self, reason: str) -> None:
        """End the connection, and let a client that speaks the binary protocol read why."""
        if self.closed or self._parting:
            return
        if self.parser.binary:
            self.send(frame_of(ERROR, 0, {"reason": reason}))
        self._parting = True
        self.parser.discard()
        self._await_room(wanted=False)
        # Closing with bytes unread would discard what the client has not read yet: its input is drained.
        self._watch()
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:  # it is gone already
            self.close()
            return
        self._loop.call_at(self._loop.now() + _PARTING_SECONDS, self.close)

    def close(self) -> None:
        """Close the socket; harmless when closed."""
        if self.closed:
            return
        self.closed = True
        self._watch()
        self._await_room(wanted=False)
        self._socket.close()
        self._owner.on_closed(self)
