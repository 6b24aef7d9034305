"""What only the system's ssh does: the user's configuration, known_hosts, an agent, forwards of the other side, and keys that are restricted."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tabard import exits
from tabard.home import Home
from tabard.ops.bench import sshd
from tabard.ops.bench.sshd import Sshd, make_key
from tests.integration.brokering import family, wait_until
from tests.integration.tunnelling import Answering, Make, Tunnelled, make, server
from tests.integration.upping import Started, tabard
from tests.ports import free_port

__all__ = ["make", "server"]
PAGE = Path(__file__).parents[2] / "docs/how-to/tunnels.md"


@pytest.fixture
def agent(tmp_path: Path, server: Sshd, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An agent that has the key, in the environment of what is started."""
    path = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()  # it listens
    subprocess.run(
        ["ssh-add", "-q", str(server.key_file)], env={**os.environ, "SSH_AUTH_SOCK": str(path)}, check=True
    )
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    yield
    process.terminate()
    process.wait()
    process.stdout.close()


def configured(make: Make, server: Sshd, tmp_path: Path, *lines: str) -> Tunnelled:
    """A tunnel to an alias of a configuration, of which the table says nothing but that."""
    config = tmp_path / "ssh_config"
    known = tmp_path / "known_hosts"
    known.touch()
    config.write_text(
        "\n".join(
            [
                "Host inner",
                "HostName 127.0.0.1",
                f"Port {server.port}",
                f"User {server.user}",
                f"UserKnownHostsFile {known}",
                *lines,
            ]
        )
        + "\n"
    )
    tunnel = make("openssh")
    tunnel.keys = {"host": "inner", "config": str(config)}
    return tunnel


def test_the_users_configuration_and_known_hosts_are_honoured(
    make: Make, server: Sshd, tmp_path: Path
) -> None:
    """An alias with port, user and key; a host that is not known is refused until it is, and SIGHUP tries at once."""
    tunnel = configured(make, server, tmp_path, f"IdentityFile {server.key_file}", "LogLevel QUIET")
    tunnel.begin()
    assert tunnel.wrong("the host is not known", "known_hosts", "host_key")["state"] == "refused"
    (tmp_path / "known_hosts").write_text(server.known_hosts)
    tunnel.reload()
    tunnel.up()
    tunnel.behind.passes(tunnel.port)


@pytest.mark.threat("false-server")
@pytest.mark.parametrize(
    "lines",
    [
        ("StrictHostKeyChecking no",),
        ("StrictHostKeyChecking accept-new", "UpdateHostKeys yes"),
        ("NoHostAuthenticationForLocalhost yes",),
        ("VerifyHostKeyDNS yes",),
    ],
    ids=" ".join,
)
def test_a_configuration_cannot_switch_off_the_check_of_the_host_key(
    make: Make, server: Sshd, tmp_path: Path, lines: tuple[str, ...]
) -> None:
    """Whatever it says of how to check; nothing is learned either."""
    tunnel = configured(make, server, tmp_path, f"IdentityFile {server.key_file}", *lines)
    tunnel.begin()
    tunnel.wrong("the host is not known")
    assert (tmp_path / "known_hosts").read_text() == ""
    assert "Accepted" not in server.log()


@pytest.mark.threat("false-server")
def test_a_pinned_host_key_is_the_only_one_there_is(make: Make, server: Sshd, tmp_path: Path) -> None:
    """The configuration knows the server's key, by its known_hosts, by a command, and says that it need not be checked."""
    known = f"[127.0.0.1]:{server.port} {server.host_key}\n"
    command = tmp_path / "known"
    command.write_text(f"#!/bin/sh\necho 'tabard.hq,127.0.0.1,[127.0.0.1]:{server.port} {server.host_key}'\n")
    command.chmod(0o755)
    tunnel = configured(
        make, server, tmp_path, f"IdentityFile {server.key_file}",
        f"KnownHostsCommand {command}", "NoHostAuthenticationForLocalhost yes", "CheckHostIP no",
        f"HostKeyAlias [127.0.0.1]:{server.port}",
    )  # fmt: skip
    (tmp_path / "known_hosts").write_text(known)
    make_key(tmp_path / "another")
    tunnel.keys["host_key"] = " ".join((tmp_path / "another.pub").read_text().split()[:2])
    tunnel.begin()
    assert tunnel.wrong("host key")["state"] == "refused"
    assert "Accepted" not in server.log()


