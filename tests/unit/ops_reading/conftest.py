"""A home whose store holds records of two nodes, a gap and a doubt, and ways to run the command line on it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tabard.brokers.delivery.leases import NOBODY, RECORDER, Identity, Lease
from tabard.consumers.store.sqlite import SqliteStore
from tests.unit.web.seed import NOW, SECOND, Seeder, record

Run = Callable[..., subprocess.CompletedProcess[str]]


def run_on(home: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run ``tabard ...`` with that home, in Berlin."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-P", "-m", "tabard.ops.main", *words],
        env={**kept, "HOME": str(home.parent), "TABARD_HOME": str(home), "TZ": "Europe/Berlin", **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home; read only."""
    home = tmp_path_factory.mktemp("reading") / "home"
    seeder = Seeder(home / "store")
    seeder.beacon()
    seeder.beacon(node="db1", zone="hq/dmz", heard=NOW - 60 * SECOND)
    seeder.logs(
        record(time=NOW + i * SECOND, message=f"line {i}", service="shop", level="INFO") for i in range(1200)
    )
    seeder.gap(7)
    seeder.logs(
        [
            record(
                time=NOW + 2000 * SECOND,
                severity=17,
                level="error",
                service="shop",
                message="disk is full\n\x1b[2Jfake",
                exception="OSError: no space",
                stack="Traceback:\n  here\nOSError: no space",
                attributes='{"disk": "sdb"}',
            )
        ]
    )
    seeder.gap(1, kind="doubt", reason="the store was restored", detail="from a backup")
    seeder.logs(
        [
            record(
                time=NOW + 2100 * SECOND, severity=13, level="warning", message="stock is low", service="till"
            )
        ],
        node="db1",
        zone="hq/dmz",
    )
    seeder.close()
    with SqliteStore.open(home / "store") as store:
        leases, hub = store.leases(RECORDER), Identity("1" * 32, "2" * 32, "hub:/srv/tabard")
        leases.look(hub, 600.0, joining=True)
        leases.take(hub, [Lease(part, NOBODY, 0) for part in range(RECORDER.parts)])
    return home


@pytest.fixture
def tabard(home: Path) -> Run:
    """``tabard(*words)`` on that home."""
    return lambda *words, **env: run_on(home, *words, **env)
