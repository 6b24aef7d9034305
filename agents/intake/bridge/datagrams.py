"""Intakes of datagrams: one message each, from anybody, and the count of those the kernel had no room for.

UDP has no way to make a sender wait. What comes while the agent reads nothing stays in the kernel's buffer, and
what that cannot hold is dropped by the kernel, which counts it: each loss that is seen becomes a record itself.
A sender to a unix socket waits instead.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from tabard.agents.intake.bridge.binding import RXQ_OVFL, Place, spoken
from tabard.agents.intake.bridge.gather import Gatherer
from tabard.agents.intake.bridge.messages import Messages
from tabard.agents.intake.bridge.ports import Report, Surroundings
from tabard.agents.intake.bridge.syslog import SyslogParser
from tabard.agents.intake.bridge.troubles import Troubles
from tabard.agents.intake.cutting import to_json
from tabard.agents.intake.listeners import host_of
from tabard.agents.intake.ports import Handle
from tabard.errors import IntakeError
from tabard.records import LOG_INDEX, LOG_WIDTH

BURST: Final = 256
"""Datagrams read at a turn."""
LARGEST: Final = 262_144
"""Bytes of a datagram; a unix socket may carry more, of which the beginning is kept."""
DRAIN_SECONDS: Final = 2.0
LOOK_SECONDS: Final = 1.0
"""How often the kernel's count of drops is looked at: at most one record about them in that time."""
_ANCILLARY: Final = socket.CMSG_SPACE(4) + socket.CMSG_SPACE(12)
_COUNT: Final = struct.Struct("=I")
_CREDENTIALS: Final = struct.Struct("3i")
_WRAP: Final = 2**32


