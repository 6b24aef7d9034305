"""What a doctor finds in a home: real files, locks, sockets and keys are broken, and a home in order is left alone."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tabard import __version__, exits
from tabard.home import Home
from tabard.locks import hold
from tabard.ops.cronexec.state import JobFile, Known
from tabard.ops.crontab.block import install
from tabard.ops.doctor import asked, disks, watched
from tabard.ops.doctor.finding import FAULT, WARNING, Finding
from tabard.ops.doctor.place import place_of
from tests.conftest import Need
from tests.ports import free_port
from tests.unit.ops_keys.test_keys_cli import Homes, homes

__all__ = ["homes"]
DAY = 86_400 * 1_000_000_000


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with its rooms."""
    return Home(tmp_path / "home").ensure()


def short(findings: Iterator[Finding]) -> list[tuple[str, str, str]]:
    """Check, severity and where, of findings that all say what to do."""
    found = list(findings)
    assert all(finding.what and finding.do for finding in found)
    return [finding[:3] for finding in found]


def test_settings_that_are_wrong(home: Home) -> None:
    """A value that cannot be is a fault, at its line; a home without settings is fine."""
    assert short(asked.settings(place_of(home))) == []
    home.settings_file.write_text('[herald]\nport = "many"\n')
    (finding,) = asked.settings(place_of(home))
    assert finding[:3] == ("settings", FAULT, "settings")
    assert f"{home.settings_file}:2" in finding.what


def test_a_port_that_somebody_else_has(home: Home) -> None:
    """A real listener where a broker is to listen."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        lines = f'[[broker]]\nname = "b1"\nzone = "local"\nup_in = "tcp://127.0.0.1:{port}"\n'
        home.settings_file.write_text(lines)
        assert short(asked.ports(place_of(home))) == [("ports", WARNING, "settings")]
    assert short(asked.ports(place_of(home))) == []


def test_keys_that_others_may_read(homes: Homes) -> None:
    """The mode of a key's file; closed again, nothing is found."""
    home = Home(homes.folder / "hq")
    assert short(asked.keys(place_of(home))) == []
    key = next((home.trust / "keys").glob("node.*.key"))
    key.chmod(0o644)
    assert short(asked.keys(place_of(home))) == [("keys", FAULT, "keys")]
    key.chmod(0o600)
    assert short(asked.keys(place_of(home))) == []


def test_a_certificate_that_ends_and_has_ended(homes: Homes) -> None:
    """By the clock of this home: far from its end nothing, within a month of it a warning, behind it what has ended and when."""
    homes.rows("hq", "node", "add", "web1", "--life", "40d", "--out", "web1.tabard")
    homes.rows("web1", "join", "web1.tabard")
    home = Home(homes.folder / "web1")
    home.settings_file.write_text('[node]\nname = "web1"\nzone = "hq"\n')
    now = time.time_ns()
    assert short(asked.keys(place_of(home, now))) == []
    assert short(asked.keys(place_of(home, now + 20 * DAY))) == [("keys", WARNING, "keys")]
    assert any("has expired" in finding.what for finding in asked.keys(place_of(home, now + 50 * DAY)))


def test_tcp_without_keys(home: Home) -> None:
    """A broker that is to listen there would not start."""
    home.settings_file.write_text(
        f'[[broker]]\nname = "b1"\nzone = "local"\nup_in = "tcp://127.0.0.1:{free_port()}"\n'
    )
    assert ("connections", FAULT, "keys") in short(asked.connections(place_of(home)))


def test_a_role_that_ran_and_does_not(home: Home) -> None:
    """Its lock is free while another one's is held; with both held all is well; with none nothing runs."""
    for role in ("herald", "recorder"):
        home.lock(role).touch()
    assert short(asked.roles(place_of(home))) == [("roles", FAULT, "home")]
    with hold(home.lock("recorder")):
        assert short(asked.roles(place_of(home))) == [("roles", FAULT, "herald")]
        with hold(home.lock("herald")):
            assert short(asked.roles(place_of(home))) == []
            home.lock("herald").unlink()  # nobody can see any more that it runs
            assert short(asked.roles(place_of(home))) == []


