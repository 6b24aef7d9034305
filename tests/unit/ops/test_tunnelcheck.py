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
    assert checked(tmp_path, key_file=str(key)) == ""


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
    assert checked(tmp_path, key_file=str(key)) == ""


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
