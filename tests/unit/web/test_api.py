"""The log page for programs."""

from __future__ import annotations

import csv
import io
import json

from tabard.consumers.store.results import LogRow
from tests.unit.web.seed import NOW, record


def test_json_has_every_field_and_the_next_page(client, seeder):
    """Times are exact, attributes are decoded, `older` leads on until nothing is left."""
    seeder.logs([record(message=str(n), time=NOW + n, attributes='{"n": [1]}') for n in range(5)])
    seeder.gap(3)
    got, address = [], "/api/logs?n=2"
    while address:
        page = client.get(address).json
        assert page["partial"] is False
        got += page["rows"]
        address = page["older"]
    assert [row["kind"] for row in got].count("gap") == 1
    records = [row for row in got if row["kind"] == "record"]
    assert [row["message"] for row in records] == ["4", "3", "2", "1", "0"]
    assert records[0]["time"] == "2026-11-03T16:00:00.000000004Z"
    assert records[0]["attributes"] == {"n": [1]}
    assert set(records[0]) == {*LogRow._fields, "kind"}


def test_json_refuses_what_it_does_not_understand(client, seeder):
    """A program gets no answer to another question than it asked."""
    answer = client.get("/api/logs?since=soon")
    assert answer.status_code == 400
    (problem,) = answer.json["problems"]
    assert problem["parameter"] == "since"
    assert "15m" in problem["expected"]
    assert "rows" not in answer.json
    assert client.get("/logs.csv?n=0").status_code == 400


def test_ndjson_is_one_object_a_line(client, seeder):
    """The same rows under the same filters."""
    seeder.logs([record(message="a\nb", service="x"), record(service="y")])
    answer = client.get("/logs.ndjson?service=x")
    assert answer.mimetype == "application/x-ndjson"
    assert "attachment" in answer.headers["Content-Disposition"]
    (line,) = answer.text.splitlines()
    assert json.loads(line)["message"] == "a\nb"


def test_csv_cannot_run_as_a_formula(client, seeder):
    """A cell that a spreadsheet would execute begins with an apostrophe; everything else is as it was."""
    hostile = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\tx", 'plain "quoted", text\nand more']
    seeder.logs([record(message=text, time=NOW - n) for n, text in enumerate(hostile)])
    seeder.gap(9)
    lines = list(csv.DictReader(io.StringIO(client.get("/logs.csv").text)))
    shown = [line["message"] for line in lines if line["level"] != "GAP"]
    assert sorted(shown) == sorted(["'" + text for text in hostile[:-1]] + hostile[-1:])
    (gap,) = [line for line in lines if line["level"] == "GAP"]
    assert "9 logs records" in gap["message"]


def test_the_links_on_the_page_export_that_very_page(client, seeder):
    """Exports keep filters and place."""
    seeder.logs([record(message=str(n), time=NOW + n, service="x") for n in range(6)])
    older = client.get("/api/logs?service=x&n=2").json["older"].partition("?")[2]
    page = client.get(f"/logs?{older}").text
    link = page.partition('href="/logs.ndjson')[2].partition('"')[0].replace("&amp;", "&")
    rows = [json.loads(line)["message"] for line in client.get(f"/logs.ndjson{link}").text.splitlines()]
    assert rows == ["3", "2"]
