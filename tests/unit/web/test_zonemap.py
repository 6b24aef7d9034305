"""The zone map as a page: what the home and the store know, and that a dead link is one fault."""

from __future__ import annotations

import pytest

from tabard.brokers.wire.streams import SAMPLES
from tabard.consumers.store.read import Reader
from tabard.consumers.zones.facts import Facts
from tabard.errors import HomeError
from tabard.web.home import HomeState
from tests.unit.web.html import parse
from tests.unit.web.seed import NOW, SECOND
from tests.unit.zones import scene


@pytest.fixture
def visit(seeder, tmp_path, make_app):
    """Opens the map of a home with these brokers; the clock of the scene is that of the store's."""

    def open_page(*brokers):
        offset = NOW - scene.NOW

        def shifted(row):
            return {**row, "heard": row["heard"] + offset, "since": row["since"] + offset}

        moved = tuple(
            broker._replace(since=broker.since + offset, hops=tuple(shifted(hop) for hop in broker.hops))
            for broker in brokers
        )
        with Reader(tmp_path / "store") as reader:
            app = make_app(reader, look=lambda: HomeState([], [], Facts("hq", moved)))
            answer = app.test_client().get("/zones")
        assert answer.status_code == 200
        return parse(answer.text)

    return open_page


def test_zones_stand_within_one_another_with_their_nodes(visit, seeder):
    """Headings by their paths, nodes as links to their pages."""
    seeder.beacon(node="web1", zone="hq", heard=NOW - SECOND)
    seeder.beacon(node="edge1", zone="hq/dmz", heard=NOW - SECOND)
    page = visit(scene.hub(scene.hop("dmz", "hq/dmz", "below")))
    (tree,) = page.all("ul", "zonetree")
    assert [heading.text for heading in tree.all("h2")] == ["hq", "hq/dmz"]
    nodes = {link.text: link.attributes["href"] for link in tree.all("a")}
    assert nodes == {"web1": "/nodes/web1?zone=hq", "edge1": "/nodes/edge1?zone=hq/dmz"}
    (wire,) = page.all("div", "wire")
    assert [end.text for end in wire.all("strong")] == ["dmz", "hq"]
    assert "←" in wire.text
    assert "hq dials" in wire.text
    assert "100 of 100" in wire.text


def test_a_dead_link_is_one_fault_and_its_nodes_are_cut_off(visit, seeder):
    """Nobody says of them that they are down or silent."""
    for number in range(12):
        seeder.beacon(node=f"edge{number}", zone="hq/dmz", heard=NOW - 600 * SECOND)
    seeder.beacon(node="web1", zone="hq", heard=NOW - SECOND)
    page = visit(scene.hub(scene.unheard("dmz", "hq/dmz", "below")))
    (faults,) = [part for part in page.all("div") if part.attributes.get("data-part") == "faults"]
    (note,) = faults.all("p")
    assert [where.text for where in note.all("strong")] == ["link dmz - hq"]
    assert "nothing is heard over it; 12 nodes behind it are cut off" in note.text
    assert len(page.all("a", "cut-off")) == 12
    assert not page.all("a", "silent")


def test_losses_are_named(visit, seeder):
    """In the lane where they happened."""
    lossy = scene.hop("dmz", "hq/dmz", "below", down={"sent": 60, "received": 50})
    (wire,) = visit(scene.hub(lossy)).all("div", "wire")
    assert [lost.text for lost in wire.all("strong", "lost")] == ["10 lost"]


def test_brokers_that_a_policy_keeps_from_being_told_are_said_to_be(visit, seeder):
    """They are not merely missing: the zone says that they are withheld, and by which policy."""
    for zone in ("hq/dmz", "hq/dmz/plant"):
        seeder.beacon(node="edge1", zone=zone, heard=NOW - SECOND)
    seeder.policed([()], "#", node="edge1", zone="hq/dmz/plant", stream=SAMPLES, policy="edge@3")
    page = visit(scene.hub(scene.hop("dmz", "hq/dmz", "below")))
    (untold,) = page.all("span", "untold")
    assert (
        untold.text
        == "what its brokers do is not told here: samples of its hosts are withheld by policy edge@3 of hq"
    )
    assert "no broker of it is known here" not in page.text
    assert "which brokers serve" not in page.text
    assert "the brokers of hq/dmz/plant, their links and tunnels: not told here" in page.text


def test_a_zone_of_many_nodes_shows_the_problems_first(visit, seeder):
    """And how many are not shown."""
    for number in range(70):
        seeder.beacon(node=f"n{number:02}", zone="hq", heard=NOW - (600 if number == 66 else 1) * SECOND)
    page = visit(scene.hub())
    (nodes,) = page.all("ul", "nodes")
    assert nodes.all("a")[0].text == "n66 silent"
    assert nodes.all("a")[-1].text == "and 10 more"


@pytest.mark.parametrize("blind", [True, False])
def test_the_map_of_nodes_alone(seeder, tmp_path, make_app, blind):
    """Where nobody may look into the home, or there is none: zones by their nodes, and what is not known is said."""
    seeder.beacon(node="web1", zone="hq/<dmz>", heard=NOW - SECOND)

    def look():
        raise HomeError("not yours")

    with Reader(tmp_path / "store") as reader:
        answer = make_app(reader, look=look if blind else None).test_client().get("/zones")
    page = parse(answer.text)
    assert answer.status_code == 200
    assert [
        heading.text for heading in page.all("h2") if heading.attributes.get("id", "").startswith("zone-")
    ] == [
        "hq",
        "hq/<dmz>",
    ]
    assert "which brokers serve hq" in page.text
