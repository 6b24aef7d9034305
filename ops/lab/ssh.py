"""The ssh of a lab's hosts: servers, who may come in to what, and the tunnels. Nothing here touches the machine."""

from __future__ import annotations

from typing import Final, NamedTuple

from tabard.ops.lab.plan import Host, Lab, Tunnel

USER: Final = "tunnel"
"""Who tunnels log in as: a user that has no shell, and exists in the lab's hosts only."""
UID: Final = 64770
DIRECTORY: Final = "/run/lab"
"""Where a host keeps its ssh files; it is private to the host."""
KEEPALIVE: Final = 2
"""Seconds between two questions of ssh whether the other side is there; three without an answer end the connection."""
_SERVER: Final = f"""\
Port 22
HostKey {DIRECTORY}/host_key
AuthorizedKeysFile {DIRECTORY}/authorized_keys
AllowUsers {USER}
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PermitTTY no
X11Forwarding no
AllowAgentForwarding no
AllowTcpForwarding local
PermitTunnel no
ClientAliveInterval {KEEPALIVE}
ClientAliveCountMax 3
PidFile none
"""


class Keys(NamedTuple):
    """The key pairs of a host, in the forms of OpenSSH."""

    host_private: str
    host_public: str
    tunnel_private: str
    tunnel_public: str


def files(lab: Lab, host: Host, keys: dict[str, Keys]) -> dict[str, str]:
    """The files below ``DIRECTORY``, by name, with their text."""
    own = keys[host.name]
    into = [tunnel for tunnel in lab.tunnels if tunnel.peer == host.name]
    out = [tunnel for tunnel in lab.tunnels if tunnel.host == host.name]
    found = {
        "sshd_config": _SERVER,
        "host_key": own.host_private,
        "authorized_keys": "".join(authorized(each, keys[each.host].tunnel_public) for each in into),
    }
    if out:
        found["tunnel_key"] = own.tunnel_private
    return found


def authorized(tunnel: Tunnel, public: str) -> str:
    """The line that lets one host in, to what its tunnel carries and nothing else."""
    opens = ",".join(f'permitopen="{address}:{port}"' for _, address, port in tunnel.forwards)
    return f'restrict,port-forwarding,{opens},permitlisten="127.0.0.1:1" {bare(public)} {tunnel.name}\n'


def server(sshd: str) -> tuple[str, ...]:
    """The words that start a host's ssh server."""
    return (sshd, "-D", "-e", "-f", f"{DIRECTORY}/sshd_config")


def bare(public: str) -> str:
    """A public key without its comment."""
    return " ".join(public.split()[:2])
