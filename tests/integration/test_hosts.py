"""A host through a real ssh server: what is refused before anything is changed there, what is cut off, and what a host may say."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tabard import exits
from tabard.errors import UsageError
from tabard.ops.bench import sshd
from tabard.ops.bench.sshd import SEPARATION, Sshd
from tabard.ops.hosts.fleet.ports import HostFailed, HostUnreachable
from tabard.ops.hosts.onhost.serving import Host
from tabard.ops.hosts.remote import Remote, Way
from tests.conftest import Need
from tests.integration.upping import tabard
from tests.ports import free_port

_SEARCH: Final = "/usr/local/bin:/usr/bin:/bin"
OLD: Final = """#!/bin/sh
case "$*" in *python_version*) echo 3.9.2 ;; *) exit 1 ;; esac
"""
"""A Python that is too old: it fails where it is asked for 3.11, and says its version."""


class Machine:
    """A host that ssh reaches, with a home for Tabard, and what a login finds there."""

    def __init__(self, folder: Path, server: Sshd) -> None:
        self.folder = folder
        self.server = server
        self.home = str(folder / "there" / "home")
        self.remote = Remote()
        (folder / "there").mkdir(mode=0o700)
        self.config = folder / "ssh_config"
        self.knows(server.known_hosts)
        self.finds(os.environ["PATH"])

    def knows(self, line: str) -> None:
        """What this host has in known_hosts."""
        known = self.folder / "known_hosts"
        known.write_text(line)
        self.config.write_text(f"UserKnownHostsFile {known}\nGlobalKnownHostsFile none\n")

    def finds(self, path: str) -> None:
        """What a login has in its PATH there."""
        self.server.allow(f'restrict,environment="PATH={path}"')

    def way(self, **other: Any) -> Way:
        """How it is reached."""
        way = Way(
            f"{self.server.user}@127.0.0.1", self.server.port, str(self.server.key_file), str(self.config)
        )
        return way._replace(**other)

    def ask(self, op: str, **request: Any) -> dict[str, Any]:
        """One request."""
        return self.remote.ask(self.way(), op, self.home, **request)


@pytest.fixture(scope="module", name="machine")
def _machine(tmp_path_factory: pytest.TempPathFactory, need: Need) -> Iterator[Machine]:
    program = sshd.programs()
    need.that(program is not None, "sshd, ssh and ssh-keygen (the packages openssh-server, openssh-client)")
    need.that(os.geteuid() != 0 or SEPARATION.is_dir(), f"the directory {SEPARATION}, where root runs sshd")
    assert program is not None
    options = ("PermitRootLogin prohibit-password", "PermitUserEnvironment yes")
    with Sshd(program, options, oneself=True) as server:
        yield Machine(tmp_path_factory.mktemp("hosts"), server)


def _release(data: bytes, digest: str | None = None) -> dict[str, Any]:
    file = {
        "name": "thing-1.0-py3-none-any.whl",
        "size": len(data),
        "sha256": digest or hashlib.sha256(data).hexdigest(),
        "kind": "wheel",
    }
    return {"release": "1.0-0123abcd", "version": "1.0", "files": [file]}


def test_a_host_says_what_it_is_and_nothing_is_changed(machine: Machine) -> None:
    """Also of a home that is not there yet."""
    said = machine.ask("facts")
    assert said["home"] == machine.home
    assert (said["current"], said["releases"], said["joined"]) == (None, [], False)
    assert not os.path.exists(machine.home)


def test_a_python_that_is_too_old_is_named(machine: Machine, tmp_path: Path) -> None:
    """What was looked for, what was found, and what to do."""
    old, broken = tmp_path / "python3", tmp_path / "python3.11"
    old.write_text(OLD)
    broken.write_text("#!/bin/sh\nexit 1\n")
    for each in (old, broken):
        each.chmod(0o755)
    with pytest.raises(HostFailed, match="which does not run"):
        machine.remote.ask(machine.way(python=str(broken)), "facts", machine.home)
    with pytest.raises(HostFailed) as caught:
        machine.remote.ask(machine.way(python=str(old)), "facts", machine.home)
    said = str(caught.value)
    assert "expected Python 3.11 or later with the module venv" in said
    assert f"found {old} 3.9.2" in said
    assert "--python" in said


def test_a_host_that_cannot_be_reached_is_told_from_one_that_refuses(machine: Machine) -> None:
    """Nobody listens; its key is another one; it does not let this user in."""
    with pytest.raises(HostUnreachable, match="Connection refused"):
        machine.remote.ask(machine.way(port=free_port()), "facts", machine.home)
    machine.knows(f"[127.0.0.1]:{machine.server.port} ssh-ed25519 {'A' * 68}\n")
    try:
        with pytest.raises(HostUnreachable, match="known"):
            machine.ask("facts")
    finally:
        machine.knows(machine.server.known_hosts)


@pytest.mark.threat("ssh-option-as-host")
@pytest.mark.parametrize(
    "where",
    ["-oProxyCommand=touch x", "host -oProxyCommand=x", "a@-b", "$(touch x)", "a;b", "", "a b", "ho\nst"],
)
def test_a_host_is_no_option_and_no_shell_reads_it(machine: Machine, where: str) -> None:
    """It is refused before ssh is started."""
    with pytest.raises(UsageError, match="not a host that ssh reaches"):
        machine.remote.ask(machine.way(destination=where), "facts", machine.home)
    with pytest.raises(UsageError, match="not a Python"):
        machine.remote.ask(machine.way(python=f"/usr/bin/python3 {where}"), "facts", machine.home)


@pytest.mark.threat("ssh-option-as-host")
def test_what_is_asked_is_data_on_the_host(machine: Machine, tmp_path: Path) -> None:
    """A home with all that a shell could read into it is a path."""
    made = tmp_path / "made"
    home = f"{tmp_path}/a b'\"$(touch {made})`touch {made}`; touch {made} #"
    assert machine.remote.ask(machine.way(), "facts", home)["home"] == home
    assert not made.exists()


@pytest.mark.threat("wheel-altered-on-its-way")
def test_a_file_that_was_altered_or_cut_off_leaves_nothing(machine: Machine) -> None:
    """And the next one is not disturbed by what was left of one that was killed."""
    for request, payload, match in (
        (_release(b"one"), b"two", "altered on its way"),
        (_release(b"one"), b"on", "ended in the middle of a file"),
    ):
        with pytest.raises(HostFailed, match=match):
            machine.ask("stage", payload=[payload], **request)
        assert os.listdir(f"{machine.home}/software/releases") == []
    left = Path(machine.home, "software/releases/1.0-0123abcd/wheels")
    left.mkdir(parents=True)
    with pytest.raises(HostFailed, match="altered on its way"):
        machine.ask("stage", payload=[b"two"], **_release(b"one"))
    assert not left.exists()


@pytest.mark.threat("release-behind-a-link")
def test_a_release_that_is_a_link_is_none(tmp_path: Path) -> None:
    """Whoever may write there could have it point to what was never verified."""
    host = Host(str(tmp_path / "home"))
    other = tmp_path / "other"
    other.mkdir()
    (other / ".complete").write_text("1")
    os.makedirs(host.releases)
    os.symlink(other, f"{host.releases}/1.0-0123abcd")
    os.symlink("releases/1.0-0123abcd", f"{host.software}/current")
    assert host.standing() == {"current": None, "previous": None, "releases": []}
    for name in ("../../other", "a/b", "", ".", "..", "a b"):
        with pytest.raises(Exception, match="not the name of a release"):
            host.release(name)


@pytest.mark.threat("host-that-lies")
@pytest.mark.parametrize(
    ("says", "match"),
    [
        ('echo \'0123 {"done": {"current": "9"}}\'', "cannot be reached|nothing"),
        ("printf '\\033[31mred\\007' >&2; exit 255", "cannot be reached"),
        ("yes tabard | head -c 9000000", "cannot be reached"),
    ],
)
def test_what_a_host_says_is_bounded_and_drives_no_terminal(
    machine: Machine, tmp_path: Path, says: str, match: str
) -> None:
    """An answer without the request's own token is none; an endless one is cut; control characters are shown."""
    python = tmp_path / "python3.11"
    python.write_text(f'#!/bin/sh\ncase "$*" in *exec*) {says} ;; esac\n')
    python.chmod(0o755)
    machine.finds(f"{tmp_path}:{_SEARCH}")
    try:
        with pytest.raises(HostUnreachable, match=match) as caught:
            machine.remote.ask(machine.way(python=str(python)), "facts", machine.home)
    finally:
        machine.finds(os.environ["PATH"])
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1_000


