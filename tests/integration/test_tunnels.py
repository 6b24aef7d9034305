"""What every back end of a tunnel does, with a real ssh server: comes up, judges from end to end, and comes back."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tabard import exits
from tabard.ops.bench import sshd
from tabard.ops.bench.sshd import Sshd, make_key
from tests.integration.brokering import family, listeners
from tests.integration.tunnelling import Make, make, server
from tests.integration.upping import tabard
from tests.ports import free_port

__all__ = ["make", "server"]
OTHER_KIND = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPUqm+9Hy4aIlDqdoCRb4ikZ/GqLyRQSONDs0JxLGzrS"
SPAWNED = ["openssh", "sshtunnel"]
ALL = [*SPAWNED, "external"]


@pytest.mark.parametrize("backend", ALL)
def test_what_answers_behind_it_makes_it_up(make: Make, backend: str) -> None:
    """Messages pass, the status says how it is, and nothing listens but on loopback."""
    tunnel = make(backend).begin()
    said = tunnel.up()
    assert (said["backend"], said["fault"], said["why"]) == (backend, "", None)
    (forward,) = said["forwards"]
    assert forward["state"] == "answers" and forward["seconds"] > 0 and forward["heard"]
    tunnel.behind.passes(tunnel.port)
    assert tunnel.started is not None
    found = {where for kind, where in listeners(family(tunnel.started.process.pid)) if kind != "unix"}
    assert found == (set() if backend == "external" else {f"127.0.0.1:{tunnel.port}"})


@pytest.mark.parametrize("backend", ALL)
def test_a_frozen_peer_is_noticed(make: Make, server: Sshd, backend: str) -> None:
    """Its sessions stand still: that is a fault soon, and over when they go on or another one serves the same port."""
    tunnel = make(backend).begin()
    tunnel.up()
    server.signal_sessions(signal.SIGSTOP)
    said = tunnel.until(lambda said: said["fault"], "the frozen peer is noticed")
    assert "frozen" in said["fault"]
    if backend == "external":
        server.signal_sessions(signal.SIGCONT)
    tunnel.up()
    tunnel.behind.passes(tunnel.port)


@pytest.mark.parametrize("backend", ALL)
def test_a_dead_peer_is_left_and_another_takes_its_place(make: Make, server: Sshd, backend: str) -> None:
    """Its sessions are killed: the local port is the same afterwards."""
    tunnel = make(backend).begin()
    starts = tunnel.up()["counters"]["starts"]
    server.signal_sessions(signal.SIGKILL)
    if backend == "external":
        tunnel.until(lambda said: said["fault"], "nothing answers any more")
        tunnel.others_ssh()
    else:
        tunnel.until(lambda said: said["counters"]["starts"] > starts, "it is started again")
    tunnel.up()
    tunnel.behind.passes(tunnel.port)


@pytest.mark.parametrize("backend", ALL)
def test_a_broker_that_is_gone_is_no_reason_to_end_ssh(make: Make, backend: str) -> None:
    """It is said what does not answer; the same ssh carries it when it is back."""
    tunnel = make(backend).begin()
    before = tunnel.up()
    tunnel.behind.go()
    said = tunnel.until(lambda said: said["state"] == "silent", "nothing answers")
    assert f"127.0.0.1:{tunnel.port}" in said["fault"] and "behind it" in said["fault"]
    tunnel.behind.come_back()
    assert tunnel.up()["process"] == before["process"]


@pytest.mark.parametrize("backend", SPAWNED)
def test_what_answers_has_to_be_a_broker(make: Make, server: Sshd, backend: str) -> None:
    """A server of another protocol behind the forward is told from a broker, unless anything will do."""
    tunnel = make(backend)
    tunnel.forwards[0]["to"] = f"127.0.0.1:{server.port}"
    tunnel.begin()
    tunnel.wrong("no broker", "SSH-2.0")
    for answer in ("greeting", "any"):
        tunnel.forwards[0]["answer"] = answer
        tunnel.write()
        tunnel.reload()
        tunnel.up()


@pytest.mark.parametrize("backend", ALL)
def test_a_frozen_peer_of_what_greets_is_noticed(make: Make, server: Sshd, backend: str) -> None:
    """Something else than a broker that speaks first: that the connection stays open would tell nothing."""
    with Sshd(sshd_program()) as other:
        tunnel = make(backend)
        if backend == "external":
            tunnel.behind.port = other.port
        else:
            tunnel.forwards[0]["to"] = f"127.0.0.1:{other.port}"
        tunnel.forwards[0]["answer"] = "greeting"
        tunnel.begin()
        tunnel.up()
        server.signal_sessions(signal.SIGSTOP)
        tunnel.until(lambda said: said["fault"], "the frozen peer is noticed")
        server.signal_sessions(signal.SIGCONT)
        tunnel.up()


def sshd_program() -> Path:
    """That `server` has looked for."""
    program = sshd.programs()
    assert program is not None
    return program


@pytest.mark.threat("false-server")
@pytest.mark.parametrize("backend", SPAWNED)
def test_another_host_key_is_refused(make: Make, server: Sshd, backend: str) -> None:
    """It is said once with what to do, not tried again and again; the new key in the settings and SIGHUP end that."""
    tunnel = make(backend).begin()
    tunnel.up()
    server.stop()
    server.renew_host_key()
    server.start()
    said = tunnel.wrong("host key", "administrator", "SIGHUP")
    assert said["state"] == "refused"
    assert said["until"] - said["since"] > 100e9, "no storm of attempts"
    assert "Accepted" not in server.log()
    checked = tabard(tunnel.home.path, "check")
    assert checked.returncode == exits.PARTLY, checked
    assert "tunnel hq: it is refused" in checked.stdout and "administrator" in checked.stdout
    tunnel.keys["host_key"] = server.host_key
    tunnel.write()
    tunnel.reload()
    tunnel.up()


@pytest.mark.parametrize("backend", SPAWNED)
def test_a_key_that_is_not_allowed_is_told(make: Make, tmp_path: Path, backend: str) -> None:
    """And one that is no key at all, in other words."""
    tunnel = make(backend)
    make_key(tmp_path / "other")
    tunnel.keys["key_file"] = str(tmp_path / "other")
    tunnel.begin()
    assert tunnel.wrong("refuses the key", "authorized_keys")["state"] == "refused"
    (tmp_path / "none").write_text("no key\n")
    (tmp_path / "none").chmod(0o600)
    tunnel.keys["key_file"] = str(tmp_path / "none")
    tunnel.write()
    tunnel.reload()
    tunnel.wrong(f"the key file {tmp_path}/none cannot be used")


@pytest.mark.parametrize("backend", SPAWNED)
def test_a_key_file_that_cannot_be_used_is_told(
    make: Make, server: Sshd, tmp_path: Path, backend: str
) -> None:
    """It has a passphrase, others may read it, it is not there: whatever has the connection, and with what to do."""
    tunnel = make(backend)
    locked = tmp_path / "locked"
    make_key(locked)
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", str(locked)],
        check=True,
        capture_output=True,
    )
    tunnel.keys["key_file"] = str(locked)
    tunnel.begin()
    assert tunnel.wrong(f"the key file {locked}", "passphrase")["state"] == "refused"
    for path, why in ((server.key_file, "bad permissions"), (tmp_path / "none", "No such file or directory")):
        if path.exists():
            path.chmod(0o644)
        tunnel.keys["key_file"] = str(path)
        tunnel.write()
        tunnel.reload()
        assert tunnel.wrong(f"the key file {path}", why)["state"] == "refused"
    assert "Accepted publickey" not in server.log()


@pytest.mark.threat("false-server")
@pytest.mark.parametrize("backend", SPAWNED)
def test_a_host_key_of_another_kind_is_another_one(make: Make, server: Sshd, backend: str) -> None:
    """The server has none of the kind that is pinned any more."""
    server.stop()
    for name in ("host", "host.pub"):
        (server.directory / name).unlink()
    make_key(server.directory / "host", "ecdsa")
    if os.geteuid() == 0:
        shutil.chown(server.directory / "host", server.user)
    server.start()
    tunnel = make(backend)
    tunnel.keys["host_key"] = OTHER_KIND
    tunnel.begin()
    said = tunnel.wrong("no host key of the kind", "administrator")
    assert said["state"] == "refused" and said["until"] - said["since"] > 100e9
    tunnel.keys["host_key"] = server.host_key
    tunnel.write()
    tunnel.reload()
    tunnel.up()


@pytest.mark.parametrize("listen", ["[::1]", "localhost"])
@pytest.mark.parametrize("backend", SPAWNED)
def test_it_listens_on_any_name_of_loopback(make: Make, backend: str, listen: str) -> None:
    """That of IPv6 as well."""
    tunnel = make(backend)
    tunnel.forwards[0]["listen"] = f"{listen}:{tunnel.port}"
    tunnel.begin()
    tunnel.up()


@pytest.mark.parametrize("backend", SPAWNED)
def test_a_port_that_is_taken_is_told_and_had_when_it_is_free(make: Make, backend: str) -> None:
    """With the port; the tunnel comes up by itself when the other process has gone."""
    tunnel = make(backend)
    port, tunnel.port = tunnel.port, tunnel.behind.port
    tunnel.forwards[0]["listen"] = f"127.0.0.1:{tunnel.behind.port}"
    tunnel.begin()
    tunnel.wrong(f"127.0.0.1:{tunnel.behind.port} is in use")
    tunnel.forwards[0]["listen"] = f"127.0.0.1:{port}"
    tunnel.write()
    tunnel.reload()
    tunnel.up()


@pytest.mark.parametrize("backend", SPAWNED)
def test_a_port_that_somebody_takes_meanwhile_is_waited_for(make: Make, server: Sshd, backend: str) -> None:
    """The server goes, another process listens at the local end, the server comes back: it is told, and nobody else is taken for the broker."""
    tunnel = make(backend).begin()
    tunnel.up()
    server.stop()
    tunnel.wrong("cannot be reached")
    with socket.create_server(("127.0.0.1", tunnel.port)):
        server.start()
        said = tunnel.wrong(f"the local port 127.0.0.1:{tunnel.port} is in use")
        assert said["state"] == "waiting"
    tunnel.up()
    tunnel.behind.passes(tunnel.port)


@pytest.mark.parametrize("backend", SPAWNED)
def test_a_server_that_is_away_is_told_and_found_again(make: Make, server: Sshd, backend: str) -> None:
    """Nothing listens at its port; later it does."""
    server.stop()
    tunnel = make(backend).begin()
    tunnel.wrong("cannot be reached", str(server.port))
    server.start()
    tunnel.up()


@pytest.mark.parametrize("backend", SPAWNED)
def test_a_forward_that_the_server_refuses_is_told(make: Make, server: Sshd, backend: str) -> None:
    """The key may go elsewhere only."""
    server.allow(f'restrict,port-forwarding,permitopen="127.0.0.1:{free_port()}"')
    tunnel = make(backend).begin()
    said = tunnel.until(lambda said: said["state"] == "silent", "nothing answers")
    assert "behind it" in said["fault"] if backend == "sshtunnel" else "permitopen" in said["fault"]


@pytest.mark.parametrize("backend", SPAWNED)
def test_trying_it_says_how_it_is(make: Make, server: Sshd, backend: str) -> None:
    """`--once` ends with 0 when everything answers and with 1 and the reason when something is wrong."""
    tunnel = make(backend)
    tunnel.write()
    done = tabard(tunnel.home.path, "tunnel", "--once", "--idle", "30s")
    assert (done.returncode, done.stderr) == (exits.DONE, "tunnel hq: everything answers\n")
    server.allow('from="192.0.2.1"')
    done = tabard(tunnel.home.path, "tunnel", "hq", "--once", "--idle", "30s")
    assert done.returncode == exits.FAILED and "the server refuses the key" in done.stderr


@pytest.mark.parametrize("backend", ["openssh", "sshtunnel"])
def test_nothing_is_left_of_it_when_its_role_is_killed(make: Make, backend: str) -> None:
    """The process that has the connection goes with it, so that the next one finds the port free."""
    tunnel = make(backend).begin()
    tunnel.up()
    assert tunnel.started is not None
    tunnel.started.signal(signal.SIGKILL)
    tunnel.started.rest()
    tunnel.started = None
    tunnel.begin()
    tunnel.up()


@pytest.mark.parametrize("backend", ["openssh", "sshtunnel"])
def test_a_frozen_ssh_is_noticed(make: Make, backend: str) -> None:
    """The process that has the connection stands still itself, so that its keep-alives do not help."""
    tunnel = make(backend).begin()
    pid = tunnel.up()["process"]
    for each in family(pid):
        os.kill(each, signal.SIGSTOP)
    said = tunnel.until(lambda said: said["fault"], "it is noticed")
    assert "no answer" in said["fault"]
