"""A real agent with intakes of the bridge, and what its journal holds afterwards."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgpack

from tabard.brokers.wire.batch import DATA
from tabard.records import LOG_FIELDS
from tests.integration.test_intake_killed import open_journal
from tests.integration.upping import Started, tabard

PATIENCE: Final = 60.0
NODE: Final = ("--set", "node.name=web1", "--set", "node.zone=hq")


def free_address(kind: socket.SocketKind = socket.SOCK_STREAM) -> str:
    """A loopback address that nobody uses now.

    Not one that the kernel gives to connections: a client that tries it while nobody listens could be given the very
    port it wants to reach, is connected to itself, and keeps the agent from listening there.
    """
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket(socket.AF_INET, kind) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return f"127.0.0.1:{port}"


def place_of(address: str) -> tuple[str, int]:
    """Host and port."""
    host, _, port = address.rpartition(":")
    return host, int(port)


def agent(home: Path, **given: str) -> Started:
    """An agent that listens, with settings of the section `intake`."""
    words = [word for name, value in given.items() for word in ("--set", f"intake.{name}={value}")]
    started = Started(home, "agent", *NODE, *words)
    try:
        wait_until(lambda: started.process.poll() is not None or _runs(home, started), "it does not start")
        assert started.process.poll() is None, started.rest() or started.said
    except BaseException:
        started.process.kill()
        started.rest()
        raise
    return started


def _runs(home: Path, started: Started) -> bool:
    try:
        return bool(said(home)["pid"] == started.process.pid)
    except OSError:
        return False


def report(home: Path) -> dict[str, Any]:
    """What `tabard status` says."""
    found: dict[str, Any] = json.loads(tabard(home, "status", "-o", "json").stdout)
    return found


def said(home: Path) -> dict[str, Any]:
    """The agent's own status file."""
    found: dict[str, Any] = json.loads((home / "run/agent.json").read_text())
    return found


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Look until it holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def journaled(home: Path, *, own: bool = False) -> list[dict[str, Any]]:
    """The log records in the journal of an agent that has ended, in order; without the agent's ``own``, or only those."""
    journal = open_journal(str(home / "journal/logs"))
    found = []
    for span in journal.spans():
        for batch in journal.read_from(span.epoch, 1):
            if batch.header.kind == DATA:
                for _, _, origin, records in msgpack.unpackb(batch.body):
                    for record in records:
                        each = dict(zip(LOG_FIELDS, record, strict=True)) | {"origin": origin}
                        if (each["package"] == "tabard") is own:
                            found.append(each)
    journal.close()
    return found
