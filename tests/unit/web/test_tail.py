"""The live tail."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from tabard.consumers.store.layout import RECORDS
from tests.unit.web.html import messages
from tests.unit.web.seed import NOW, record


def rows(answer):
    return messages(f"<table>{answer.json['html']}</table>")


def test_only_what_came_after_is_sent(client, seeder):
    """The answer has the new rows that fit the filters, and where to go on from."""
    seeder.logs([record(message="old", service="x")])
    first = client.get("/logs/tail?after=0").json
    seeder.logs([record(message="new", service="x", time=NOW - 9), record(message="other", service="y")])
    answer = client.get(f"/logs/tail?after={first['last']}&service=x")
    assert rows(answer) == ["new"]
    assert answer.json["count"] == 1
    again = client.get(f"/logs/tail?after={answer.json['last']}&service=x").json
    mark = {"last": answer.json["last"], "place": answer.json["place"]}
    assert again == {**mark, "beside": "0.0.0.0", "count": 0, "html": "", "whole": False, "recorder": ""}


def test_gaps_arrive_too(client, seeder):
    """A loss that is found out while somebody looks is shown."""
    seeder.logs([record()])
    last = client.get("/logs/tail?after=0").json["last"]
    seeder.gap(12)
    answer = client.get(f"/logs/tail?after={last}&beside=0.0.0.0")
    assert rows(answer) == ["Gap"]
    assert rows(client.get(f"/logs/tail?after={last}&beside={answer.json['beside']}")) == []


def test_a_flood_replaces_the_page(client, seeder):
    """When more came than a page holds, the newest page is sent, so that the tail never falls behind."""
    seeder.logs([record(message=str(number), time=NOW + number) for number in range(25)])
    answer = client.get("/logs/tail?after=0&n=10")
    assert answer.json["whole"] is True
    assert rows(answer) == [str(number) for number in range(24, 14, -1)]
    again = client.get(f"/logs/tail?after={answer.json['last']}&n=10")
    assert rows(again) == []


def test_more_gaps_than_a_page_holds_come_one_after_another(client, seeder, monkeypatch):
    """None is passed over, however many came between two answers."""
    monkeypatch.setattr("tabard.consumers.store.read.Reader.beside.__defaults__", (2,))
    mark, found = client.get("/logs/tail?after=0").json, []
    for number in range(5):
        seeder.gap(1 + number)
    while True:
        mark = client.get(f"/logs/tail?after={mark['last']}&beside={mark['beside']}").json
        if not mark["count"]:
            break
        found += [mark["count"]]
    assert found == [2, 2, 1]


def test_counting_sends_no_rows(client, seeder):
    """A paused page only learns how many are waiting."""
    seeder.logs([record(), record()])
    answer = client.get("/logs/tail?after=0&count=1").json
    assert answer["count"] == 2
    assert answer["html"] == ""


def test_a_replaced_store_starts_the_page_anew(client, seeder):
    """Ids of a store that is no longer there mean nothing."""
    seeder.logs([record()])
    assert client.get("/logs/tail?after=500").json == {"reset": True}


def test_a_store_that_went_on_behind_an_older_state_starts_it_anew_too(client, seeder, tmp_path):
    """Though its last id is higher than that of the page: the record there is another one."""
    seeder.logs([record(message=str(number)) for number in range(5)])
    mark = client.get("/logs/tail?after=0").json
    going_on = f"/logs/tail?after={mark['last']}&place={mark['place']}"
    assert client.get(going_on).json["count"] == 0
    with contextlib.closing(sqlite3.connect(RECORDS.path(tmp_path / "store"))) as other:
        other.execute("DELETE FROM log WHERE id > 2")
        other.commit()
    seeder.logs([record(message=f"new {number}", time=NOW + number) for number in range(20)])
    assert client.get(going_on).json == {"reset": True}


def test_retention_does_not_start_it_anew(client, seeder, tmp_path):
    """A record that is gone is none that changed."""
    seeder.logs([record(message=str(number)) for number in range(5)])
    mark = client.get("/logs/tail?after=0").json
    seeder.logs([record(message="new", time=NOW + 1)])
    with contextlib.closing(sqlite3.connect(RECORDS.path(tmp_path / "store"))) as other:
        other.execute("DELETE FROM log WHERE id <= ?", (mark["last"],))
        other.commit()
    answer = client.get(f"/logs/tail?after={mark['last']}&place={mark['place']}")
    assert rows(answer) == ["new"]


@pytest.mark.parametrize("place", ["x", "1-2/3", "1-2/x/y/z", "1-2/1/2/3/4", "//", "%00", "1" * 3000])
def test_a_place_that_is_none_is_that_of_another_store(client, seeder, place):
    """Whatever stands there."""
    assert client.get(f"/logs/tail?after=0&place={place}").json == {"reset": True}


@pytest.mark.parametrize(
    "query",
    [
        "",
        "after=x",
        "after=-1",
        f"after={10**20}",
        "after=0&beside=x",
        "after=0&beside=1.2.3",
        "after=0&beside=0.0.0.9223372036854775808",
        "after=0&min=loud",
    ],
)
def test_wrong_parameters_are_answered(client, seeder, query):
    """400 with what was expected, as JSON."""
    answer = client.get(f"/logs/tail?{query}")
    assert answer.status_code == 400
    assert "after=ID" in answer.json["expected"]