def test_a_role_of_another_version(home: Home) -> None:
    """It was not started anew after an upgrade."""
    said = {"pid": os.getpid(), "version": "0.0.1"}
    (home.run / "recorder.json").write_text(json.dumps(said))
    with hold(home.lock("recorder")):
        (finding,) = asked.roles(place_of(home))
    assert finding.where == "recorder" and "0.0.1" in finding.what and __version__ in finding.what


@pytest.mark.parametrize(
    ("role", "host", "keys", "severity"),
    [
        ("herald", "127.0.0.1", False, None),
        ("herald", "0.0.0.0", True, WARNING),
        ("broker.b1", "0.0.0.0", False, FAULT),
        ("broker.b1", "0.0.0.0", True, None),
        ("agent", "0.0.0.0", True, WARNING),
    ],
)
def test_a_port_that_others_reach(home: Home, role: str, host: str, keys: bool, severity: str | None) -> None:
    """A real socket of a process that has the lock of the role; once it is closed there is nothing."""
    if keys:
        home.trust.mkdir()
    with hold(home.lock(role)):
        with closing(socket.create_server((host, 0))) as server:
            findings = list(asked.ports_open(place_of(home)))
            assert [each[:3] for each in findings] == ([("listening", severity, role)] if severity else [])
            assert all(f"port {server.getsockname()[1]}," in each.what for each in findings)
        assert short(asked.ports_open(place_of(home))) == []


def test_a_port_that_nobody_asked_for(home: Home) -> None:
    """A real socket: one that the settings name is none of them, nor one that the role names itself."""
    with hold(home.lock("herald")), closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        (finding,) = asked.ports_unknown(place_of(home))
        assert finding[:3] == ("ports-unknown", WARNING, "herald") and f"port {port}," in finding.what
        home.settings_file.write_text(f"[herald]\nport = {port}\n")
        assert short(asked.ports_unknown(place_of(home))) == []
        home.settings_file.write_text("")
        said = {"pid": os.getpid(), "version": __version__, "url": f"http://127.0.0.1:{port}"}
        (home.run / "herald.json").write_text(json.dumps(said))
        assert short(asked.ports_unknown(place_of(home))) == []


def test_jobs_of_cron_that_do_not_run_or_fail(home: Home) -> None:
    """By what is known of their runs: one that goes on as it should is none of them."""
    place = place_of(home)
    now = place.now // 1_000_000_000
    boot: dict[str, Any] = {
        "seen": now - 7200,
        "boot": "",
        "start": place.now - 2 * 3_600_000_000_000,
        "end": place.now,
    }
    jobs: dict[str, dict[str, Any]] = {
        "late": {"plan": "every 1h", "due": now - 2 * 3600, "outcome": "done"},
        "failed": {"outcome": "failed", "code": 3},
        "well": {"plan": "every 1h", "due": now - 60, "outcome": "done"},
    }
    for name, more in jobs.items():
        file = JobFile(home, name)
        file.make_folder()
        file.write(Known(command="true", **{**boot, **more}))
    assert short(watched.cron(place)) == [("cron", WARNING, "job failed"), ("cron", FAULT, "job late")]


