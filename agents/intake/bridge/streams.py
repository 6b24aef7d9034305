"""Intakes over connections: many clients, each with a reader of its own, none of them answered.

The protocols here have no acknowledgement. What the kernel holds for the agent when it is killed is lost; a
clean stop tells the senders that it ends, and reads that first. While the journal takes nothing no client is
read, so that all of them wait.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol

from tabard.agents.intake.acceptor import Acceptor
from tabard.agents.intake.bridge.binding import Place, spoken
from tabard.agents.intake.bridge.gather import Gatherer
from tabard.agents.intake.bridge.ports import Report, Surroundings
from tabard.agents.intake.bridge.troubles import Troubles
from tabard.agents.intake.bridge.turns import Turns, readable
from tabard.agents.intake.listeners import identify
from tabard.agents.intake.ports import Handle
from tabard.errors import IntakeError, WireError

READ_BYTES: Final = 131_072
"""Bytes read of one client at a turn, so that a busy one does not keep the others waiting."""
MOST_HELD: Final = 16_777_216
"""Bytes of unfinished records of all clients of one intake together."""
STALLED_SECONDS: Final = 60.0
"""How long a client may be silent in the middle of a record."""
DRAIN_SECONDS: Final = 2.0
"""How long a clean stop reads what clients have sent."""
QUIET_SECONDS: Final = 0.1
"""How long nobody may have said anything for the stop to believe that all was read."""
_SWEEP_SECONDS: Final = 15.0
_MOST_READS: Final = 64
"""Reads of one client at a stop before the others have their turn: more than the kernels of both ends hold."""
_MOST_ASKED: Final = 256
"""Clients that are asked whether they have something unread when another one comes: the last ones."""
_READS_BEFORE: Final = 4
"""Reads of them all at that moment: most connections are short, and are over then."""
_MOST_WAITING: Final = 32
"""Clients that wait for others. They count among those that are allowed, and a crowd is not to be turned away."""


class Reader(Protocol):
    """Makes records of one client's bytes, and gives them to the intake's gatherer."""

    @property
    def held(self) -> int:
        """Bytes of a record that is not complete."""

    def feed(self, data: bytes, /) -> None:
        """Take bytes. Raises WireError when nothing that follows can be understood; what came before is kept."""

    def finish(self) -> None:
        """The client says nothing more."""


class Desk(NamedTuple):
    """What the readers of one intake share."""

    gatherer: Gatherer
    counters: Counter[str]
    troubles: Troubles


class Client:
    """One connection."""

    __slots__ = ("heard", "origin", "reader", "reading", "records", "sock", "touched")

    def __init__(self, sock: socket.socket, origin: str, reader: Reader, now: float) -> None:
        self.sock = sock
        self.origin = origin
        self.reader = reader
        self.reading = False
        self.heard = 0
        """Bytes."""
        self.records = 0
        self.touched = now
        """When it last said something (monotonic seconds)."""


class StreamIntake:
    """Listens by ``listen`` and reads every client by a reader of ``read``, under the setting's ``name``.

    ``path`` is that of a unix socket, removed at the end.
    """

    def __init__(
        self,
        name: str,
        protocol: str,
        surroundings: Surroundings,
        listen: Callable[[], socket.socket],
        read: Callable[[Desk], Reader],
        path: str = "",
    ) -> None:
        self._name = name
        self._protocol = protocol
        self._around = surroundings
        self._loop = surroundings.loop
        self._listen = listen
        self._read = read
        self._place = Place(path)
        self._acceptor: Acceptor | None = None
        self._address = ""
        self._clients: dict[Client, None] = {}
        self._turns: Turns[Client] = Turns(surroundings.loop, readable, self._watch)
        self._sweep: Handle | None = None
        self._desk = Desk(Gatherer(surroundings), Counter(), Troubles(name, surroundings.loop))

    # --- the port ---

    def open(self) -> None:
        """Listen. Raises IntakeError when the address cannot be used."""
        self._open_listener()
        self._around.batcher.on_blocked.append(self._pause)
        self._around.batcher.on_ready.append(self._resume)
        self._sweep = self._loop.call_at(self._loop.now() + _SWEEP_SECONDS, self._sweep_clients)

    def close(self) -> None:
        """Tell clients that it ends, read what they have sent already within `DRAIN_SECONDS`, then hang up on them."""
        if self._acceptor is None:
            return
        if not self._around.batcher.blocked:
            self._accept_all(self._acceptor)
        self._acceptor.close()
        self._acceptor = None
        self._place.remove()
        if self._sweep is not None:
            self._sweep.cancel()
        self._turns.clear()
        self._say_goodbye()
        self._drain(time.monotonic() + DRAIN_SECONDS)
        for client in list(self._clients):
            self._end(client)
        for callbacks, own in (
            (self._around.batcher.on_blocked, self._pause),
            (self._around.batcher.on_ready, self._resume),
        ):
            callbacks.remove(own)

    def _accept_all(self, acceptor: Acceptor) -> None:
        """Take in everybody who waits to be: they may have sent something and be gone."""
        before = -1
        while (now := self._desk.counters["connections"] + self._desk.counters["turned away"]) != before:
            before = now
            acceptor.accept()

    def _say_goodbye(self) -> None:
        """End this side of each connection. A sender that looks, as rsyslog does, keeps from now on what it has."""
        for client in self._clients:
            with contextlib.suppress(OSError):
                client.sock.shutdown(socket.SHUT_WR)

    def _drain(self, until: float) -> None:
        """Read all clients until they are quiet: what a sender's kernel still holds arrives once there is room here.

        The older ones first, see `Turns`.
        """
        while self._clients and not self._around.batcher.blocked and (left := until - time.monotonic()) > 0:
            if sum(self._read_out(client, until) for client in list(self._clients)):
                continue
            waiting = select.poll()
            for client in self._clients:
                waiting.register(client.sock, select.POLLIN)
            if not waiting.poll(min(QUIET_SECONDS, left) * 1000):
                return

    def _read_out(self, client: Client, until: float) -> int:
        """Read a client until nothing is left, but not for ever; how often there was something."""
        for count in range(_MOST_READS):
            if self._around.batcher.blocked or time.monotonic() > until or not self._take(client):
                return count
        return _MOST_READS

    def report(self) -> Report:
        """How it is doing."""
        return Report(
            self._name,
            self._address,
            self._desk.gatherer.total,
            {**self._desk.counters, "repaired": self._desk.gatherer.repaired},
            tuple(self._described(client) for client in self._clients),
            self._desk.troubles.current(),
        )

    def _described(self, client: Client) -> dict[str, Any]:
        return {
            "origin": client.origin,
            "source": "",
            "service": "",
            "protocol": self._protocol,
            "records": client.records,
        }

    def _open_listener(self) -> None:
        listener = self._listen()
        self._place.remember()
        name = listener.getsockname()
        self._address = name if isinstance(name, str) else f"tcp {spoken(name)}"
        self._acceptor = Acceptor(self._loop, listener, self._admit, self._name)

    def _restore(self) -> None:
        """Listen anew when the socket file was removed: nobody could connect."""
        if self._acceptor is None or not self._place.gone:
            return
        self._accept_all(self._acceptor)  # who connected before it was removed
        self._acceptor.close()
        try:
            self._open_listener()
            self._desk.troubles.note("the socket had been removed; it is there again")
        except IntakeError as error:
            self._acceptor = None
            self._desk.troubles.note(str(error))

    def _troubles_told(self, what: str) -> None:
        self._desk.troubles.note(what)

    # --- clients come and go ---

    def _admit(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        if len(self._clients) >= self._around.max_clients:
            self._desk.counters["turned away"] += 1
            self._desk.troubles.note(
                f"connections are turned away: {self._around.max_clients} are open, the most that"
                " agent.max_clients allows"
            )
            sock.close()
            return
        origin = identify(sock, self._around.users).origin
        reader = self._read(self._desk)
        client = Client(sock, origin, reader, self._loop.now())
        unread = self._read_before(origin)
        self._clients[client] = None
        self._desk.counters["connections"] += 1
        if self._around.batcher.blocked:
            return
        if unread and len(self._turns) < _MOST_WAITING:
            self._turns.add(client, unread)
        else:
            self._watch(client)

    def _read_before(self, origin: str) -> set[Client]:
        """Read what little the last clients from the same place have said; those that have more, or wait themselves."""
        last = islice(reversed(self._clients), _MOST_ASKED)
        same = [client for client in last if client.origin == origin]
        waiting = {client for client in same if client in self._turns}
        unread = readable(client for client in same if client not in waiting)
        reads = 0
        for client in reversed(same):
            while client in unread and reads < _READS_BEFORE and not self._around.batcher.blocked:
                reads += 1
                if not self._take(client):
                    unread.discard(client)
        return {client for client in unread | waiting if client in self._clients}

    def _watch(self, client: Client) -> None:
        if not client.reading:
            client.reading = True
            client.touched = self._loop.now()  # it could not speak meanwhile
            self._loop.add_reader(client.sock.fileno(), partial(self._readable, client))

    def _unwatch(self, client: Client) -> None:
        if client.reading:
            client.reading = False
            self._loop.remove_reader(client.sock.fileno())

    def _readable(self, client: Client) -> None:
        if client.reading:  # not told to pause in the same turn of the loop
            self._take(client)

    def _take(self, client: Client) -> bool:
        """Read once; whether there may be more."""
        try:
            data = client.sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            data = b""
        if not data:
            self._end(client)
            return False
        client.touched = self._loop.now()
        client.heard += len(data)
        gatherer = self._desk.gatherer
        gatherer.origin = client.origin
        before = gatherer.total
        try:
            client.reader.feed(data)
        except WireError as error:
            self._desk.counters["violations"] += 1
            self._desk.troubles.note(f"a client was cut off: {error}", client.origin)
            self._end(client)
            return False
        gatherer.flush()
        client.records += gatherer.total - before
        if client.reader.held:
            self._limit_memory()
        return True

    def _end(self, client: Client) -> None:
        """A client said all it will: what it left unfinished is the reader's to judge."""
        if client not in self._clients:
            return
        self._desk.gatherer.origin = client.origin
        client.reader.finish()
        self._desk.gatherer.flush()
        self._drop(client)

    def _drop(self, client: Client) -> None:
        if self._clients.pop(client, self) is self:
            return
        self._unwatch(client)
        self._turns.forget(client)
        client.sock.close()

    # --- bounds ---

    def _pause(self) -> None:
        self._turns.clear()
        for client in self._clients:
            self._unwatch(client)

    def _resume(self) -> None:
        """Read on. Of one place each client waits for the one that came before it."""
        before: dict[str, Client] = {}
        for client in self._clients:
            earlier = before.get(client.origin)
            if earlier is None:
                self._watch(client)
            else:
                self._turns.add(client, [earlier])
            before[client.origin] = client

    def _limit_memory(self) -> None:
        while sum(client.reader.held for client in self._clients) > MOST_HELD:
            holders = [client for client in self._clients if client.reader.held]
            self._stalled(min(holders, key=lambda client: client.touched))

    def _sweep_clients(self) -> None:
        now = self._loop.now()
        self._sweep = self._loop.call_at(now + _SWEEP_SECONDS, self._sweep_clients)
        self._around.users.refresh()
        self._restore()
        if self._around.batcher.blocked:
            return
        for client in list(self._clients):
            if client.reading and client.reader.held and now - client.touched > STALLED_SECONDS:
                self._stalled(client)

    def _stalled(self, client: Client) -> None:
        self._desk.counters["stalled"] += 1
        self._end(client)
