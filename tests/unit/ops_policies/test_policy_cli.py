"""Policies by the command line: set, listed, shown, tried and removed, and what is refused on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tabard import exits
from tabard.brokers.policy import document
from tabard.brokers.policy.document import Policy
from tabard.brokers.trust.files import Trust
from tabard.brokers.trust.keys import PrivateKey
from tabard.brokers.trust.rosters import sign
from tabard.brokers.wire.codec import pack
from tabard.home import Home
from tests.unit.ops_keys.test_keys_cli import Homes
from tests.unit.ops_reading.conftest import run_on
from tests.unit.ops_reading.test_json import described
from tests.unit.web.seed import NOW, Seeder, record

EDGE = """
up_level = "info"
[[withhold]]
service = "till"
[[redact]]
pattern = '\\d{16}'
with = "(card)"
"""
CARD = "card 4111111111111111 paid"


@pytest.fixture
def homes(tmp_path: Path) -> Homes:
    """The root in the home `hq`, with `hq/dmz` there, too, a file `edge.toml`, and one that a person got wrong."""
    made = Homes(tmp_path)
    made.rows("hq", "init", "--zone", "hq")
    made.rows("hq", "zone", "add", "hq/dmz")
    (tmp_path / "edge.toml").write_text(EDGE, encoding="utf-8")
    (tmp_path / "wrong.toml").write_text("up_level = 99", encoding="utf-8")
    return made


def given(homes: Homes, *words: str) -> list[str]:
    """Words of a command; names that end in .toml and .ndjson are files of the folder."""
    return [str(homes.folder / word) if word.endswith((".toml", ".ndjson")) else word for word in words]


def rows(homes: Homes, *words: str) -> list[dict[str, Any]]:
    """What a command about policies lists."""
    return homes.rows("hq", "policy", *given(homes, *words))


def test_a_policy_is_set_numbered_listed_and_removed(homes: Homes) -> None:
    """Each is the next number of its id, in a new roster; one that was removed is not listed, and not forgotten."""
    (first,) = rows(homes, "set", "edge", "--zone", "hq/dmz", "--file", "edge.toml")
    assert list(first) == described("tabard policy list")
    assert (first["policy"], first["zone"], first["below"], first["state"]) == (
        "edge@1",
        "hq/dmz",
        "hq/dmz",
        "holds",
    )
    assert (first["up_level"], first["withhold"]) == (9, [{"service": "till"}])
    assert first["redact"] == [{"kind": "pattern", "name": "message", "pattern": r"\d{16}", "text": "(card)"}]
    rows(homes, "set", "in", "--zone", "hq", "--below", "hq/dmz", "--file", "edge.toml")
    (second,) = rows(homes, "set", "edge", "--zone", "hq/dmz", "--file", "edge.toml")
    assert second["policy"] == "edge@2"
    assert [row["policy"] for row in rows(homes)] == ["in@1", "edge@2"]
    (gone,) = rows(homes, "remove", "edge")
    assert (gone["policy"], gone["state"], gone["says"]) == ("edge@3", "removed", "everything passes")
    assert [row["policy"] for row in rows(homes, "list")] == ["in@1"]
    assert [row["policy"] for row in rows(homes, "list", "--all")] == ["in@1", "edge@3"]
    (again,) = rows(homes, "set", "edge", "--zone", "hq/dmz", "--file", "edge.toml")
    assert (again["policy"], again["state"]) == ("edge@4", "holds")


def test_what_is_shown_can_be_set(homes: Homes) -> None:
    """The file that `show` writes says the same."""
    rows(homes, "set", "edge", "--zone", "hq/dmz", "--file", "edge.toml")
    shown = homes.run("hq", "policy", "show", "edge")
    assert shown.stdout.startswith("# edge@1 of zone hq/dmz, upwards: holds\n")
    (homes.folder / "again.toml").write_text(shown.stdout, encoding="utf-8")
    (one,) = rows(homes, "show", "edge")
    (two,) = rows(homes, "set", "edge", "--zone", "hq/dmz", "--file", "again.toml")
    same = ("zone", "below", "up_kinds", "up_nodes", "up_level", "withhold", "redact", "rate")
    assert [one[key] for key in same] == [two[key] for key in same]


def test_another_home_hears_of_it_by_the_roster(homes: Homes) -> None:
    """Whoever joins it lists the policy; without the authority's key nobody sets one."""
    homes.rows("hq", "node", "add", "gate", "--zone", "hq/dmz", "--broker", "dmz", "--out", "gate.tabard")
    homes.rows("gate", "join", "gate.tabard")
    assert homes.rows("gate", "policy") == []
    rows(homes, "set", "edge", "--zone", "hq/dmz", "--file", "edge.toml")
    homes.rows("hq", "keys", "roster", "--out", "r.tabard")
    homes.rows("gate", "join", "r.tabard")
    assert [row["policy"] for row in homes.rows("gate", "policy")] == ["edge@1"]
    words = given(homes, "policy", "set", "edge", "--zone", "hq/dmz", "--file", "edge.toml")
    assert "authority of hq/dmz is not in this home" in homes.refused("gate", *words)
    assert "authority of hq/dmz is not in this home" in homes.refused("gate", "policy", "remove", "edge")


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (("set", "Edge!", "--zone", "hq", "--file", "edge.toml"), "found 'Edge!'", exits.WRONG_USE),
        (("set", "edge", "--zone", "hq", "--file", "none.toml"), "does not exist", exits.WRONG_USE),
        (("set", "edge", "--file", "edge.toml"), "--zone with one of hq, hq/dmz", exits.WRONG_USE),
        (("set", "edge", "--zone", "hq", "--file", "wrong.toml"), "line 1: up_level", exits.FAILED),
        (
            ("set", "e", "--zone", "hq", "--below", "hq/a/b", "--file", "edge.toml"),
            "found hq/a/b",
            exits.WRONG_USE,
        ),
        (
            ("set", "in", "--zone", "hq", "--file", "edge.toml"),
            "--below hq/dmz, or another id",
            exits.WRONG_USE,
        ),
        (("show", "other"), "there is no such policy", exits.WRONG_USE),
        (("remove", "in", "--zone", "hq/dmz"), "found in of zone hq/dmz", exits.WRONG_USE),
        (("test", "in"), "--file FILE or --since TIME", exits.WRONG_USE),
        (("test", "in", "--file", "edge.toml"), "line 2: not a record", exits.FAILED),
        (("test", "in", "--draft", "wrong.toml", "--since", "1h"), "line 1: up_level", exits.FAILED),
        (
            ("test", "e", "--draft", "edge.toml", "--zone", "hq", "--below", "hq/a/b", "--since", "1h"),
            "found hq/a/b",
            exits.WRONG_USE,
        ),
        (("test", "in", "--below", "hq", "--since", "1h"), "--below with --draft only", exits.WRONG_USE),
    ],
)
def test_what_is_refused(homes: Homes, words: tuple[str, ...], said: str, code: int) -> None:
    """In one sentence, and nothing is changed by it."""
    rows(homes, "set", "in", "--zone", "hq", "--below", "hq/dmz", "--file", "edge.toml")
    done = homes.run("hq", "policy", *given(homes, *words))
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr
    assert [row["policy"] for row in rows(homes, "list", "--all")] == ["in@1"]


