"""What is refused of ``[[tunnel]]`` tables, each with its place and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tabard.settings import examine

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPUqm+9Hy4aIlDqdoCRb4ikZ/GqLyRQSONDs0JxLGzrS"
FORWARD = '[[tunnel.forward]]\nlisten = "127.0.0.1:7101"\nto = "127.0.0.1:7101"\n'


def errors(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "tabard.toml").write_text(text)
    return [str(each.error) for each in examine(tmp_path, env={}).findings if not each.warning]


def table(forwards: str = FORWARD, **keys: object) -> str:
    given = {"name": "hq", "host": "hq.example.net", **keys}
    lines = [f"{key} = {value!r}".replace("'", '"') for key, value in given.items() if value is not None]
    return "\n".join(["[[tunnel]]", *lines, forwards])


@pytest.mark.parametrize(
    "text",
    [
        table(),
        table(host_key=KEY, port=2222, user="tabard", key_file="~/.ssh/k", config="/etc/t/ssh_config"),
        table(backend="sshtunnel", host_key=f"{KEY} comment", key_file="/k"),
        table('[[tunnel.forward]]\nlisten = "10.1.1.1:7101"\n', backend="external", host=None),
        table('[[tunnel.forward]]\ndirection = "remote"\nlisten = "localhost:7101"\nto = "[::1]:7101"\n'),
        table() + table('[[tunnel.forward]]\nlisten = "127.0.0.2:7101"\nto = "h:1"\n', name="other"),
    ],
)
def test_what_is_right(tmp_path: Path, text: str) -> None:
    """Nothing is found."""
    assert errors(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (table(host=None), ["line 1: tunnel hq.host: missing"]),
        (table(name=None), ["tunnel[1].name: missing"]),
        (table(name="h q"), ["line 2: tunnel[1].name", "found 'h q'"]),
        (table(host="-oProxyCommand=x"), ["line 3: tunnel[1].host", "found '-oProxyCommand=x'"]),
        (table(user="-x"), ["tunnel[1].user"]),
        (table(host_key="ssh-ed25519 AAAA"), ["line 4: tunnel[1].host_key", 'such as "ssh-ed25519 AAAAC3Nz']),
        (table(host_key=KEY.replace("ssh-ed25519", "ssh-rsa")), ["tunnel[1].host_key"]),
        (table(backend="putty"), ["expected one of openssh, sshtunnel, external, found 'putty'"]),
        (table(""), ["tunnel hq: it forwards nothing", "[[tunnel.forward]]"]),
        (table('[[tunnel.forward]]\nlisten = "127.0.0.1:1"\n'), ["tunnel hq.forward[1].to: missing"]),
        (table(backend="sshtunnel", key_file="/k"), ["tunnel hq.host_key", "needs it"]),
        (table(backend="sshtunnel", host_key=KEY), ["tunnel hq.key_file", "needs it"]),
        (table(FORWARD + 'direction = "remote"\n', backend="sshtunnel", host_key=KEY, key_file="/k"), ["forward[1].direction", "ssh -R", "openssh"]),
        (table(backend="external"), ["tunnel hq.host", "somebody else's"]),
        (table(FORWARD + 'direction = "remote"\n', backend="external", host=None), ["forward[1].direction", "reached from here"]),
        (table() + table(), ["two tunnels are named 'hq'"]),
        (table() + table(name="other"), ["tunnel other.forward[1].listen", "also bound by tunnel hq.forward[1].listen"]),
        (table() + '[[broker]]\nname = "b"\nzone = "hq"\nup_in = "tcp://127.0.0.1:7101"\n', ["also bound by"]),
    ],
)  # fmt: skip
def test_what_is_wrong(tmp_path: Path, text: str, parts: list[str]) -> None:
    """One error says all of it."""
    found = errors(tmp_path, text)
    assert any(all(part in each for part in parts) for each in found), found


@pytest.mark.threat("tunnel-in-reach")
@pytest.mark.parametrize("listen", ["0.0.0.0:7101", "*:7101", "[::]:7101", "10.0.0.1:7101"])
@pytest.mark.parametrize(
    "more", [{}, {"backend": "sshtunnel", "host_key": KEY, "key_file": "/k"}], ids=["openssh", "sshtunnel"]
)
def test_a_tunnel_listens_on_no_other_address(tmp_path: Path, listen: str, more: dict[str, str]) -> None:
    """Whoever keeps it up."""
    found = errors(tmp_path, table(FORWARD.replace("127.0.0.1:7101", listen, 1), **more))
    assert any("forward[1].listen" in each and "loopback only" in each for each in found), found
