"""One tunnel at work: what the core decides is done with a process and connections, in the loop of its role."""

from __future__ import annotations

import errno
import logging
import random
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final

from tabard.brokers.loop import Loop, Timer
from tabard.brokers.tunnels.backends import BACKENDS, address
from tabard.brokers.tunnels.child import Child
from tabard.brokers.tunnels.core import Core, Decision, Phase, Probe, Say, Start, Stop, Verdict
from tabard.brokers.tunnels.failures import Failure, Temper
from tabard.brokers.tunnels.probe import Probe as Connection
from tabard.clock import wall
from tabard.errors import TabardError
from tabard.home import Home
from tabard.settings.schema import Forward, Tunnel

_log: Final = logging.getLogger(__name__)
_DOWN: Final = frozenset({Phase.PARTLY, Phase.SILENT, Phase.WAITING, Phase.REFUSED})


class Running:
    """Keeps one tunnel up, or watches somebody else's, until `close`."""

    def __init__(
        self, tunnel: Tunnel, home: Home, loop: Loop, *, changed: Callable[[], None] = lambda: None
    ) -> None:
        self.tunnel = tunnel
        self._loop = loop
        self._changed = changed
        self._backend = BACKENDS[tunnel.backend](tunnel, home)
        spawned = tunnel.backend != "external"
        self.core = Core(
            [named(each) for each in tunnel.forward], spawned=spawned, jitter=random.Random().random
        )
        self._child: Child | None = None
        self._timer: Timer | None = None
        self._asking: dict[int, Connection] = {}
        self._held: dict[int, Connection] = {}
        self._channel = ""
        """What ssh last said of a connection that it could not hand on."""
        self._phase = self.core.phase
        self._since = wall()
        self._heard: dict[int, int] = {}

    def begin(self) -> None:
        """Begin; returns at once."""
        self._do(self.core.tick(self._loop.now()))

    def retry(self) -> None:
        """Ask, or start, at once."""
        self._do(self.core.retry(self._loop.now()))

    def close(self) -> None:
        """End it, with its process."""
        if self._timer is not None:
            self._timer.cancel()
        self._hang_up()
        if self._child is not None:
            self._child.close()
            self._child = None

    @property
    def pid(self) -> int | None:
        """The process that has it."""
        return self._child.pid if self._child is not None else None

    def status(self) -> dict[str, Any]:
        """For the status file."""
        core, tunnel = self.core, self.tunnel
        down = core.phase in {Phase.WAITING, Phase.REFUSED}
        left = max(0.0, core.next - self._loop.now())
        return {
            "name": tunnel.name,
            "backend": tunnel.backend,
            "host": tunnel.host or None,
            "state": str(core.phase),
            "since": self._since,
            "why": core.why or None,
            "failures": core.failures,
            "until": wall() + int(left * 1e9) if down else None,
            "process": self.pid,
            "forwards": [
                {
                    "direction": each.direction,
                    "listen": each.listen,
                    "to": each.to or None,
                    "state": str(judged.verdict),
                    "why": judged.why or None,
                    "seconds": round(judged.took, 4) if judged.took is not None else None,
                    "heard": self._heard.get(number),
                }
                for number, (each, judged) in enumerate(zip(tunnel.forward, core.forwards, strict=True))
            ],
            "fault": core.why if core.phase in _DOWN else "",
            "counters": {"starts": core.starts},
        }

    # --- what was decided --------------------------------------------------------------------

    def _do(self, decisions: Sequence[Decision]) -> None:
        for each in decisions:
            match each:
                case Start():
                    self._start()
                case Stop():
                    self._hang_up()
                    if self._child is not None:
                        self._child.stop()
                case Probe(number):
                    self._ask(number)
                case Say(level, text):
                    _log.log(level, "tunnel %s: %s", self.tunnel.name, text)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self.core.due(), self._tick)
        if self.core.phase is not self._phase:
            self._phase, self._since = self.core.phase, wall()
            self._changed()

    def _tick(self) -> None:
        self._timer = None
        self._do(self.core.tick(self._loop.now()))

    def _start(self) -> None:
        self._channel = ""
        taken = taken_port(self.tunnel)
        if taken is not None:
            self._end_soon(taken)
            return
        try:
            command = self._backend.command()
            assert command is not None  # the core starts nothing for a tunnel of somebody else
            self._child = Child(
                command.words,
                self._loop,
                command.env,
                command.stdin,
                command.directory,
                on_line=self._hear,
                on_end=self._ended,
            )
        except (TabardError, OSError) as error:
            self._end_soon(Failure(Temper.LASTING, f"it cannot be started: {error}"))

    def _end_soon(self, failure: Failure) -> None:
        # Not from within what is being done: the core expects the end to come later.
        self._loop.call_soon(lambda: self._do(self.core.ended(self._loop.now(), failure)))

    def _hear(self, line: str) -> None:
        failure = self._backend.explain_channel(line)
        if failure is not None:
            self._channel = failure.sentence
        else:
            _log.debug("tunnel %s: ssh says: %s", self.tunnel.name, line.strip())

    def _ended(self, lines: Sequence[str], code: int) -> None:
        self._child = None
        self._hang_up()
        self._do(self.core.ended(self._loop.now(), self._backend.explain(lines, code)))

    # --- asking ------------------------------------------------------------------------------

    def _ask(self, number: int) -> None:
        forward = self.tunnel.forward[number]

        def judge(verdict: Verdict, why: str, took: float | None) -> None:
            asked = self._asking.pop(number, None)
            if verdict is Verdict.ANSWERS and asked is not None:
                held = self._held.pop(number, None)
                if held is not None:
                    held.close()
                self._held[number] = asked
                self._heard[number] = wall()
            if verdict is Verdict.CLOSED and self._channel:
                why, self._channel = self._channel, ""
            self._do(self.core.judged(self._loop.now(), number, verdict, why, took))

        def lost() -> None:
            self._held.pop(number, None)
            self._do(self.core.lost(self._loop.now(), number))

        self._asking[number] = Connection(
            self._loop,
            self._backend.place(number),
            answer=forward.answer,
            judge=judge,
            lost=lost,
        )

    def _hang_up(self) -> None:
        for each in (*self._asking.values(), *self._held.values()):
            each.close()
        self._asking.clear()
        self._held.clear()


def taken_port(tunnel: Tunnel) -> Failure | None:
    """Why a local end cannot be listened on, looked at before anything is started: else whoever has it would be asked.

    None when all are free.
    """
    for forward in tunnel.forward:
        if forward.direction == "remote":
            continue
        host, port = address(forward.listen)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # what ended just now is in nobody's way
            try:
                probe.bind((host, port))
                probe.listen(1)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    said = "is in use: end the process that listens there, or choose another listen"
                else:
                    said = f"cannot be listened on: {error.strerror}"
                return Failure(Temper.PASSING, f"the local port {forward.listen} {said}")
    return None


def named(forward: Forward) -> str:
    """A forward in a sentence."""
    if not forward.to:
        return forward.listen
    port = address(forward.listen)[1]
    there = f"port {port} there to {forward.to} here"
    return there if forward.direction == "remote" else f"{forward.listen} here to {forward.to} there"
