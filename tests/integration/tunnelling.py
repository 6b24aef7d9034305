"""Real ssh servers, something that answers behind them, and a tunnel's own process, for tests of tunnels."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import zmq

from tabard.home import Home
from tabard.ops.bench import sshd
from tabard.ops.bench.sshd import Sshd
from tabard.status import running
from tests.conftest import Need
from tests.integration.brokering import wait_until
from tests.integration.upping import Started
from tests.ports import free_port

Json = dict[str, Any]


class Answering:
    """What answers as a broker does: a publisher on a port of its own that can go and come back."""

    def __init__(self) -> None:
        self._context = zmq.Context()
        self.port = free_port()
        self._socket = self._bound()

    @property
    def address(self) -> str:
        """As a forward names it."""
        return f"127.0.0.1:{self.port}"

    def _bound(self) -> zmq.Socket[bytes]:
        made = self._context.socket(zmq.XPUB)
        made.linger = 0
        try:
            made.bind(f"tcp://{self.address}")
        except zmq.ZMQError:
            made.close()
            raise
        return made

    def go(self) -> None:
        """Listen no more."""
        self._socket.close()
        wait_until(self._is_free, "the port is given back")

    def _is_free(self) -> bool:
        try:
            probe = self._bound()
        except zmq.ZMQError:
            return False
        probe.close()
        return True

    def come_back(self) -> None:
        """Listen again."""

        def bound() -> bool:
            try:
                self._socket = self._bound()
            except zmq.ZMQError:
                return False
            return True

        wait_until(bound, "it listens again")

    def passes(self, port: int) -> None:
        """See that a message comes through a port, whatever became of earlier connections to it."""
        heard = self._context.socket(zmq.SUB)
        heard.linger = 0
        heard.subscribe(b"topic")
        heard.connect(f"tcp://127.0.0.1:{port}")
        try:
            assert self._socket.poll(20_000), "no subscription came through"
            self._socket.recv()
            self._socket.send(b"topic and text")
            assert heard.poll(20_000), "no message came through"
            assert heard.recv() == b"topic and text"
        finally:
            heard.close()
            self._drain()

    def _drain(self) -> None:
        while self._socket.poll(0):
            self._socket.recv()

    def close(self) -> None:
        """The end."""
        self._socket.close()
        self._context.term()


class Tunnelled:
    """A home with one tunnel ``hq`` to a server of its own, and the process that has it."""

    def __init__(self, home: Path, backend: str, server: Sshd, behind: Answering) -> None:
        self.home = Home(home).ensure()
        self.backend = backend
        self.server = server
        self.behind = behind
        self.port = free_port()
        """The local end."""
        self.keys: dict[str, object] = {}
        self.forwards: list[dict[str, str]] = [{"listen": f"127.0.0.1:{self.port}", "to": behind.address}]
        if backend == "external":
            self.forwards = [{"listen": f"127.0.0.1:{self.port}"}]
        else:
            self.keys = {
                "host": "127.0.0.1",
                "port": server.port,
                "user": server.user,
                "key_file": str(server.key_file),
                "host_key": server.host_key,
            }
        self.started: Started | None = None
        self._others: subprocess.Popen[bytes] | None = None

    def write(self) -> None:
        """The settings."""
        keys = {"name": "hq", "backend": self.backend, **self.keys}
        lines = ["[[tunnel]]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
        for forward in self.forwards:
            lines += [
                "[[tunnel.forward]]",
                *(f"{key} = {json.dumps(value)}" for key, value in forward.items()),
            ]
        self.home.settings_file.write_text("\n".join(lines) + "\n")

    def begin(self, *words: str) -> Self:
        """Write the settings and start the process; for an external tunnel somebody else's ssh too."""
        self.write()
        if self.backend == "external":
            self.others_ssh()
        self.started = Started(self.home.path, "tunnel", *words)
        return self

    def others_ssh(self) -> None:
        """Start ssh as somebody else would, or start it again."""
        if self._others is not None:
            self._others.kill()
            self._others.wait()
        known = self.home.path / "known_hosts"
        known.write_text(self.server.known_hosts)
        self._others = subprocess.Popen(
            [
                "ssh", "-F", "none", "-N", "-T", "-i", str(self.server.key_file), "-p", str(self.server.port),
                "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes",
                "-L", f"127.0.0.1:{self.port}:{self.behind.address}", f"{self.server.user}@127.0.0.1",
            ],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def status(self) -> Json:
        """What it says of itself; empty before it does."""
        return running(self.home, "tunnel.hq") or {}

    def until(self, holds: Callable[[Json], object], what: str) -> Json:
        """Its status as soon as that holds."""
        found: Json = {}

        def look() -> bool:
            nonlocal found
            assert self.started is None or self.started.process.poll() is None, (
                f"it has ended: {self.started.rest()} {self.started.said}"
            )
            found = self.status()
            return bool(found) and bool(holds(found))

        wait_until(look, f"{what}; it is {self.status()}")
        return found

    def up(self) -> Json:
        """Wait until everything answers."""
        return self.until(lambda said: said["state"] == "up", "the tunnel is up")

    def wrong(self, *words: str) -> Json:
        """Wait until it says what is wrong in these words."""
        return self.until(lambda said: all(word in (said["why"] or "") for word in words), f"it says {words}")

    def reload(self) -> None:
        """SIGHUP."""
        assert self.started is not None
        os.kill(self.started.process.pid, signal.SIGHUP)

    def close(self) -> None:
        """End all."""
        if self.started is not None:
            self.started.__exit__()
        if self._others is not None:
            self._others.kill()
            self._others.wait()


Make = Callable[..., Tunnelled]


@pytest.fixture
def server(need: Need) -> Iterator[Sshd]:
    """A server of the test's own."""
    program = sshd.programs()
    need.that(program is not None, "sshd, ssh and ssh-keygen (the packages openssh-server, openssh-client)")
    assert program is not None
    with Sshd(program) as made:
        yield made


@pytest.fixture
def make(tmp_path: Path, server: Sshd) -> Iterator[Make]:
    """Makes a tunnel of a back end; it is ended with the test."""
    made: list[Tunnelled] = []
    behind = Answering()

    def build(backend: str) -> Tunnelled:
        made.append(Tunnelled(tmp_path / "home", backend, server, behind))
        return made[-1]

    yield build
    for each in made:
        each.close()
    behind.close()
