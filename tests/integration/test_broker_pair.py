"""A pair of brokers in a zone: real processes, of which one after the other is frozen, killed or cut off from above."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

import pytest

from tabard.brokers.topology import LANES
from tabard.home import Home
from tabard.status import running
from tests import keys
from tests.integration.brokering import wait_until
from tests.integration.upping import Started, wait_for_end
from tests.ports import free_port

LINE, PLANT = "plant/line", "plant"
ZONES: Final = {"cell": "plant/line/cell", "b1": LINE, "b2": LINE, "top": PLANT}
PAIR: Final = ("b1", "b2")
ROUND: Final = 300
"""Records that a node says while nothing changes."""


class Site:
    """A pair between a top broker with the recorder, a broker below, and an agent on each. A context manager."""

    def __init__(self, directory: Path) -> None:
        self.ends = {name: {lane: f"tcp://127.0.0.1:{free_port()}" for lane in LANES} for name in ZONES}
        self.homes = {name: Home(directory / name).ensure() for name in (*ZONES, "n1", "n2")}
        nodes = {"n1": LINE, "n2": ZONES["cell"]}
        known = keys.Keys(
            directory,
            PLANT,
            [
                *(keys.broker(name, zone) for name, zone in ZONES.items()),
                *(keys.node(name, zone) for name, zone in nodes.items()),
                keys.recorder("top", PLANT),
            ],
        )
        for name, home in self.homes.items():
            known.give(home, f"broker.{name}", f"node.{name}", f"recorder.{name}")
        for name in ZONES:
            self.homes[name].settings_file.write_text("\n".join(self._broker(name)))
        self.homes["n1"].settings_file.write_text(self._agent("n1", LINE, *PAIR))
        self.homes["n2"].settings_file.write_text(self._agent("n2", ZONES["cell"], "cell"))
        self._processes: dict[str, Started] = {}
        self._open = ExitStack()
        self.said: Counter[str] = Counter()

    def _broker(self, name: str) -> Iterator[str]:
        yield f'[node]\nname = "{name}"\nzone = "{ZONES[name]}"'
        yield f'[[broker]]\nname = "{name}"\nzone = "{ZONES[name]}"'
        yield from (f'{lane} = "{end}"' for lane, end in self.ends[name].items())
        above = {"cell": PAIR, "b1": ("top",), "b2": ("top",), "top": ()}[name]
        for which, parent in zip(("parent", "standby"), above, strict=False):
            yield f'{which}_up = "{self.ends[parent]["up_in"]}"\n{which}_down = "{self.ends[parent]["down_out"]}"'
            if parent in PAIR:  # of the other zones there is one broker only
                yield f'{which} = "{parent}"'

    def _agent(self, name: str, zone: str, *brokers: str) -> str:
        lines = [f'[node]\nname = "{name}"\nzone = "{zone}"', '[agent]\nbeacon = "1s"']
        for prefix, broker in zip(("", "standby_"), brokers, strict=False):
            ends = self.ends[broker]
            lines += [f'{prefix}up = "{ends["up_in"]}"', f'{prefix}down = "{ends["down_out"]}"']
            lines += [f'{prefix}broker = "{broker}"']
        return "\n".join(lines)

    def __enter__(self) -> Self:
        with ExitStack() as failed:
            failed.push(self.__exit__)
            for name in ZONES:
                self.start(name, "broker")
            self.start("top", "recorder")
            for name in ("n1", "n2"):
                self.start(name, "agent")
            failed.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        for started in self._processes.values():
            if started.process.poll() is None:
                started.signal(signal.SIGCONT)
            started.__exit__()

    def start(self, home: str, role: str) -> None:
        """A role of one of the homes, and wait until it is there."""
        started = self._processes[f"{home} {role}"] = Started(self.homes[home].path, role)
        name = f"broker.{home}" if role == "broker" else role
        wait_until(
            lambda: started.process.poll() is not None or running(self.homes[home], name), f"{home} {role}"
        )
        assert started.process.poll() is None, started.said

    def signal(self, name: str, number: signal.Signals) -> None:
        """To a broker."""
        self._processes[f"{name} broker"].signal(number)

    def kill(self, name: str) -> None:
        """A broker, at once."""
        started = self._processes[f"{name} broker"]
        started.signal(signal.SIGKILL)
        wait_for_end(started.process.pid)
        started.rest()

    def say(self, node: str) -> None:
        """One round of records into a node's intake, each with its number."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(self.homes[node].socket("intake.sock")))
            for _ in range(ROUND):
                self.said[node] += 1
                sock.sendall(json.dumps({"message": f"{node} {self.said[node]}"}).encode() + b"\n")

    def wait_for_all(self) -> None:
        """Everything that was said is stored."""
        wait_until(lambda: self.stored() >= self.expected(), f"all of {dict(self.said)} is stored")

    def expected(self) -> Counter[str]:
        """Each record once."""
        return Counter(
            f"{node} {number}" for node, last in self.said.items() for number in range(1, last + 1)
        )

    def stored(self) -> Counter[str]:
        """What the store has of it, each as often as it is there."""
        path = self.homes["top"].store / "records.db"
        if not path.exists():
            return Counter()
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as store:
            try:
                rows = store.execute("SELECT message FROM log WHERE message GLOB 'n[12] *'").fetchall()
            except sqlite3.OperationalError:  # its tables are being made
                return Counter()
        return Counter(row[0] for row in rows)

    def links(self, home: str) -> list[dict[str, Any]]:
        """What an agent or broker says of those above it, as of its last status file."""
        name, key = ("agent", "links") if home.startswith("n") else (f"broker.{home}", "above")
        said = running(self.homes[home], name)
        return said[key] if said else []

    def wait_for_use(self, home: str, broker: str) -> None:
        """Until somebody goes on through that broker."""
        wait_until(
            lambda: [link["broker"] for link in self.links(home) if link["used"]] == [broker],
            f"{home} uses {broker}",
        )

    def lead_to(self, broker: str, other: str) -> None:
        """Have all go on through one of the pair: on a busy machine somebody may have left it for the other one by now."""
        self.signal(other, signal.SIGSTOP)
        for name in ("n1", "cell"):
            self.wait_for_use(name, broker)
        self.signal(other, signal.SIGCONT)
        for name in ("n1", "cell"):
            wait_until(lambda name=name: all(link["well"] for link in self.links(name)), f"{name} hears both")  # type: ignore[misc]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """All of it, running."""
    with Site(tmp_path) as site:
        yield site


