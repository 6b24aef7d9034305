"""Which directories of a host are its own, and what of the machine stays seen in them. Nothing here touches the machine."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from tabard.clock import SHIFT
from tabard.ops.lab import homes, lines, ssh
from tabard.ops.lab.plan import Host, Lab, Where

CRON: Final = tuple(f"/etc/cron.{name}" for name in ("d", "hourly", "daily", "weekly", "monthly", "yearly"))
"""Directories with jobs of the machine: its cron does them, and not that of a host as well."""
PRIVATE: Final = (
    *("/dev/shm", "/root", "/run", "/tmp", "/var/log", "/var/mail", "/var/spool", "/var/tmp"),  # noqa: S108 -- mounted over
    *CRON,
)
"""Directories that are empty in a host at first, and on its own disk."""
BLANK: Final = ("/etc/crontab",)
"""Files that are empty in a host, likewise."""
COPIED: Final = ("/etc/hosts", "/etc/passwd", "/etc/shadow")
"""Files that a host has a copy of, with something changed."""
SERVICES: Final = "services.json"
"""Name of the file in which a host says which process each of its services is, by its numbers."""


CLOCK: Final = "clock"
"""Name of the file with the seconds by which the clock of a host is wrong; not there while it is right."""


class Service(NamedTuple):
    """A process that a host keeps running."""

    name: str
    words: tuple[str, ...]


class Programs(NamedTuple):
    """Where the machine keeps the programs that run in hosts."""

    sshd: str
    python: str
    ssh: str = "ssh"
    cron: str | None = None


def services(lab: Lab, host: Host, programs: Programs) -> list[Service]:
    """What runs in a host, in the order it starts."""
    tabard = (programs.python, "-P", "-m", "tabard.ops.main")
    dials = [tunnel for tunnel in lab.tunnels if tunnel.host == host.name]
    found = [
        Service("sshd", ssh.server(lab, host, programs.sshd)),
        *(
            Service(f"ssh-{tunnel.peer}", ssh.client(lab, programs.ssh, tunnel))
            for tunnel in dials
            if ssh.is_external(tunnel)
        ),
        *(Service(f"tunnel-{tunnel.peer}", (*tabard, "tunnel", tunnel.peer)) for tunnel in dials),
    ]
    if host.bare and programs.cron is not None:
        found.append(Service("cron", (programs.cron, "-f")))
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
    where = lab.where(host.name)
    files = {f"{where.ssh}/{name}": text for name, text in ssh.files(lab, host, keys).items()}
    own = ssh.of_root(lab, host, keys)
    files |= own
    if not host.bare:
        files[f"{where.home}/tabard.toml"] = homes.settings(lab, host, keys)
    services_ = [{"name": each.name, "words": list(each.words)} for each in services(lab, host, programs)]
    common = {
        "name": host.name,
        "files": files,
        "readable": [f"{where.ssh}/authorized_keys"],  # by the user who logs in
        "logs": where.logs,
        "environment": environment(where, path),
        "services": services_,
        "said": f"{where.ssh}/{SERVICES}",
    }
    if lab.loop is not None:
        return {**common, "directories": [where.root, where.logs, where.ssh, where.home]}
    return {
        **common,
        "private": list(PRIVATE),
        "blank": list(BLANK),
        "keep": kept(keep, PRIVATE),
        "directories": [
            *(where.logs, where.ssh, "/run/sshd", "/var/spool/cron/crontabs"),
            *([] if host.bare else [where.home]),
            *sorted({os.path.dirname(path) for path in own}),
        ],
        "copies": {
            "/etc/hosts": lines.hosts_file(lab),
            "/etc/passwd": f"{ssh.USER}:x:{ssh.UID}:{ssh.UID}::/nonexistent:/usr/sbin/nologin\n",
            "/etc/shadow": f"{ssh.USER}:*:20000:0:99999:7:::\n",
        },
    }


def environment(where: Where, path: str) -> dict[str, str]:
    """The variables of every process in a host: none of the machine's own."""
    own = pwd.getpwuid(os.geteuid()).pw_name
    return {
        "PATH": path,
        "HOME": where.root,
        "USER": own,
        "LOGNAME": own,
        "SHELL": "/bin/sh",
        "LANG": "C.UTF-8",
        "TABARD_HOME": where.home,
        SHIFT: f"{where.ssh}/{CLOCK}",
    }


def kept(keep: Iterable[str], private: Iterable[str]) -> list[str]:
    """Which of those directories a private one would hide: each once, none below another."""
    own = set(private)
    hidden = sorted({path for path in keep if path not in own and any(_below(path, each) for each in own)})
    return [path for path in hidden if not any(_below(path, other) for other in hidden)]


def _below(path: str, directory: str) -> bool:
    return path.startswith(directory.rstrip(os.sep) + os.sep)
