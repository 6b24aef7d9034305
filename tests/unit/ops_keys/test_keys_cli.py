"""Keys by the command line: from the first home to a host that is taken out again, and what is refused on the way."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tabard import exits
from tests.unit.ops_reading.conftest import run_on


class Homes:
    """Several homes below one folder, which is where files are carried."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, home: str, *words: str) -> subprocess.CompletedProcess[str]:
        """``tabard words`` in that home; names that end in .tabard are files of the folder."""
        full = [str(self.folder / word) if word.endswith(".tabard") else word for word in words]
        return run_on(self.folder / home, *full)

    def rows(self, home: str, *words: str) -> list[dict[str, Any]]:
        """What it lists."""
        done = self.run(home, *words, "-o", "json")
        assert done.returncode in {exits.DONE, exits.PARTLY}, done.stderr
        told = done.stderr == "" or done.stderr.startswith(("Put", "Written"))
        assert told == (done.returncode == exits.DONE), done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    def refused(self, home: str, *words: str, code: int = exits.REFUSED) -> str:
        """The one sentence of what is refused."""
        done = self.run(home, *words)
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr

    def states(self, home: str) -> dict[tuple[str, str], str]:
        """How each name stands, as that home sees it."""
        return {(row["role"], row["name"]): row["state"] for row in self.rows(home, "keys", "list")}


@pytest.fixture
def homes(tmp_path: Path) -> Homes:
    """With a root in the home `hq`."""
    made = Homes(tmp_path)
    made.rows("hq", "init", "--zone", "hq")
    return made


def test_a_root_is_made_once_and_puts_a_new_home_into_its_zone(homes: Homes) -> None:
    """Keys for the node, the broker, the recorder and the dispatcher that the settings name, and an operator; settings that are there are not touched."""
    found = homes.states("hq")
    assert sorted(role for role, _ in found) == [
        "broker",
        "dispatcher",
        "node",
        "operator",
        "recorder",
        "zone",
    ]
    assert set(found.values()) == {"valid"}
    assert (homes.folder / "hq/tabard.toml").read_text(encoding="utf-8") == '[node]\nzone = "hq"\n'
    assert "has keys already" in homes.refused("hq", "init", "--zone", "hq")
    other = homes.folder / "other"
    other.mkdir()
    (other / "tabard.toml").write_text('[node]\nzone = "lab"\n', encoding="utf-8")
    assert "not in the root's zone" in homes.refused("other", "init", "--zone", "hq")
    assert not (other / "trust").exists()
    assert {row["zone"] for row in homes.rows("other", "init")} == {"lab"}


def test_a_chain_of_zones_in_one_home(tmp_path: Path) -> None:
    """Every zone on the way to a broker or the node gets an authority; all of it leads to the first name of the path."""
    homes = Homes(tmp_path)
    (tmp_path / "h").mkdir()
    (tmp_path / "h/tabard.toml").write_text(
        '[node]\nname = "n"\nzone = "hq/plant/line"\n[[broker]]\nname = "line"\nzone = "hq/plant/line"\nparent = "hq"\n'
        '[[broker]]\nname = "hq"\nzone = "hq"\n',
        encoding="utf-8",
    )
    made = {(row["role"], row["name"]): row["zone"] for row in homes.rows("h", "init")}
    assert made == {
        ("zone", "hq"): "hq",
        ("zone", "hq/plant"): "hq/plant",
        ("zone", "hq/plant/line"): "hq/plant/line",
        ("node", "n"): "hq/plant/line",
        ("recorder", "n"): "hq/plant/line",
        ("dispatcher", "n"): "hq/plant/line",
        ("operator", "local"): "hq",
        ("broker", "hq"): "hq",
        ("broker", "line"): "hq/plant/line",
    }


