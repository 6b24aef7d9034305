"""What `tabard check` says of a tunnel before anything is started."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from tabard.brokers.tunnels import backends
from tabard.home import Home
from tabard.ops.tunnelcheck import tunnel_findings
from tabard.settings import load
from tests.conftest import Need
from tests.ports import free_port

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPUqm+9Hy4aIlDqdoCRb4ikZ/GqLyRQSONDs0JxLGzrS"


def checked(tmp_path: Path, backend: str = "openssh", **keys: str) -> str:
    """What is found of a home with one tunnel, each of it a warning: the role would go on trying."""
    home = Home(tmp_path / "home").ensure()
    listen = keys.pop("listen", f"127.0.0.1:{free_port()}")
    lines = ["[[tunnel]]", 'name = "hq"', f'backend = "{backend}"', 'host = "hq.example.net"']
    lines += [f'{key} = "{value}"' for key, value in keys.items()]
    lines += ["[[tunnel.forward]]", f'listen = "{listen}"', 'to = "127.0.0.1:7101"']
    home.settings_file.write_text("\n".join(lines) + "\n")
    found = list(tunnel_findings(home, load(home, env={})))
    assert all(each.warning and each.error.file == str(home.settings_file) for each in found)
    return "\n".join(f"{each.error}" for each in found)


@pytest.fixture
def key(tmp_path: Path, need: Need) -> Path:
    """A key with a passphrase."""
    need("ssh-keygen")
    made = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(made)], check=True)
    return made


def test_a_tunnel_that_can_come_up_is_clean(tmp_path: Path, key: Path) -> None:
    """Its key is there and open, its port free."""
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "secret", "-N", "", "-f", str(key)], check=True, capture_output=True
    )
    assert checked(tmp_path, key_file=str(key), host_key=HOST_KEY) == ""


@pytest.mark.parametrize("backend", ["openssh", "sshtunnel"])
def test_a_key_that_cannot_be_used_is_told(
    tmp_path: Path, key: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not there, open to others, or with a passphrase that nobody is there to be asked for."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)

    def said(path: Path) -> str:
        return checked(tmp_path, backend, key_file=str(path), host_key=HOST_KEY)

    assert "tunnel hq.key_file: the key cannot be read" in said(tmp_path / "none")
    assert "the key has a passphrase" in said(key)
    key.chmod(0o640)
    assert f"chmod 600 {key}" in said(key)


def test_a_key_with_a_passphrase_is_well_where_there_is_an_agent(
    tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have the key."""
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    assert checked(tmp_path, key_file=str(key), host_key=HOST_KEY) == ""


def config(tmp_path: Path, *known: str, more: str = "") -> str:
    """A configuration of ssh with a known_hosts of its own."""
    file = tmp_path / "known_hosts"
    file.write_text("".join(f"{line}\n" for line in known))
    made = tmp_path / "ssh_config"
    made.write_text(f"GlobalKnownHostsFile none\n{more}\nHost *\n  UserKnownHostsFile {file}\n")
    return str(made)


def test_a_server_whose_host_key_nobody_knows_is_told(tmp_path: Path, need: Need) -> None:
    """With the name and the files that were looked at, and what to do; a key that is known or given is none."""
    need("ssh", "ssh-keygen")
    other = f"other.example.net {HOST_KEY}"
    said = checked(tmp_path, config=config(tmp_path, other))
    assert "tunnel hq.host_key: the host key of hq.example.net:22 is not known" in said
    assert "a line for hq.example.net in known_hosts" in said
    assert f"found none in {tmp_path}/known_hosts" in said
    assert "Ask its administrator" in said
    assert checked(tmp_path, config=config(tmp_path, other, f"hq.example.net {HOST_KEY}")) == ""
    assert checked(tmp_path, config=config(tmp_path, other), host_key=HOST_KEY) == ""
    assert "not known" in checked(tmp_path, config=config(tmp_path, f"@revoked hq.example.net {HOST_KEY}"))
    assert checked(tmp_path, config=config(tmp_path, f"@cert-authority *.example.net {HOST_KEY}")) == ""


def test_hashed_names_are_found(tmp_path: Path, need: Need) -> None:
    """As ssh itself writes them on many hosts."""
    need("ssh", "ssh-keygen")
    made = config(tmp_path, f"hq.example.net {HOST_KEY}")
    file = tmp_path / "known_hosts"
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True)
    assert "hq.example.net" not in file.read_text()
    assert checked(tmp_path, config=made) == ""
    file.write_text(file.read_text().replace("|1|", "|1|A", 1))
    assert "not known" in checked(tmp_path, config=made)


def test_names_are_those_that_ssh_looks_for(tmp_path: Path, need: Need) -> None:
    """With the port, else without it; an alias as it is; hosts on the way by the names of their own."""
    need("ssh", "ssh-keygen")

    def said(known: str, more: str = "") -> str:
        return checked(tmp_path, config=config(tmp_path, f"{known} {HOST_KEY}", more=more))

    port = "Host hq.example.net\n  Port 2222"
    assert "a line for [hq.example.net]:2222 in" in said("other", port)
    assert said("[hq.example.net]:2222", port) == ""
    assert said("hq.example.net", port) == ""
    real = "Host hq.example.net\n  HostName real.example.net"
    assert "host key of real.example.net:22 is not known" in said("hq.example.net", real)
    alias = f"{real}\n  Port 2222\n  HostKeyAlias vault"
    assert "a line for vault in" in said("[real.example.net]:2222", alias)
    assert said("vault", alias) == ""
    jump = "Host hq.example.net\n  ProxyJump me@gate,way:2200\nHost gate\n  HostName gate.example.net"
    both = said("hq.example.net", jump)
    assert "the host key of gate.example.net:22, a host on the way, is not known" in both
    assert "the host key of way:2200, a host on the way, is not known" in both
    assert said("hq.example.net,gate.example.net,[way]:2200", jump) == ""
    assert said("other", "Host hq.example.net\n  KnownHostsCommand /bin/keys %H") == ""


def test_a_missing_program_or_file_and_a_port_that_is_taken_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever would be said once it runs."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        assert f"tunnel hq.forward: the local port {listen} is in use" in checked(tmp_path, listen=listen)
    assert "tunnel hq.config: ssh's configuration cannot be read" in checked(
        tmp_path, config=str(tmp_path / "none")
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(backends, "_SEARCH", str(tmp_path))
    assert "tunnel hq.backend: the program ssh is missing" in checked(tmp_path)
