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
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from tabard.brokers.tunnels import configuration, failures
from tabard.brokers.tunnels.failures import Failure
from tabard.brokers.tunnels.keyfile import unreadable
from tabard.brokers.tunnels.probe import Address
from tabard.errors import TabardError
from tabard.home import Home
from tabard.settings.schema import Tunnel

REMOTE: Final = "remote"
_PACKAGES: Final = ("paramiko", "sshtunnel")
_SEARCH: Final = "/usr/local/bin:/usr/bin:/bin"
_VERSION: Final = re.compile(rb"OpenSSH\D{0,20}(\d+)\.(\d+)")
_SINCE: Final[Mapping[str, tuple[int, int]]] = {
    "KnownHostsCommand": (8, 5),
    "ForkAfterAuthentication": (8, 7),
}
"""The versions of OpenSSH that brought these options; one before ends at once when it is given them, and does not need them."""


class Command(NamedTuple):
    """A process to be started."""

    words: list[str]
    stdin: bytes
    env: Mapping[str, str]
    directory: Path
    """In which it works."""


class Backend(Protocol):
    """What every way has."""

    def command(self) -> Command | None:
        """What to start, None where nothing is. Raises TabardError, OSError."""

    def place(self, number: int) -> Address:
        """Where the forward of that number, from 0, is asked."""

    def explain(self, lines: Sequence[str], code: int) -> Failure:
        """Why its process ended with that return code, by what it said."""

    def explain_channel(self, line: str) -> Failure | None:
        """Why a connection could not be handed on, when that is what a line of its process is about."""


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

    def explain(self, lines: Sequence[str], code: int) -> Failure:
        """Nothing of it ends."""
        return failures.explain(lines, code)

    def explain_channel(self, line: str) -> None:
        """Nothing of it says anything."""


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
        if lack := lacking("openssh"):
            raise lack
        program = _ssh() or ""
        tunnel, run = self._tunnel, self._home.run
        config = _path(tunnel.config)
        words = [program, "-N", "-T", "-n", "-F", config]
        if configuration.can_be_included(config):
            # By its name alone: ssh tells the next ssh on the way without quoting it.
            words[-1] = f"tunnel.{tunnel.name}.ssh_config"
            configuration.write(run / words[-1], config)
        version = _version(program)
        for name, value in (*OPTIONS.items(), *self._host_key(), *self._identity()):
            if version >= _SINCE.get(name, (0, 0)):
                words += ["-o", f"{name}={value}"]
        words += ["-p", str(tunnel.port)] if tunnel.port else []
        words += ["-l", tunnel.user] if tunnel.user else []
        configuration.check_forwards(words, tunnel.host, run)
        for number, forward in enumerate(tunnel.forward):
            if forward.direction == REMOTE:
                words += ["-R", f"{forward.listen}:{forward.to}"]
                circle = _of_forward(self._circle(number))
                words += ["-L", f"{circle}:{forward.listen}"]
            else:
                words += ["-L", f"{forward.listen}:{forward.to}"]
        return Command([*words, "--", tunnel.host], b"", {**os.environ, "LC_ALL": "C"}, run)

    def explain(self, lines: Sequence[str], code: int) -> Failure:
        """By what ssh itself said; what a server greets with (``Banner``), and what others say, is none of its words."""
        failure = failures.explain(lines, code, own=failures.of_ssh)
        if failure.refused_key and self._tunnel.key_file:
            # Then ssh had none to show, and went on without a word that is its own.
            why = unreadable(Path(_path(self._tunnel.key_file)))
            return failures.unusable(self._tunnel.key_file, why) if why else failure
        return failure

    def explain_channel(self, line: str) -> Failure | None:
        """The same of one connection."""
        return failures.explain_channel(line) if failures.of_ssh(line) else None

    def _circle(self, number: int) -> Path:
        return self._home.socket(f"t.{self._tunnel.name}.{number + 1}")

    def _host_key(self) -> list[tuple[str, str]]:
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
            ("KnownHostsCommand", "none"),
        ]

    def _identity(self) -> list[tuple[str, str]]:
        if not self._tunnel.key_file:
            return []
        return [("IdentityFile", _option(_path(self._tunnel.key_file))), ("IdentitiesOnly", "yes")]


OPTIONS: Final[Mapping[str, str]] = {
    **configuration.EVERYWHERE,
    "ClearAllForwardings": "no",
    "ExitOnForwardFailure": "yes",
    "ForkAfterAuthentication": "no",
    "StreamLocalBindUnlink": "yes",
    "StreamLocalBindMask": "0177",
}
"""What holds for the server, whatever the user's configuration says."""


class SshTunnel:
    """The packages sshtunnel and paramiko."""

    def __init__(self, tunnel: Tunnel, home: Home) -> None:
        self._tunnel = tunnel
        self._home = home

    def place(self, number: int) -> Address:
        """Where it listens."""
        return address(self._tunnel.forward[number].listen)

    def command(self) -> Command:
        """The process, which is told what to do on its standard input. Raises TabardError when a package is missing."""
        if lack := lacking("sshtunnel"):
            raise lack
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
        return Command(words, json.dumps(order).encode() + b"\n", dict(os.environ), self._home.run)

    def explain(self, lines: Sequence[str], code: int) -> Failure:
        """All that it says is its own."""
        return failures.explain(lines, code)

    def explain_channel(self, line: str) -> Failure | None:
        """The same of one connection."""
        return failures.explain_channel(line)


BACKENDS: Final[Mapping[str, Callable[[Tunnel, Home], Backend]]] = {
    "openssh": OpenSsh,
    "sshtunnel": SshTunnel,
    "external": External,
}


def lacking(backend: str) -> TabardError | None:
    """What this host has to have for a back end and has not."""
    if backend == "openssh" and _ssh() is None:
        return TabardError(
            "the program ssh is missing", hint="Install OpenSSH's client, openssh-client on Debian"
        )
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if backend == "sshtunnel" and missing:
        return TabardError(
            "the back end sshtunnel cannot run on this host",
            expected=f"the Python packages {' and '.join(_PACKAGES)}",
            found=f"no {' and no '.join(missing)}",
            hint="Install tabard with its extra: pip install 'tabard[ssh]', or use the back end openssh",
        )
    return None


def _ssh() -> str | None:
    return shutil.which("ssh") or shutil.which("ssh", path=_SEARCH)


def _version(program: str) -> tuple[int, int]:
    """That of this ssh; of one that does not say it in the words of OpenSSH the newest."""
    said = subprocess.run([program, "-V"], capture_output=True, stdin=subprocess.DEVNULL, check=False).stderr
    version = _VERSION.search(said)
    return (int(version[1]), int(version[2])) if version is not None else (sys.maxsize, 0)


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