class DatagramIntake:
    """Reads the socket that ``bind`` makes, under the setting's ``name``; ``path`` is that of a unix socket."""

    def __init__(
        self,
        name: str,
        surroundings: Surroundings,
        bind: Callable[[], socket.socket],
        parser: SyslogParser,
        path: str = "",
    ) -> None:
        self._name = name
        self._around = surroundings
        self._loop = surroundings.loop
        self._bind = bind
        self._place = Place(path)
        self._socket: socket.socket | None = None
        self._address = ""
        self._gatherer = Gatherer(surroundings)
        self._messages = Messages(self._gatherer, parser)
        self._counters: Counter[str] = Counter()
        self._troubles = Troubles(name, surroundings.loop)
        self._dropped = 0
        self._told = 0
        self._heard_of = 0
        self._reading = False
        self._ended = False
        self._look: Handle | None = None
        self._buffer = bytearray(LARGEST)
        self._view = memoryview(self._buffer)

    # --- the port ---

    def open(self) -> None:
        """Bind. Raises IntakeError when the address cannot be used."""
        sock = self._socket = self._bind()
        self._place.remember()
        name = sock.getsockname()
        self._address = name if isinstance(name, str) else f"udp {spoken(name)}"
        self._around.batcher.on_blocked.append(self._pause)
        self._around.batcher.on_ready.append(self._resume)
        if not self._around.batcher.blocked:
            self._resume()
        self._look = self._loop.call_at(self._loop.now() + LOOK_SECONDS, self._looked)

    def close(self) -> None:
        """Read what the kernel holds, within `DRAIN_SECONDS`, then let go of the address."""
        if self._socket is None:
            return
        if self._socket.family == socket.AF_UNIX and not self._around.batcher.blocked:
            # From now on senders are told that nobody listens: what the kernel took before is all there is.
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RD)
                self._ended = True
        until = time.monotonic() + DRAIN_SECONDS
        while not self._around.batcher.blocked and time.monotonic() < until and self._take():
            pass
        self._tell()
        self._pause()
        if self._look is not None:
            self._look.cancel()
        self._around.batcher.on_blocked.remove(self._pause)
        self._around.batcher.on_ready.remove(self._resume)
        self._socket.close()
        self._socket = None
        self._place.remove()

    def report(self) -> Report:
        """How it is doing."""
        counters = {**self._counters, "dropped": self._dropped, "repaired": self._gatherer.repaired}
        return Report(
            self._name, self._address, self._gatherer.total, counters, faults=self._troubles.current()
        )

    # --- reading ---

    def _pause(self) -> None:
        if self._reading and self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
        self._reading = False

    def _resume(self) -> None:
        if not self._reading and self._socket is not None:
            self._loop.add_reader(self._socket.fileno(), self._readable)
            self._reading = True

    def _readable(self) -> None:
        if self._reading:
            self._take()

    def _take(self) -> bool:
        """Read a burst; whether there may be more."""
        sock = self._socket
        if sock is None:
            return False
        gatherer, view = self._gatherer, self._view
        for _ in range(BURST):
            try:
                size, ancillary, flags, address = sock.recvmsg_into([view], _ANCILLARY)
            except (BlockingIOError, InterruptedError):
                gatherer.flush()
                return False
            except OSError:  # a refusal that the kernel has from elsewhere: nothing to read
                gatherer.flush()
                return False
            if self._ended and not size and not ancillary:  # an empty datagram would name its sender
                gatherer.flush()
                return False
            origin = self._heard(ancillary, address)
            if origin != gatherer.origin:
                gatherer.flush()
                gatherer.origin = origin
            if flags & socket.MSG_TRUNC:
                self._counters["cut off"] += 1
            self._messages.take(bytes(view[:size]), "cut off" if flags & socket.MSG_TRUNC else "")
        gatherer.flush()
        return True

    def _heard(self, ancillary: list[tuple[int, int, bytes]], address: Any) -> str:
        """Who sent it, as far as the kernel says; notes what it says of drops."""
        origin = f"unauthenticated {host_of(address)}" if isinstance(address, tuple) else "local"
        for level, kind, data in ancillary:
            if level != socket.SOL_SOCKET:
                continue
            if kind == RXQ_OVFL and len(data) == _COUNT.size:
                self._note_dropped(_COUNT.unpack(data)[0])
            elif kind == _SCM_CREDENTIALS and len(data) == _CREDENTIALS.size:
                uid = _CREDENTIALS.unpack(data)[1]
                name = self._around.users.name(uid)
                origin = f"uid {uid} ({name})" if name else f"uid {uid}"
        return origin

    # --- what the kernel dropped ---

    def _note_dropped(self, count: int) -> None:
        """Take the kernel's count, which begins anew after 2^32. An older one than the last is no news."""
        more = (count - self._dropped) % _WRAP
        if more < _WRAP // 2:
            self._dropped += more

    def _looked(self) -> None:
        self._look = self._loop.call_at(self._loop.now() + LOOK_SECONDS, self._looked)
        if self._heard_of != self._gatherer.total and self._socket is not None:
            # The socket tells only with the next datagram, which may be long in coming.
            self._heard_of = self._gatherer.total
            self._around.users.refresh()
            self._note_dropped(kernel_drops(self._socket))
        self._restore()
        if not self._around.batcher.blocked:
            self._tell()

    def _restore(self) -> None:
        """Bind anew when the socket file was removed: nobody could send. What was sent before is read first."""
        if self._socket is None or not self._place.gone or self._around.batcher.blocked or self._take():
            return
        try:
            new = self._bind()
        except IntakeError as error:
            self._troubles.note(str(error))
            return
        self._pause()
        self._socket.close()
        self._socket = new
        self._place.remember()
        self._resume()
        self._troubles.note("the socket had been removed; it is there again")

    def _tell(self) -> None:
        """Make a record of the datagrams that were dropped since the last one."""
        more = self._dropped - self._told
        if not more:
            return
        self._told = self._dropped
        self._troubles.note(
            "datagrams come faster than they are read, and the kernel drops some: see intake.syslog_buffer"
        )
        values: list[Any] = [None] * LOG_WIDTH
        values[LOG_INDEX["time"]] = self._around.clock.wall()
        values[LOG_INDEX["severity"]] = 13
        values[LOG_INDEX["level"]] = "WARNING"
        values[LOG_INDEX["service"]] = "tabard-agent"
        values[LOG_INDEX["message"]] = (
            f"at least {more} datagrams to intake.{self._name} were dropped by the kernel before this"
        )
        values[LOG_INDEX["attributes"]] = to_json({"intake": "dropped", "dropped_at_least": more})
        self._gatherer.flush()
        self._gatherer.origin = "agent"
        self._gatherer.add(tuple(values), 0, sure=True)
        self._gatherer.flush()


_SCM_CREDENTIALS: Final = getattr(socket, "SCM_CREDENTIALS", -1)


def kernel_drops(sock: socket.socket) -> int:
    """What the kernel's table says it dropped of a UDP socket; 0 where there is no such table."""
    table = {socket.AF_INET: "/proc/net/udp", socket.AF_INET6: "/proc/net/udp6"}.get(sock.family)
    if table is None:
        return 0
    inode = str(os.fstat(sock.fileno()).st_ino)
    try:
        with open(table, encoding="ascii") as file:
            rows = [line.split() for line in file]
    except OSError:
        return 0
    return next((int(row[-1]) for row in rows if len(row) > 10 and row[9] == inode), 0)
