"""The dispatcher process."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tabard import files
from tabard.brokers import sockets
from tabard.brokers.keyring import keys_of
from tabard.brokers.loop import Loop
from tabard.brokers.running import Role, role
from tabard.brokers.topology import recorder_ends, role_peers
from tabard.brokers.trust.certificates import DISPATCHER
from tabard.clock import SystemClock
from tabard.consumers.commands.approving import needs_of
from tabard.consumers.commands.carrying import Carrier
from tabard.consumers.commands.course import SECOND, Rules
from tabard.consumers.commands.office import Office
from tabard.consumers.commands.serving import Client, Serving
from tabard.consumers.commands.talk import SOCKET
from tabard.consumers.recorder.waking import SOCKET as WAKE
from tabard.consumers.store.place import Place
from tabard.errors import RefusedError
from tabard.home import Home
from tabard.settings import Settings
from tabard.settings.roles import RoleSettings

KEYLESS: Final = "this home has no keys, and without them nobody obeys: tabard init"
LOOK_EVERY: Final = 1.0
WITNESS: Final = "dispatcher.turns"
"""The file in the home by which a store is known to be an earlier state of itself."""
_DIGITS: Final = 18

_log = logging.getLogger(__name__)


class TurnsFile:
    """A number in a file, written over in place: a file put in its place has the disk written to before each sending."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._noted: int | None = None
        """What is in the file, and may not outlast a power cut."""

    def read(self) -> int:
        """The number; 0 where there is none."""
        try:
            text = self._path.read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            return 0
        return int(text) if text.isdecimal() and len(text) <= _DIGITS else 0

    def write(self, turns: int) -> None:
        """Keep it. A disk that refuses is no reason not to send: only a store put back is not noticed then."""
        # Always as long, and by one call: never half of two numbers.
        line = f"{turns:>{_DIGITS}}\n".encode("ascii")
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.pwrite(descriptor, line, 0)
            finally:
                os.close(descriptor)
            self._noted = turns

    def settle(self) -> None:
        """Make the last one outlast a power cut: not within a turn, where a command waits to be sent."""
        if self._noted is not None:
            with contextlib.suppress(OSError):
                files.write(self._path, f"{self._noted}\n".encode())
                files.sync(self._path.parent)
                self._noted = None


def run(
    home: Home,
    load: Callable[[], Settings],
    *,
    once: float | None = None,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Run the dispatcher of a home until it is told to end; with `once` as soon as no command is open.

    Raises:
        AlreadyRunning: it runs already in this home.
        TabardError: its keys cannot be used.
    """
    held = RoleSettings("dispatcher", load)
    settings = held.current
    office: Office | None = None

    def take(newer: Settings) -> None:
        if office is not None:
            office.groups = newer.strings("dispatcher.groups")
            office.needs = needs_of(newer.strings("dispatcher.approvals"))
            office.keep = round(newer.seconds("dispatcher.keep") * SECOND)
            office.rules.give_up = round(newer.seconds("dispatcher.give_up") * SECOND)

    def handle(client: Client, request: dict[str, Any]) -> dict[str, Any]:
        if office is None:
            raise RefusedError(
                "no command is taken", expected="a home with keys", found=KEYLESS, where=str(home.path)
            )
        return office.handle(client, request)

    with role("dispatcher", home, lambda: held.reload(take)) as process:
        loop = process.loop
        serving = Serving(home.socket(SOCKET), loop, handle)
        wake = _waking(home.socket(WAKE))
        try:
            ready()
            every = settings.seconds("log.status_every")
            process.report(lambda: {"fault": KEYLESS, "open": 0, "counters": {}}, every)
            if not _has_keys(process, wait=once is None):
                return
            name, zone = settings.str("node.name"), settings.str("node.zone")
            keys = keys_of(home, DISPATCHER, name, zone, role_peers(settings, home, "recorder"), loop)
            assert keys is not None
            trust = keys[0].trust
            made = sockets.Sockets(
                hwm=settings.int("brokers.hwm"), max_frame=settings.bytes("brokers.max_frame"), keys=keys
            )
            carrier = Carrier(trust, made, recorder_ends(settings, home))
            rules = Rules(round(settings.seconds("dispatcher.give_up") * SECOND))
            turns = TurnsFile(home.path / WITNESS)
            office = Office(
                Place.of(settings, home),
                carrier,
                trust,
                rules,
                turns,
                loop,
                SystemClock(),
                settings.strings("dispatcher.groups"),
                round(settings.seconds("dispatcher.keep") * SECOND),
                settings.strings("dispatcher.approvals"),
            )
            at_work: Office = office
            process.report(lambda: made.told(at_work.status()), every)
            loop.add_reader(wake.fileno(), lambda: _woken(wake, at_work))
            at_work.start()
            loop.every(LOOK_EVERY, turns.settle)
            if once is not None:
                loop.every(LOOK_EVERY, lambda: None if at_work.status()["open"] else loop.stop())
            loop.run()
            at_work.close()
            turns.settle()
            made.close()
        finally:
            serving.close()
            wake.close()
            with contextlib.suppress(OSError):
                home.socket(WAKE).unlink()


def _has_keys(process: Role, *, wait: bool) -> bool:
    """Wait until the home has keys; False when the role is to end before."""
    home, loop = process.home, process.loop
    if not home.trust.exists():
        _log.warning("no command is taken: %s", KEYLESS)
        if not wait:
            return False
        _until(loop, home.trust.exists)
    return not process.ending


def _until(loop: Loop, true: Callable[[], bool]) -> None:
    def look() -> None:
        if true():
            loop.stop()
        else:
            loop.call_at(loop.now() + LOOK_EVERY, look)

    look()
    loop.run()


def _waking(path: Path) -> socket.socket:
    """The socket on which a recorder of this home says that it stored control records."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    made.bind(os.fspath(path))
    return made


def _woken(wake: socket.socket, office: Office) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            wake.recv(16)
    office.turn()
