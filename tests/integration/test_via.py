"""Commands through ``--via ssh://HOST``: a real ssh server, another host's home behind it, and a home here that has nothing but a key."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tabard import exits
from tabard.errors import TabardError
from tabard.home import Home
from tabard.ops.bench import sshd
from tabard.ops.bench.sshd import SEPARATION, Sshd, make_key
from tabard.ops.commands.client import Client
from tests.conftest import Need
from tests.integration.test_dispatcher import SETTINGS, heard
from tests.integration.upping import TABARD, Started, environment, tabard
from tests.ports import free_port

HUB: Final = "ssh://hub"
_SEARCH: Final = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
Rows = list[dict[str, Any]]


class Hub:
    """Another host: its home, its ssh server, what a login finds there, and a home here with a key of one of its operators."""

    def __init__(self, folder: Path, server: Sshd) -> None:
        self.home = folder / "hub"
        self.desk = folder / "desk"
        self.server = server
        self._folder = folder
        for path in (self.home, self.desk):
            path.mkdir(mode=0o700)
        (self.home / "tabard.toml").write_text(SETTINGS)
        self.put("there", f'exec {shlex.join(TABARD)} "$@"\n')
        # Root may open any directory; so this one may not.
        plain = (
            "setpriv --bounding-set=-dac_override,-dac_read_search --inh-caps=-dac_override,-dac_read_search "
            if os.geteuid() == 0
            else ""
        )
        locked = folder / "locked"
        locked.mkdir(mode=0)
        self.put(
            "stranger",
            f'TABARD_HOME={locked}/home; export TABARD_HOME\nexec {plain}{shlex.join(TABARD)} "$@"\n',
        )
        older = "import sys; from tabard.ops import cli; del cli.COMMANDS['dispatcher']; sys.exit(cli.run(sys.argv[1:]))"
        self.put("older", f'exec {shlex.join((sys.executable, "-c", older))} "$@"\n')
        self.put("greeting", f'echo "Welcome to $(hostname)!"\nexec {shlex.join(TABARD)} "$@"\n')
        (folder / "ssh").mkdir()
        self.put("ssh", f'exec {shlex.quote(str(_program("ssh")))} -F {folder}/ssh_config "$@"\n', "ssh")
        self.knows(server.known_hosts)

    def put(self, folder: str, text: str, name: str = "tabard") -> None:
        """A program of a folder."""
        (self._folder / folder).mkdir(exist_ok=True)
        path = self._folder / folder / name
        path.write_text(f"#!/bin/sh\n{text}")
        path.chmod(0o755)

    def finds(self, folder: str) -> None:
        """What a login has first in its PATH; "": nothing of ours."""
        env = environment(self.home, PATH=f"{self._folder / folder}:{_SEARCH}" if folder else _SEARCH)
        self.server.allow(",".join(f'environment="{name}={value}"' for name, value in env.items()))

    def knows(self, line: str, *more: str) -> None:
        """What this host has in known_hosts, and what its user says in ~/.ssh/config besides."""
        (self._folder / "known_hosts").write_text(line)
        lines = (
            *more,
            "Host hub",
            "HostName 127.0.0.1",
            f"Port {self.server.port}",
            f"User {self.server.user}",
            "Host *",
            f"IdentityFile {self.server.key_file}",
            "IdentitiesOnly yes",
            f"UserKnownHostsFile {self._folder}/known_hosts",
            "GlobalKnownHostsFile none",
        )
        (self._folder / "ssh_config").write_text("\n".join(lines) + "\n")

    @property
    def path(self) -> str:
        """Here the first ssh is one that reads that configuration in the place of the user's."""
        return f"{self._folder}/ssh:{os.environ['PATH']}"

    def __call__(self, *words: str, via: str = HUB) -> subprocess.CompletedProcess[str]:
        """A command line of this host."""
        at = words.index("--") if "--" in words else len(words)
        return tabard(self.desk, *words[:at], "--via", via, *words[at:], PATH=self.path)

    def rows(self, *words: str, via: str = HUB) -> Rows:
        """What it says."""
        at = words.index("--") if "--" in words else len(words)
        done = self(*words[:at], "-o", "json", *words[at:], via=via)
        assert done.stdout, done.stderr
        found: Rows = json.loads(done.stdout)
        return found

    def group(self) -> str:
        """The newest submission."""
        return str(self.rows("commands", "list", "-n", "1")[0]["group"])


