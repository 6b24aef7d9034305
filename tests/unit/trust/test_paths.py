"""Names that are paths: whoever says them, nothing is written or read outside of its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tabard.brokers.trust import keys, reasons
from tabard.brokers.trust.bundle import Bundle, decode_bundle, encode_bundle
from tabard.brokers.trust.keyfiles import KeyFile, decode_key, encode_key
from tabard.brokers.trust.rosters import read_roster
from tabard.brokers.wire.codec import pack
from tabard.errors import TrustError
from tabard.settings import examine
from tests.unit.ops_reading.conftest import run_on
from tests.unit.trust.places import NOW, key

PATHS = [
    "../web1",
    "..",
    "/etc/x",
    "a/../../b",
    "web1/",
    "a\0b",
    "a\nb",
    "~root",
    "%2e%2e",
    "d/",
    "zone+x",
    "-o",
]


def refused(caught: pytest.ExceptionInfo[TrustError]) -> None:
    """In words that say it is the name."""
    assert caught.value.reason == reasons.MALFORMED
    assert "not a name" in str(caught.value)


@pytest.mark.threat("path-as-name")
@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("place", ["zone", "tombstone", "successor"])
def test_a_roster_names_no_path(place: str, name: str) -> None:
    """Its zone is the name of a file; a tombstone and its successor are shown and compared."""
    tomb: tuple[Any, ...] = ("node", "web1", NOW, "")
    if place != "zone":
        tomb = ("node", name, NOW, "") if place == "tombstone" else ("node", "web1", NOW, name)
    zone = f"hq/{name}" if place == "zone" else "hq"
    signed = pack((1, zone, 1, key(1).public.key_id, NOW, (), (), (tomb,) if place != "zone" else ()))
    with pytest.raises(TrustError) as caught:
        read_roster(pack((signed, key(1).sign(keys.ROSTER, signed))))
    refused(caught)


@pytest.mark.threat("path-as-name")
@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("role", ["node", "zone"])
def test_a_file_of_keys_names_no_path(role: str, name: str) -> None:
    """Its name decides where `tabard join` writes it."""
    path = f"hq/{name}" if role == "zone" else name
    data = encode_key(KeyFile(role, path, NOW, key(2), ()))
    with pytest.raises(TrustError) as caught:
        decode_key(data, "here")
    refused(caught)


@pytest.mark.threat("path-as-name")
def test_a_bundle_names_no_path() -> None:
    """Nor do the keys of the file that a host joins."""
    data = encode_bundle(Bundle(b"root", (), (KeyFile("node", "../../web1", NOW, key(2), ()),)))
    with pytest.raises(TrustError) as caught:
        decode_bundle(data, "here")
    refused(caught)


@pytest.mark.threat("path-as-name")
@pytest.mark.parametrize("name", ["../web1", "a/b", "..", "/x"])
@pytest.mark.parametrize(
    "text",
    [
        '[node]\nname = "{}"',
        '[node]\nzone = "hq/../{}"',
        '[[broker]]\nname = "{}"\nzone = "hq"',
        '[recorder]\nsink = "{}"',
        '[[tunnel]]\nname = "{}"\nbackend = "external"\n[[tunnel.forward]]\nlisten = "127.0.0.1:1"',
    ],
)
def test_settings_name_no_path(tmp_path: Path, text: str, name: str) -> None:
    """Names of roles are those of their locks, sockets and status files."""
    (tmp_path / "tabard.toml").write_text(text.format(name))
    errors = [str(each.error) for each in examine(tmp_path, env={}).findings if not each.warning]
    assert any("a-z 0-9" in each and name in each for each in errors), errors


@pytest.mark.threat("path-as-name")
@pytest.mark.parametrize(
    "words",
    [
        ("node", "add", "../web1", "--zone", "hq", "--out", "x.tabard"),
        ("node", "add", "web1", "--zone", "hq/../x", "--out", "x.tabard"),
        ("node", "add", "web1", "--zone", "hq", "--broker", "../b", "--out", "x.tabard"),
        ("node", "add", "web1", "--zone", "hq", "--sink", "../s", "--out", "x.tabard"),
        ("node", "remove", "../web1", "--zone", "hq"),
        ("node", "rename", "web1", "../web2", "--zone", "hq", "--out", "x.tabard"),
        ("zone", "add", "hq/../../x"),
        ("keys", "rotate", "node", "../web1", "--zone", "hq", "--out", "x.tabard"),
    ],
    ids=" ".join,
)
def test_commands_name_no_path(tmp_path: Path, words: tuple[str, ...]) -> None:
    """They are refused in a sentence, and nothing is written anywhere."""
    home = tmp_path / "home"
    assert run_on(home, "init", "--zone", "hq").returncode == 0
    before = {path for path in tmp_path.rglob("*") if "lock" not in path.name}
    done = run_on(home, *(str(tmp_path / word) if word.endswith(".tabard") else word for word in words))
    assert done.returncode in {1, 2, 4}
    assert "Traceback" not in done.stderr
    assert {path for path in tmp_path.rglob("*") if "lock" not in path.name} == before