def test_a_host_comes_and_goes(homes: Homes) -> None:
    """Added, joined, given a new key, renamed, removed: each step is known elsewhere once a file was joined there."""
    homes.rows("hq", "zone", "add", "hq/dmz")
    homes.rows("hq", "node", "add", "web1", "--zone", "hq/dmz", "--broker", "dmz", "--out", "web1.tabard")
    assert (homes.folder / "web1.tabard").stat().st_mode & 0o777 == 0o600
    joined = homes.rows("web1", "join", "web1.tabard")
    assert [(row["did"], row["role"], row["name"]) for row in joined] == [
        ("added", "zone", "hq"),
        ("added", "zone", "hq/dmz"),
        ("added", "node", "web1"),
        ("added", "broker", "dmz"),
    ]
    assert 'name = "web1"\nzone = "hq/dmz"' in (homes.folder / "web1/tabard.toml").read_text(encoding="utf-8")
    old = joined[2]["key"]
    homes.rows("hq", "keys", "rotate", "node", "web1", "--zone", "hq/dmz", "--out", "new.tabard")
    assert homes.rows("web1", "join", "new.tabard")[-1]["did"] == "renewed"
    homes.rows("hq", "keys", "revoke", old[:8], "--reason", "disk stolen")
    homes.rows("hq", "keys", "roster", "--out", "roster.tabard")
    homes.rows("web1", "join", "roster.tabard")
    assert "revoked for: disk stolen" in homes.refused("web1", "join", "web1.tabard")
    states = {row["key"]: row["state"] for row in homes.rows("web1", "keys", "list", "--all")}
    assert states[old] == "revoked"
    assert homes.states("web1")["node", "web1"] == "valid"
    homes.rows("hq", "node", "rename", "web1", "shop1", "--zone", "hq/dmz", "--out", "shop1.tabard")
    said = homes.run("web1", "join", "shop1.tabard")
    assert (said.returncode, 'name = "shop1"' in said.stderr) == (exits.DONE, True)
    homes.rows("hq", "node", "remove", "shop1", "--zone", "hq/dmz", "--broker", "dmz")
    homes.rows("hq", "keys", "roster", "--out", "last.tabard")
    homes.rows("web1", "join", "last.tabard")
    found = homes.states("web1")
    gone = [("node", "web1"), ("node", "shop1"), ("broker", "dmz")]
    assert [found[which] for which in gone] == ["removed"] * 3
    assert found["zone", "hq/dmz"] == "valid"
    last = homes.run("web1", "keys", "list")
    assert last.returncode == exits.PARTLY, "keys that are here do not hold"
    assert "node web1 of hq/dmz was renamed to shop1" in last.stderr


def test_a_zones_authority_can_be_carried_away(homes: Homes) -> None:
    """From then on its hosts are added there, and not here."""
    homes.rows("hq", "zone", "add", "hq/plant", "--out", "plant.tabard")
    homes.rows("plant", "join", "plant.tabard")
    homes.rows(
        "plant", "node", "add", "line1", "--sink", "near", "--honours", "near", "--out", "line1.tabard"
    )
    rows = homes.rows("line1", "join", "line1.tabard")
    assert [row["role"] for row in rows] == ["zone", "zone", "node", "recorder", "dispatcher"]
    rotated = homes.rows("plant", "keys", "rotate", "dispatcher", "line1", "--out", "new.tabard")
    assert [(row["did"], row["role"]) for row in rotated] == [("rotated", "dispatcher")]
    assert "is not in this home" in homes.refused(
        "hq", "node", "add", "x", "--zone", "hq/plant", "--out", "x.tabard"
    )
    assert not (homes.folder / "x.tabard").exists()
    homes.rows("hq", "zone", "remove", "hq/plant")
    homes.rows("hq", "keys", "roster", "--out", "roster.tabard")
    homes.rows("line1", "join", "roster.tabard")
    assert {which: state for which, state in homes.states("line1").items() if state != "valid"} == {
        ("zone", "hq/plant"): "removed",
        ("node", "line1"): "removed",
        ("recorder", "line1"): "removed",
        ("dispatcher", "line1"): "removed",
    }


def test_a_store_host_that_goes_has_no_say_any_more(homes: Homes) -> None:
    """None of the keys that bear its name: that of its dispatcher carries commands."""
    homes.rows("hq", "node", "add", "store1", "--sink", "main", "--out", "store1.tabard")
    gone = homes.rows("hq", "node", "remove", "store1")
    assert {row["role"] for row in gone} == {"node", "recorder", "dispatcher"}
    states = homes.rows("hq", "keys", "list")
    assert {row["state"] for row in states if row["name"] == "store1"} == {"removed"}


