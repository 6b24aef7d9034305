"""The page of the audit: who did what, narrowed, page by page, and harmless whatever stands in it."""

from __future__ import annotations

from typing import Any

import pytest

from tabard import audit
from tabard.brokers.wire.answers import OUTPUT, STATE_OF
from tabard.brokers.wire.streams import CONTROL
from tests.contract.chain import MAIL, NOON, SECOND, WEB, Chain
from tests.unit.web.html import parse


@pytest.fixture
def entries(seeder):
    """Stores entries as agents write them."""
    chains = {key: Chain(key, CONTROL) for key in (WEB, MAIL)}

    def store(*kinds: str, key=WEB, **data: Any) -> None:
        for number, kind in enumerate(kinds):
            said = {"uid": "ab", "who": "ann@hq1", "what": {"name": "web9"}, "outcome": "done", **data}
            record = (NOON + number * SECOND, audit.PREFIX + kind, said)
            seeder.store.commit([chains[key].work([record])], NOON)

    return store


def rows(client, query=""):
    """The text of each row."""
    answer = client.get(f"/audit{query}")
    assert answer.status_code == 200, answer.text
    return [" ".join(row.text.split()) for body in parse(answer.text).all("tbody") for row in body.all("tr")]


def test_an_empty_audit_says_what_will_be_there(client):
    """And a filter that nothing fits says so."""
    assert "Nothing has been done yet" in client.get("/audit").text
    assert "Nothing fits" in client.get("/audit?kind=keys").text


def test_entries_are_the_newest_first(client, entries):
    """When, where, what, who, on whom, and how it ended with why."""
    entries("keys.revoke", "node.add")
    entries("policy.set", key=MAIL, outcome="refused", detail="no such zone")
    assert [row.split()[2:] for row in rows(client)] == [
        ["mail1", "hq", "policy.set", "ann@hq1", "name=web9", "refused", "no", "such", "zone"],
        ["web1", "hq/dmz", "node.add", "ann@hq1", "name=web9", "done"],
        ["web1", "hq/dmz", "keys.revoke", "ann@hq1", "name=web9", "done"],
    ]


@pytest.mark.parametrize(
    ("query", "kinds"),
    [
        ("?node=mail1", ["policy.set"]),
        ("?zone=hq/dmz", ["node.add", "keys.revoke"]),
        ("?zone=hq", ["policy.set", "node.add", "keys.revoke"]),
        ("?kind=keys", ["keys.revoke"]),
        ("?kind=audit.keys", ["keys.revoke"]),
        ("?kind=x", []),
    ],
)
def test_what_is_asked_narrows(client, entries, query, kinds):
    """By node, by zone with those below, by how a kind begins."""
    entries("keys.revoke", "node.add")
    entries("policy.set", key=MAIL)
    assert [row.split()[4] for row in rows(client, query)] == kinds


@pytest.mark.parametrize(
    "query", ["?before=x", "?before=-1", "?before=99999999999999999999", "?zone=../x", "?kid=a"]
)
def test_what_cannot_be_asked_is_said(client, entries, query):
    """And the rest of the page is there."""
    entries("keys.revoke")
    answer = client.get(f"/audit{query}")
    assert answer.status_code == 400
    assert "was left out" in answer.text and "keys.revoke" in answer.text


def test_older_entries_are_a_page_away(client, entries, monkeypatch):
    """Each on one page, none on two."""
    monkeypatch.setattr("tabard.web.audit.SHOWN", 2)
    entries(*(f"kind.{word}" for word in ("aa", "bb", "cc", "dd", "ee")))
    found, query = [], ""
    while True:
        text = client.get(f"/audit{query}").text
        found += [row.split()[4] for row in rows(client, query)]
        links = [link.attributes["href"] for link in parse(text).all("a") if link.text == "Older entries"]
        if not links:
            break
        query = links[0].removeprefix("/audit")
    assert found == [f"kind.{word}" for word in ("ee", "dd", "cc", "bb", "aa")]


@pytest.mark.threat("script-in-a-record")
def test_nothing_in_an_entry_is_markup(client, entries):
    """Wherever it stands."""
    evil = "<script>alert(1)</script>"
    entries("keys.revoke", who=evil, what={evil: evil}, outcome=evil, detail=evil)
    text = client.get("/audit").text
    assert evil not in text
    assert text.count("&lt;script&gt;") >= 5


@pytest.mark.threat("markup-in-a-command")
@pytest.mark.parametrize("kind", [*STATE_OF, OUTPUT])
def test_nothing_in_an_answer_to_a_command_is_markup(client, seeder, kind):
    """In no field, of whatever type a node may make it."""
    evil = "\"'><script>alert(1)</script>"
    named = ("id", "issuer", "what", "reason", "expected", "by", "now", "pid", "exit", "signal", "seconds")
    data = {**dict.fromkeys(named, evil), "data": evil.encode(), "parts": [evil, {evil: evil}], evil: evil}
    seeder.store.commit([Chain(WEB, CONTROL).work([(NOON, kind, data)])], NOON)
    for address in ("/audit?kind=command", "/audit", "/logs", "/"):
        assert "<script>alert" not in client.get(address).text
    assert client.get("/audit?kind=command").text.count("&lt;script&gt;alert") >= len(named)


def test_a_record_of_another_form_is_shown_as_it_is(client, seeder):
    """What nodes say of commands and sinks is not written as an entry is."""
    data = {"id": b"\x01", "issuer": "bob", "what": "ping"}
    seeder.store.commit([Chain(WEB, CONTROL).work([(NOON, "command.accepted", data)])], NOON)
    (row,) = rows(client)
    assert "command.accepted bob what=ping id=01" in row
