"""The intake socket: many clients, one batcher, and an acknowledgement for what is journaled.

A frame is accepted once the journal has it, and answered then; a client that was cut off before it heard
so sends the frame again under the same number, and it is not stored twice. While the journal cannot take
records nothing is read, so that the clients wait instead of the records being lost.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from tabard.agents.intake.acceptor import Acceptor
from tabard.agents.intake.batcher import Batcher
from tabard.agents.intake.connection import Connection
from tabard.agents.intake.defaults import NO_DEFAULTS, Defaults
from tabard.agents.intake.grouping import encode_groups
from tabard.agents.intake.listeners import UnixAddress, identify, listen_tcp
from tabard.agents.intake.ports import Handle, Loop
from tabard.agents.intake.protocol import (
    Event,
    Hello,
    Line,
    Parser,
    Ping,
    Records,
    Refusal,
    Violation,
    frame_of,
)
from tabard.agents.intake.shared import Shared
from tabard.agents.intake.sources import Source, Sources
from tabard.agents.samplers.users import Users
from tabard.clock import Clock
from tabard.errors import IntakeError
from tabard.intake_frames import ERROR, PONG, REFUSED, WELCOME, frame
from tabard.records import MAX_RECORDS

MOST_UNFINISHED: Final = 16_777_216
"""Bytes of incomplete frames of all clients together. Beyond it, the one that is silent longest is cut off."""
STALLED_SECONDS: Final = 60.0
"""How long a client may be silent in the middle of a frame."""
_SWEEP_SECONDS: Final = 15.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ServerStats:
    """What was counted since the start."""

    connections: int = 0
    turned_away: int = 0
    """Connections beyond the most allowed."""
    frames: int = 0
    lines: int = 0
    records: int = 0
    repaired: int = 0
    """Records that did not fit and were normalised or cut."""
    resent: int = 0
    """Frames that had been received before."""
    refused: int = 0
    """Frames that could not be stored."""
    violations: int = 0
    """Connections cut off because the protocol was broken."""
    stalled: int = 0
    """Connections cut off because they left a frame unfinished."""


class IntakeServer:
    """Listens on a unix socket (``path``) and a TCP address (``tcp``), either may be "".

    ``marks`` are those of the journal at the start: the last frame kept of each source. ``defaults`` fill what
    records leave empty. In ``shared`` a second unix socket is listened on, for other users.
    """

    def __init__(
        self,
        loop: Loop,
        batcher: Batcher,
        clock: Clock,
        *,
        path: str = "",
        tcp: str = "",
        marks: Mapping[str, Any] | None = None,
        max_clients: int = 256,
        users: Users | None = None,
        defaults: Defaults = NO_DEFAULTS,
        shared: Shared | None = None,
    ) -> None:
        self._loop = loop
        self._batcher = batcher
        self._clock = clock
        self._addresses = [UnixAddress(path)] if path else []
        if shared is not None:
            self._addresses.append(UnixAddress(shared.socket, shared.mode))
        self._tcp = tcp
        self._max_clients = max_clients
        self._users = users or Users()
        self._defaults = defaults
        self.sources: Final = Sources(marks or {})
        self._speaks: dict[Connection, Source] = {}
        self._held: dict[Connection, int] = {}
        self._clients: dict[Connection, None] = {}
        self._acceptors: list[Acceptor] = []
        self._acknowledge: dict[Source, None] = {}
        self._flushing = False
        self._sweep: Handle | None = None
        self.stats: Final = ServerStats()

    # --- opening and closing ---

    def open(self) -> None:
        """Listen. Call it with the agent's lock held: a socket left at ``path`` is replaced.

        Raises:
            IntakeError: an address cannot be listened on.
        """
        try:
            for address in self._addresses:
                self._start(address.listen())
            if self._tcp:
                self._start(listen_tcp(self._tcp))
        except IntakeError:
            self.close()
            raise
        self._batcher.on_blocked.append(self._pause)
        self._batcher.on_ready.append(self._resume)
        self._sweep = self._loop.call_at(self._loop.now() + _SWEEP_SECONDS, self._sweep_clients)

    def close(self) -> None:
        """Stop listening, drop every client, remove the socket file. What was received stays received."""
        for acceptor in self._acceptors:
            acceptor.close()
        self._acceptors.clear()
        for client in list(self._clients):
            client.close()
        if self._sweep is not None:
            self._sweep.cancel()
        for callbacks, own in (
            (self._batcher.on_blocked, self._pause),
            (self._batcher.on_ready, self._resume),
        ):
            if own in callbacks:
                callbacks.remove(own)
        for address in self._addresses:
            address.remove()

    def addresses(self) -> list[str]:
        """Where clients can connect: paths, and "tcp HOST:PORT"."""
        found = []
        for acceptor in self._acceptors:
            name = acceptor.listener.getsockname()
            found.append(name if isinstance(name, str) else f"tcp {name[0]}:{name[1]}")
        return found

    def clients(self) -> list[dict[str, Any]]:
        """Who is connected: origin, source id, service, protocol, records accepted on this connection."""
        return [
            {
                "origin": client.peer.origin,
                "source": client.hello.source if client.hello else "",
                "service": client.hello.service if client.hello else "",
                "protocol": "binary" if client.parser.binary else "json",
                "records": client.accepted,
            }
            for client in self._clients
        ]

    def _start(self, listener: socket.socket) -> None:
        self._acceptors.append(Acceptor(self._loop, listener, self._admit, "intake"))

    # --- clients come and go ---

    def _admit(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        if len(self._clients) >= self._max_clients:
            self.stats.turned_away += 1
            reason = f"{self._max_clients} clients are connected, the most that agent.max_clients allows"
            with contextlib.suppress(OSError):
                sock.send(frame_of(ERROR, 0, {"reason": reason}))
            sock.close()
            return
        parser = Parser(self._clock.wall, self._defaults)
        client = Connection(self._loop, sock, identify(sock, self._users), parser, self)
        self._clients[client] = None
        self.stats.connections += 1
        if not self._batcher.blocked:
            client.resume()

    def on_end(self, connection: Connection) -> None:
        """A client says nothing more: it is closed when all it sent is answered."""
        source = self._speaks.get(connection)
        if source is None or source.settled:
            connection.close()

    def on_closed(self, connection: Connection) -> None:
        """Forget a connection; its source stays known, and what waits to be journaled goes on waiting."""
        self._clients.pop(connection, None)
        self._held.pop(connection, None)
        source = self._speaks.pop(connection, None)
        if source is not None and source.connection is connection:
            source.connection = None

    # --- what clients say ---

    def on_events(self, connection: Connection, events: Iterator[Event]) -> None:
        """Do what a client asks for."""
        lines: list[tuple[Any, ...]] = []
        for event in events:
            if isinstance(event, Records):
                self._on_records(connection, event)
            elif isinstance(event, Line):
                lines.append(event.record)
                if len(lines) == MAX_RECORDS:
                    self._on_lines(connection, lines)
                    lines = []
            elif isinstance(event, Hello):
                self._on_hello(connection, event)
            elif isinstance(event, Ping):
                connection.send(frame(PONG))
            elif isinstance(event, Refusal):
                self.stats.refused += 1
                if connection in self._speaks:
                    self._speaks[connection].refuse(event.number)
                refusal = {"reason": event.reason, "expected": event.expected}
                connection.send(frame_of(REFUSED, event.number, refusal))
            elif isinstance(event, Violation):
                self.stats.violations += 1
                connection.cut_off(event.reason)
        if lines:
            self._on_lines(connection, lines)
        if not connection.closed:
            self._limit_memory(connection)

    def _on_hello(self, connection: Connection, hello: Hello) -> None:
        connection.hello = hello
        source = self.sources.get(f"{connection.peer.key}:{hello.source}") if hello.source else Source("")
        if source.connection is not None:
            # A producer that lost its connection comes back before the old one is known to be dead.
            self._speaks.pop(source.connection, None)
            source.connection.cut_off("another connection speaks for this source now")
        source.connection = connection
        self._speaks[connection] = source
        refused = source.refused_to(source.accepted)
        connection.send(frame_of(WELCOME, source.accepted, {"refused": refused} if refused else None))

    def _on_records(self, connection: Connection, event: Records) -> None:
        source = self._speaks.get(connection)
        if source is None:  # another connection took over while this one still had bytes to be read
            return
        if event.number <= source.received:
            self.stats.resent += 1
            if event.number <= source.accepted:
                self._answer(source)
            return
        source.received = event.number
        self.stats.frames += 1
        self.stats.records += event.total
        self.stats.repaired += event.repaired
        done = partial(self._accepted, source, event.number, event.total)
        mark = source.mark(event.number)
        self._batcher.add(source.key, mark, connection.peer.origin, event.records, event.total, done)

    def _on_lines(self, connection: Connection, lines: list[tuple[Any, ...]]) -> None:
        self.stats.lines += len(lines)
        self.stats.records += len(lines)
        for admitted in encode_groups(lines, self._defaults):
            self.stats.repaired += admitted.repaired
            done = partial(connection.count, admitted.total)
            self._batcher.add("", None, connection.peer.origin, admitted.records, admitted.total, done)

    def _accepted(self, source: Source, number: int, records: int) -> None:
        source.accepted = number
        if source.connection is not None:
            source.connection.count(records)
            self._answer(source)

    def _answer(self, source: Source) -> None:
        """Acknowledge at the end of this turn of the loop: many frames of a batch, one answer."""
        self._acknowledge[source] = None
        if not self._flushing:
            self._flushing = True
            self._loop.call_at(self._loop.now(), self._flush_answers)

    def _flush_answers(self) -> None:
        self._flushing = False
        answers, self._acknowledge = self._acknowledge, {}
        for source in answers:
            connection = source.connection
            if connection is not None:
                connection.acknowledge(source.accepted)
                if connection.ended and source.settled:
                    connection.close()

    # --- bounds ---

    def _pause(self) -> None:
        for client in list(self._clients):
            client.pause()

    def _resume(self) -> None:
        for client in list(self._clients):
            client.resume()

    def _limit_memory(self, connection: Connection) -> None:
        if held := connection.parser.buffered:
            self._held[connection] = held
        else:
            self._held.pop(connection, None)
        while sum(self._held.values()) > MOST_UNFINISHED:
            self._drop_stalled(
                min(self._held, key=lambda client: client.touched),
                "too many unfinished frames are held in memory, and this one waited longest",
            )

    def _sweep_clients(self) -> None:
        now = self._loop.now()
        self._sweep = self._loop.call_at(now + _SWEEP_SECONDS, self._sweep_clients)
        if not self._batcher.blocked:
            for client in list(self._held):
                if client.parser.binary and now - client.touched > STALLED_SECONDS:
                    self._drop_stalled(client, f"a frame was left unfinished for {STALLED_SECONDS:.0f} s")
        self._users.refresh()
        self._restore_socket()

    def _drop_stalled(self, client: Connection, reason: str) -> None:
        self.stats.stalled += 1
        self._held.pop(client, None)
        client.cut_off(reason)

    def _restore_socket(self) -> None:
        """Listen anew when a socket file was removed (a cleaner of /tmp): nobody could connect."""
        for address in self._addresses:
            if not address.removed:
                continue
            for acceptor in [found for found in self._acceptors if found.listener is address.listener]:
                acceptor.close()
                self._acceptors.remove(acceptor)
            try:
                self._start(address.listen())
                _log.warning("the intake socket %s had been removed; it is there again", address.path)
            except IntakeError as error:
                _log.error("%s", error)
