"""What the store could not take is where its records would stand, and is counted."""

from __future__ import annotations

import json

import pytest

from tests.unit.web.html import messages, parse
from tests.unit.web.seed import NOW, record


@pytest.fixture
def poisoned(seeder):
    """Two records, a batch of seven that nobody can read, two records."""
    seeder.beacon()
    seeder.logs([record(message=f"before {n}", time=NOW + n) for n in range(2)])
    seeder.poison(7, reason="bytes are <b>not</b> msgpack")
    seeder.logs([record(message=f"after {n}", time=NOW + 2 + n) for n in range(2)])


def test_a_batch_stands_where_its_records_would(client, poisoned):
    """Between its neighbours, with how many, whose, which numbers and why, under any filter and paging."""
    page = client.get("/logs").text
    assert messages(page) == ["after 1", "after 0", "Quarantine", "before 1", "before 0"]
    (row,) = parse(page).all("tr", "quarantine")
    for said in ("7 log records", "web1", "numbers 4 to 10", "bytes are <b>not</b> msgpack", "kept apart"):
        assert said in row.text
    assert messages(client.get("/logs?q=nothing+like+it").text) == ["Quarantine"]
    assert messages(client.get("/logs?node=web2").text) == []
    kinds, address = [], "/api/logs?n=1&order=old"
    while address:
        answer = client.get(address).json
        kinds += [found["kind"] for found in answer["rows"]]
        address = answer["newer"]
    assert kinds == ["record", "record", "quarantine", "record", "record"]


def test_a_batch_without_neighbours_stands_at_its_arrival(client, seeder):
    """Also what is first, or alone, in its epoch."""
    seeder.poison(3)
    (row,) = client.get("/api/logs").json["rows"]
    assert (row["kind"], row["count"], row["time"]) == ("quarantine", 3, "2026-11-03T16:00:00.000000000Z")


def test_the_node_and_the_status_do_not_call_it_well(client, poisoned):
    """Counted in the list of nodes, shown on the node's page and among the store's; no sentence denies it."""
    (row,) = parse(client.get("/nodes").text).all("tbody")[0].all("tr")
    (count,) = row.all("a", "sev-error")
    assert count.text == "1"
    for address in ("/nodes/web1", "/status"):
        page = parse(client.get(address).text)
        assert len(page.all("tr", "quarantine")) == 1
        assert "None:" not in page.text
    assert "tabard store quarantine list" in parse(client.get("/status").text).text


def test_it_arrives_on_the_live_page(client, seeder):
    """A batch that comes while somebody looks is shown, once."""
    seeder.logs([record()])
    first = client.get("/logs/tail?after=0").json
    seeder.poison(2)
    answer = client.get(f"/logs/tail?after={first['last']}&beside={first['beside']}").json
    assert messages(f"<table>{answer['html']}</table>") == ["Quarantine"]
    again = client.get(f"/logs/tail?after={first['last']}&beside={answer['beside']}").json
    assert again["html"] == ""


def test_exports_have_it(client, poisoned):
    """A line of its own kind."""
    lines = [json.loads(line) for line in client.get("/logs.ndjson").text.splitlines()]
    assert [line["kind"] for line in lines].count("quarantine") == 1
    assert ",QUARANTINE," in client.get("/logs.csv").text
