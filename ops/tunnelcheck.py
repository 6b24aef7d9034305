"""What `tabard check` says of the tunnels of this home: what would keep one from coming up, and what one that runs is refused for.

A role starts all the same and goes on trying, so all of it is a warning. Nothing is connected to: `tabard tunnel NAME --once` does that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tabard import locks
from tabard.errors import SettingsError
from tabard.home import Home
from tabard.settings import Finding, Settings
from tabard.settings.schema import Tunnel
from tabard.status import running


class Obstacle(NamedTuple):
    """One thing in a tunnel's way."""

    key: str
    what: str
    expected: str | None = None
    found: str | None = None
    hint: str | None = None


def tunnel_findings(home: Home, settings: Settings) -> Iterator[Finding]:
    """All warnings. Raises HomeError."""
    for tunnel, origin in settings.tables["tunnel"]:
        runs = locks.held(home.lock(f"tunnel.{tunnel.name}")) is not None
        for each in _refused(home, tunnel) if runs else _in_the_way(home, tunnel):
            error = SettingsError(
                each.what,
                file=origin.place,
                line=origin.line,
                key=f"tunnel {tunnel.name}{each.key}",
                expected=each.expected,
                found=each.found,
                hint=each.hint,
            )
            yield Finding(error, warning=True)


def _refused(home: Home, tunnel: Tunnel) -> Iterator[Obstacle]:
    said = running(home, f"tunnel.{tunnel.name}") or {}
    if said.get("state") == "refused":
        yield Obstacle("", f"it is refused, and needs somebody: {said.get('why')}")


def _in_the_way(home: Home, tunnel: Tunnel) -> Iterator[Obstacle]:
    from tabard.brokers.tunnels.backends import lacking
    from tabard.brokers.tunnels.tunnel import taken_port

    if tunnel.backend == "external":
        return
    lack = lacking(tunnel.backend)
    if lack is not None:
        yield Obstacle(".backend", lack.what, lack.expected, lack.found, lack.hint)
    if tunnel.key_file:
        yield from _key_file(tunnel, Path(os.path.expanduser(tunnel.key_file)))
    if tunnel.config and not os.access(os.path.expanduser(tunnel.config), os.R_OK):
        yield Obstacle(
            ".config",
            "ssh's configuration cannot be read",
            "a file",
            tunnel.config,
            "Name another one, or leave it out",
        )
    elif tunnel.backend == "openssh" and lack is None:
        yield from _host_keys(home, tunnel)
    taken = taken_port(tunnel)
    if taken is not None:
        yield Obstacle(".forward", taken.sentence)


def _host_keys(home: Home, tunnel: Tunnel) -> Iterator[Obstacle]:
    """The user who asks is taken for the one who will run it."""
    from tabard.ops.knowncheck import unknown

    for each in unknown(tunnel, home.path):
        given = "" if each.on_the_way else "host_key in the [[tunnel]] table, or "
        host, _, port = each.server.rpartition(":")
        yield Obstacle(
            ".host_key",
            f"the host key of {each.server}{', a host on the way,' if each.on_the_way else ''} is not known: ssh will not connect",
            f"{given}a line for {each.name} in known_hosts",
            f"none in {', '.join(each.files) or 'no file'}",
            "Ask its administrator for the line in /etc/ssh/ssh_host_ed25519_key.pub, and put it there;"
            f" ssh-keyscan -p {port} {host} shows what answers now, which proves nothing by itself",
        )


def _key_file(tunnel: Tunnel, path: Path) -> Iterator[Obstacle]:
    from tabard.brokers.tunnels.keyfile import in_reach_of_others, is_locked

    expected = "a private key without a passphrase that only this user can read"
    try:
        with path.open("rb"):
            pass
        if in_reach_of_others(path):
            yield Obstacle(
                ".key_file",
                "others can read the key, and ssh does not use it",
                expected,
                str(path),
                f"chmod 600 {path}",
            )
    except OSError as error:
        yield Obstacle(
            ".key_file",
            "the key cannot be read",
            expected,
            f"{path}: {error.strerror}",
            "Make it with ssh-keygen",
        )
        return
    agent = tunnel.backend == "openssh" and "SSH_AUTH_SOCK" in os.environ
    if is_locked(path) and not agent:
        yield Obstacle(
            ".key_file", "the key has a passphrase, and nobody is there to be asked for it", expected, str(path),
            f"Take it off (ssh-keygen -p -f {path}), or start the tunnel where an agent has the key",
        )  # fmt: skip
