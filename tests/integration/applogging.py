"""A real agent over a home, applications that log into it, and what its journal holds afterwards."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack

from tabard.agents.journals import Journals
from tabard.brokers.delivery.ports import NodeKey
from tabard.brokers.delivery.seal import OpenSeal
from tabard.brokers.wire.batch import DATA
from tabard.clock import SystemClock
from tabard.home import Home
from tabard.records import LOG_FIELDS
from tabard.settings import load
from tests.integration.upping import TABARD, environment

PATIENCE = 60.0
INTERPRETER = os.environ.get("APPLICATION_PYTHON", sys.executable)
"""What runs the applications: another version may be named, with PYTHONPATH leading to this package and msgpack."""

_PATH = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}

Record = dict[str, Any]


class Rig:
    """A home, its agent, and its applications."""

    def __init__(self, directory: Path) -> None:
        self.home = Home(directory / "home")
        self.agent: subprocess.Popen[bytes] | None = None
        self.applications: list[subprocess.Popen[str]] = []

    def launch_agent(self, **env: str) -> subprocess.Popen[bytes]:
        """Start it, and do not wait for anything."""
        self.agent = subprocess.Popen(
            [*TABARD, "agent", "--home", str(self.home.path)],
            env=environment(self.home.path, **env),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        return self.agent

    def start_agent(self, **env: str) -> None:
        """Return when it listens."""
        agent = self.launch_agent(**env)
        status = self.home.run / "agent.json"

        def says_so() -> bool:
            assert agent.poll() is None, agent.communicate()[1]
            return status.exists() and f'"pid": {agent.pid}'.encode() in status.read_bytes()

        self.until(says_so)

    @property
    def _agent(self) -> subprocess.Popen[bytes]:
        assert self.agent is not None
        return self.agent

    def kill_agent(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it, by default in the hardest way."""
        self._agent.send_signal(number)
        self._agent.communicate()

    def start(self, code: str, **env: str) -> subprocess.Popen[str]:
        """An application: its standard output is the test's to read."""
        application = subprocess.Popen(
            [INTERPRETER, "-c", code],
            env={**environment(self.home.path), **_PATH, "PYTHONWARNINGS": "ignore", **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.applications.append(application)
        return application

    def run(self, code: str, **env: str) -> tuple[str, str]:
        """An application, run to its end in order: what it printed, and what it complained of."""
        application = self.start(code, **env)
        out, err = application.communicate(timeout=PATIENCE)
        assert application.returncode == 0, err
        return out, err

    def until(self, condition: Any) -> None:
        """Look again and again until it holds."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "it never came to pass"
            select.select([], [], [], 0.02)

    def spooled(self) -> list[str]:
        """Names in the spool."""
        return sorted(os.listdir(self.home.spool)) if self.home.spool.exists() else []

    def journaled(self) -> list[Record]:
        """Wait for the spool to be empty, end the agent, and read what applications said, in order."""
        self.until(lambda: not self.spooled())
        self.kill_agent(signal.SIGTERM)
        return [record for record in self._read() if record["service"] != "tabard-agent"]

    def _read(self) -> Iterator[Record]:
        settings = load(self.home, env={})
        journals = Journals(self.home, settings, NodeKey("n", "z"), SystemClock(), OpenSeal())
        try:
            for span in journals.logs.spans():
                for batch in journals.logs.read_from(span.epoch, 1):
                    if batch.header.kind == DATA:
                        for _, _, _, records in msgpack.unpackb(batch.body):
                            yield from (dict(zip(LOG_FIELDS, record, strict=True)) for record in records)
        finally:
            journals.close(lambda error: None)

    def close(self) -> None:
        """Leave nothing."""
        for application in self.applications:
            if application.poll() is None:
                application.kill()
            application.communicate()
        if self.agent is not None and self.agent.poll() is None:
            self.agent.send_signal(signal.SIGCONT)
            self.agent.kill()
            self.agent.communicate()


def numbers(records: list[Record]) -> dict[str, list[int]]:
    """The numbers that each speaker said, in order; a message is ``SPEAKER NUMBER``."""
    found: dict[str, list[int]] = defaultdict(list)
    for record in records:
        speaker, _, number = record["message"].rpartition(" ")
        found[speaker].append(int(number))
    return dict(found)
