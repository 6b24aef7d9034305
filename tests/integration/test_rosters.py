"""Rosters that travel by themselves: three zones over TCP with keys, each a home of its own, and nothing carried by hand.

What was made where the authority is reaches every zone in the time of a few heartbeats, and a zone that was cut off
once it is heard again. Each test bears the name of a threat of docs/security.md.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Self

import pytest

from tabard.brokers import dialling
from tabard.brokers.trust.rosters import read_roster
from tabard.home import Home
from tabard.status import running
from tests.integration.brokering import wait_until
from tests.integration.upping import Started, tabard
from tests.ports import free_port

ZONES: Final = {"hq": "hq", "dmz": "hq/dmz", "plant": "hq/dmz/plant"}
"""The brokers and their zones, the innermost first; the authority of all zones is in the home of hq."""
AGENT: Final = "press1"
LATE: Final = "robot1"
"""A node that is added when everything runs."""


class Site:
    """Three homes with a broker each, one with a recorder, one with an agent, and the home of the authority. A context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {name: {lane: free_port() for lane in ("up_in", "down_out")} for name in ZONES}
        self.homes = {name: Home(folder / name).ensure() for name in (*ZONES, AGENT, LATE)}
        self.started: dict[str, Started] = {}

    def settings(self) -> None:
        """Each broker dials the one above it; the agents dial the one of the plant."""
        above = ""
        for name, zone in ZONES.items():
            ports = self.ports[name]
            parent = ""
            if above:
                up, down = self.ports[above]["up_in"], self.ports[above]["down_out"]
                parent = f'parent_up = "tcp://127.0.0.1:{up}"\nparent_down = "tcp://127.0.0.1:{down}"\n'
            self.homes[name].settings_file.write_text(
                f'[node]\nname = "n-{name}"\nzone = "{zone}"\n[[broker]]\nname = "{name}"\nzone = "{zone}"\n'
                f'up_in = "tcp://127.0.0.1:{ports["up_in"]}"\ndown_out = "tcp://127.0.0.1:{ports["down_out"]}"\n{parent}'
            )
            above = name
        plant = self.ports["plant"]
        for name in (AGENT, LATE):
            self.homes[name].settings_file.write_text(
                f'[node]\nname = "{name}"\nzone = "{ZONES["plant"]}"\n[agent]\nbeacon = "1s"\n'
                f'up = "tcp://127.0.0.1:{plant["up_in"]}"\ndown = "tcp://127.0.0.1:{plant["down_out"]}"\n'
            )

    def run(self, name: str, *words: str) -> Any:
        """What a command in one of the homes answers."""
        done = tabard(self.homes[name].path, *words, "-o", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def join(self, name: str, *words: str) -> None:
        """Give a home what was made for it where the authority is."""
        bundle = self.folder / f"{name}.tabard"
        self.run("hq", "node", "add", *words, "--out", str(bundle))
        self.run(name, "join", str(bundle))

    def __enter__(self) -> Self:
        self.settings()
        self.run("hq", "init", "--zone", "hq")
        for name in ("dmz", "plant"):
            self.run("hq", "zone", "add", ZONES[name])
        for name in ("dmz", "plant"):
            self.join(name, f"n-{name}", "--zone", ZONES[name], "--broker", name)
        self.join(AGENT, AGENT, "--zone", ZONES["plant"])
        try:
            for name in ZONES:
                self.start(name, "broker")
            self.start("hq", "recorder")
            self.start(AGENT, "agent")
            self.wait(lambda: self.is_attached(AGENT), "the agent and the recorder have met")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for started in self.started.values():
            started.signal(signal.SIGCONT)
            started.__exit__()

    def start(self, name: str, role: str) -> None:
        """Start a role in one of the homes."""
        self.started[f"{name} {role}"] = Started(self.homes[name].path, role)

    def said(self, name: str, role: str) -> dict[str, Any]:
        """What a role says of itself."""
        return running(self.homes[name], role) or {}

    def broker(self, name: str) -> dict[str, Any]:
        """What a broker says of itself."""
        return self.said(name, f"broker.{name}")

    def versions(self, name: str) -> dict[str, int]:
        """The rosters in a home, as they are on disk."""
        found = [
            read_roster(path.read_bytes()).roster
            for path in (self.homes[name].trust / "rosters").glob("[!.]*")
        ]
        return {each.zone: each.version for each in found}

    def is_attached(self, name: str) -> bool:
        """Whether an agent has heard of its sink."""
        return bool(self.said(name, "agent").get("sinks", {}).get("main", {}).get("attached"))

    def states(self, name: str) -> set[str]:
        """How the connections of an agent stand."""
        return {each["state"] for each in self.said(name, "agent").get("connections", ())}

    def key(self, role: str, name: str) -> str:
        """The id of somebody's key, by the home of the authority."""
        rows = self.run("hq", "keys", "list")
        return str(next(row["key"] for row in rows if (row["role"], row["name"]) == (role, name)))

    def old_key(self, role: str, name: str) -> str:
        """The id of the key before it."""
        rows = self.run("hq", "keys", "list", "--all")
        mine = [row["key"] for row in rows if (row["role"], row["name"]) == (role, name)]
        return str(next(key for key in mine if key != mine[0]))

    def wait(self, holds: Callable[[], Any], what: str) -> None:
        """Until something holds that other processes do."""
        wait_until(holds, what)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a broker."""
        self.started[f"{name} broker"].signal(number)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One installation for all tests of this file."""
    with Site(tmp_path_factory.mktemp("rosters")) as site:
        yield site


@pytest.mark.threat("stale-roster")
def test_a_node_that_is_added_is_let_in_by_a_far_zone(site: Site) -> None:
    """Only its own file is carried; the broker of its zone hears of it from the one above."""
    site.join(LATE, LATE, "--zone", ZONES["plant"])
    site.start(LATE, "agent")
    site.wait(lambda: site.is_attached(LATE), "the new node has heard of its sink")
    assert site.versions("plant") == site.versions("hq")
    assert site.broker("plant")["counters"]["rosters taken in"] >= 1


@pytest.mark.threat("revoked-session", "stale-roster")
def test_a_key_revoked_at_the_root_is_cut_off_in_a_far_zone(site: Site) -> None:
    """Its live connections end, its keys are refused, and the others are back."""
    began = time.monotonic()
    site.run("hq", "keys", "revoke", site.key("node", LATE), "--reason", "a test")
    refused = {"up_in refused: a revoked key", "down_out refused: a revoked key"}
    site.wait(lambda: refused <= set(site.broker("plant")["counters"]), "both its connections are refused")
    print(f"\ncut off in a zone two links away after {time.monotonic() - began:.1f} s")
    site.wait(lambda: dialling.REFUSED in site.states(LATE), "it knows that it was refused")
    site.wait(lambda: site.states(AGENT) == {dialling.CONNECTED}, "the other node is connected")
    site.wait(lambda: site.versions(AGENT) == site.versions("hq"), "the other node has the roster, too")
    site.wait(
        lambda: all(
            not (site.broker(name)["rosters"]["behind"] or site.broker(name)["rosters"]["ahead"])
            for name in ZONES
        ),
        "nobody is behind",
    )


@pytest.mark.threat("stale-roster")
def test_a_zone_that_was_cut_off_hears_of_it_once_it_is_back(site: Site) -> None:
    """While nothing passes, the zone behind goes by what it has, and its roster follows by itself."""
    before = site.versions("plant")
    site.signal("dmz", signal.SIGSTOP)
    try:
        site.wait(
            lambda: not site.broker("plant")["above"][0]["well"], "the plant misses the broker above it"
        )
        site.run("hq", "keys", "rotate", "zone", "hq/dmz")
        site.run("hq", "keys", "renew", "--within", "400d")
        assert site.versions("hq") != before
        assert site.versions("plant") == before
    finally:
        site.signal("dmz", signal.SIGCONT)
    site.wait(lambda: site.versions("plant") == site.versions("hq"), "the plant has what was made meanwhile")
    site.wait(lambda: site.states(AGENT) == {dialling.CONNECTED}, "its node is connected")


def test_a_broker_s_key_is_rotated_and_nobody_is_cut_off(site: Site) -> None:
    """In its own home, and by a file in another one: those who dial it know of no other key than the old one then."""
    site.run("hq", "keys", "rotate", "broker", "hq", "--zone", "hq")
    bundle = site.folder / "dmz-new.tabard"
    site.run("hq", "keys", "rotate", "broker", "dmz", "--zone", ZONES["dmz"], "--out", str(bundle))
    site.run("dmz", "join", str(bundle))
    site.wait(
        lambda: all(site.versions(name) == site.versions("hq") for name in ("dmz", "plant", AGENT)),
        "all have heard of both keys",
    )
    site.run("hq", "keys", "revoke", site.old_key("broker", "dmz"), "--reason", "replaced")
    new = site.key("broker", "dmz")
    site.wait(
        lambda: site.versions("dmz") == site.versions("hq"),
        "it got in by its new key, and has heard that the old one was revoked",
    )
    site.wait(
        lambda: (
            {(each["key"], each["state"]) for each in site.broker("plant").get("connections", ())}
            == {(new, dialling.CONNECTED)}
        ),
        "the plant is connected by the new key",
    )
    site.wait(lambda: site.versions(AGENT) == site.versions("hq"), "the last one has heard of the revocation")


def test_no_file_was_carried(site: Site) -> None:
    """All homes but that of the authority have no key of a zone, and the same rosters as it has."""
    for name in ("dmz", "plant", AGENT):
        assert not list((site.homes[name].trust / "keys").glob("zone.*"))
    site.wait(
        lambda: all(site.versions(name) == site.versions("hq") for name in ("dmz", "plant", AGENT)),
        "all have all",
    )
