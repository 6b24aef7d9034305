"""What an agent says of the brokers and tunnels of its home."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tabard import locks
from tabard.agents.samplers import links
from tabard.agents.samplers.links import MOST_LINKS, MOST_WHY, SILENT_AFTER, LinksSampler
from tabard.brokers.wire.codec import pack
from tabard.errors import SettingsError
from tabard.home import Home
from tabard.records import MAX_RECORD
from tabard.settings import load
from tests.unit.zones.scene import hop, unheard

TABLES = """
[node]
zone = "hq"
[[broker]]
name = "hq"
zone = "hq"
[[broker.link]]
peer = "dmz"
dials = "peer"
[[tunnel]]
name = "dmz"
host = "dmz.example.net"
[[tunnel.forward]]
listen = "127.0.0.1:7101"
to = "127.0.0.1:7101"
"""


class Site:
    """A home in which roles run as far as anybody can tell from its files."""

    def __init__(self, path: Path, held: ExitStack) -> None:
        self.home = Home(path).ensure()
        self._held = held

    def run(self, role: str, age: float = 0.0, **said: Any) -> None:
        """A role that wrote its status so many seconds ago."""
        self._held.enter_context(locks.hold(self.home.lock(role)))
        file = self.home.run / f"{role}.json"
        file.write_text(json.dumps(said))
        then = time.time() - age
        os.utime(file, (then, then))

    def sample(self) -> dict[str, Any] | None:
        """As it would be journaled now."""
        return LinksSampler(self.home).sample(load(self.home, env={}))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Nothing runs in it."""
    with ExitStack() as held:
        yield Site(tmp_path / "home", held)


def test_a_host_without_brokers_has_nothing_to_tell(site: Site) -> None:
    """As most hosts: the broker that every home could run does not run."""
    assert site.sample() is None


def test_a_broker_says_what_it_says_in_its_status(site: Site) -> None:
    """With what the settings say of its neighbours."""
    site.home.settings_file.write_text(TABLES)
    site.run("broker.hq", hops=[hop("dmz", "hq/dmz", "below", more="secret")], risen={"up dropped: loop": 3})
    site.run("tunnel.dmz", state="silent", since=5, why="x" * 1000)
    sample = site.sample()
    assert sample is not None
    broker = sample["brokers"][0]
    assert (broker["name"], broker["state"], broker["children"]) == ("hq", "running", [["dmz", "peer"]])
    assert broker["hops"][0]["peer"] == "dmz" and "more" not in broker["hops"][0]
    assert broker["risen"] == {"up dropped: loop": 3}
    tunnel = sample["tunnels"][0]
    assert (tunnel["name"], tunnel["state"], tunnel["since"], len(tunnel["why"])) == (
        "dmz",
        "silent",
        5,
        MOST_WHY,
    )


def test_a_broker_that_is_described_and_does_not_run_is_told(site: Site) -> None:
    """So that it is a fault above, too."""
    site.home.settings_file.write_text(TABLES)
    sample = site.sample()
    assert sample is not None
    assert [(each["name"], each["state"]) for each in (*sample["brokers"], *sample["tunnels"])] == [
        ("hq", "stopped"),
        ("dmz", "stopped"),
    ]


def test_a_frozen_broker_is_told_apart(site: Site) -> None:
    """By the age of its status."""
    site.run("broker.b1", age=SILENT_AFTER + 5)
    sample = site.sample()
    assert sample is not None and sample["brokers"][0]["state"] == "silent"


def test_a_recorder_says_what_it_numbered(site: Site) -> None:
    """With the brokers below it."""
    site.run("recorder", sink="main", hops=[hop("hq", "hq", "below")])
    sample = site.sample()
    assert sample is not None
    assert [(each["sink"], each["hops"][0]["peer"]) for each in sample["recorders"]] == [("main", "hq")]


def test_a_sample_is_bounded_and_the_worst_links_are_in_it(site: Site) -> None:
    """However many there are."""
    hops = [hop(f"b{number}", "hq/a", "below") for number in range(200)]
    dead = unheard("dead", "hq/b", "below")
    lossy = hop("lossy", "hq/c", "below", up={"sent": 9, "received": 1})
    site.run("broker.b1", hops=[*hops, lossy, dead], risen={f"counter {number}": 1 for number in range(500)})
    sample = site.sample()
    assert sample is not None
    told = sample["brokers"][0]["hops"]
    assert [each["peer"] for each in told[:2]] == ["dead", "lossy"] and len(told) == MOST_LINKS
    assert len(pack(sample)) < MAX_RECORD // 8


@pytest.mark.parametrize("content", ["", "{", "[]", '{"hops": null}'])
def test_a_status_that_cannot_be_read_breaks_nothing(site: Site, content: str) -> None:
    """It is being written, or is somebody else's."""
    site.run("broker.b1")
    (site.home.run / "broker.b1.json").write_text(content)
    site.sample()


def test_settings_that_cannot_be_used_give_no_sample(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they describe may not fit together any more."""

    def refuse(*_: object) -> None:
        raise SettingsError("a broker's parent is not described", expected="one", found="none")

    monkeypatch.setattr(links, "described", refuse)
    site.run("broker.b1")
    assert site.sample() is None
