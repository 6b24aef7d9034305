"""Two zones on one machine, each with a broker, a recorder and a database of its own, and an agent in the outer one.

The settings are those of docs/how-to/a-database-per-zone.md, with ports and places of this machine in them.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

import psycopg2

from tabard.client import IntakeClient
from tabard.consumers.store.layout import RECORDS, FileKind
from tabard.consumers.store.postgresql.server import schema_of
from tabard.home import Home
from tabard.ops.bench.postgres import Postgres
from tabard.records import LOG_FIELDS
from tabard.status import running
from tests import keys
from tests.integration.upping import Started, tabard
from tests.ports import free_port

OUTER: Final = "plant"
INNER: Final = "hq"
PATIENCE: Final = 60.0
"""Seconds after which what should happen will not."""

_PAGE: Final = Path(__file__).parents[2] / "docs/how-to/a-database-per-zone.md"
_MORE: Final = """
[journal]
keep_acked = "{keep}"
{journal}
"""


def _described() -> list[str]:
    """The settings on the page: of the inner zone, then of the outer one."""
    found = re.findall(r"^```toml\n(.*?)^```", _PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return found[:2]


def _here(text: str, ports: dict[str, int], url: str) -> str:
    """Settings with the ports and the server of this machine."""
    text = text.replace(":7101", f":{ports['up']}").replace(":7102", f":{ports['down']}")
    return re.sub(r"^url = .*$", f'url = "{url}"', text, flags=re.MULTILINE)


class Zones:
    """The two homes and what runs in them. Use as a context manager."""

    def __init__(
        self,
        folder: Path,
        server: Postgres,
        *,
        inner: str = "",
        outer: str = "",
        journal: str = "",
        keep: str = "0B",
    ) -> None:
        ports = {"up": free_port(), "down": free_port()}
        self.url = server.database()
        self.homes: dict[str, Home] = {}
        hq, plant = (_here(text, ports, self.url) for text in _described())
        hq = hq.replace('sink = "hq"\n', f'sink = "hq"\n{inner}\n')
        plant = plant.replace('sinks = ["plant", "hq"]\n', 'sinks = ["plant", "hq"]\nbeacon = "1s"\n')
        plant += f"{outer}{_MORE.format(keep=keep, journal=journal)}"
        members = [
            *(keys.broker("hq", "hq"), keys.recorder("hub", "hq", "hq"), keys.node("hub", "hq", "hq")),
            *(keys.broker("plant", "hq/plant"), keys.recorder("plc1", "hq/plant", "plant")),
            keys.node("plc1", "hq/plant", "plant", "hq"),
        ]
        known = keys.Keys(folder, "hq", members)
        for name, node, text in ((INNER, "hub", hq), (OUTER, "plc1", plant)):
            home = self.homes[name] = Home(folder / name).ensure()
            home.settings_file.write_text(text)
            known.give(home, f"broker.{name}", f"recorder.{node}", f"node.{node}")
        self._running: dict[tuple[str, str], Started] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for started in self._running.values():
            started.__exit__()

    # --- processes -------------------------------------------------------------------------

    def start(self, zone: str, *roles: str) -> None:
        """Start roles in the home of a zone, and wait until they run."""
        for role in roles:
            self._running[zone, role] = Started(self.homes[zone].path, role)
        for role in roles:
            self._wait_for(zone, role, self._running[zone, role].process.pid)

    def _wait_for(self, zone: str, role: str, pid: int) -> None:
        """One that was killed before it left its status file behind."""
        name = f"broker.{zone}" if role == "broker" else role
        self.wait(lambda: self.status(zone, name).get("pid") == pid, f"{name} of {zone} runs")

    def stop(self, zone: str, role: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End a role, and wait for that."""
        started = self._running.pop((zone, role))
        started.signal(number)
        started.rest()

    def signal(self, zone: str, role: str, number: signal.Signals) -> None:
        """Send a signal to a role."""
        self._running[zone, role].signal(number)

    def status(self, zone: str, role: str) -> dict[str, Any]:
        """What a role says of itself, empty while it says nothing."""
        return running(self.homes[zone], role) or {}

    def wait(self, holds: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
        """What it answers once it holds; it is another process's state, so there is no event to wait for."""
        end = time.monotonic() + patience
        while not (found := holds()):
            assert time.monotonic() < end, f"not seen in {patience:.0f} s: {what}"
            time.sleep(0.05)
        return found

    # --- records ---------------------------------------------------------------------------

    def log(self, first: int, count: int, size: int = 20) -> None:
        """Have the agent of the outer zone accept so many records, numbered from `first`."""
        client = IntakeClient(self.homes[OUTER].socket("intake.sock"), f"from {first}", timeout=PATIENCE)
        try:
            for at in range(first, first + count, 256):
                upto = min(at + 256, first + count)
                client.send([_record(f"n {number} {'x' * size}") for number in range(at, upto)])
            assert client.flush(), "not all was accepted in time"
        finally:
            client.close()

    def query(self, zone: str, text: str, part: FileKind = RECORDS) -> list[tuple[Any, ...]]:
        """What the database of a zone answers; nothing while it is not there."""
        if zone == INNER:
            try:
                with (
                    contextlib.closing(
                        psycopg2.connect(self.url, options=f"-c search_path={schema_of(part)}")
                    ) as served,
                    served.cursor() as cursor,
                ):
                    cursor.execute(text)
                    return cursor.fetchall()
            except (psycopg2.OperationalError, psycopg2.errors.UndefinedTable):
                return []
        try:
            path = part.path(self.homes[zone].store)
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
                return file.execute(text).fetchall()
        except sqlite3.OperationalError:
            return []

    def stored(self, zone: str) -> list[int]:
        """The numbers stored in a zone's database, in the order of their places."""
        rows = self.query(
            zone,
            "SELECT log.message FROM log JOIN epoch ON epoch.id = log.epoch_id"
            " WHERE log.message LIKE 'n %' ORDER BY epoch.created, epoch.id, log.seq",
        )
        return [int(message.split(" ")[1]) for (message,) in rows]

    def wait_stored(self, zone: str, count: int) -> None:
        """Return once so many of the numbers are stored."""
        self.wait(lambda: self.count(zone) == count, f"{count} records in {zone}")

    def count(self, zone: str) -> int:
        """How many of the numbers are stored."""
        ((found,),) = self.query(zone, "SELECT count(*) FROM log WHERE message LIKE 'n %'") or [(0,)]
        return int(found)

    def losses(self, zone: str) -> list[tuple[str, str, int]]:
        """Kind, reason and count of every gap and doubt among the logs of the outer zone's agent."""
        return self.query(
            zone,
            "SELECT gap.kind, gap.reason, gap.count FROM gap JOIN node ON node.id = gap.node_id"
            " WHERE gap.stream = 2 AND node.name = 'plc1' ORDER BY gap.id",
        )

    def command(self, zone: str, *words: str) -> Any:
        """What a command answers in JSON."""
        done = tabard(self.homes[zone].path, *words, "-o", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def _record(text: str) -> tuple[object, ...]:
    values = {"time": time.time_ns(), "severity": 9, "level": "INFO", "message": text}
    return tuple(values.get(name) for name in LOG_FIELDS)
