"""A policy at a boundary of real processes: two databases, one on either side, and every record known by its number."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

from tabard.brokers.policy.document import Policy, Redaction
from tabard.client import IntakeClient
from tabard.clock import SystemClock
from tabard.home import Home
from tabard.records import LOG_INDEX, LOG_WIDTH
from tabard.status import running
from tests import keys
from tests.integration.upping import Started
from tests.ports import free_port

CELL, DMZ, HQ = "hq/dmz/cell", "hq/dmz", "hq"
PATIENCE: Final = 60.0
SETTINGS: Final = {
    "cell": """
[node]
name = "n1"
zone = "hq/dmz/cell"
[agent]
sinks = ["main", "low"]
beacon = "1s"
[recorder]
sink = "low"
[[broker]]
name = "b1"
zone = "hq/dmz/cell"
parent_up = "tcp://127.0.0.1:{b2_up}"
parent_down = "tcp://127.0.0.1:{b2_down}"
""",
    "dmz": """
[node]
name = "n2"
zone = "hq/dmz"
[[broker]]
name = "b2"
zone = "hq/dmz"
up_in = "tcp://127.0.0.1:{b2_up}"
down_out = "tcp://127.0.0.1:{b2_down}"
parent_up = "tcp://127.0.0.1:{b3_up}"
parent_down = "tcp://127.0.0.1:{b3_down}"
""",
    "hq": """
[node]
name = "n3"
zone = "hq"
[recorder]
sink = "main"
[[broker]]
name = "b3"
zone = "hq"
up_in = "tcp://127.0.0.1:{b3_up}"
down_out = "tcp://127.0.0.1:{b3_down}"
""",
}
ROLES: Final = {
    "hq": ("broker", "recorder"),
    "dmz": ("broker",),
    "cell": ("broker", "recorder", "agent"),
}
OWNED: Final = {
    "hq": ("broker.b3", "recorder.r3"),
    "dmz": ("broker.b2",),
    "cell": ("broker.b1", "recorder.r1", "node.n1"),
}


class Border:
    """Three homes in three zones; the authority of them all is somewhere else."""

    def __init__(self, folder: Path) -> None:
        ports = {name: free_port() for name in ("b2_up", "b2_down", "b3_up", "b3_down")}
        members = [
            *(keys.broker("b1", CELL), keys.broker("b2", DMZ), keys.broker("b3", HQ)),
            *(keys.recorder("r1", CELL, "low"), keys.recorder("r3", HQ, "main")),
            keys.node("n1", CELL, "main", "low"),
        ]
        self.keys = keys.Keys(folder, HQ, members)
        self.homes: dict[str, Home] = {}
        for name, text in SETTINGS.items():
            home = self.homes[name] = Home(folder / name).ensure()
            home.settings_file.write_text(text.format(**ports))
            self.keys.give(home, *OWNED[name])
        self.running: dict[tuple[str, str], Started] = {}

    def __enter__(self) -> Self:
        for name, roles in ROLES.items():
            for role in roles:
                self.start(name, role)
        return self

    def __exit__(self, *_: object) -> None:
        for started in self.running.values():
            started.__exit__()

    def start(self, name: str, role: str) -> None:
        """Start a role in a home."""
        self.running[name, role] = Started(self.homes[name].path, role)

    def kill_broker(self, name: str) -> None:
        """End it without a word, and start it again."""
        started = self.running.pop((name, "broker"))
        started.signal(signal.SIGKILL)
        started.rest()
        self.start(name, "broker")

    def set(self, *policies: Policy) -> None:
        """Have the authority of the DMZ write them into its roster, and its broker's home hear of it."""
        roster = self.keys.trust.authority(DMZ).roster(SystemClock().wall(), policies=policies)
        self.keys.trust.store_roster(roster)
        assert self.keys.trust.reload()
        for given in self.keys._given:
            given.store_roster(roster)

    def in_force(self) -> list[str]:
        """The policies by which the broker of the DMZ goes."""
        said = running(self.homes["dmz"], "broker.b2") or {}
        return [each["name"] for each in (said.get("policies") or {}).get("in_force", ())]

    def log(self, first: int, count: int) -> None:
        """Have the agent accept so many records."""
        client = IntakeClient(self.homes["cell"].socket("intake.sock"), f"from {first}", timeout=PATIENCE)
        try:
            client.send([_record(number) for number in range(first, first + count)])
            assert client.flush(), "not all was accepted in time"
        finally:
            client.close()

    def ask(self, name: str, query: str) -> list[tuple[Any, ...]]:
        """What the database of a home answers; nothing while it is not there."""
        path = self.homes[name].path / "store/records.db"
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
                return db.execute(query).fetchall()
        except sqlite3.OperationalError:
            return []

    def stored(self, name: str) -> dict[int, tuple[str, list[str]]]:
        """By number, message and what its attributes say of it."""
        rows = self.ask(name, "SELECT message, attributes FROM log WHERE service = 'shop' ORDER BY id")
        numbers = [int(message.split()[1]) for message, _attributes in rows]
        assert len(set(numbers)) == len(numbers), "something is stored twice"
        return {
            number: (message, json.loads(attributes or "{}").get("redacted_by", []))
            for number, (message, attributes) in zip(numbers, rows, strict=True)
        }


