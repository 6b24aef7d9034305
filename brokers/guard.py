"""CURVE at every TCP endpoint of a process: who is let in, whom this side believes it dials, and what came of both.

An end that is bound serves with the role's own key, and the door asks the keyring about each key that comes. An end that is
dialled shows the role's key, and takes only the key that the rosters give for the broker expected there. When somebody who was let
in has no say any more, the end is bound anew: libzmq never ends a connection by itself, and this ends all of that end; those who may
are back at once.
"""

from __future__ import annotations

import contextlib
import logging
import struct
from collections import Counter
from functools import partial
from itertools import count
from typing import Any, Final

import zmq

from tabard.brokers.dialling import FAILED, Dial, Event
from tabard.brokers.keyring import LOOK_EVERY, Keyring
from tabard.brokers.loop import Loop
from tabard.brokers.trust.certificates import Certificate
from tabard.brokers.zap import Door
from tabard.errors import TabardError

AGAIN: Final = 0.02
"""Seconds until an address is bound again that is not free yet."""
_MONITORED: Final = struct.Struct("=Hi")
"""An event's number and value, as the manual of zmq_socket_monitor has it. pyzmq's own way to read it costs an agent the
import of asyncio and OpenSSL."""
BURST: Final = 64
"""Events of one socket looked at in a turn."""

_EVENTS: Final = {
    int(zmq.EVENT_HANDSHAKE_SUCCEEDED): Event.UP,
    int(zmq.EVENT_DISCONNECTED): Event.LOST,
    int(zmq.EVENT_HANDSHAKE_FAILED_AUTH): Event.REFUSED,
    int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL): Event.BROKEN,
    int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL): Event.OTHER,
}
_DIALLED: Final = sum(_EVENTS)
_BOUND: Final = int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
NOT_CURVE: Final = "no handshake by CURVE with this broker's key"

_log = logging.getLogger(__name__)

_Socket = zmq.Socket[bytes]


