"""The configuration that ssh reads for a tunnel: what holds of every connection, then the user's and the system's.

A host on the way (``ProxyJump``) is reached by another ssh, which is told the file and nothing of the command line. So
what has to hold there as well stands in a file, above what the user says: the first value of an option counts.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tabard.errors import TabardError
from tabard.settings.tunnels import is_loopback

ALIVE_EVERY: Final = 4
ALIVE_MISSES: Final = 2
"""Seconds between two keep-alives of ssh, and how many may stay unanswered: a dead way is left after 8 to 12 s."""
CONNECTING: Final = 10
"""Seconds until a server has to have answered at all."""
EVERYWHERE: Final[Mapping[str, str]] = {
    "BatchMode": "yes",  # nobody is there to be asked
    "StrictHostKeyChecking": "yes",
    "NoHostAuthenticationForLocalhost": "no",  # a way to the server may begin at a port of this host
    "VerifyHostKeyDNS": "no",  # whoever answers for the name could vouch for a key as well
    "UpdateHostKeys": "no",
    "ServerAliveInterval": str(ALIVE_EVERY),
    "ServerAliveCountMax": str(ALIVE_MISSES),
    "TCPKeepAlive": "yes",
    "ConnectTimeout": str(CONNECTING),
    "ConnectionAttempts": "1",
    # A connection that others share does not end with this process, outlives a frozen peer, and is not judged by it.
    "ControlMaster": "no",
    "ControlPath": "none",
    "GatewayPorts": "no",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "Tunnel": "no",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "LogLevel": "INFO",  # what it says is how failures are told apart
}
"""What holds whatever the user's configuration says, on the way too; all else is as it is there."""
_OWN: Final = ("~/.ssh/config", "/etc/ssh/ssh_config", "/usr/etc/ssh/ssh_config")
"""What ssh reads by itself, in its order; what is missing is passed over."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9 ._/+,@:=-]+")
"""Paths that mean nothing else in an ``Include``."""
_FORWARDS: Final = frozenset({"localforward", "remoteforward", "dynamicforward"})
_LONGEST: Final = 5.0
"""Seconds that ssh has to read it: a configuration may run commands."""


def write(path: Path, config: str) -> None:
    """Write the file for a configuration, "" for the user's and the system's own.

    Raises TabardError when that configuration cannot be read, OSError.
    """
    included: tuple[str, ...] = (config,) if config else _OWN
    if config:
        try:
            with open(config, "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    included = ()  # /dev/null: none at all
        except OSError as error:
            raise TabardError(
                "ssh's configuration cannot be read",
                found=error.strerror,
                where=config,
                hint="Name another config in the [[tunnel]] table, or mend the file",
            ) from error
    lines = [f"{name} {value}" for name, value in EVERYWHERE.items()]
    lines += [f'Include "{each}"' for each in included]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def can_be_included(config: str) -> bool:
    """Whether the path of a configuration is one that an ``Include`` takes as it is."""
    return not config or _PLAIN.fullmatch(config) is not None


def check_forwards(words: list[str], host: str, directory: Path) -> None:
    """Refuse a host to which the configuration gives forwards of its own that other hosts reach: they would be opened, too.

    ``words`` are those that ssh would be started with, ``directory`` the one in which. Raises TabardError.
    """
    try:
        said = subprocess.run(
            [*words, "-G", "--", host],
            cwd=directory,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=_LONGEST,
            check=False,
        ).stdout
    except (subprocess.TimeoutExpired, OSError):
        return  # ssh itself will say what is wrong
    found = list(_in_reach(said))
    if found:
        raise TabardError(
            "ssh's configuration opens ports for other hosts",
            expected="forwards on loopback only",
            found="; ".join(found),
            hint="Take them out of what the configuration says of this host, or give the tunnel an alias of its own",
        )


def _in_reach(said: str) -> Iterator[str]:
    for line in said.splitlines():
        name, _, rest = line.partition(" ")
        listen = rest.partition(" ")[0]
        if name not in _FORWARDS or listen.startswith("/") or ":" not in listen:
            continue  # a path is no port, and a port alone is one of loopback
        if not is_loopback(listen):
            yield line