@pytest.mark.threat("tunnel-in-reach")
def test_both_ends_are_on_loopback_whatever_the_configuration_says(
    make: Make, server: Sshd, tmp_path: Path
) -> None:
    """As the kernel has it: the port here, and the one that the server opens."""
    tunnel = configured(make, server, tmp_path, f"IdentityFile {server.key_file}", "GatewayPorts yes")
    (tmp_path / "known_hosts").write_text(server.known_hosts)
    there = both(tunnel)
    tunnel.begin()
    tunnel.up()
    assert addresses_of(tunnel.port, there) == {tunnel.port: {"127.0.0.1"}, there: {"127.0.0.1"}}


def addresses_of(*ports: int) -> dict[int, set[str]]:
    """Where anybody on this host listens on these ports."""
    found: dict[int, set[str]] = {port: set() for port in ports}
    for each in psutil.net_connections("tcp"):
        if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port in found:
            found[each.laddr.port].add(each.laddr.ip)
    return found


@pytest.mark.threat("tunnel-in-reach")
@pytest.mark.parametrize("line", ["LocalForward 0.0.0.0:{} 127.0.0.1:22", "DynamicForward *:{}"])
def test_a_configuration_opens_no_port_for_others(
    make: Make, server: Sshd, tmp_path: Path, line: str
) -> None:
    """What it gives the host for who works there by hand: it is said, and ssh is not started."""
    other = free_port()
    tunnel = configured(make, server, tmp_path, f"IdentityFile {server.key_file}", line.format(other))
    (tmp_path / "known_hosts").write_text(server.known_hosts)
    tunnel.begin()
    assert tunnel.wrong("opens ports for other hosts", str(other))["state"] == "refused"
    assert addresses_of(tunnel.port, other) == {tunnel.port: set(), other: set()}
    (tmp_path / "ssh_config").write_text(
        (tmp_path / "ssh_config").read_text().replace("0.0.0.0", "127.0.0.1").replace("*:", "")
    )
    tunnel.reload()
    tunnel.up()
    assert addresses_of(other) == {other: {"127.0.0.1"}} or "Dynamic" in line


@pytest.mark.parametrize(
    "lines",
    [
        ("ClearAllForwardings yes",),
        ("Tunnel yes",),
        ("ForkAfterAuthentication yes", "StdinNull yes", "SessionType default", "RequestTTY force"),
        ("PermitLocalCommand yes", "LocalCommand false", "RemoteCommand false"),
        ("ControlMaster auto", "ControlPath /nowhere/at/all", "ControlPersist yes"),
    ],
    ids=lambda lines: lines[0],
)
def test_what_a_configuration_says_for_work_by_hand_is_in_nobodys_way(
    make: Make, server: Sshd, tmp_path: Path, lines: tuple[str, ...]
) -> None:
    """A tunnel has its own forwards, stays in the foreground, and runs nothing."""
    tunnel = configured(make, server, tmp_path, f"IdentityFile {server.key_file}", *lines)
    (tmp_path / "known_hosts").write_text(server.known_hosts)
    tunnel.begin()
    assert tunnel.up()["counters"]["starts"] == 1


@pytest.fixture
def bastion(server: Sshd) -> Iterator[Sshd]:
    """A server on the way to the other one."""
    program = sshd.programs()
    assert program is not None  # `server` has looked
    with Sshd(program) as made:
        yield made


def beyond(
    make: Make, server: Sshd, bastion: Sshd, tmp_path: Path, *lines: str, stranger: bool = False
) -> Tunnelled:
    """A tunnel through the bastion, whose connections the configuration has shared; of a stranger nobody knows the key."""
    known = tmp_path / "known_hosts"
    tunnel = configured(
        make, server, tmp_path, f"IdentityFile {server.key_file}", "ProxyJump bastion",
        "Host bastion", "HostName 127.0.0.1", f"Port {bastion.port}", f"User {bastion.user}",
        f"IdentityFile {bastion.key_file}", f"UserKnownHostsFile {known}",
        "ControlMaster auto", f"ControlPath {tmp_path}/shared", "ControlPersist 600", *lines,
    )  # fmt: skip
    known.write_text(server.known_hosts if stranger else server.known_hosts + bastion.known_hosts)
    return tunnel