class Guard:
    """The keys of a context's sockets.

    Args:
        context: of the sockets.
        loop: calls back.
        keys: of the role.
    """

    def __init__(self, context: zmq.Context[_Socket], loop: Loop, keys: Keyring) -> None:
        self._context = context
        self._loop = loop
        self._keys = keys
        self._door: Door | None = None
        self._bound: dict[_Socket, tuple[str, str]] = {}
        self._listening: dict[_Socket, str] = {}
        """What libzmq calls the address of each: for `tcp://*:7101` it is another one, and only by that it is let go of."""
        self._dials: dict[_Socket, list[Dial]] = {}
        self._monitors: dict[_Socket, tuple[_Socket, int]] = {}
        self._numbers = count()
        self._unknown: dict[str, str] = {}
        """Why nobody is expected at an endpoint."""
        self._looking = False

    # --- bound -----------------------------------------------------------------------------

    def serve(self, sock: _Socket, endpoint: str, end: str) -> None:
        """Have an end that is about to be bound ask for keys. Raises TabardError when the role has none itself."""
        _public, secret = self._keys.pair(endpoint)
        if self._door is None:
            self._door = Door(self._context, self._loop, self._keys.judge)
        options: dict[int, int | bytes] = {
            zmq.CURVE_SERVER: 1,
            zmq.CURVE_SECRETKEY: secret,
            zmq.ZAP_DOMAIN: end.encode(),
            zmq.ZAP_ENFORCE_DOMAIN: 1,
        }
        for option, value in options.items():
            sock.setsockopt(option, value)

    def served(self, sock: _Socket, endpoint: str, end: str) -> None:
        """It was bound: watch it."""
        self._bound[sock] = (endpoint, end)
        self._listening[sock] = sock.get_string(zmq.LAST_ENDPOINT)
        self._watch(sock, _BOUND)
        self._begin()

    def peer(self, user: str) -> Certificate | None:
        """Whose connection it is by the `User-Id` of a message; None: of somebody who has no say any more."""
        return self._keys.peer(user)

    def _rebind(self, sock: _Socket) -> None:
        """End all connections of an end, and listen anew."""
        _endpoint, end = self._bound[sock]
        self._keys.forget(end)
        listening = self._listening.pop(sock, None)
        if listening is None:
            return  # it waits for its address just now
        with contextlib.suppress(zmq.ZMQError):  # it is not bound: that is what was wanted
            sock.unbind(listening)
        self._bind(sock)

    def _bind(self, sock: _Socket) -> None:
        if sock.closed or sock not in self._bound:
            return
        endpoint, end = self._bound[sock]
        try:
            self.serve(sock, endpoint, end)
            sock.bind(endpoint)
            self._listening[sock] = sock.get_string(zmq.LAST_ENDPOINT)
        except zmq.ZMQError:
            self._loop.call_at(self._loop.now() + AGAIN, partial(self._bind, sock))

    # --- dialled ---------------------------------------------------------------------------

    def dial(self, sock: _Socket, endpoint: str) -> None:
        """Connect to the broker that the rosters know, as soon as they know it. Raises RefusedError when the role has no key."""
        self._keys.pair(endpoint)
        dial = Dial(endpoint, self._known(endpoint))
        self._dials.setdefault(sock, []).append(dial)
        self._watch(sock, _DIALLED)
        if dial.used is not None:
            self._connect(sock, dial, dial.used)
        self._begin()

    def _known(self, endpoint: str) -> list[Certificate]:
        """The certificates of the broker there that hold; why there are none is said once for each reason."""
        try:
            known = self._keys.served_by(endpoint)
        except TabardError as error:
            if self._unknown.get(endpoint) != str(error):
                _log.error("%s", error)
            self._unknown[endpoint] = str(error)
            return []
        self._unknown.pop(endpoint, None)
        return known

    def _connect(self, sock: _Socket, dial: Dial, broker: Certificate) -> None:
        """Connect with the keys of both sides; the socket's other connections keep theirs."""
        pairs = self._keys.pairs(dial.endpoint)
        public, secret = pairs[dial.own % len(pairs)]
        sock.setsockopt(zmq.CURVE_SERVER, 0)
        sock.setsockopt(zmq.CURVE_PUBLICKEY, public)
        sock.setsockopt(zmq.CURVE_SECRETKEY, secret)
        sock.setsockopt(zmq.CURVE_SERVERKEY, broker.key.curve)
        sock.connect(dial.endpoint)

    def hang_up(self, sock: _Socket, endpoint: str) -> None:
        """An endpoint was let go of."""
        self._dials[sock] = [dial for dial in self._dials.get(sock, ()) if dial.endpoint != endpoint]

    def dialled(self, sock: _Socket) -> Certificate | None:
        """Whom a socket that dials one broker only is connected to, as far as that is known."""
        dials = self._dials.get(sock, ())
        return dials[0].used if len(dials) == 1 else None

    def changes(self, sock: _Socket) -> int:
        """How often connections that a socket dials came up or went, so far."""
        return sum(dial.changes for dial in self._dials.get(sock, ()))

    def _redial(self, sock: _Socket, dial: Dial) -> None:
        with contextlib.suppress(zmq.ZMQError):  # libzmq gave it up itself
            sock.disconnect(dial.endpoint)
        if dial.used is not None:
            self._connect(sock, dial, dial.used)

    # --- what happens ----------------------------------------------------------------------

    def _watch(self, sock: _Socket, events: int) -> None:
        known = self._monitors.get(sock)
        if known is not None and events & ~known[1] == 0:
            return
        # Each time at another address: that of the monitor before it becomes free some time later.
        self._unwatch(sock)
        address = f"inproc://tabard.monitor.{next(self._numbers)}"
        sock.monitor(address, events)
        monitor: _Socket = self._context.socket(zmq.PAIR)
        monitor.connect(address)
        self._monitors[sock] = (monitor, events)
        self._loop.add_socket(monitor, partial(self._hear, sock, monitor))

    def _unwatch(self, sock: _Socket) -> None:
        if sock in self._monitors:
            monitor, _events = self._monitors.pop(sock)
            self._loop.remove_socket(monitor)
            sock.monitor(None, 0)
            monitor.close(linger=0)

    def _hear(self, sock: _Socket, monitor: _Socket) -> None:
        for _ in range(BURST):
            try:
                frames = monitor.recv_multipart(zmq.NOBLOCK)
            except (zmq.Again, zmq.ZMQError):
                return
            number, _value = _MONITORED.unpack(frames[0])
            event = _EVENTS.get(number)
            where = frames[1].decode("utf-8", "replace")
            dial = self._which(sock, where)
            if event is None:
                continue
            if dial is None:
                if event is Event.OTHER and sock in self._bound:
                    self._keys.counters[f"{self._bound[sock][1]} refused: {NOT_CURVE}"] += 1
            elif dial.hear(event, self._loop.now()):
                if dial.word in FAILED:
                    _log.warning("%s", dial.sentence())
                else:
                    _log.info("%s", dial.sentence())

    def _which(self, sock: _Socket, where: str) -> Dial | None:
        """The dial that an event is about: names may be told as addresses, so the port decides if it must."""
        dials = self._dials.get(sock, [])
        exact = [dial for dial in dials if dial.endpoint == where]
        if exact:
            return exact[0]
        if sock in self._bound and where == self._bound[sock][0]:
            return None
        port = where.rpartition(":")[2]
        same = [dial for dial in dials if dial.endpoint.rpartition(":")[2] == port]
        return same[0] if same else None

    # --- what changes ----------------------------------------------------------------------

    def _begin(self) -> None:
        if not self._looking:
            self._looking = True
            self._loop.every(LOOK_EVERY, self.look)

    def look(self) -> None:
        """Cut off whoever has no say any more, and dial anew whoever has another key, or let in nobody before."""
        changes = self._keys.look()
        for sock, (endpoint, end) in list(self._bound.items()):
            if changes.own or end in changes.ends:
                _log.warning("%s is bound anew: a key that was let in there has no say any more", endpoint)
                self._keys.counters[f"{end} bound anew"] += 1
                self._rebind(sock)
        now = self._loop.now()
        for sock, dials in list(self._dials.items()):
            for dial in dials:
                if dial.look(self._known(dial.endpoint), now, anew=changes.own):
                    self._redial(sock, dial)

    # --- for people ------------------------------------------------------------------------

    @property
    def counters(self) -> Counter[str]:
        """Who was refused, by end and reason."""
        return self._keys.counters

    def status(self) -> list[dict[str, Any]]:
        """Of each connection that this side opens: where to, to which broker by which key, and how it stands."""
        return [
            {
                "end": dial.endpoint,
                "broker": dial.used.name if dial.used else None,
                "zone": dial.used.zone if dial.used else None,
                "key": dial.used.key_id.hex() if dial.used else None,
                "state": self._unknown.get(dial.endpoint, dial.word),
                "fault": dial.word in FAILED,
            }
            for dials in self._dials.values()
            for dial in dials
        ]

    # --- the end ---------------------------------------------------------------------------

    def forget(self, sock: _Socket) -> None:
        """A socket is about to be closed."""
        self._listening.pop(sock, None)
        bound = self._bound.pop(sock, None)
        if bound is not None:
            self._keys.forget(bound[1])
        self._dials.pop(sock, None)
        self._unwatch(sock)

    def close(self) -> None:
        """All sockets are about to be closed, and nobody gets in any more."""
        for sock in list(self._monitors):
            self.forget(sock)
        if self._door is not None:
            self._door.close()
            self._door = None
