"""A recorder that writes nothing is one problem, told once, and not a fault of every node."""

from __future__ import annotations

import pytest

from tabard.consumers.store.read import Reader
from tabard.web.home import HomeState, Role
from tests.unit.web.html import parse
from tests.unit.web.seed import NOW, SECOND, record

ADDRESSES = ("/logs", "/nodes", "/nodes/web1")


def states(client):
    return {
        row.all("a", "open")[0].text: row.all("span", "state")[0].text
        for row in parse(client.get("/nodes").text).all("tbody")[0].all("tr")
    }


def told(client, address):
    (note,) = parse(client.get(address).text).all("p", "bad")
    return note.text


@pytest.fixture
def fleet(seeder):
    """Two nodes that were heard just now, and one that had gone long before; a record."""
    seeder.logs([record()])
    seeder.beacon(node="web1", heard=NOW)
    seeder.beacon(node="web2", heard=NOW - 8 * SECOND, state={"logs": {"behind": 3}})
    seeder.beacon(node="gone", heard=NOW - 900 * SECOND)


def test_while_beacons_come_nothing_is_said(client, fleet):
    """One node that speaks is enough."""
    for address in ADDRESSES:
        assert not parse(client.get(address).text).all("p", "bad")
    assert states(client) == {"web1": "up", "web2": "up", "gone": "silent"}


def test_all_beacons_overdue_at_once_is_the_recorder(client, fleet, clock):
    """One banner with the time, on every page that would look current; nodes are not known rather than silent."""
    clock.now += 300 * SECOND
    for address in ADDRESSES:
        assert "The recorder says nothing since 2026-11-03 16:00:00" in told(client, address)
    assert states(client) == {"web1": "unknown", "web2": "unknown", "gone": "silent"}
    assert "as of the last beacon" in client.get("/nodes").text
    assert "3 logs as of the last beacon" in parse(client.get("/nodes/web2").text).text


def test_the_live_page_learns_of_it_and_of_its_end(client, fleet, seeder, clock):
    """With the next look, not with the next load."""
    clock.now += 300 * SECOND
    assert "says nothing since" in client.get("/logs/tail?after=0").json["recorder"]
    seeder.beacon(heard=clock.now)
    assert client.get("/logs/tail?after=0").json["recorder"] == ""


@pytest.mark.parametrize(("state", "seconds", "silent"), [
    ("stopped", 16, True), ("silent", 16, True), ("stopped", 4, False), ("running", 300, False),
])  # fmt: skip
def test_the_recorder_of_this_home_is_asked(fleet, tmp_path, make_app, clock, state, seconds, silent):
    """One that ended is told sooner; while one runs, it is the nodes that are silent."""
    clock.now += seconds * SECOND
    with Reader(tmp_path / "store") as reader:
        home = HomeState([Role("recorder", state, 7, NOW)], [])
        client = make_app(reader, look=lambda: home).test_client()
        assert bool(parse(client.get("/logs").text).all("p", "bad")) == silent
        if state == "running":
            assert set(states(client).values()) == {"silent"}