def test_a_way_through_a_bastion_is_the_tunnels_own(
    make: Make, server: Sshd, bastion: Sshd, tmp_path: Path
) -> None:
    """A connection that others share would stay frozen with the bastion, and outlive the tunnel."""
    tunnel = beyond(make, server, bastion, tmp_path)
    tunnel.begin()
    starts = tunnel.up()["counters"]["starts"]
    assert not (tmp_path / "shared").exists()
    bastion.signal_sessions(signal.SIGSTOP)
    tunnel.until(lambda said: said["counters"]["starts"] > starts, "it is left")
    tunnel.up()
    tunnel.behind.passes(tunnel.port)


@pytest.mark.threat("false-server")
def test_the_host_key_of_a_bastion_is_checked_as_well(
    make: Make, server: Sshd, bastion: Sshd, tmp_path: Path
) -> None:
    """Whatever the configuration says, and by its own name; nothing is learned."""
    tunnel = beyond(make, server, bastion, tmp_path, "StrictHostKeyChecking no", stranger=True)
    tunnel.begin()
    tunnel.wrong("the host is not known", f"[127.0.0.1]:{bastion.port}")
    assert (tmp_path / "known_hosts").read_text() == server.known_hosts
    assert "Accepted" not in bastion.log()


def test_nothing_is_left_of_a_way_through_a_bastion(
    make: Make, server: Sshd, bastion: Sshd, tmp_path: Path
) -> None:
    """The role is killed; both ssh end."""
    tunnel = beyond(make, server, bastion, tmp_path)
    tunnel.begin()
    tunnel.up()
    assert tunnel.started is not None
    processes = [psutil.Process(pid) for pid in family(tunnel.started.process.pid)]
    assert len(processes) == 3
    tunnel.started.signal(signal.SIGKILL)
    tunnel.started.rest()
    tunnel.started = None
    wait_until(lambda: not any(each.is_running() for each in processes), "all of them have ended")
    wait_until(lambda: not bastion.sessions(), "the bastion has nobody any more")


def test_a_greeting_of_the_server_is_not_taken_for_what_ssh_says(make: Make, server: Sshd) -> None:
    """What a lawyer has it say is no reason to stay away after a connection was lost."""
    banner = server.directory / "banner"
    banner.write_text("Permission denied (to all others)\nREMOTE HOST IDENTIFICATION HAS CHANGED\n")
    banner.chmod(0o644)
    server.options = (f"Banner {banner}",)
    server.stop()
    server.start()
    tunnel = make("openssh").begin()
    starts = tunnel.up()["counters"]["starts"]
    server.signal_sessions(signal.SIGKILL)
    said = tunnel.until(lambda said: said["counters"]["starts"] > starts or said["why"], "it was lost")
    assert said["state"] != "refused" and "host key" not in (said["why"] or ""), said
    tunnel.up()


@pytest.mark.threat("false-server")
def test_a_host_key_that_is_revoked_is_told(make: Make, server: Sshd, tmp_path: Path) -> None:
    """It is known, and marked."""
    tunnel = configured(make, server, tmp_path, f"IdentityFile {server.key_file}")
    (tmp_path / "known_hosts").write_text(f"{server.known_hosts}@revoked * {server.host_key}\n")
    tunnel.begin()
    assert tunnel.wrong("@revoked")["state"] == "refused"


def test_names_in_known_hosts_may_be_hashed_and_keys_certified(
    make: Make, server: Sshd, tmp_path: Path
) -> None:
    """What ssh understands there is left to it."""
    tunnel = configured(make, server, tmp_path, f"IdentityFile {server.key_file}")
    known = tmp_path / "known_hosts"
    known.write_text(server.known_hosts)
    keygen("-H", "-f", str(known))
    assert "127.0.0.1" not in known.read_text()
    tunnel.begin()
    tunnel.up()
    make_key(tmp_path / "authority")
    keygen(
        "-s",
        str(tmp_path / "authority"),
        "-I",
        "host",
        "-h",
        "-n",
        "127.0.0.1",
        f"{server.directory}/host.pub",
    )
    (server.directory / "host-cert.pub").chmod(0o644)
    known.write_text(f"@cert-authority [127.0.0.1]:{server.port} {(tmp_path / 'authority.pub').read_text()}")
    server.options = (f"HostCertificate {server.directory}/host-cert.pub",)
    starts = tunnel.status()["counters"]["starts"]
    server.stop()
    server.start()
    tunnel.until(lambda said: said["counters"]["starts"] > starts and said["state"] == "up", "it is back")


