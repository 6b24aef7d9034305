"""A recorder whose server is away, or refuses, when it starts."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tabard.consumers.store.postgresql.partitions import DAY
from tabard.home import Home
from tabard.ops.bench.postgres import Postgres
from tests.chaos.test_midnight import Shifted
from tests.integration.brokering import wait_until
from tests.passwords import asking

_ROLE = [sys.executable, "-P", "-m", "tabard.ops.main", "recorder"]


class Started:
    """A recorder in a home of its own."""

    def __init__(
        self, directory: Path, *lines: str, options: tuple[str, ...] = (), program: Path | None = None
    ) -> None:
        """`program` is run in the place of Tabard's own."""
        self.home = Home(directory / "home").ensure()
        sockets = f'up = "ipc://{directory}/up"\ndown = "ipc://{directory}/down"'
        self.home.settings_file.write_text("\n".join(["[recorder]", sockets, "[store]", *lines]))
        self.process = subprocess.Popen(
            [
                *(_ROLE if program is None else (sys.executable, str(program), "recorder")),
                "--home",
                str(self.home.path),
                *options,
            ],
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


def test_it_says_that_its_clock_is_far_from_the_servers(tmp_path: Path, server: Postgres) -> None:
    """What it stores arrives by it, and may be too old for the retention of another recorder at once."""
    clock = Shifted(tmp_path)
    clock.set(-3 * DAY)
    started = Started(tmp_path, f'url = "{server.database()}"', program=clock.program)

    def fault() -> str:
        return started.status().get("fault") or ""

    try:
        wait_until(lambda: "clock of this host is 3d behind" in fault(), "that its clock is behind")
        clock.set(7200 * 10**9)
        wait_until(lambda: "clock of this host is 2h ahead" in fault(), "that its clock is ahead")
        clock.set(0)
        wait_until(lambda: not fault(), "that all is well")
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


def test_a_server_that_hangs_is_said(tmp_path: Path, server: Postgres) -> None:
    """No error comes of it, and the recorder waits: what it waits for stands in its status, which does not grow old."""
    started = Started(tmp_path, f'url = "{server.database()}"')
    try:
        wait_until(lambda: started.status().get("credit"), "that it is storing")
        postmaster = int((server.socket / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        frozen = [postmaster, *map(int, children)]
        try:
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)
            wait_until(
                lambda: "neither ends nor fails" in (started.status().get("fault") or ""), "what hangs"
            )
            before = started.status()["fault"]
            wait_until(lambda: started.status()["fault"] != before, "that it goes on saying so")
            assert started.status()["counters"] is not None
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
        wait_until(lambda: started.status().get("fault", "") is None, "that it is storing again")
        started.process.send_signal(signal.SIGTERM)
        started.ended()
        assert started.process.returncode == 0
        said = (started.home.path / "log" / "recorder.log").read_text()
        assert (said.count("neither ends nor fails"), said.count("the recorder goes on")) == (1, 1), said
    finally:
        started.close()