def test_a_new_root_is_believed_only_on_purpose(homes: Homes) -> None:
    """The way back from a lost root key."""
    homes.rows("hq", "node", "add", "web1", "--out", "web1.tabard")
    homes.rows("web1", "join", "web1.tabard")
    homes.rows("anew", "init", "--zone", "hq")
    homes.rows("anew", "node", "add", "web1", "--out", "again.tabard")
    assert "join --new-root" in homes.refused("web1", "join", "again.tabard")
    homes.rows("web1", "join", "--new-root", "again.tabard")
    assert len(list((homes.folder / "web1").glob("trust.before-*"))) == 1
    assert homes.states("web1")["node", "web1"] == "valid"


def test_wrong_use_is_told_apart_from_what_is_refused(homes: Homes) -> None:
    """In one sentence each, and nothing is left behind."""
    wrong = exits.WRONG_USE
    assert "hexadecimal digits" in homes.refused("hq", "keys", "revoke", "xyz", "--reason", "r", code=wrong)
    assert "not the id of one key" in homes.refused(
        "hq", "keys", "revoke", "0" * 32, "--reason", "r", code=wrong
    )
    assert "no such member" in homes.refused("hq", "node", "remove", "nobody", code=wrong)
    assert "1h to 7300d" in homes.refused(
        "hq", "node", "add", "a", "--life", "1s", "--out", "a.tabard", code=wrong
    )
    assert "NODE" in homes.refused("hq", "node", "add", "NODE", "--out", "a.tabard", code=wrong)
    named = homes.refused(
        "hq", "node", "add", "a", "--broker", "b", "--broker", "b", "--out", "a.tabard", code=wrong
    )
    assert "a broker is named twice" in named
    assert "no --out" in homes.refused("hq", "keys", "rotate", "zone", "hq", "--out", "a.tabard", code=wrong)
    rotate = ("keys", "rotate")
    nobody = homes.refused("hq", *rotate, "node", "nosuch", "--zone", "hq", code=wrong)
    assert "the zone hq has no such member" in nobody  # and not that it wants a file
    assert "no --out" not in nobody
    assert "there is no such zone" in homes.refused("hq", *rotate, "zone", "dmz", code=wrong)
    homes.rows("hq", "zone", "add", "hq/dmz")
    assert "--zone with one of hq, hq/dmz" in homes.refused(
        "hq", "node", "add", "a", "--out", "a.tabard", code=wrong
    )
    long = ("node", "add", "a", "--zone", "hq", "--broker", "b" * 32, "--out", "a.tabard")
    assert "1 to 31 of" in homes.refused("hq", *long, code=wrong), "settings take no longer one"
    assert "no zone above it" in homes.refused("hq", "zone", "add", "other")
    assert "is not in this home" in homes.refused("hq", "zone", "add", "other/dmz")
    assert "has no keys" in homes.refused("empty", "keys")
    assert "no such file" in homes.refused("empty", "join", "a.tabard")
    assert not (homes.folder / "a.tabard").exists()
    (homes.folder / "a.tabard").write_bytes(b"nonsense")
    (homes.folder / "a.tabard").chmod(0o600)
    assert "not a bundle" in homes.refused("empty", "join", "a.tabard")
    assert "there already" in homes.refused("hq", "keys", "roster", "--out", "a.tabard")
    assert (homes.folder / "a.tabard").read_bytes() == b"nonsense"


def test_keys_that_others_could_read_are_refused(homes: Homes) -> None:
    """By every command; the sentence names the file."""
    key = homes.folder / "hq/trust/keys/zone.hq.key"
    key.chmod(0o644)
    assert str(key) in homes.refused("hq", "keys")
    assert str(key) in homes.refused("hq", "zone", "add", "hq/dmz")


def test_no_output_shows_a_secret(homes: Homes) -> None:
    """Not in any form, not of a damaged file."""
    folder = homes.folder / "hq/trust/keys"
    secrets = {part for path in folder.iterdir() for part in _runs(path.read_bytes())}
    key = folder / next(name for name in os.listdir(folder) if name.startswith("node."))
    shown = homes.run("hq", "keys", "list", "--all", "-o", "json").stdout + homes.run("hq", "keys").stdout
    key.write_bytes(key.read_bytes()[:-3])
    shown += homes.run("hq", "keys").stderr
    assert len(secrets) >= 4
    assert not [secret for secret in secrets if secret in shown]


def _runs(data: bytes) -> set[str]:
    """The seed in a file of keys, as hexadecimal digits and as Python shows bytes."""
    from tabard.brokers.trust.keyfiles import decode_key

    seed = decode_key(data, "here").key.seed
    return {seed.hex(), repr(seed)[2:-1], repr(seed[:8])[2:-1]}