def test_a_crontab_that_nobody_runs(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The home's lines are in it, as `crontab -l` says, and no role runs."""
    text = install(b"", str(home.path), ["* * * * * tabard up"], {}, "ann")
    (tmp_path / "table").write_bytes(text)
    program = tmp_path / "crontab"
    program.write_text(f"#!/bin/sh\nexec cat {tmp_path}/table\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert short(watched.cron(place_of(home))) == [("cron", FAULT, "home")]
    with hold(home.lock("agent")):
        assert short(watched.cron(place_of(home))) == []
    (tmp_path / "table").write_bytes(b"")
    assert short(watched.cron(place_of(home))) == []


def test_a_disk_that_takes_no_sync(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """No disk here can be made to refuse it, so what the system answers is: an error, after the write went well."""
    assert short(asked.disk_sync(place_of(home))) == []

    def refuse(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)
    (finding,) = asked.disk_sync(place_of(home))
    assert finding[:3] == ("disk-sync", FAULT, "home") and "Input/output error" in finding.what
    assert not list(home.run.glob(".sync-*"))


def test_a_port_of_the_newer_protocol(home: Home, need: Need) -> None:
    """All addresses of IPv6 are told, and its loopback is not."""
    need.that(socket.has_ipv6, "IPv6")
    with hold(home.lock("herald")):
        with closing(socket.create_server(("::1", 0), family=socket.AF_INET6)):
            assert short(asked.ports_open(place_of(home))) == []
        with closing(socket.create_server(("::", 0), family=socket.AF_INET6)):
            assert short(asked.ports_open(place_of(home))) == [("listening", WARNING, "herald")]


def mounted(place: Path, need: Need, options: str) -> None:
    """A file system of its own over the home."""
    done = subprocess.run(
        [need("mount"), "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, text=True
    )
    need.that(done.returncode == 0, f"the right to mount a tmpfs ({done.stderr.strip()})")


@pytest.fixture
def small(tmp_path: Path, need: Need) -> Iterator[Home]:
    """A home on a disk of four megabytes and 64 inodes."""
    place = tmp_path / "small"
    place.mkdir()
    mounted(place, need, "size=4m,nr_inodes=64")
    yield Home(place).ensure()
    subprocess.run([need("umount"), str(place)], check=True)


def test_a_disk_with_room(small: Home) -> None:
    """A small one is no nearly full one."""
    for look in (asked.disk_writable, asked.disk_space, asked.disk_inodes):
        assert short(look(place_of(small))) == []


def test_a_disk_that_is_nearly_full_and_full(small: Home) -> None:
    """First a warning, then a fault; and when nothing goes on it any more, that."""
    filler = small.path / "filler"
    with filler.open("ab") as file:
        while disks.disks([small.path])[0].free > 160_000:
            file.write(b"\1" * 4096)
            file.flush()
    assert short(asked.disk_space(place_of(small))) == [("disk-space", WARNING, "home")]
    with pytest.raises(OSError):
        filler.write_bytes(b"\1" * 8_000_000)
    assert short(asked.disk_space(place_of(small))) == [("disk-space", FAULT, "home")]
    assert short(asked.disk_writable(place_of(small))) == [("disk-writable", FAULT, "home")]
    filler.unlink()
    assert short(asked.disk_writable(place_of(small))) == []


def test_a_disk_without_inodes(small: Home) -> None:
    """There is room, and no more files."""
    for number in range(disks.disks([small.path])[0].inodes_free):
        (small.path / f"file{number}").touch()
    assert short(asked.disk_inodes(place_of(small))) == [("disk-inodes", FAULT, "home")]
    assert short(asked.disk_space(place_of(small))) == []


def test_a_disk_that_is_read_only(small: Home, need: Need) -> None:
    """Mounted anew."""
    subprocess.run([need("mount"), "-o", "remount,ro", str(small.path)], check=True)
    (finding,) = asked.disk_writable(place_of(small))
    assert finding[:3] == ("disk-writable", FAULT, "home") and "read-only" in finding.what


def test_exit_codes(homes: Homes) -> None:
    """With a fault 1, with nothing 0, with warnings only 3."""
    done = homes.run("hq", "doctor")
    assert done.returncode == exits.FAILED
    assert done.stdout.splitlines()[:2] == ["home", "  fault [roles] no role of this home runs"]
    home = Home(homes.folder / "hq").ensure()
    with hold(home.lock("herald")), hold(home.lock("broker.b1")):
        done = homes.run("hq", "doctor", "-o", "ndjson")
        assert (done.stdout, done.stderr, done.returncode) == ("", "", exits.DONE)
        with closing(socket.create_server(("0.0.0.0", 0))):
            done = homes.run("hq", "doctor", "-o", "ndjson")
            assert done.returncode == exits.PARTLY
            assert {json.loads(line)["check"] for line in done.stdout.splitlines()} == {
                "listening",
                "ports-unknown",
            }


def test_a_host_without_the_packages_of_a_store(home: Home) -> None:
    """Where SQLAlchemy is not installed, and no store, every check can be made."""
    code = "import sys; sys.modules['sqlalchemy'] = None; from tabard.ops.main import main; sys.exit(main())"
    words = [sys.executable, "-P", "-c", code, "doctor", "-o", "ndjson", "--home", str(home.path)]
    env = {"PATH": os.environ["PATH"], "HOME": str(home.path.parent)}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60)
    assert [json.loads(line)["check"] for line in done.stdout.splitlines()] == ["roles"]
    assert (done.stderr, done.returncode) == ("", exits.FAILED)
