"""Several nodes, three chained brokers in two zones and a recorder: real processes in homes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tabard.home import Home
from tests import keys
from tests.chaos.worker import Worker
from tests.ports import free_ports

ZONE: Final = "plant/line"
BROKERS: Final = ("b1", "b2", "b3")
PRESENCE: Final = "SELECT name, beacon, state FROM presence JOIN node ON node.id = node_id"
_HUB: Final = """\
[node]
name = "hub"
zone = "plant"

[retention]
every = "1s"
samples_age = "1h"
budget_rows = 20

[[broker]]
name = "b1"
zone = "plant/line"
up_in = "{0}"
down_out = "{1}"
parent = "b2"

[[broker]]
name = "b2"
zone = "plant"
up_in = "{2}"
down_out = "{3}"
parent = "b3"

[[broker]]
name = "b3"
zone = "plant"
"""

_NODE: Final = """\
[node]
name = "{name}"
zone = "plant/line"

[agent]
up = "{0}"
down = "{1}"
beacon = "1s"
sample_host = "1s"
sample_processes = "2s"
sample_full = "10s"

[intake]
tail_defaults = false
tail_backlog = "1GiB"

[[intake.tail]]
path = "{tail}"
format = "plain"

[journal]
{journal}
"""


class Fleet:
    """Homes below one directory and the processes that live in them. Use as a context manager."""

    def __init__(
        self,
        directory: Path,
        log: Path,
        nodes: Mapping[str, Mapping[str, str]],
        hub: str = "",
        *,
        tcp: bool = True,
    ) -> None:
        """`nodes` are names with their settings of the journal; `log` is where fail-points are noted.

        `hub` are more settings of the home that has the recorder. Over TCP everybody has keys; with `tcp` false
        all meet in unix sockets, where who is let in is not asked.
        """
        self.directory = directory
        self.hub = Home(directory / "hub")
        self.homes = {name: Home(directory / name) for name in nodes}
        self.crew: dict[str, Worker] = {}
        self._lifeline, self._life = os.pipe()
        for home in (self.hub, *self.homes.values()):
            home.ensure()
        self.ends = (
            [f"tcp://127.0.0.1:{port}" for port in free_ports(4)]
            if tcp
            else [f"ipc://{self.hub.socket(name)}" for name in ("b1.up", "b1.down", "b2.up", "b2.down")]
        )
        self._spare = [f"spare{number}" for number in range(4)]
        if tcp:
            self._give_keys(directory)
        self.hub.settings_file.write_text(_HUB.format(*self.ends) + hub)
        for name, journal in nodes.items():
            self._describe(name, journal)
        for name in BROKERS:
            self.hire(name, self.hub, ["broker", name], log)
        self.hire("recorder", self.hub, ["recorder"], log)
        for name, home in self.homes.items():
            self.hire(name, home, ["agent"], log)

    def _give_keys(self, directory: Path) -> None:
        zones = dict(zip(BROKERS, (ZONE, "plant", "plant"), strict=True))
        brokers = [keys.broker(name, zone) for name, zone in zones.items()]
        nodes = [keys.node(name, ZONE) for name in self.homes]
        recorders = [keys.recorder(name, "plant") for name in ("hub", *self._spare)]
        self._keys = known = keys.Keys(directory, "plant", [*brokers, *nodes, *recorders])
        known.give(self.hub, *(f"broker.{name}" for name in BROKERS), "recorder.hub")
        for name, home in self.homes.items():
            known.give(home, f"node.{name}")

    def give_recorder(self, home: Home) -> None:
        """Let another home have the key of a recorder."""
        self._keys.give(home, f"recorder.{self._spare.pop()}")

    def _describe(self, name: str, journal: Mapping[str, str]) -> None:
        self.tailed(name).parent.mkdir()
        lines = "\n".join(f'{key} = "{value}"' for key, value in journal.items())
        text = _NODE.format(*self.ends, name=name, tail=self.tailed(name), journal=lines)
        self.homes[name].settings_file.write_text(text)

    def hire(self, name: str, home: Home, words: list[str], log: Path) -> None:
        """One process more, not started yet."""
        words = [*words, "--home", str(home.path)]
        output = self.directory / f"{name}.out"
        output.touch()
        self.crew[name] = Worker(name, words, output, self._lifeline, log)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.crew.values():
            worker.destroy()
        os.close(self._life)
        os.close(self._lifeline)
        for home in (self.hub, *self.homes.values()):
            if home.sockets != home.run:
                shutil.rmtree(home.sockets, ignore_errors=True)

    # --- places ------------------------------------------------------------------------------

    def tailed(self, node: str) -> Path:
        """The log file that a node's agent follows."""
        return self.directory / f"{node}-logs" / "app.log"

    def intake(self, node: str) -> Path:
        """A node's intake socket."""
        return self.homes[node].socket("intake.sock")

    def segments(self, node: str, stream: str = "logs") -> list[Path]:
        """The files of a node's journal, oldest first."""
        return sorted((self.homes[node].journal / stream).glob("*.seg"))

    def presence(self) -> dict[str, tuple[int, dict[str, Any]]]:
        """When each node was heard last, and what it said of its streams, as the store has it."""
        try:
            db = sqlite3.connect(f"{(self.hub.store / 'records.db').absolute().as_uri()}?mode=ro", uri=True)
        except sqlite3.OperationalError:
            return {}
        try:
            return {name: (beacon, json.loads(state)) for name, beacon, state in db.execute(PRESENCE)}
        finally:
            db.close()

    def status(self, name: str) -> dict[str, Any]:
        """What a process wrote into its status file, empty when it did not."""
        home, role = (self.homes[name], "agent") if name in self.homes else (self.hub, name)
        role = f"broker.{name}" if name in BROKERS else role
        with contextlib.suppress(OSError, ValueError):
            content = json.loads((home.run / f"{role}.json").read_text())
            if isinstance(content, dict):
                return content
        return {}

    @property
    def crashes(self) -> list[str]:
        """Every end that nobody caused."""
        return [crash for worker in self.crew.values() for crash in worker.crashes]

    def names(self, *kinds: str) -> list[str]:
        """The processes of these kinds: ``agent``, ``broker``, ``recorder``."""
        known: dict[str, Sequence[str]] = {
            "agent": list(self.homes),
            "broker": BROKERS,
            "recorder": ["recorder"],
        }
        return [name for kind in kinds for name in known[kind]]