def _program(name: str) -> Path:
    return next(
        Path(each, name)
        for each in (*os.environ["PATH"].split(":"), *_SEARCH.split(":"))
        if Path(each, name).exists()
    )


@pytest.fixture(scope="module", name="hub")
def _hub(tmp_path_factory: pytest.TempPathFactory, need: Need) -> Iterator[Hub]:
    program = sshd.programs()
    need.that(program is not None, "sshd, ssh and ssh-keygen (the packages openssh-server, openssh-client)")
    need.that(os.geteuid() != 0 or SEPARATION.is_dir(), f"the directory {SEPARATION}, where root runs sshd")
    assert program is not None
    folder = tmp_path_factory.mktemp("via")
    options = ("PermitRootLogin prohibit-password", "PermitUserEnvironment yes")
    with Sshd(program, options, oneself=True) as server:
        hub = Hub(folder, server)
        roles = "broker,recorder,dispatcher,agent"
        with Started(hub.home, "up", "--port", str(free_port()), "--only", roles) as up:
            up.wait_for("Tabard runs here")
            for name in ("ada", "bob"):
                file = str(folder / f"{name}.tabard")
                assert tabard(hub.home, "operator", "add", name, "--out", file).returncode == exits.DONE
                assert tabard(hub.desk, "join", file).returncode == exits.DONE
            heard(hub.home)
            yield hub


@pytest.fixture(autouse=True)
def _as_usual(hub: Hub) -> None:
    hub.finds("there")
    hub.knows(hub.server.known_hosts)


def test_all_of_it_goes_by_ssh(hub: Hub, tmp_path: Path) -> None:
    """Run, with what it prints and its exit code, list, show, approve, cancel; port, user and name as in an address or in ~/.ssh/config."""
    done = hub("run", "web1", "--as", "ada", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout) == (exits.FAILED, "out\n")
    assert done.stderr.startswith("err\n") and "failed" in done.stderr
    whole = f"ssh://{hub.server.user}@127.0.0.1:{hub.server.port}"
    assert hub("run", "web1", "--as", "bob", "--action", "ping", via=whole).returncode == exits.DONE
    first, second = hub.rows("commands", "list", "-n", "2")
    assert (first["issuer"], second["issuer"]) == ("operator bob of hq", "operator ada of hq")
    (shown,) = hub.rows("commands", "show", second["id"][:10])
    assert shown["output"] == [{"fd": 1, "text": "out\n"}, {"fd": 2, "text": "err\n"}]
    go = tmp_path / "go"
    os.mkfifo(go)
    (row,) = hub.rows("run", "web1", "--as", "ada", "--detach", "--", "cat", str(go))
    (approved,) = hub.rows("commands", "approve", row["id"], "--as", "bob", "--yes")
    assert approved["approved"] == 1
    (cancelled,) = hub.rows("commands", "cancel", row["group"], "--as", "ada")
    assert cancelled["id"] == row["id"]
    with Client(Home(hub.home)) as client:
        client.ask("follow", id=row["group"])
        assert [each["state"] for each in client.events() if each["event"] == "state"][-1] == "cancelled"
    (planned,) = hub.rows("run", "web*", "--plan")
    assert planned["node"] == "web1"


