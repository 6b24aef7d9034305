"""Three ways to have a tunnel, with one interface: what is started, if anything, and where its forwards are asked.

==============  ==========================================================================================
``openssh``     the system's ``ssh -N``, by the user's own configuration and agent; ``-L`` and ``-R``
``sshtunnel``   the Python packages sshtunnel and paramiko, in a process of their own; ``-L``
``external``    somebody else keeps it up: it is asked, and never started
==============  ==========================================================================================

A forward with the direction ``remote`` is asked in a circle: from a unix socket in the home through ssh to the port on
which the server listens, and from there back to this host.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from tabard.brokers.tunnels.probe import Address
from tabard.errors import TabardError
from tabard.home import Home
from tabard.settings.schema import Tunnel

REMOTE: Final = "remote"
ALIVE_EVERY: Final = 4
ALIVE_MISSES: Final = 2
"""Seconds between two keep-alives of ssh, and how many may stay unanswered: a dead way is left after 8 to 12 s."""
CONNECTING: Final = 10
"""Seconds until a server has to have answered at all."""
_PACKAGES: Final = ("paramiko", "sshtunnel")
_SEARCH: Final = "/usr/local/bin:/usr/bin:/bin"
_VERSION: Final = re.compile(rb"OpenSSH\D{0,20}(\d+)\.(\d+)")
_KNOWN_HOSTS_COMMAND: Final = (8, 5)
"""The version of OpenSSH that brought this option."""


class Command(NamedTuple):
    """A process to be started."""

    words: list[str]
    stdin: bytes
    env: Mapping[str, str]


class Backend(Protocol):
    """What every way has."""

    def command(self) -> Command | None:
        """What to start, None where nothing is. Raises TabardError, OSError."""

    def place(self, number: int) -> Address:
        """Where the forward of that number, from 0, is asked."""


class External:
    """Somebody else's tunnel."""

    def __init__(self, tunnel: Tunnel, home: Home) -> None:  # noqa: ARG002 -- as every other
        self._tunnel = tunnel

    def command(self) -> None:
        """Nothing."""
        return

    def place(self, number: int) -> Address:
        """Where it is."""
        return address(self._tunnel.forward[number].listen)


class OpenSsh:
    """The system's ssh."""

    def __init__(self, tunnel: Tunnel, home: Home) -> None:
        self._tunnel = tunnel
        self._home = home

    def place(self, number: int) -> Address:
        """Where ssh listens: the port, or the socket from which a circle begins."""
        forward = self._tunnel.forward[number]
        return str(self._circle(number)) if forward.direction == REMOTE else address(forward.listen)

    def command(self) -> Command:
        """The command line; writes the pinned host key where ssh reads it. Raises TabardError, OSError."""
        program = shutil.which("ssh") or shutil.which("ssh", path=_SEARCH)
        if program is None:
            raise TabardError(
                "the program ssh is missing", hint="Install OpenSSH's client, openssh-client on Debian"
            )
        tunnel = self._tunnel
        words = [program, "-N", "-T", "-n"]
        words += ["-F", _path(tunnel.config)] if tunnel.config else []
        for name, value in (*OPTIONS.items(), *self._host_key(program), *self._identity()):
            words += ["-o", f"{name}={value}"]
        words += ["-p", str(tunnel.port)] if tunnel.port else []
        words += ["-l", tunnel.user] if tunnel.user else []
        for number, forward in enumerate(tunnel.forward):
            if forward.direction == REMOTE:
                words += ["-R", f"{forward.listen}:{forward.to}"]
                circle = _of_forward(self._circle(number))
                words += ["-L", f"{circle}:{forward.listen}"]
            else:
                words += ["-L", f"{forward.listen}:{forward.to}"]
        return Command([*words, "--", tunnel.host], b"", {**os.environ, "LC_ALL": "C"})

    def _circle(self, number: int) -> Path:
        return self._home.socket(f"t.{self._tunnel.name}.{number + 1}")

    def _host_key(self, program: str) -> list[tuple[str, str]]:
        if not self._tunnel.host_key:
            return []
        kind, key = self._tunnel.host_key.split()[:2]
        name = f"tabard.{self._tunnel.name}"
        file = self._home.run / f"tunnel.{self._tunnel.name}.known_hosts"
        file.write_text(f"{name} {kind} {key}\n", encoding="ascii")
        return [
            ("HostKeyAlias", name),
            ("UserKnownHostsFile", _option(file)),
            ("GlobalKnownHostsFile", "/dev/null"),
            ("HostKeyAlgorithms", ",".join(algorithms(kind))),
            *([("KnownHostsCommand", "none")] if _has_known_hosts_command(program) else []),
        ]

    def _identity(self) -> list[tuple[str, str]]:
        if not self._tunnel.key_file:
            return []
        return [("IdentityFile", _option(_path(self._tunnel.key_file))), ("IdentitiesOnly", "yes")]


