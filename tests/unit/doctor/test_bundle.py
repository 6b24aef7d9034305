"""A support bundle of a real home into which a secret of every kind was put: none of them is in it, and what helps is."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from tabard import __version__, exits
from tabard.brokers.delivery.ports import NodeKey
from tabard.brokers.trust.files import Trust
from tabard.consumers.people.link_file import path_of
from tabard.consumers.people.secret import TOKEN, fresh
from tabard.consumers.store.sqlite import SqliteStore
from tabard.home import Home
from tabard.locks import hold
from tabard.masking import MASK
from tabard.ops.doctor.redaction import Redactor
from tests.contract.chain import Chain, log
from tests.unit.ops_keys.test_keys_cli import Homes

PEM = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAA\nAAtzc2gtZWQyNTUxOQAAACDkX7sP\n"


class Planted(NamedTuple):
    """A home with secrets, and those."""

    homes: Homes
    home: Home
    secrets: Mapping[str, bytes]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """Settings, keys, a store, log files, a journal, a status file and the file of the first link, all with secrets."""
    homes = Homes(tmp_path_factory.mktemp("bundle"))
    home = Home(homes.folder / "hq").ensure()
    home.settings_file.write_text(
        '# the old one was commented-Out-1\n[node]\nname = "hub"\nzone = "hq"\n[mail]\nhost = "smtp.example.org"\nuser = "ops"\n'
        'password = "mail-Pass-2"\n[[action]]\nname = "fetch"\nrun = ["curl", "https://bob:url-Pass-3@example.org/x"]\n'
    )
    homes.rows("hq", "init")
    link, token, cookie = fresh(), fresh(TOKEN), fresh()
    path_of(home).write_text(f"http://hub:8024/link/{link}\n")
    trust = Trust.load(home)
    assert trust is not None
    seeds = [file.key.seed for file in trust.owned()]
    lines = [
        f"To be the first admin of herald, open once, within a day: http://hub:8024/link/{link}",
        f"Cookie: tabard={cookie}; theme=dark",
        f"refused token {token}",
        "opened the key with passphrase=pass-Phrase-4",
        f"bare {seeds[0].hex()} and {base64.b64encode(seeds[1]).decode()}",
        "$argon2id$v=19$m=65536,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA",
        "mail: 535 mail-Pass-2 is wrong",
        "herald listens at 8024",
    ]
    (home.log / "herald.log").write_text("\n".join(lines) + "\n" + PEM)
    (home.log / "shop.log").write_text("customer-Name-5\n")
    (home.spool / "shop.jsonl").write_text("customer-Name-6\n")
    (home.journal / "logs").mkdir()
    (home.journal / "logs" / f"{1:016x}.seg").write_bytes(b"customer-Name-7")
    said = {
        "pid": os.getpid(),
        "version": __version__,
        "url": f"http://hub/link/{link}",
        "token": "status-Tok-8",
    }
    (home.run / "herald.json").write_text(json.dumps(said))
    home.lock("recorder").touch()
    with SqliteStore.open(home.store) as store:
        rows = [
            log("customer-Name-9", service="shop", package="shop"),
            log("tabard-agent says customer-Name-10", service="shop", package="tabard"),
            log(f"made http://hub/link/{link}", service="tabard-herald", package="tabard"),
            log(
                "sql: postgresql://u:db-Pass-11@db/x",
                service="tabard-recorder",
                package="tabard",
                exception=PEM,
            ),
            log("the disk is full", service="tabard-agent", package="tabard"),
        ]
        store.commit([Chain(NodeKey("hub", "hq")).work(rows)], 1)
    secrets = {
        "first link": link.encode(), "token": token.encode(), "token without its beginning": token[7:].encode(),
        "cookie": cookie.encode(), "comment": b"commented-Out-1", "mail password": b"mail-Pass-2",
        "password in a URL": b"url-Pass-3", "passphrase": b"pass-Phrase-4", "status": b"status-Tok-8",
        "password in a URL of a record": b"db-Pass-11", "application": b"customer-Name", "hash": b"aGFzaGhhc2hoYXNo",
        "line of a private key": b"b3BlbnNzaC1rZXktdjEA", "last line of it": b"AAtzc2gtZWQyNTUxOQ",
        **{f"key {number}": seed for number, seed in enumerate(seeds)},
        **{f"key {number} in hex": seed.hex().encode() for number, seed in enumerate(seeds)},
        **{f"key {number} in base64": base64.b64encode(seed)[:40] for number, seed in enumerate(seeds)},
    }  # fmt: skip
    return Planted(homes, home, secrets)


def opened(path: Path) -> dict[str, bytes]:
    """What is in a bundle, by name."""
    with tarfile.open(path, "r:gz") as archive:
        entries = archive.getmembers()
        assert all(entry.isfile() and (entry.uid, entry.gid, entry.uname) == (0, 0, "") for entry in entries)
        return {
            entry.name.removeprefix("tabard-bundle/"): (archive.extractfile(entry) or io.BytesIO()).read()
            for entry in entries
        }


@pytest.fixture(scope="module")
def bundle(planted: Planted) -> Path:
    """One of that home, of which no role runs but that this process has the lock of herald."""
    path = planted.homes.folder / "bundle.tar.gz"
    with hold(planted.home.lock("herald")):
        done = planted.homes.run("hq", "doctor", "--bundle", str(path), "-o", "json")
    assert (done.stderr, done.returncode) == ("", exits.DONE)
    told = json.loads(done.stdout)
    found = opened(path)
    assert {row["member"]: row["sha256"] for row in told} == {
        name: hashlib.sha256(data).hexdigest() for name, data in found.items()
    }
    assert json.loads(found["manifest.json"])["members"] == told[1:]
    return path


@pytest.mark.threat("secret-in-a-bundle")
def test_no_secret_is_in_it(planted: Planted, bundle: Path) -> None:
    """Byte by byte, compressed and not: every one of them stands in the home."""
    raw = bundle.read_bytes()
    whole = gzip.decompress(raw)
    for what, secret in planted.secrets.items():
        assert secret not in raw and secret not in whole, what


def test_what_helps_is_in_it(planted: Planted, bundle: Path) -> None:
    """And nobody else on the host may read it."""
    assert bundle.stat().st_mode & 0o777 == 0o600
    found = opened(bundle)
    assert next(iter(found)) == "manifest.json"
    read = {name: json.loads(data) for name, data in found.items() if name.endswith(".json")}
    assert read["versions.json"]["tabard"] == __version__
    values = {name: value for name, value, _origin in read["settings.json"]["values"]}
    assert (values["mail.host"], values["mail.user"]) == ("smtp.example.org", "ops")
    assert set(values["mail.password"]) == {"*"}
    assert read["status.json"]["node"] == "hub"
    assert {role["name"] for role in read["roles.json"]} == {"herald", "recorder"}
    assert {finding["check"] for finding in read["findings.json"]} >= {"roles"}
    assert read["store.json"]["streams"]["logs"]["rows"] == 5
    keys = {(row["role"], row["name"]): row for row in read["keys.json"]}
    assert keys["node", "hub"]["state"] == "valid" and MASK not in keys["node", "hub"]["key"]
    assert read["zones.json"]["zones"]
    assert "the disk is full" in found["records.log"].decode()
    assert "herald listens at 8024" in found["log/herald.log"].decode()
    assert "log/shop.log" not in found
    manifest = read["manifest.json"]
    assert any("applications" in each["what"] and each["why"] for each in manifest["left_out"])
    assert manifest["masked"] >= 10


def test_a_home_that_is_broken_has_one_too(planted: Planted, tmp_path: Path) -> None:
    """Settings that cannot be read, a store that is none: what could not be put into it is said, and the exit code tells."""
    homes = Homes(tmp_path)
    home = Home(tmp_path / "hq").ensure()
    home.settings_file.write_text('[mail]\npassword = "mail-Pass-2"\n[herald]\nport = "many"\n')
    path = tmp_path / "bundle.tar.gz"
    assert homes.run("hq", "doctor", "--bundle", str(path)).returncode == exits.DONE
    assert "herald.port" in opened(path)["settings.json"].decode()
    assert b"mail-Pass-2" not in gzip.decompress(path.read_bytes())
    done = homes.run("hq", "doctor", "--bundle", str(path))
    assert (done.returncode, done.stdout) == (exits.WRONG_USE, "")
    home.settings_file.write_text("")
    home.lock("recorder").touch()
    (home.store / "records.db").write_bytes(b"no database")
    (home.store / "state.db").write_bytes(b"no database")
    other = tmp_path / "other.tar.gz"
    done = homes.run("hq", "doctor", "--bundle", str(other), "-o", "ndjson")
    lacking = [row for row in map(json.loads, done.stdout.splitlines()) if row["left_out"]]
    assert {row["member"] for row in lacking} >= {"store.json", "records.log"}
    assert done.returncode == exits.PARTLY
    assert "status.json" in opened(other)


def test_a_secret_is_known_in_any_form() -> None:
    """As it is, in a URL, in hexadecimal digits and in base64; and by its name."""
    clean = Redactor([b"\xfb\xff" * 16, "p@ss word", "abc", ""])
    for text in ("p@ss word", "x=p%40ss%20word.", "-_" + "-_-_" * 7, ("fbff" * 16).upper()):
        assert "ss" not in clean.text(text) and "fbff" not in clean.text(text).lower()
    assert clean.text("abc stays: it is too short") == "abc stays: it is too short"
    value = clean.value({"smtp_password": "x", "n": 1, "of": [{"at": "p@ss word"}, None, True]})
    assert value == {"smtp_password": MASK, "n": 1, "of": [{"at": MASK}, None, True]}
    assert clean.hidden >= 6
    digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    assert clean.text(f"file {digest} in /srv/tabard/store") == f"file {digest} in /srv/tabard/store"