def test_nothing_is_lost_or_doubled_when_one_of_a_pair_goes(site: Site) -> None:
    """Frozen, thawed with what it still held, killed, cut off from above: everything is stored once, in time."""
    for name in ("n1", "n2"):
        site.say(name)
    site.wait_for_all()
    site.lead_to("b1", "b2")

    site.signal("b1", signal.SIGSTOP)
    site.say("n1")
    site.say("n2")
    for name in ("n1", "cell"):
        site.wait_for_use(name, "b2")
    site.wait_for_all()

    site.signal("b1", signal.SIGCONT)
    site.say("n1")
    site.say("n2")
    wait_until(lambda: all(link["well"] for link in site.links("n1")), "n1 hears both again")
    site.wait_for_all()

    site.kill("b2")
    site.say("n1")
    site.say("n2")
    for name in ("n1", "cell"):
        site.wait_for_use(name, "b1")
    site.wait_for_all()
    assert site.stored() == site.expected()


def test_a_broker_that_is_cut_off_from_above_is_left(site: Site) -> None:
    """It answers, and leads nowhere: its own heartbeat says so, also to those below the next broker."""
    site.say("n1")
    site.wait_for_all()
    site.signal("top", signal.SIGSTOP)
    for name in ("n1", "cell"):
        wait_until(lambda name=name: not any(link["well"] for link in site.links(name)), f"{name} knows")  # type: ignore[misc]
    wait_until(lambda: not any(link["well"] for link in site.links("n2")), "the news passes the next broker")
    site.say("n1")
    site.say("n2")
    site.signal("top", signal.SIGCONT)
    site.wait_for_all()
    assert site.stored() == site.expected()