OPTIONS: Final[Mapping[str, str]] = {
    "BatchMode": "yes",  # nobody is there to be asked
    "StrictHostKeyChecking": "yes",
    "NoHostAuthenticationForLocalhost": "no",  # a way to the server may begin at a port of this host
    "VerifyHostKeyDNS": "no",  # whoever answers for the name could vouch for a key as well
    "UpdateHostKeys": "no",
    "ExitOnForwardFailure": "yes",
    "ServerAliveInterval": str(ALIVE_EVERY),
    "ServerAliveCountMax": str(ALIVE_MISSES),
    "TCPKeepAlive": "yes",
    "ConnectTimeout": str(CONNECTING),
    "ConnectionAttempts": "1",
    # A connection that others share does not end with this process, and is not judged by it.
    "ControlMaster": "no",
    "ControlPath": "none",
    "ForkAfterAuthentication": "no",
    "GatewayPorts": "no",
    "StreamLocalBindUnlink": "yes",
    "StreamLocalBindMask": "0177",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "LogLevel": "INFO",  # what it says is how failures are told apart
}
"""What holds whatever the user's configuration says; all else is as it is there."""


class SshTunnel:
    """The packages sshtunnel and paramiko."""

    def __init__(self, tunnel: Tunnel, home: Home) -> None:  # noqa: ARG002 -- as every other
        self._tunnel = tunnel

    def place(self, number: int) -> Address:
        """Where it listens."""
        return address(self._tunnel.forward[number].listen)

    def command(self) -> Command:
        """The process, which is told what to do on its standard input. Raises TabardError when a package is missing."""
        missing = [name for name in _PACKAGES if find_spec(name) is None]
        if missing:
            raise TabardError(
                "the back end sshtunnel cannot run on this host",
                expected=f"the Python packages {' and '.join(_PACKAGES)}",
                found=f"no {' and no '.join(missing)}",
                hint="Install tabard with its extra: pip install 'tabard[ssh]', or use the back end openssh",
            )
        tunnel = self._tunnel
        order = {
            "host": tunnel.host,
            "port": tunnel.port or 22,
            "user": tunnel.user,
            "key_file": _path(tunnel.key_file),
            "host_key": tunnel.host_key,
            "forwards": [[address(each.listen), address(each.to)] for each in tunnel.forward],
        }
        words = [sys.executable, "-P", "-m", "tabard.brokers.tunnels.paramiko_process"]
        return Command(words, json.dumps(order).encode() + b"\n", dict(os.environ))


BACKENDS: Final[Mapping[str, Callable[[Tunnel, Home], Backend]]] = {
    "openssh": OpenSsh,
    "sshtunnel": SshTunnel,
    "external": External,
}


def _has_known_hosts_command(program: str) -> bool:
    """Whether this ssh can be told not to ask a command for host keys: those before 8.5 cannot, and have none."""
    said = subprocess.run([program, "-V"], capture_output=True, stdin=subprocess.DEVNULL, check=False).stderr
    version = _VERSION.search(said)
    return version is None or (int(version[1]), int(version[2])) >= _KNOWN_HOSTS_COMMAND


def algorithms(kind: str) -> tuple[str, ...]:
    """The algorithms that a host key of that kind can be shown by."""
    return ("rsa-sha2-512", "rsa-sha2-256") if kind == "ssh-rsa" else (kind,)


def address(text: str) -> tuple[str, int]:
    """``HOST:PORT`` as a pair."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _path(text: str) -> str:
    return os.path.expanduser(text)


def _of_forward(path: Path) -> str:
    """A path as a part of a forward, in which : parts it from what follows and % begins a name for something else."""
    return str(path).replace("%", "%%").replace("\\", "\\\\").replace(":", "\\:")


def _option(path: str | Path) -> str:
    """A path as the value of one of ssh's options, in which % begins a name for something else."""
    return '"' + str(path).replace("%", "%%") + '"'