def _text(number: int) -> str:
    return f"number {number} with secret-{number}." if number % 10 == 3 else f"number {number} ."


def _record(number: int) -> list[Any]:
    record: list[Any] = [None] * LOG_WIDTH
    record[0], record[1], record[LOG_INDEX["message"]] = time.time_ns(), 9, _text(number)
    record[LOG_INDEX["service"]] = "shop"
    record[LOG_INDEX["user1"]] = "anna" if number % 10 == 7 else "bert"
    return record


def wait(holds: Callable[[], Any], what: str) -> None:
    """It is another process's state, so there is no event to wait for."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f"not seen in {PATIENCE:.0f} s: {what}"
        time.sleep(0.05)


def _expected(name: str, first: int, count: int) -> dict[int, tuple[str, list[str]]]:
    """What must stand in the store above the boundary while the policy of that name holds."""
    return {
        number: (_text(number).replace(f"secret-{number}", "[gone]"), [name])
        if number % 10 == 3
        else (_text(number), [])
        for number in range(first, first + count)
        if number % 10 != 7
    }


def test_a_policy_is_set_changed_and_ended_while_everything_runs(tmp_path: Path) -> None:
    """Below the boundary every record is whole; above it withheld ones are missing and are no loss, others are redacted: each once."""
    policy = Policy(
        "edge",
        1,
        DMZ,
        DMZ,
        withhold=((("user1", "anna"),),),
        redact=(Redaction("pattern", "message", r"secret-\d{1,9}", "[gone]"),),
    )
    whole: dict[int, tuple[str, list[str]]] = {}
    above: dict[int, tuple[str, list[str]]] = {}

    def arrive(first: int, count: int, name: str = "") -> None:
        """Log some, and wait until both databases have what they must."""
        border.log(first, count)
        plain = {number: (_text(number), list[str]()) for number in range(first, first + count)}
        whole.update(plain)
        above.update(_expected(name, first, count) if name else plain)
        wait(lambda: len(border.stored("cell")) == len(whole), "all is stored below")
        wait(lambda: len(border.stored("hq")) == len(above), "what may pass is stored above")

    with Border(tmp_path) as border:
        wait(lambda: running(border.homes["dmz"], "broker.b2"), "the broker of the DMZ runs")
        wait(lambda: running(border.homes["cell"], "agent"), "the agent runs")
        arrive(0, 100)
        border.set(policy)
        wait(lambda: border.in_force() == ["edge@1"], "the policy holds")
        arrive(100, 200, "edge@1")
        border.kill_broker("dmz")
        arrive(300, 100, "edge@1")
        border.set(policy)
        wait(lambda: border.in_force() == ["edge@2"], "another one holds")
        arrive(400, 50, "edge@2")
        border.set(policy._replace(ended=True))
        wait(lambda: border.in_force() == [], "none holds")
        arrive(450, 50)
        wait(
            lambda: (
                (running(border.homes["cell"], "agent") or {})["sinks"]["main"]["streams"]["logs"]["lag"] == 0
            ),
            "the node knows that all of it is settled",
        )
        said = running(border.homes["hq"], "recorder") or {}
    assert border.stored("cell") == whole
    assert border.stored("hq") == above
    assert border.ask("hq", "SELECT count(*) FROM gap") == [(0,)]
    assert border.ask("hq", "SELECT count(*) FROM quarantine") == [(0,)]
    counters = said["counters"]
    assert counters["records withheld by policies"] >= len(whole) - len(above)
    assert not [name for name in counters if name.startswith(("forged", "refused"))], counters
