"""What a policy withheld stands where its records would, is called no loss, and records say who changed their batch."""

from __future__ import annotations

import json

import pytest

from tabard.consumers.store.arriving import Beside
from tests.unit.web.html import messages, parse
from tests.unit.web.seed import NOW, record


@pytest.fixture
def policed(seeder):
    """Two records as they were said, and a batch of five of which three were withheld."""
    seeder.beacon()
    seeder.logs([record(message=f"as said {n}", time=NOW + n) for n in range(2)])
    attributes = json.dumps({"redacted": ["user1"], "redacted_by": ["edge@2"]})
    said = [record(message=f"passed {n}", time=NOW + 5 + n, attributes=attributes) for n in range(5)]
    seeder.policed(said, ".###.")


def test_what_was_withheld_stands_where_its_records_would(client, policed):
    """With how many, whose and which policy; what looks for a text passes it by."""
    page = client.get("/logs").text
    assert messages(page) == ["passed 4", "Withheld", "passed 0", "as said 1", "as said 0"]
    (row,) = parse(page).all("tr", "withheld")
    for said in ("3 log records", "web1", "edge@2", "of zone hq, numbers 5 to 7", "No loss"):
        assert said in row.text
    assert messages(client.get("/logs?q=as+said").text) == ["as said 1", "as said 0"]
    assert messages(client.get("/logs?node=web1&n=10").text)[1] == "Withheld"
    assert messages(client.get("/logs?level=warning").text) == []


def test_it_is_no_loss_on_any_page(client, policed):
    """The pages of the node and of the store still say that nothing is lost, and count it apart."""
    for address in ("/nodes/web1", "/status"):
        assert "None: nothing" in parse(client.get(address).text).text
    node = parse(client.get("/nodes/web1").text)
    assert len(node.all("tr", "withheld")) == 1
    assert "Withheld by policies" in node.text
    assert "<dt>Records withheld by policies</dt><dd>3</dd>" in client.get("/status").text


def test_without_policies_no_page_speaks_of_them(client, seeder):
    """Nobody is told of what he does not have."""
    seeder.beacon()
    seeder.logs([record()])
    for address in ("/logs", "/nodes/web1", "/status", "/logs/1"):
        assert "olic" not in parse(client.get(address).text).text


def test_a_record_of_a_changed_batch_says_who_changed_it(client, policed):
    """On its page, in the row that opens below it, and for programs; one of another batch says nothing."""
    rows = {row["message"]: row for row in client.get("/api/logs").json["rows"] if row["kind"] == "record"}
    assert rows["passed 0"]["attested_by"] == [{"zone": "hq", "policy": "edge@2", "broker": "hq1"}]
    assert rows["passed 0"]["attributes"]["redacted"] == ["user1"]
    assert rows["as said 0"]["attested_by"] is None
    for address in ("/logs/{}", "/logs/{}/fields"):
        text = client.get(address.format(rows["passed 0"]["id"])).text
        assert "Changed by policy" in text
        assert "<code>edge@2</code> of zone hq, by its broker hq1" in text
        assert "Changed by" not in client.get(address.format(rows["as said 0"]["id"])).text


def test_exports_say_it_too(client, policed):
    """NDJSON with a kind of its own, CSV in a sentence."""
    lines = [json.loads(line) for line in client.get("/logs.ndjson").text.splitlines()]
    assert [line["kind"] for line in lines] == ["record", "withheld", "record", "record", "record"]
    assert (lines[1]["reason"], lines[1]["detail"], lines[1]["count"]) == ("edge@2", "hq", 3)
    assert lines[0]["attested_by"]
    assert "withheld: 3 logs records, policy edge@2 of zone hq" in client.get("/logs.csv").text


def test_it_arrives_on_the_live_page(client, seeder, policed):
    """What is withheld while somebody looks is shown, once, and not to who looks for a text."""
    page = parse(client.get("/logs").text)
    (state,) = [element for element in page.all("div") if element.attributes.get("id") == "tail"]
    marks = {name: state.attributes[f"data-{name}"] for name in ("last", "beside")}
    seen = marks["beside"]
    assert Beside.read(seen).withheld == 1
    seeder.policed([record(time=NOW + 20)] * 2, ".#", policy="edge@3")
    address = "/logs/tail?after={last}&beside={beside}"
    got = client.get(address.format(**marks)).json
    assert (got["count"], Beside.read(got["beside"]).withheld) == (2, 2)
    assert "edge@3" in got["html"]
    marks |= {name: got[name] for name in marks}
    assert client.get(address.format(**marks)).json["count"] == 0
    marks["beside"] = seen
    assert client.get(address.format(**marks) + "&q=hello").json["count"] == 0
