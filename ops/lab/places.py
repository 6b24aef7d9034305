"""Which directories of a host are its own, and what of the machine stays seen in them. Nothing here touches the machine."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from tabard.clock import SHIFT
from tabard.ops.lab import homes, lines, ssh
from tabard.ops.lab.plan import Host, Lab

ROOT: Final = "/root"
"""The home directory of the user in a host, as everywhere for root."""
HOME: Final = f"{ROOT}/.tabard"
"""The home of Tabard in every host: the one that is taken when nobody names another."""
PRIVATE: Final = ("/dev/shm", "/root", "/run", "/tmp", "/var/log", "/var/mail", "/var/spool", "/var/tmp")  # noqa: S108 -- mounted over
"""Directories that are empty in a host at first, and on its own disk."""
COPIED: Final = ("/etc/hosts", "/etc/passwd", "/etc/shadow")
"""Files that a host has a copy of, with something changed."""
FILL: Final = ".filled-by-the-lab"
"""File at the top of a disk that makes it full."""


CLOCK: Final = f"{ssh.DIRECTORY}/clock"
"""File with the seconds by which the clock of a host is wrong; not there while it is right."""


class Service(NamedTuple):
    """A process that a host keeps running."""

    name: str
    words: tuple[str, ...]


class Programs(NamedTuple):
    """Where the machine keeps the programs that run in hosts."""

    sshd: str
    python: str
    ssh: str = "ssh"


def services(lab: Lab, host: Host, programs: Programs) -> list[Service]:
    """What runs in a host, in the order it starts."""
    tabard = (programs.python, "-P", "-m", "tabard.ops.main")
    dials = [tunnel for tunnel in lab.tunnels if tunnel.host == host.name]
    found = [
        Service("sshd", ssh.server(programs.sshd)),
        *(
            Service(f"ssh-{tunnel.peer}", ssh.client(programs.ssh, tunnel))
            for tunnel in dials
            if ssh.is_external(tunnel)
        ),
        *(Service(f"tunnel-{tunnel.peer}", (*tabard, "tunnel", tunnel.peer)) for tunnel in dials),
    ]
    for role in host.roles:
        words = (*tabard, role, host.name) if role == "broker" else (*tabard, role)
        found.append(Service(role, words))
    return found


def specification(
    lab: Lab,
    host: Host,
    *,
    keys: dict[str, ssh.Keys],
    programs: Programs,
    keep: Iterable[str],
    path: str,
) -> dict[str, Any]:
    """All that the first process of a host has to know, as JSON. ``path`` is its PATH; ``keep`` are directories that stay seen."""
    files = {f"{ssh.DIRECTORY}/{name}": text for name, text in ssh.files(lab, host, keys).items()}
    files[f"{HOME}/tabard.toml"] = homes.settings(lab, host, keys)
    return {
        "name": host.name,
        "private": list(PRIVATE),
        "keep": kept(keep, PRIVATE),
        "directories": [homes.LOGS, ssh.DIRECTORY, "/run/sshd", HOME, "/var/spool/cron/crontabs"],
        "files": files,
        "readable": [f"{ssh.DIRECTORY}/authorized_keys"],  # by the user who logs in
        "copies": {
            "/etc/hosts": lines.hosts_file(lab),
            "/etc/passwd": f"{ssh.USER}:x:{ssh.UID}:{ssh.UID}::/nonexistent:/usr/sbin/nologin\n",
            "/etc/shadow": f"{ssh.USER}:*:20000:0:99999:7:::\n",
        },
        "logs": homes.LOGS,
        "environment": environment(path),
        "services": [
            {"name": each.name, "words": list(each.words)} for each in services(lab, host, programs)
        ],
    }


def environment(path: str) -> dict[str, str]:
    """The variables of every process in a host: none of the machine's own."""
    return {
        "PATH": path,
        "HOME": ROOT,
        "USER": "root",
        "LOGNAME": "root",
        "SHELL": "/bin/sh",
        "LANG": "C.UTF-8",
        "TABARD_HOME": HOME,
        SHIFT: CLOCK,
    }


def kept(keep: Iterable[str], private: Iterable[str]) -> list[str]:
    """Which of those directories a private one would hide: each once, none below another."""
    own = set(private)
    hidden = sorted({path for path in keep if path not in own and any(_below(path, each) for each in own)})
    return [path for path in hidden if not any(_below(path, other) for other in hidden)]


def _below(path: str, directory: str) -> bool:
    return path.startswith(directory.rstrip(os.sep) + os.sep)