def keygen(*words: str) -> None:
    """ssh-keygen."""
    subprocess.run(["ssh-keygen", "-q", *words], check=True, capture_output=True, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("version", "absent"), [("8.4p1", ("knownhostscommand", "forkafter")), ("8.6p1", ("forkafter",))]
)
def test_an_older_ssh_is_told_nothing_that_it_does_not_know(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, absent: tuple[str, ...]
) -> None:
    """One that ends at such an option as they did, and is else the one of this host."""
    programs = tmp_path / "bin"
    programs.mkdir()
    refusals = "\n".join(
        f'case "$(echo "$*" | tr A-Z a-z)" in *"-o {name}"*) echo "Bad configuration option: {name}" >&2; exit 255;; esac'
        for name in absent
    )
    real = shutil.which("ssh")
    old = programs / "ssh"
    old.write_text(
        f'#!/bin/sh\n[ "$1" = -V ] && echo "OpenSSH_{version} Debian-5" >&2 && exit 0\n{refusals}\nexec {real} "$@"\n'
    )
    old.chmod(0o755)
    tunnel = make("openssh")
    tunnel.write()
    with Started(tunnel.home.path, "tunnel", PATH=f"{programs}:{os.environ['PATH']}") as tunnel.started:
        tunnel.up()
    tunnel.started = None


def test_a_configuration_that_ssh_refuses_is_told(make: Make, server: Sshd, tmp_path: Path) -> None:
    """With its file."""
    tunnel = configured(make, server, tmp_path, "Nonsense yes")
    tunnel.begin()
    tunnel.wrong("ssh refuses its configuration", "ssh_config", "nonsense")


def test_an_agent_is_honoured(make: Make, server: Sshd, tmp_path: Path, agent: None) -> None:
    """The key is nowhere else."""
    tunnel = configured(make, server, tmp_path, "IdentityFile none")
    (tmp_path / "known_hosts").write_text(server.known_hosts)
    tunnel.write()
    # As a user's own shell starts it: with the agent.
    with Started(tunnel.home.path, "tunnel", SSH_AUTH_SOCK=os.environ["SSH_AUTH_SOCK"]) as tunnel.started:
        tunnel.up()
    tunnel.started = None


def both(tunnel: Tunnelled) -> int:
    """One forward each way; the port on the other side."""
    there = free_port()
    tunnel.forwards.append(
        {"direction": "remote", "listen": f"127.0.0.1:{there}", "to": tunnel.behind.address}
    )
    return there


def test_the_other_side_listens(make: Make) -> None:
    """Messages pass from a port of the server to this host, and it is asked in a circle."""
    tunnel = make("openssh")
    there = both(tunnel)
    tunnel.begin()
    tunnel.up()
    tunnel.behind.passes(there)
    tunnel.behind.go()
    said = tunnel.until(lambda said: said["state"] == "silent", "both are silent")
    assert f"port {there} there" in said["fault"]


def test_a_home_may_have_any_name(server: Sshd) -> None:
    """Its path is part of what ssh is told, and has letters that mean something there."""
    folder = tempfile.mkdtemp(prefix="a:b 100%d\\", dir="/tmp")  # short, or its sockets would lie elsewhere
    behind = Answering()
    tunnel = Tunnelled(Path(folder), "openssh", server, behind)
    try:
        there = both(tunnel)
        tunnel.begin()
        tunnel.up()
        behind.passes(there)
    finally:
        tunnel.close()
        behind.close()
        shutil.rmtree(folder)


def test_a_listener_that_the_server_refuses_is_told(make: Make, server: Sshd) -> None:
    """With its port, and that authorized_keys may be why."""
    tunnel = make("openssh")
    there = both(tunnel)
    server.allow(f'restrict,port-forwarding,permitlisten="127.0.0.1:{free_port()}"')
    tunnel.begin()
    tunnel.wrong(f"listen on port {there} there", "permitlisten")