def test_check_looks_at_the_keys(homes: Homes) -> None:
    """Whether they are this node's, can be used, and last; and how the next host gets some."""
    assert homes.run("hq", "check").returncode == exits.DONE
    homes.rows("hq", "node", "add", "web1", "--life", "20d", "--out", "web1.tabard")
    homes.rows("web1", "join", "web1.tabard")
    done = homes.run("web1", "check")
    assert done.returncode == exits.PARTLY
    assert "the certificate of node web1 of hq ends soon" in done.stdout and "keys renew" in done.stdout
    (homes.folder / "web1/tabard.toml").write_text('[node]\nname = "other"\nzone = "hq"\n', encoding="utf-8")
    done = homes.run("web1", "check")
    assert done.returncode == exits.FAILED
    assert "expected a key of node other of hq, found node web1 of hq" in done.stdout
    assert "tabard node add other --zone hq --out FILE" in done.stdout
    (homes.folder / "hq/tabard.toml").write_text(
        '[node]\nname = "hub"\nzone = "hq"\n[[broker]]\nname = "b1"\nzone = "hq"\n'
        'up_in = "tcp://127.0.0.1:7101"\ndown_out = "tcp://127.0.0.1:7102"\n',
        encoding="utf-8",
    )
    assert "tabard node add NAME --zone hq --out NAME.tabard" in homes.run("hq", "check").stdout
    (homes.folder / "web1/trust/root").chmod(0o644)
    done = homes.run("web1", "check", "-o", "json")
    assert done.returncode == exits.FAILED
    assert [row["severity"] for row in json.loads(done.stdout)] == ["error", "note"]


def test_the_root_gets_another_key_and_other_homes_follow(homes: Homes) -> None:
    """The roster is all that is carried; then the old key is revoked like any other."""
    homes.rows("hq", "zone", "add", "hq/dmz")
    homes.rows("hq", "node", "add", "web1", "--zone", "hq/dmz", "--out", "web1.tabard")
    homes.rows("web1", "join", "web1.tabard")
    (old,) = [
        row for row in homes.rows("web1", "keys", "list") if (row["role"], row["name"]) == ("zone", "hq")
    ]
    did = homes.rows("hq", "keys", "rotate", "zone", "hq")
    assert did[0]["did"] == "rotated" and did[0]["name"] == "hq" and did[0]["key"] != old["key"]
    assert {row["name"] for row in did[1:]} >= {"hq/dmz"}
    homes.rows("hq", "keys", "revoke", old["key"], "--reason", "replaced")
    homes.rows("hq", "keys", "roster", "--out", "roster.tabard")
    homes.rows("web1", "join", "roster.tabard")
    rows = homes.rows("web1", "keys", "list", "--all")
    roots = {row["key"]: row["state"] for row in rows if (row["role"], row["name"]) == ("zone", "hq")}
    assert roots == {did[0]["key"]: "valid", old["key"]: "revoked"}
    assert "1 more keys were revoked" in homes.run("web1", "keys", "list").stderr
    (mine,) = [row for row in homes.rows("web1", "keys", "list") if row["role"] == "node" and row["here"]]
    assert mine["state"] == "valid"
    assert homes.rows("hq", "node", "add", "web2", "--zone", "hq/dmz", "--out", "web2.tabard")


def test_what_ends_soon_is_said(homes: Homes) -> None:
    """In good time: a month before, with what to do; what a newer certificate has taken the place of is not."""
    homes.rows("hq", "node", "add", "web1", "--life", "20d", "--out", "web1.tabard")
    said = homes.run("hq", "keys", "list").stderr
    assert "certificate of node web1 of hq ends on" in said and "tabard keys renew" in said
    homes.rows("hq", "keys", "renew")
    assert "ends on" not in homes.run("hq", "keys", "list").stderr


def test_check_says_that_herald_has_no_key_of_its_operator(homes: Homes) -> None:
    """It would show the form, and refuse each command."""
    file = homes.folder / "hq" / "tabard.toml"
    file.write_text(file.read_text() + '[herald]\noperator = "herald"\n')
    done = homes.run("hq", "check")
    assert done.returncode == exits.FAILED
    assert "herald.operator" in done.stdout
    assert "tabard operator add herald" in done.stdout
    homes.rows("hq", "operator", "add", "herald")
    assert homes.run("hq", "check").returncode == exits.DONE