def test_what_cannot_be_installed_is_said_by_the_command(tmp_path: Path) -> None:
    """Without keys, twice the same, to a port that nobody listens on; the register keeps nothing of it."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    refused = tabard(home, "host", "install", "root@127.0.0.1", "--zone", "hq")
    assert (refused.returncode, "this home has no keys" in refused.stderr) == (exits.REFUSED, True)
    assert tabard(home, "init", "--zone", "hq").returncode == exits.DONE
    own = tmp_path / "own.toml"
    own.write_text('[agent]\nup = "tcp://127.0.0.1:9"\ndown = "tcp://127.0.0.1:8"\nbroker = "b1"\n')
    words = ("host", "install", f"web1=127.0.0.1:{free_port()}", "--zone", "hq", "--settings", str(own))
    done = tabard(home, *words, "-o", "json")
    assert done.returncode == exits.FAILED
    (row,) = json.loads(done.stdout)
    assert (row["host"], row["did"], row["release"]) == ("web1", "unreachable", None)
    assert json.loads(tabard(home, "host", "list", "-o", "json").stdout) == []
    for wrong in (("a=b@c", "a=b@c"), ("-x",), ("A B=c",), ("web1:99999",)):
        assert (
            tabard(home, "host", "install", "--zone", "hq", "--settings", str(own), "--", *wrong).returncode
            == exits.WRONG_USE
        )
    own.write_text('[node]\nname = "x"\n')
    assert tabard(home, *words).returncode == exits.WRONG_USE
    assert tabard(home, "host", "uninstall", "nobody", "--yes").returncode == exits.WRONG_USE
