"""A recorder whose server is away, or refuses, when it starts."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tabard.home import Home
from tabard.ops.bench.postgres import Postgres
from tests.integration.brokering import wait_until
from tests.passwords import asking

_ROLE = [sys.executable, "-P", "-m", "tabard.ops.main", "recorder"]


class Started:
    """A recorder in a home of its own."""

    def __init__(self, directory: Path, *lines: str, options: tuple[str, ...] = ()) -> None:
        self.home = Home(directory / "home").ensure()
        sockets = f'up = "ipc://{directory}/up"\ndown = "ipc://{directory}/down"'
        self.home.settings_file.write_text("\n".join(["[recorder]", sockets, "[store]", *lines]))
        self.process = subprocess.Popen(
            [*_ROLE, "--home", str(self.home.path), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def status(self) -> dict[str, Any]:
        """What it says of itself; nothing while it says nothing."""
        try:
            return json.loads((self.home.run / "recorder.json").read_text())  # type: ignore[no-any-return]
        except (OSError, ValueError):
            return {}

    def ended(self) -> str:
        """What it said on its way to its end."""
        return self.process.communicate(timeout=60)[1]

    def close(self) -> None:
        """End it by force."""
        self.process.kill()
        self.process.communicate()


def test_it_waits_for_a_server_that_is_away(tmp_path: Path, server: Postgres) -> None:
    """Says why in its status, stores once the server is there, and ends in order."""
    url = server.database()
    server.stop()
    started = Started(tmp_path, f'url = "{url}"')
    try:
        wait_until(lambda: "cannot be reached" in (started.status().get("fault") or ""), "why it waits")
        assert started.process.poll() is None
        server.start()
        wait_until(lambda: started.status().get("credit"), "that it is storing")
        assert started.status()["fault"] is None
        started.process.send_signal(signal.SIGTERM)
        started.ended()
        assert started.process.returncode == 0
        said = (started.home.path / "log" / "recorder.log").read_text()
        assert (said.count("is away"), said.count("server answers")) == (1, 1), said
    finally:
        started.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_while_it_waits(tmp_path: Path, number: signal.Signals) -> None:
    """Also in the middle of a try that nobody answers: this server takes the connection and says nothing."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        started = Started(tmp_path, f'url = "postgresql://tabard@127.0.0.1:{port}/logs"')
        try:
            peer, _ = silent.accept()
            started.process.send_signal(number)
            started.ended()
            assert started.process.returncode == 0
            peer.close()
        finally:
            started.close()


def test_a_job_that_runs_it_for_a_while_is_told(tmp_path: Path) -> None:
    """With --once it does not wait."""
    url = f"postgresql://tabard@/logs?host={tmp_path}"
    started = Started(tmp_path, f'url = "{url}"', options=("--once",))
    try:
        assert "cannot be reached" in started.ended()
        assert started.process.returncode == 1
    finally:
        started.close()


def test_a_refusal_is_not_waited_out(tmp_path: Path, server: Postgres) -> None:
    """A wrong password or database is for somebody to mend; an account that is tried again and again may be locked."""
    url = server.database()
    started = Started(tmp_path / "database", f'url = "{server.url("of_nobody")}"')
    assert "does not exist" in started.ended()
    assert started.process.returncode == 1
    url = asking(server, "keeper", "right")
    secret = tmp_path / "password"
    secret.write_text("wrong\n")
    secret.chmod(0o600)
    started = Started(
        tmp_path / "password_",
        f'url = "{url}"',
        f'password_file = "{secret}"',
    )
    said = started.ended()
    assert "password authentication failed" in said
    assert started.process.returncode == 1
    assert "wrong\n" not in said