def lines_of_the_page() -> list[str]:
    """The options of the lines for authorized_keys that the page gives."""
    return re.findall(r"^(restrict\S+) ssh-ed25519", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def options_of_the_page() -> list[str]:
    """What the page says of `sshd_config` for the user of a tunnel, but for the line that names the user."""
    (block,) = re.findall(
        r"^Match User tabard\n((?: +\S.*\n)+)", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    return [line.strip() for line in block.splitlines()]


def asked(server: Sshd, tmp_path: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    """What comes of an ssh with the key of the tunnel that asks for something."""
    return subprocess.run(
        [*asking(server, tmp_path), *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=30
    )


def asking(server: Sshd, tmp_path: Path) -> list[str]:
    """An ssh with the key of the tunnel, as somebody would start it who got hold of it."""
    known = tmp_path / "known"
    known.write_text(server.known_hosts)
    return [
        "ssh", "-F", "none", "-i", str(server.key_file), "-p", str(server.port), "-l", server.user,
        "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={known}", "-o", "IdentitiesOnly=yes",
        "-o", "ExitOnForwardFailure=yes",
    ]  # fmt: skip


def opens(server: Sshd, port: int, tmp_path: Path) -> bool:
    """Whether the key may open a connection to that port of the server, in which an ssh server answers."""
    done = asked(server, tmp_path, "-W", f"127.0.0.1:{port}", "127.0.0.1")
    return done.stdout.startswith(b"SSH-2.0")


@pytest.mark.threat("more-than-forwards")
@pytest.mark.parametrize("listens", [False, True], ids=["dials", "listens"])
def test_the_lines_of_the_page_let_the_key_have_nothing_run_there(
    server: Sshd, tmp_path: Path, agent: None, listens: bool
) -> None:
    """No shell, no command, no sftp, no terminal, no agent, from a server that gives all of them to others.

    By the server's own log: so whatever shell the user has.
    """
    (line,) = (each for each in lines_of_the_page() if ('permitlisten="127.0.0.1:7101"' in each) == listens)
    server.options = ("LogLevel DEBUG1", "Subsystem sftp internal-sftp", "AllowAgentForwarding yes")
    server.stop()
    server.start()
    server.allow(line)
    there = "127.0.0.1"
    for words in (
        ("-T", there),
        ("-T", there, f"touch {server.directory}/ran"),
        ("-T", "-s", there, "sftp"),
        ("-T", "-A", there, "true"),
    ):
        assert asked(server, tmp_path, *words).returncode == 1, words
    assert b"PTY allocation request failed" in asked(server, tmp_path, "-tt", there).stderr
    log = server.log()
    sessions = re.findall(r"Starting session: (.*) for ", log)
    assert sessions == ["forced-command (key-option) '/bin/false'"] * 5
    assert "agent forwarding disabled" in log
    assert not (server.directory / "ran").exists()


def connects(server: Sshd, tmp_path: Path, path: Path) -> bool:
    """Whether the key may open a connection to that unix socket of the server, which greets."""
    here = tmp_path / "here"
    here.unlink(missing_ok=True)
    process = subprocess.Popen(
        [*asking(server, tmp_path), "-N", "-L", f"{here}:{path}", "127.0.0.1"], stderr=subprocess.DEVNULL
    )
    try:
        wait_until(here.exists, "ssh listens")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(here))
            return bool(sock.recv(1))
    finally:
        process.kill()
        process.wait()


@pytest.mark.threat("more-than-forwards")
def test_the_lines_of_the_page_let_the_key_reach_no_unix_socket_and_make_none(
    server: Sshd, tmp_path: Path
) -> None:
    """A socket that anybody may connect to, and a directory that anybody may write to."""
    (line,) = (each for each in lines_of_the_page() if "7102" in each)
    common = server.directory / "common"
    common.mkdir()
    common.chmod(0o777)
    there, made = common / "there", common / "made"
    with socket.create_server(str(there), family=socket.AF_UNIX) as listening:
        there.chmod(0o777)
        greeting = threading.Thread(target=_greet, args=(listening,), daemon=True)
        greeting.start()

        def listens() -> bool:
            asked(server, tmp_path, "-T", "-R", f"{made}:127.0.0.1:1", "127.0.0.1", "true")
            return made.exists()

        server.allow("restrict,port-forwarding")
        assert connects(server, tmp_path, there), "without the lists"
        server.allow(line)
        assert not connects(server, tmp_path, there)
        assert listens(), "why the page says more than one line of authorized_keys"
        made.unlink()
        server.options = options_of_the_page()
        server.stop()
        server.start()
        assert not connects(server, tmp_path, there)
        assert not listens()


def _greet(listening: socket.socket) -> None:
    while True:
        sock, _ = listening.accept()
        with sock:
            sock.sendall(b"hello")


@pytest.mark.threat("more-than-forwards")
def test_the_line_for_a_key_that_dials_allows_its_forwards_and_nothing_else(
    make: Make, server: Sshd, tmp_path: Path
) -> None:
    """The page's own line, with this test's port: that forward comes up, another one, a listener and a command do not."""
    tunnel = make("openssh")
    (line,) = (each for each in lines_of_the_page() if 'permitopen="127.0.0.1:7102"' in each)
    server.allow(line.replace("127.0.0.1:7101", tunnel.behind.address))
    tunnel.begin()
    tunnel.up()
    assert not opens(server, server.port, tmp_path)
    there = both(tunnel)
    tunnel.write()
    tunnel.reload()
    tunnel.wrong(f"listen on port {there} there")


@pytest.mark.threat("more-than-forwards")
def test_the_line_for_a_key_that_listens_allows_that_and_nothing_else(
    make: Make, server: Sshd, tmp_path: Path
) -> None:
    """The page's own line for `-R`."""
    tunnel = make("openssh")
    there = both(tunnel)
    del tunnel.forwards[0]
    (line,) = (each for each in lines_of_the_page() if 'permitlisten="127.0.0.1:7101"' in each)
    server.allow(line.replace(":7101", f":{there}"))
    tunnel.begin()
    tunnel.up()
    tunnel.behind.passes(there)
    assert not opens(server, server.port, tmp_path)


def test_a_list_of_listeners_alone_still_lets_it_open_any_port(server: Sshd, tmp_path: Path) -> None:
    """Why the page says to give both."""
    server.allow(f'restrict,port-forwarding,permitlisten="127.0.0.1:{free_port()}"')
    assert opens(server, server.port, tmp_path)


def test_up_starts_it_and_status_shows_it(make: Make) -> None:
    """As one of its roles; a cron line then finds it running."""
    tunnel = make("openssh")
    tunnel.write()
    tunnel.started = Started(tunnel.home.path, "up", "--only", "tunnel")
    tunnel.up()
    found = json.loads(tabard(tunnel.home.path, "status", "-o", "json").stdout)
    assert [role["name"] for role in found["roles"]] == ["up", "tunnel.hq"]
    (shown,) = found["tunnels"]
    assert (shown["name"], shown["state"], found["faults"]) == ("hq", "up", [])
    page = described("status: tunnels")
    assert (list(shown), list(shown["forwards"][0])) == (page, described("tunnels: forwards"))
    table = tabard(tunnel.home.path, "status").stdout
    assert re.search(rf"hq +up +openssh +local +127.0.0.1:{tunnel.port} ", table)
    assert tabard(tunnel.home.path, "tunnel", "hq", "--cron").returncode == exits.DONE
    assert tabard(tunnel.home.path, "tunnel", "hq").returncode == exits.REFUSED


def described(heading: str) -> list[str]:
    """The keys in the table below a heading of the page about JSON."""
    page = (PAGE.parents[1] / "reference/json.md").read_text(encoding="utf-8")
    section = re.split(rf"^#+ {re.escape(heading)}$", page, maxsplit=1, flags=re.MULTILINE)[1]
    return re.findall(
        r"^\| `(\w+)` \|", re.split(r"^#", section, maxsplit=1, flags=re.MULTILINE)[0], re.MULTILINE
    )


def test_a_home_without_tunnels_says_so(tmp_path: Path) -> None:
    """Wrong use, with what to describe."""
    done = tabard(Home(tmp_path / "home").ensure().path, "tunnel")
    assert done.returncode == exits.WRONG_USE
    assert "[[tunnel]]" in done.stderr