def test_an_id_that_two_zones_have_needs_its_zone(homes: Homes) -> None:
    """Nobody guesses which was meant, and one that was removed is not removed twice."""
    for zone in ("hq", "hq/dmz"):
        rows(homes, "set", "edge", "--zone", zone, "--file", "edge.toml")
    assert "--zone with one of hq, hq/dmz" in homes.refused(
        "hq", "policy", "show", "edge", code=exits.WRONG_USE
    )
    rows(homes, "remove", "edge", "--zone", "hq")
    assert "removed before" in homes.refused("hq", "policy", "remove", "edge", "--zone", "hq")
    tried = given(homes, "policy", "test", "edge", "--zone", "hq", "--file", "edge.toml")
    assert "the policy was removed" in homes.refused("hq", *tried)


def test_it_is_tried_on_records_of_a_file(homes: Homes) -> None:
    """Those that would be withheld or redacted, with what they would be; what passes only where it is asked for."""
    said = [
        {"message": CARD, "severity": 9, "node": "web1", "zone": "hq/dmz", "time": "2026-11-03T10:00:00Z"},
        {"kind": "gap", "count": 3},
        {"message": "noise", "severity": 5, "node": "web1"},
        {"message": "a sale", "severity": 9, "node": "web1", "service": "till", "attributes": {"a": 1}},
        {"message": "well", "level": "error", "node": "web1"},
        {"message": "of hq", "severity": 9, "node": "hub", "zone": "hq"},
    ]
    lines = "".join(f"{json.dumps(each)}\n" for each in said)
    (homes.folder / "r.ndjson").write_text(lines, encoding="utf-8")
    for words in (("--draft", "edge.toml", "--zone", "hq/dmz"), ()):
        done = homes.run(
            "hq", "policy", "test", "edge", *given(homes, *words, "--file", "r.ndjson"), "-o", "json"
        )
        assert done.stderr == (
            "tabard: of 5 records 2 would be withheld and 1 redacted; 1 are not of hq/dmz and never pass this link\n"
        )
        found = json.loads(done.stdout)
        assert [list(row) for row in found] == [described("tabard policy test")] * 3
        assert [(row["outcome"], row["message"]) for row in found] == [
            ("redacted", CARD),
            ("withheld", "noise"),
            ("withheld", "a sale"),
        ]
        assert found[0]["after"] == {
            "message": "card (card) paid",
            "attributes": {"redacted": ["message (pattern)"], "redacted_by": ["edge@1"]},
        }
        if words:
            rows(homes, "set", "edge", "--zone", "hq/dmz", "--file", "edge.toml")
    every = homes.run(
        "hq", "policy", "test", "edge", *given(homes, "--file", "r.ndjson"), "--all", "-o", "ndjson"
    )
    assert [json.loads(line)["outcome"] for line in every.stdout.splitlines()] == [
        "redacted",
        "withheld",
        "withheld",
        "passes",
        "not on this link",
    ]
    table = homes.run("hq", "policy", "test", "edge", *given(homes, "--file", "r.ndjson")).stdout
    assert [line.split()[0] for line in table.splitlines()] == ["OUTCOME", "redacted", "withheld", "withheld"]


