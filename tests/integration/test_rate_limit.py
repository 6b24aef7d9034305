"""A link with a limited rate, in real processes: a backlog passes at that rate, and all of it arrives once."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final, Self

import pytest

from tabard.brokers.ratelimit import BURST_SECONDS, LEAST
from tabard.home import Home
from tabard.status import running
from tests.integration.brokering import wait_until
from tests.integration.upping import Started, wait_for_end

RATE: Final = 128 * 1024
PAD: Final = "x" * 1_000
RECORDS: Final = 2_500
"""Some seconds of the rate, beyond a burst."""
BATCH: Final = 400_000
"""Bytes of one at most: 256 of these records with all that is about them."""
ENDS: Final = {
    "lower end": ("dmz", "up", f'rate = "{RATE}B"', ""),
    "upper end": (
        "hq",
        "link dmz",
        "",
        f'[[broker.link]]\npeer = "dmz"\ndials = "peer"\nrate = "{RATE}B"',
    ),
}
"""Which broker limits, what its status calls it, and what stands in the tables of both."""


class Site:
    """Two zones in one home: an agent at the outer broker, a recorder at the inner one."""

    def __init__(self, path: Path, lower: str, upper: str) -> None:
        self.home = Home(path).ensure()
        self.home.settings_file.write_text(
            f'[node]\nname = "n1"\nzone = "hq/dmz"\n[agent]\nbeacon = "1s"\n'
            f'[[broker]]\nname = "dmz"\nzone = "hq/dmz"\nparent = "hq"\n{lower}\n'
            f'[[broker]]\nname = "hq"\nzone = "hq"\n{upper}\n'
        )
        self._running: dict[str, Started] = {}
        self.began: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for started in self._running.values():
            started.__exit__()

    def start(self, name: str) -> None:
        """A role, and wait until it is there."""
        self.began[name] = time.monotonic()
        started = self._running[name] = Started(self.home.path, *name.split("."))
        pid = started.process.pid
        wait_until(
            lambda: started.process.poll() is not None or self.said(name).get("pid") == pid, f"{name} runs"
        )
        assert started.process.poll() is None, started.rest() or started.said

    def kill(self, name: str) -> None:
        """At once."""
        started = self._running[name]
        started.signal(signal.SIGKILL)
        wait_for_end(started.process.pid)
        started.rest()

    def change(self, old: str, new: str) -> None:
        """Something in the settings."""
        text = self.home.settings_file.read_text()
        self.home.settings_file.write_text(text.replace(old, new))

    def signal(self, name: str, number: signal.Signals) -> None:
        """To a role."""
        self._running[name].signal(number)

    def said(self, name: str) -> dict[str, Any]:
        """What it says of itself; empty while it does not."""
        return running(self.home, name) or {}

    def log(self, number: int) -> None:
        """A record."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(self.home.socket("intake.sock")))
            sock.sendall(json.dumps({"message": f"n {number}", "pad": PAD}).encode() + b"\n")

    def log_all(self) -> None:
        """The backlog, over one connection."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(self.home.socket("intake.sock")))
            for number in range(RECORDS):
                sock.sendall(json.dumps({"message": f"n {number}", "pad": PAD}).encode() + b"\n")
        wait_until(lambda: self.said("agent").get("accepted", 0) >= RECORDS, "all is accepted")

    def stored(
        self, what: str = "SELECT message FROM log WHERE message GLOB 'n *'", file: str = "records"
    ) -> Counter[Any]:
        """Rows of one of the store's files, each as often as it is there."""
        path = self.home.store / f"{file}.db"
        if not path.exists():
            return Counter()
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as store:
            try:
                rows = store.execute(what).fetchall()
            except sqlite3.OperationalError:  # its tables are being made
                return Counter()
        return Counter(row[0] for row in rows)


@pytest.mark.parametrize("end", list(ENDS))
def test_a_limited_link_carries_a_backlog_at_its_rate(tmp_path: Path, end: str) -> None:
    """By its own counters, at every look; beacons and control go on, nothing is dropped, and all is stored once."""
    broker, of, lower, upper = ENDS[end]
    role = f"broker.{broker}"
    with Site(tmp_path / "home", lower, upper) as site:
        for name in ("broker.hq", "broker.dmz", "agent"):
            site.start(name)
        site.log_all()
        site.start("recorder")

        def passed() -> int:
            """Bytes since the start of the broker; never more than the rate and a burst allow."""
            limits = {row["of"]: row for row in site.said(role).get("limits", ())}
            span = time.monotonic() - site.began[role]
            count: int = limits[of]["passed"] if of in limits else 0
            assert count <= RATE * (span + BURST_SECONDS) + LEAST + 2 * BATCH
            return count

        def beacons() -> int:
            rows = site.stored("SELECT beacon FROM presence")
            return max(rows, default=0)

        wait_until(lambda: passed() > 3 * RATE, "the backlog passes")
        assert sum(site.stored().values()) < RECORDS
        # While it does, the node is heard, and what it answers is stored.
        before, control = beacons(), sum(site.stored(CONTROLS, "state").values())
        site.change("beacon = ", 'sample_host = "20s"\nbeacon = ')
        site.signal("agent", signal.SIGHUP)  # which it notes in its control stream
        wait_until(lambda: sum(site.stored(CONTROLS, "state").values()) > control, "control is stored")
        wait_until(lambda: beacons() > before, "a beacon is heard")
        assert sum(site.stored().values()) < RECORDS, "the backlog was gone before anything was seen"
        # A broker that is killed grants a burst at its next start, and not what was granted before once more.
        site.kill(role)
        site.start(role)
        wait_until(lambda: passed() >= 0 and sum(site.stored().values()) >= RECORDS, "all is stored")
        assert site.stored() == Counter(f"n {number}" for number in range(RECORDS))
        counters = {**site.said("broker.hq")["counters"], **site.said("broker.dmz")["counters"]}
        assert [name for name in counters if "dropped" in name or "refused" in name or "lost" in name] == []
        site.log(RECORDS)
        wait_until(lambda: f"n {RECORDS}" in site.stored(), "what is new is stored")


CONTROLS: Final = "SELECT kind FROM control"