def test_neither_end_loads_a_database(hub: Hub) -> None:
    """Nor ZeroMQ: whoever asks for a list waits for neither."""
    lines = [
        (hub.desk, ["run", "web1", "--as", "ada", "--action", "ping", "--via", HUB]),
        (hub.desk, ["commands", "list", "--via", HUB]),
        (hub.home, ["commands", "list"]),
        (hub.home, ["dispatcher", "--stdio"]),
    ]
    code = (
        "import sys, json; from tabard.ops import cli\n"
        "codes = [cli.run(json.loads(line)) for line in sys.argv[1:]]\n"
        "sys.exit(any(codes) or any(name in sys.modules for name in ('sqlalchemy', 'psycopg2', 'psycopg', 'zmq')))"
    )
    for home, line in lines:
        done = subprocess.run(
            [sys.executable, "-c", code, json.dumps(line)],
            env=environment(home, PATH=hub.path),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (line, done.stderr)


def test_a_connection_that_is_lost_ends_the_waiting_and_not_the_command(hub: Hub, tmp_path: Path) -> None:
    """What came is printed, what to do is said, and the exit code is that of what is open still."""
    go = tmp_path / "go"
    os.mkfifo(go)
    words = ["run", "web1", "--as", "ada", "--via", HUB, "--", "sh", "-c", f"echo one; printf tw; cat {go}"]
    process = subprocess.Popen(
        [*TABARD, *words], env=environment(hub.desk, PATH=hub.path),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "one\n"
    assert process.stderr is not None
    hub.server.signal_sessions(signal.SIGKILL)
    with (
        process.stdout as out,
        process.stderr as errors,
    ):  # what came with the first line is in its buffer already
        rest, err = out.read(), errors.read()
    assert (process.wait(), rest) == (exits.PARTLY, "tw")
    assert "does not answer any more" in err and "It goes on: tabard commands show" in err
    assert f"tabard commands cancel {hub.group()[:12]} --via {HUB}" in err
    go.write_text("o")
    with Client(Home(hub.home)) as client:
        client.ask("follow", id=hub.group())
        assert [each["state"] for each in client.events() if each["event"] == "state"][-1] == "done"


@pytest.mark.parametrize(
    ("finds", "says"),
    [
        ("", ("not found", "PATH", "tabard --version")),
        ("older", ("a Tabard that has no dispatcher yet", "Upgrade it there")),
        ("stranger", ("Permission denied",)),
        ("greeting", ("Welcome to", "~/.bashrc")),
    ],
)
def test_what_is_wrong_there_is_said(hub: Hub, finds: str, says: tuple[str, ...]) -> None:
    """No Tabard in the PATH of a login, an old one, a home that this user may not enter, a shell that greets."""
    hub.finds(finds)
    done = hub("commands", "list")
    assert (done.returncode, done.stdout) == (exits.FAILED, "")
    assert all(each in done.stderr for each in says), done.stderr
    assert done.stderr.count("\n") == 1


def test_a_host_that_is_not_the_known_one_is_not_asked(hub: Hub, tmp_path: Path) -> None:
    """Unknown or changed, whatever ~/.ssh/config says; and so is one that takes no key of this user, or is not there."""
    make_key(tmp_path / "other")
    other = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    lax = (
        "StrictHostKeyChecking no",
        "RemoteCommand id",
        "LocalForward 127.0.0.1:1 127.0.0.1:1",
        "LogLevel QUIET",
    )
    for known, says in (
        ("", "a host whose key is not known here"),
        (f"[127.0.0.1]:{hub.server.port} {other}\n", "another host key than the one that is known"),
    ):
        hub.knows(known, *lax)
        done = hub("run", "web1", "--as", "ada", "--action", "ping")
        assert done.returncode == exits.FAILED and says in done.stderr, done.stderr
    hub.knows(hub.server.known_hosts, *lax)
    assert hub("run", "web1", "--as", "ada", "--action", "ping").returncode == exits.DONE
    (hub.server.directory / "authorized_keys").write_text("")
    done = hub("commands", "list")
    assert "takes no key of this user" in done.stderr and "ssh -o BatchMode=yes" in done.stderr
    done = hub("commands", "list", via=f"ssh://127.0.0.1:{free_port()}")
    assert "Connection refused" in done.stderr and done.returncode == exits.FAILED


def test_a_dispatcher_that_does_not_know_a_question_is_older(hub: Hub) -> None:
    """It was not started anew, or is another host's."""
    with Client(Home(hub.home)) as client, pytest.raises(TabardError, match="older than this command"):
        client.ask("frobnicate")