def test_it_is_tried_on_records_of_the_store(homes: Homes) -> None:
    """Those of the zone below the link and of its sub-zones, from a time on."""
    seeder = Seeder(Home(homes.folder / "hq").path / "store")
    seeder.logs([record(message="long ago", severity=5, time=NOW - 10**15)], zone="hq/dmz")
    seeder.logs([record(message=CARD, severity=9), record(message="noise", severity=5)], zone="hq/dmz")
    seeder.logs([record(message="noise of hq", severity=5)], zone="hq", node="hub")
    seeder.close()
    rows(homes, "set", "edge", "--zone", "hq/dmz", "--file", "edge.toml")
    found = homes.run(
        "hq", "policy", "test", "edge", "--since", "2026-11-03 00:00+00:00", "-o", "ndjson"
    ).stdout
    said = [json.loads(line) for line in found.splitlines()]
    assert [(row["outcome"], row["message"]) for row in said] == [("redacted", CARD), ("withheld", "noise")]


def test_check_names_contradictions(homes: Homes) -> None:
    """A zone without a broker, one that there is not, a glob that fits nobody, and nodes that nobody else would keep."""
    out = ("--out", "x.tabard")
    homes.rows("hq", "node", "add", "web1", "--zone", "hq/dmz", "--honours", "main", *out)
    clean = run_on(homes.folder / "hq", "check", "-o", "json")
    assert "policy" not in clean.stdout
    (homes.folder / "glob.toml").write_text('up_nodes = ["db*"]', encoding="utf-8")
    rows(homes, "set", "edge", "--zone", "hq/dmz", "--file", "glob.toml")
    rows(homes, "set", "lost", "--zone", "hq", "--below", "hq/plant", "--file", "edge.toml")
    done = run_on(homes.folder / "hq", "check", "-o", "json")
    assert done.returncode == exits.PARTLY
    said = {finding["what"]: finding for finding in json.loads(done.stdout) if "policy" in finding["what"]}
    assert sorted(said) == [
        "the policy edge@1 of zone hq/dmz is applied by nobody: that zone has no broker",
        "the policy edge@1 of zone hq/dmz names nodes that there are not",
        "the policy edge@1 of zone hq/dmz withholds all logs and samples of nodes whose only sinks are above that link",
        "the policy lost@1 of zone hq speaks of a zone that there is not",
    ]
    cut = said[
        "the policy edge@1 of zone hq/dmz withholds all logs and samples of nodes whose only sinks are above that link"
    ]
    assert cut["found"] == "web1, for sink main"
    assert {finding["severity"] for finding in said.values()} == {"warning"}
    homes.rows("hq", "node", "add", "gate", "--zone", "hq/dmz", "--broker", "dmz", "--out", "y.tabard")
    homes.rows("hq", "node", "add", "keep", "--zone", "hq/dmz", "--sink", "main", "--out", "z.tabard")
    left = json.loads(run_on(homes.folder / "hq", "check", "-o", "json").stdout)
    assert sorted(finding["what"] for finding in left if "policy" in finding["what"]) == [
        "the policy edge@1 of zone hq/dmz names nodes that there are not",
        "the policy lost@1 of zone hq speaks of a zone that there is not",
    ]


