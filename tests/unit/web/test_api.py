"""The log page for programs."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tabard.consumers.store.read import Reader
from tabard.consumers.store.results import LogRow
from tabard.errors import StoreError
from tests.unit.web.seed import NOW, record


class Hasty(Reader):
    """A reader whose searches are stopped after their first stretch; one of them may fail."""

    fails_at = 0
    asked = 0

    def logs(self, query, budget=1.0):
        """Look at one stretch of the log, a thousand records or some more."""
        self.asked += 1
        if self.asked == self.fails_at:
            raise StoreError("the store cannot be read", found="the disk is gone")
        return super().logs(query, 0)


@pytest.fixture
def hasty(seeder, tmp_path, make_app):
    """A client of herald that searches in small parts, and its reader: only the oldest of its records says needle."""
    seeder.logs([record(message=f"{'needle' if n == 0 else 'hay'} {n}", time=NOW + n) for n in range(7100)])
    with Hasty(tmp_path / "store") as reader:
        yield make_app(reader).test_client(), reader


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
    assert set(records[0]) == {*LogRow._fields, "kind", "attested_by"}


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


@pytest.mark.parametrize("query", ["q=needle", "q=needle&order=old", f"q=needle&before={NOW + 7000}.0",
                                   f"q=needle&after={NOW - 1}.0", f"q=needle&order=old&before={NOW + 7000}.0"])  # fmt: skip
def test_an_export_searches_to_the_end(hasty, query):
    """A match that the first stretch of the search does not reach is in the file all the same."""
    client, reader = hasty
    assert client.get(f"/api/logs?{query}").json["partial"] is True
    lines = client.get(f"/logs.ndjson?{query}").text.splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["needle 0"]
    assert "needle 0" in client.get(f"/logs.csv?{query}").text
    assert reader.asked > 2


def test_an_export_has_as_many_rows_as_the_page_and_their_order(hasty):
    """Parts of a search fit together, also where it goes against the order asked for."""
    client, _ = hasty
    for place, order, expected in (
        ("", "new", range(7100, 6100, -1)),
        ("", "old", range(1000)),
        (f"&after={NOW + 99}.{2**62}", "new", range(1099, 99, -1)),
        (f"&before={NOW + 1100}.0", "old", range(100, 1100)),
    ):
        lines = client.get(f"/logs.ndjson?q=hay&n=1000&order={order}{place}").text.splitlines()
        numbers = [int(json.loads(line)["message"].split()[1]) for line in lines]
        assert len(numbers) == 1000
        assert numbers == sorted(numbers, reverse=order == "new")
        assert set(numbers) <= set(range(min(expected) - 1, max(expected) + 2))


def test_an_export_that_breaks_off_says_so(hasty):
    """The last line tells how far it came: a short file must not look like an answer."""
    client, reader = hasty
    reader.fails_at = 3
    (line,) = client.get("/logs.ndjson?q=needle").text.splitlines()
    last = json.loads(line)
    assert last["kind"] == "partial"
    assert last["reached"].startswith("2026-11-03T16:00:00.00000")
    assert "the disk is gone" in last["reason"]
    reader.asked = 0
    (line,) = csv.DictReader(io.StringIO(client.get("/logs.csv?q=needle").text))
    assert line["level"] == "PARTIAL"
    assert line["time"] == last["reached"]
    reader.asked, reader.fails_at = 0, 1
    assert client.get("/logs.ndjson?q=needle").status_code == 503
