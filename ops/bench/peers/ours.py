"""Tabard: agent, broker and recorder as they are shipped, fed by its own socket or over syslog, on either engine."""

from __future__ import annotations

import os
import platform
import signal
import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import psycopg2

from tabard import __version__
from tabard.client import IntakeClient
from tabard.consumers.store.layout import RECORDS
from tabard.consumers.store.postgresql import server as engine
from tabard.errors import StoreError, TabardError
from tabard.ops.bench.peers import work
from tabard.ops.bench.peers.peer import Ground, Peer, Target
from tabard.ops.bench.peers.plan import Part
from tabard.ops.bench.peers.processes import Server, Victim
from tabard.ops.bench.peers.rsyslog import server_version
from tabard.ops.bench.postgres import programs
from tabard.ops.bench.scene import Scene
from tabard.ops.bench.surroundings import free_port

ROLES: Final = ("broker", "recorder", "agent")
_RECEIVING: Final = ("recorder",)
_STARTING: Final = 60.0
_WARM_UP: Final = "warm-up"
_AWAY: Final = (psycopg2.Error, sqlite3.OperationalError, StoreError)
"""What looking into a store raises that cannot be read just now."""


class Role:
    """A role as a victim."""

    def __init__(self, scene: Scene, name: str) -> None:
        self._scene = scene
        self._name = name

    def kill(self) -> None:
        """SIGKILL."""
        self._scene.kill(self._name)

    def hang(self) -> None:
        """SIGSTOP."""
        with suppress(KeyError, ProcessLookupError):  # it is being started again just now
            os.kill(self._scene.pid(self._name), signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        with suppress(KeyError, ProcessLookupError):
            os.kill(self._scene.pid(self._name), signal.SIGCONT)

    def start(self) -> None:
        """Without waiting: the others are to be started at the same moment."""
        self._scene.launch(self._name)


class Tabard(Peer):
    """On SQLite, fed by its own socket."""

    title = "Tabard to SQLite"
    store = "rows, SQLite"
    syslog = False
    drawn = "SELECT coalesce(max(id), 0) FROM log"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        self._port = free_port()
        given = {"up.brokers": "1", "node.name": "bench", "intake.tail_defaults": "false"}
        given |= {"intake.syslog_tcp": f"127.0.0.1:{self._port}"} if self.syslog else {}
        self.scene = Scene(ground.place / "home", given | self.settings(), ROLES)
        self._rows: sqlite3.Connection | None = None

    @classmethod
    def missing(cls) -> str:
        """Nothing: it is what runs this."""
        return ""

    @classmethod
    def version(cls) -> str:
        """With those of what it stands on."""
        return f"Tabard {__version__}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"

    def settings(self) -> dict[str, str]:
        """Of the store."""
        return {}

    def start(self) -> None:
        """All roles, until a first record is through. Raises TabardError."""
        for name in self.scene.names:
            self.scene.start(name)
        client = IntakeClient(self.scene.home.socket("intake.sock"), _WARM_UP, service=_WARM_UP)
        client.send([work.record(0, time.time_ns())])
        client.flush()
        client.close()
        deadline = time.monotonic() + _STARTING
        while self.stored() < 0:
            if time.monotonic() > deadline:
                raise TabardError("the first record does not arrive", where=str(self.scene.home.path))
            self.scene.rest(0.02)

    def stop(self) -> None:
        """End all roles."""
        for name in self.scene.names:
            Role(self.scene, name).resume()
        self.scene.__exit__(None, None, None)
        self._look_away()

    def target(self) -> Target:
        """The agent's socket, or its syslog port."""
        if self.syslog:
            return Target("syslog", ("127.0.0.1", self._port))
        return Target("tabard", str(self.scene.home.socket("intake.sock")))

    def stored(self) -> int:
        """Rows besides the first one, counted once ids for as many as are expected were drawn; -1 before that one."""
        try:
            drawn = self._ask(self.drawn)
            if not drawn or drawn[0][0] < self.expected:
                return int(drawn[0][0]) - 1 if drawn else -1
            return int(self._ask(f"SELECT count(*) FROM log WHERE service = '{work.SERVICE}'")[0][0]) - 1  # noqa: S608
        except _AWAY:
            self._look_away()
            return -1

    def numbers(self) -> Sequence[int]:
        """In the order that holds: by epoch and sequence number."""
        text = f"SELECT message FROM log WHERE service = '{work.SERVICE}' ORDER BY epoch_id, seq"  # noqa: S608
        found = [work.number_in(said) for (said,) in self._ask_anew(text)]
        return found[1:]  # the first is the warm-up's

    def told(self) -> int:
        """Records that its gaps name as lost."""
        text = "SELECT coalesce(sum(count), 0) FROM gap WHERE stream = 2 AND kind = 'gap'"
        return int(self._ask_anew(text)[0][0])

    def victims(self, part: Part) -> Sequence[Victim]:
        """All that receives on the way, or who writes the store."""
        names = (
            [name for name in self.scene.names if name != "agent"] if part is Part.RECEIVER else _RECEIVING
        )
        return [Role(self.scene, name) for name in names]

    def pids(self) -> Sequence[int]:
        """Of all roles that run."""
        found = []
        for name in self.scene.names:
            with suppress(KeyError):
                found.append(self.scene.pid(name))
        return found

    def tend(self) -> None:
        """Hear the roles, and start again what ended."""
        self.scene.revive()

    def _ask_anew(self, text: str) -> list[tuple[Any, ...]]:
        """Over a new connection: what is counted must not be a silence. Raises the driver's errors."""
        self._look_away()
        return self._ask(text)

    def _look_away(self) -> None:
        if self._rows is not None:
            self._rows.close()
            self._rows = None

    def _ask(self, text: str) -> list[tuple[Any, ...]]:
        """Rows of an answer; none while there is no store. Raises the driver's errors."""
        if self._rows is None:
            path = RECORDS.path(self.scene.home.store)
            if not path.exists():
                return []
            self._rows = sqlite3.connect(
                f"{path.as_uri()}?mode=ro", uri=True, timeout=5.0, isolation_level=None
            )
        return self._rows.execute(text).fetchall()


class TabardBySyslog(Tabard):
    """On SQLite, fed as its peers are."""

    title = "Tabard to SQLite, fed over syslog TCP"
    syslog = True


class TabardToPostgres(Tabard):
    """On PostgreSQL, fed by its own socket."""

    title = "Tabard to PostgreSQL"
    store = "rows, PostgreSQL"
    packages = ("postgresql",)
    drawn = "SELECT last_value FROM log_id_seq"

    @classmethod
    def missing(cls) -> str:
        """The server's package."""
        return "" if programs() is not None else "apt install postgresql"

    @classmethod
    def version(cls) -> str:
        """With that of the server."""
        return f"Tabard {__version__}, Python {platform.python_version()}, {server_version()}"

    def settings(self) -> dict[str, str]:
        """An empty database."""
        self._server = Server(self.ground.serve())
        self._url = self._server.server.database()
        self._connection: psycopg2.extensions.connection | None = None
        return {"store.url": self._url}

    def victims(self, part: Part) -> Sequence[Victim]:
        """The server is the sink."""
        return [self._server] if part is Part.SINK else super().victims(part)

    def server_pids(self) -> Sequence[int]:
        """Of the server."""
        return self._server.pids()

    def _look_away(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, text: str) -> list[tuple[Any, ...]]:
        """Raises the driver's errors, also while the server is away."""
        if self._connection is None:
            self._connection = engine.connect(self._url, "", engine.schema_of(RECORDS), "tabard bench")
        with self._connection.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall()


class TabardToPostgresBySyslog(TabardToPostgres):
    """On PostgreSQL, fed as its peers are."""

    title = "Tabard to PostgreSQL, fed over syslog TCP"
    syslog = True
