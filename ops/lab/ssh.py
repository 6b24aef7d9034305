"""The ssh of a lab's hosts: servers, who may come in to what, and the tunnels. Nothing here touches the machine."""

from __future__ import annotations

from typing import Final, NamedTuple

from tabard.ops.lab.plan import Host, Lab, Tunnel

USER: Final = "tunnel"
"""Who tunnels log in as: a user that has no shell, and exists in the lab's hosts only."""
UID: Final = 64770
ROOT: Final = "root"
"""Who is let in to bare hosts, with a shell."""
KNOWN: Final = "known_hosts"
"""The file with the keys of the servers that an ssh of a lab's own dials."""
KEEPALIVE: Final = 2
"""Seconds between two questions of ssh whether the other side is there; three without an answer end the connection."""
ONLY: Final = 'restrict,port-forwarding,command="/bin/false"'
"""What every key of a tunnel may do, but for which forwards: nothing is run for it, whatever it asks for."""
_SERVER: Final = """\
Port {port}
HostKey "{directory}/host_key"
AuthorizedKeysFile "{directory}/authorized_keys"
AllowUsers {user}
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PermitTTY no
X11Forwarding no
AllowAgentForwarding no
AllowTcpForwarding {forwarding}
AllowStreamLocalForwarding no
PermitTunnel no
ClientAliveInterval {keepalive}
ClientAliveCountMax 3
PidFile none
"""


_LOOPING: Final = """\
ListenAddress {address}
StrictModes no
PermitRootLogin prohibit-password
GatewayPorts clientspecified
"""
"""Besides, where all hosts are this user's: each listens at its own address only, and lets others listen there."""


class Keys(NamedTuple):
    """The key pairs of a host, in the forms of OpenSSH."""

    host_private: str
    host_public: str
    tunnel_private: str
    tunnel_public: str


def files(lab: Lab, host: Host, keys: dict[str, Keys]) -> dict[str, str]:
    """The files of ssh, by name, with their text."""
    own = keys[host.name]
    into = [tunnel for tunnel in lab.tunnels if tunnel.peer == host.name]
    out = [tunnel for tunnel in lab.tunnels if tunnel.host == host.name]
    forwarding = "yes" if any(tunnel.remote for tunnel in into) else "local"
    found = {
        "sshd_config": _server(lab, host, forwarding),
        "host_key": own.host_private,
        "authorized_keys": "".join(authorized(lab, each, keys[each.host].tunnel_public) for each in into),
    }
    if host.bare:
        found["authorized_keys"] = "".join(
            f"{bare(keys[each.name].tunnel_public)} {each.name}\n" for each in lab.hosts if not each.bare
        )
    if out:
        found["tunnel_key"] = own.tunnel_private
    known = [
        f"{_known_as(lab, each)} {bare(keys[each.peer].host_public)}\n" for each in out if is_external(each)
    ]
    if known:
        found[KNOWN] = "".join(known)
    return found


def of_root(lab: Lab, host: Host, keys: dict[str, Keys]) -> dict[str, str]:
    """The files of its root's own ssh, by path: who looks after bare hosts has a key that they let in, and knows theirs."""
    bare_hosts = [each for each in lab.hosts if each.bare]
    if host.bare or not bare_hosts:
        return {}
    directory = f"{lab.where(host.name).root}/.ssh"
    known = [
        f"{each.name},{lab.address(each.name)} {bare(keys[each.name].host_public)}\n" for each in bare_hosts
    ]
    return {
        f"{directory}/id_ed25519": keys[host.name].tunnel_private,
        f"{directory}/known_hosts": "".join(known),
    }


def _known_as(lab: Lab, tunnel: Tunnel) -> str:
    """How known_hosts names who is dialled: with the port, unless it is that of ssh."""
    return tunnel.address if lab.loop is None else f"[{tunnel.address}]:{lab.ssh_port}"


def user(lab: Lab) -> str:
    """Who logs in: one who can do nothing else, where the lab may have a user of its own."""
    return USER if lab.loop is None else lab.loop.user


def _server(lab: Lab, host: Host, forwarding: str) -> str:
    text = _SERVER if lab.loop is None else _SERVER + _LOOPING
    return text.format(
        port=lab.ssh_port,
        directory=lab.where(host.name).ssh,
        user=ROOT if host.bare else user(lab),
        forwarding=forwarding,
        keepalive=KEEPALIVE,
        address=lab.address(host.name),
    )


def authorized(lab: Lab, tunnel: Tunnel, public: str) -> str:
    """The line that lets one host in, to what its tunnel carries and nothing else."""
    if tunnel.remote:  # it is asked in a circle, so the key opens what it listens on
        opens, listens = (
            [f"{lab.here(tunnel.peer)}:{port}" for port, _, _ in tunnel.forwards] for _ in range(2)
        )
    else:
        opens = [f"{address}:{port}" for _, address, port in tunnel.forwards]
        listens = ["127.0.0.1:1"]
    lists = [
        f'{name}="{each}"'
        for name, allowed in (("permitopen", opens), ("permitlisten", listens))
        for each in allowed
    ]
    return f"{ONLY},{','.join(lists)} {bare(public)} {tunnel.name}\n"


def is_external(tunnel: Tunnel) -> bool:
    """Whether Tabard does not keep it up."""
    return tunnel.backend == "external"


def client(lab: Lab, ssh: str, tunnel: Tunnel) -> tuple[str, ...]:
    """The words of an ssh that somebody who is not Tabard keeps up."""
    directory, here = lab.where(tunnel.host).ssh, lab.here(tunnel.host)
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": f'"{directory}/{KNOWN}"',
        "IdentitiesOnly": "yes",
        "ExitOnForwardFailure": "yes",
        "ConnectTimeout": "10",
        "ServerAliveInterval": str(KEEPALIVE),
        "ServerAliveCountMax": "3",
    }
    words = [
        ssh,
        "-N",
        "-T",
        "-F",
        "none",
        "-i",
        f"{directory}/tunnel_key",
        "-l",
        user(lab),
        "-p",
        str(lab.ssh_port),
    ]
    words += [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    words += [
        word
        for port, address, there in tunnel.forwards
        for word in ("-L", f"{here}:{port}:{address}:{there}")
    ]
    return (*words, tunnel.address)


def server(lab: Lab, host: Host, sshd: str) -> tuple[str, ...]:
    """The words that start a host's ssh server."""
    return (sshd, "-D", "-e", "-f", f"{lab.where(host.name).ssh}/sshd_config")


def bare(public: str) -> str:
    """A public key without its comment."""
    return " ".join(public.split()[:2])