def test_check_names_nodes_that_would_hear_no_cursor(homes: Homes) -> None:
    """They send only what a sink asks for, so nothing of them would come up."""
    for name in ("web1", "db1"):
        homes.rows(
            "hq", "node", "add", name, "--zone", "hq/dmz", "--honours", "main", "--out", f"{name}.tabard"
        )
    homes.rows("hq", "node", "add", "gate", "--zone", "hq/dmz", "--broker", "dmz", "--out", "y.tabard")
    (homes.folder / "down.toml").write_text('down_nodes = ["web*", "gate", "x*"]', encoding="utf-8")
    (made,) = rows(homes, "set", "edge", "--zone", "hq/dmz", "--file", "down.toml")
    assert made["down_nodes"] == ["web*", "gate", "x*"]
    assert made["says"] == "down only to web*, gate, x*"
    said = json.loads(run_on(homes.folder / "hq", "check", "-o", "json").stdout)
    found = {each["found"]: each["what"] for each in said if "policy" in each["what"]}
    assert "names nodes that there are not" in found["down_nodes: 'x*'"]
    assert "they hand up nothing" in found["db1, for sink main"]
    (homes.folder / "down.toml").write_text('down_kinds = ["cursors"]', encoding="utf-8")
    (made,) = rows(homes, "set", "edge", "--zone", "hq/dmz", "--file", "down.toml")
    assert made["says"] == "down only cursors"
    said = json.loads(run_on(homes.folder / "hq", "check", "-o", "json").stdout)
    assert not [each for each in said if "policy" in each["what"]]


def test_a_policy_that_cannot_be_believed_or_read_is_told_of(homes: Homes) -> None:
    """Its brokers hand nothing up: the list says so, and it is a finding; an error where the broker is of this home."""
    home = Home(homes.folder / "hq")
    rows(homes, "set", "edge", "--zone", "hq/dmz", "--file", "edge.toml")
    trust = Trust.load(home)
    assert trust is not None
    known, key = trust.directory.roster("hq/dmz"), trust.key("zone", "hq/dmz")
    assert known is not None
    assert key is not None
    foreign = document.sign(Policy("edge", 1, "hq/dmz", "hq/dmz"), PrivateKey.generate())
    later = pack((pack((2, "of a later edition")), bytes(64)))
    trust.store_roster(sign(known._replace(version=known.version + 9, policies=(foreign, later)), key))
    listed = homes.run("hq", "policy", "list", "-o", "json")
    assert listed.returncode == exits.PARTLY
    found = json.loads(listed.stdout)
    assert [(row["policy"], row["state"]) for row in found] == [
        ("edge@1", "not believed"),
        (None, "unreadable"),
    ]
    assert [list(row) for row in found] == [described("tabard policy list")] * 2
    assert len(homes.run("hq", "policy", "list").stdout.splitlines()) == 3

    def findings() -> list[tuple[str, bool]]:
        said = json.loads(run_on(home.path, "check", "-o", "json").stdout)
        return [
            (each["severity"], "hand nothing up" in each["what"]) for each in said if "policy" in each["what"]
        ]

    assert findings() == [("warning", True)] * 2
    with (home.path / "tabard.toml").open("a", encoding="utf-8") as settings:
        settings.write('[[broker]]\nname = "dmz"\nzone = "hq/dmz"\n')
    assert findings() == [("error", True)] * 2
    shown = json.loads(homes.run("hq", "zones", "-o", "json").stdout)["policies"]
    assert [each["policy"] for each in shown] == [None, "edge@1"]


def test_a_roster_that_does_not_hold_is_told_of(homes: Homes) -> None:
    """Its policies are not listed, and nobody takes that for a zone without any."""
    rows(homes, "set", "edge", "--zone", "hq/dmz", "--file", "edge.toml")
    (key,) = [
        row["key"]
        for row in homes.rows("hq", "keys", "list")
        if (row["role"], row["name"]) == ("zone", "hq/dmz")
    ]
    homes.rows("hq", "keys", "revoke", key, "--reason", "lost")
    done = homes.run("hq", "policy", "list")
    assert done.returncode == exits.PARTLY
    assert "revoked" in done.stderr


def test_zones_say_what_may_pass(homes: Homes) -> None:
    """For people and programs, as far as the rosters of the home say; none in a home without keys."""
    rows(homes, "set", "edge", "--zone", "hq/dmz", "--file", "edge.toml")
    rows(homes, "set", "gone", "--zone", "hq", "--file", "edge.toml")
    rows(homes, "remove", "gone")
    found = json.loads(homes.run("hq", "zones", "-o", "json").stdout)
    assert [list(each) for each in found["policies"]] == [described("zones: policies")]
    (said,) = found["policies"]
    assert said == {
        "zone": "hq/dmz",
        "below": "hq/dmz",
        "policy": "edge@1",
        "says": "logs from INFO on; 1 rule withholds; 1 rule redacts",
    }
    table = homes.run("hq", "zones").stdout
    assert "edge@1" in table
    assert "upwards" in table
    assert json.loads(homes.run("bare", "zones", "-o", "json").stdout)["policies"] == []
