"""`tabard check` on connections: what would be refused or never come up is told before anything starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tabard import exits
from tests.unit.ops_keys.test_keys_cli import Homes, homes

__all__ = ["homes"]

HQ = (
    '[node]\nname = "hub"\nzone = "hq"\n[[broker]]\nname = "hq"\nzone = "hq"\n'
    'up_in = "tcp://127.0.0.1:7101"\ndown_out = "tcp://127.0.0.1:7102"\n'
)
DMZ = '[node]\nname = "gate"\nzone = "hq/dmz"\n[[broker]]\nname = "dmz"\nzone = "hq/dmz"\n'
ENDS = 'parent_up = "tcp://127.0.0.1:7101"\nparent_down = "tcp://127.0.0.1:7102"\n'
UP = f'parent = "hq"\n{ENDS}'


def write(homes: Homes, home: str, text: str) -> None:
    """The settings of a home."""
    (homes.folder / home).mkdir(exist_ok=True)
    (homes.folder / home / "tabard.toml").write_text(text, encoding="utf-8")


def checked(homes: Homes, home: str) -> list[dict[str, Any]]:
    """What is found there, apart from the notes."""
    found: list[dict[str, Any]] = json.loads(homes.run(home, "check", "-o", "json").stdout)
    return [each for each in found if each["severity"] != "note"]


@pytest.fixture
def site(homes: Homes) -> Homes:
    """A root with its broker, and the gate of a zone below it."""
    write(homes, "hq", HQ)
    homes.rows("hq", "node", "add", "hub", "--zone", "hq", "--broker", "hq", "--out", "hub.tabard")
    homes.rows("hq", "join", "hub.tabard")
    homes.rows("hq", "zone", "add", "hq/dmz")
    homes.rows("hq", "node", "add", "gate", "--zone", "hq/dmz", "--broker", "dmz", "--out", "gate.tabard")
    homes.rows("gate", "join", "gate.tabard")
    write(homes, "gate", DMZ + UP)
    return homes


def test_what_fits_is_clean(site: Homes) -> None:
    """In both homes."""
    assert checked(site, "hq") == []
    assert checked(site, "gate") == []
    assert site.run("gate", "check").returncode == exits.DONE


@pytest.mark.threat("no-keys")
def test_tcp_without_keys_is_an_error(tmp_path: Path) -> None:
    """Bound or dialled, by each role that would not start."""
    homes = Homes(tmp_path)
    for text, keys in (
        (HQ, {"broker hq"}),
        (DMZ + UP, {"broker dmz"}),
        ('[node]\nname = "n"\nzone = "hq"\n[agent]\nup = "tcp://h:1"\ndown = "tcp://h:2"\n', {"agent.up"}),
        (
            '[node]\nname = "n"\nzone = "hq"\n[recorder]\nup = "tcp://h:1"\ndown = "tcp://h:2"\n',
            {"recorder.up"},
        ),
    ):
        write(homes, "h", text)
        found = checked(homes, "h")
        # An agent of the same home takes the addresses of its broker.
        assert {each["key"] for each in found} - {"agent.up"} == keys - {"agent.up"}
        assert keys <= {each["key"] for each in found}
        assert all(each["severity"] == "error" and "TCP without keys" in each["what"] for each in found)
        assert homes.run("h", "check").returncode == exits.FAILED


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        (
            DMZ.replace('"dmz"', '"other"', 1) + UP,
            "broker other",
            "no key of broker other: it does not start",
        ),
        (f'{DMZ}parent = "nobody"\n{ENDS}', "broker dmz", "the broker that is dialled is not known"),
        (
            '[node]\nname = "gate"\nzone = "hq/dmz"\n[agent]\nup = "tcp://h:1"\ndown = "tcp://h:2"\nbroker = "b9"\n',
            "agent.up",
            "the broker that is dialled is not known",
        ),
        (DMZ + ENDS, "broker dmz", "which broker of hq is dialled is not said"),
        (DMZ + UP + '[agent]\nsinks = ["main", "second"]\n', "agent.sinks", "does not name 'second'"),
        (
            DMZ + '[[broker.link]]\npeer = "hq"\ndials = "this"\nup = "tcp://h:1"\ndown = "tcp://h:2"\n',
            "broker dmz",
            "the broker that is dialled is not known",
        ),
    ],
)
def test_what_would_be_found_out_later_is_told(site: Homes, text: str, key: str, words: str) -> None:
    """A key that lacks, a name that no roster has, a sink whose cursors would not be believed."""
    write(site, "gate", text)
    found = [each for each in checked(site, "gate") if each["key"] == key and words in each["what"]]
    assert found, checked(site, "gate")
    assert all(each["expected"] and each["found"] and each["hint"] for each in found)


def test_a_finding_stands_at_the_line_that_describes_the_role(site: Homes) -> None:
    """The settings are what a person changes; where they say nothing of it, the folder of keys is named."""
    file = site.folder / "gate" / "tabard.toml"
    write(site, "gate", f'{DMZ}parent = "nobody"\n{ENDS}')
    found = checked(site, "gate")
    assert found
    assert {(each["file"], each["line"], each["key"]) for each in found} == {(str(file), 4, "broker dmz")}


def test_a_link_to_a_broker_that_no_roster_knows_is_told(site: Homes) -> None:
    """It would never be heard, and what its rate is to limit comes in unlimited under its right name."""
    write(site, "hq", HQ + '[[broker.link]]\npeer = "zmd"\ndials = "peer"\nrate = "64KiB"\n')
    (found,) = checked(site, "hq")
    assert (found["severity"], found["key"], found["line"]) == ("warning", "broker hq.link zmd", 4)
    assert "no roster knows a broker zmd" in found["what"]
    assert found["expected"] == "b1, dmz"
    write(site, "hq", HQ + '[[broker.link]]\npeer = "dmz"\ndials = "peer"\nrate = "64KiB"\n')
    assert checked(site, "hq") == []


def test_an_end_that_would_refuse_the_key_is_named(site: Homes) -> None:
    """A recorder of an outer zone may not read at the broker of an inner one."""
    site.rows("hq", "node", "add", "store", "--zone", "hq/dmz", "--sink", "main", "--out", "store.tabard")
    site.rows("store", "join", "store.tabard")
    write(
        site,
        "store",
        '[node]\nname = "store"\nzone = "hq/dmz"\n[recorder]\nup = "tcp://h:1"\ndown = "tcp://h:2"\nbroker = "hq"\n',
    )
    found = [each for each in checked(site, "store") if each["key"] == "recorder.up"]
    assert len(found) == 2
    assert (
        "will refuse a recorder of sink main at tcp://h:1, its up_out: a key of another zone"
        in found[0]["what"]
    )
    assert found[0]["severity"] == "warning"


def test_a_key_that_does_not_hold_any_more_is_told(site: Homes) -> None:
    """Revoked, as this home knows by a roster that was joined."""
    site.rows("hq", "keys", "rotate", "broker", "dmz", "--zone", "hq/dmz", "--out", "new.tabard")
    (key,) = [
        row["key"]
        for row in site.rows("gate", "keys", "list")
        if (row["role"], row["name"]) == ("broker", "dmz") and row["here"]
    ]
    site.rows("hq", "keys", "revoke", key, "--reason", "lost")
    site.rows("hq", "keys", "roster", "--out", "roster.tabard")
    site.rows("gate", "join", "roster.tabard")
    found = [each for each in checked(site, "gate") if each["key"] == "broker dmz"]
    assert [
        "does not hold: the key of broker dmz of hq/dmz was revoked" in each["what"] for each in found
    ] == [True]
