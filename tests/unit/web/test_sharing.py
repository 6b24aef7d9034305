"""The recorders that share a store, on the status page."""

from __future__ import annotations

from tabard.brokers.delivery.leases import NOBODY, RECORDER, Identity, Lease
from tests.unit.web.html import parse


def share(seeder, owner, parts, length):
    """Have a recorder of some home take shards for so many seconds."""
    leases, me = seeder.store.leases(RECORDER), Identity(owner * 32, "3" * 32, f"hub{owner}:/srv/<tabard>")
    leases.look(me, length, joining=True)
    leases.take(me, [Lease(part, NOBODY, 0) for part in parts])


def section(client):
    """That part of the page."""
    page = parse(client.get("/status").text)
    (part,) = [each for each in page.all("div") if each.attributes.get("data-part") == "recorders"]
    return part


def test_who_holds_how_many_shards_is_on_the_page(seeder, client):
    """Also of recorders that are gone, and how many shards nobody holds."""
    seeder.store.own("hq", 1, "here")
    share(seeder, "1", range(40), 600.0)
    share(seeder, "2", range(40, 60), 0.0)
    found = section(client)
    rows = [[cell.text for cell in row.all("td")] for row in found.all("tr")[1:]]
    assert [row[:2] for row in rows] == [["hub1:/srv/<tabard>", "40"], ["hub2:/srv/<tabard>", "20"]]
    assert "hold until" in rows[0][2]
    assert "ended" in rows[1][2]
    assert "No recorder holds 24 of 64 shards" in found.text
    assert "They work for sink hq" in found.text
    assert "retired" not in found.text


def test_a_sink_that_is_retired_says_so(seeder, client):
    """With who said it; a store that no recorder works on says that too."""
    seeder.store.own("hq", 1, "here")
    seeder.store.retire("ada@hub", 1_793_721_600_000_000_000)
    found = section(client).text
    assert "is retired since 2026-11-03" in found
    assert "hq" in found
    assert "ada@hub" in found
    assert "None works here just now" in found
