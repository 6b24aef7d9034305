"""Lines that `tabard check` adds for a person on ways out of this home: what it cannot judge, since others keep them up, or will.

A loopback port that a role dials may be kept by an ssh of somebody else, and a name may get its address later. So none of it is
a finding; it is what to look at first when a connection does not come up.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Final

from tabard.home import Home
from tabard.settings import Settings
from tabard.settings.schema import Tunnel

PATIENCE: Final = 3.0
"""Seconds that the system has for the address of a name."""
_LOOPBACK: Final = ("127.", "localhost:", "[::1]:")
_TCP: Final = "tcp://"


def way_lines(settings: Settings, home: Home) -> Iterator[str]:
    """A sentence on each role whose way leads through a port of this host that nothing here keeps, and on each name without an address."""
    kept = {f"{_TCP}{forward.listen}" for tunnel in settings.tunnels for forward in tunnel.forward}
    bound = {
        end
        for broker in settings.brokers
        for end in (broker.up_in, broker.up_out, broker.down_in, broker.down_out)
    }
    names: dict[str, list[str]] = {}
    for who, ends in _dialled(settings):
        given = [end for end in dict.fromkeys(ends) if end.startswith(_TCP)]
        local = [end for end in given if end.removeprefix(_TCP).startswith(_LOOPBACK)]
        lacking = [end for end in local if not _plain({end}) & _plain(kept | bound)]
        if lacking:
            yield _unkept(who, lacking)
        for end in given:
            names.setdefault(end.removeprefix(_TCP).rpartition(":")[0].strip("[]"), []).append(who)
    for name, by in names.items():
        if not _has_address(name):
            yield f"{by[0]} dials {name}, and that name has no address now"
    for tunnel in settings.tunnels:
        host = _server(tunnel, home)
        if host and not _has_address(host):
            also = f" ({tunnel.host} in ssh's configuration)" if host != tunnel.host else ""
            yield f"Tunnel {tunnel.name} leads to {host}{also}, and that name has no address now. Try it: tabard tunnel {tunnel.name} --once"


def _dialled(settings: Settings) -> Iterator[tuple[str, Sequence[str]]]:
    for broker in settings.brokers:
        above = (broker.parent_up, broker.parent_down, broker.standby_up, broker.standby_down)
        links = [end for link in broker.link if link.dials == "this" for end in (link.up, link.down)]
        yield f"Broker {broker.name}", (*above, *links)
    for role, who in (("agent", "The agent"), ("recorder", "The recorder")):
        yield who, [settings.str(f"{role}.{name}") for name in ("up", "down", "standby_up", "standby_down")]


def _plain(ends: set[str]) -> set[str]:
    """Addresses of loopback by one name; a bind at every address is one at loopback, too."""
    wild = ("tcp://*:", "tcp://0.0.0.0:", "tcp://localhost:")
    return {
        next((f"tcp://127.0.0.1:{end.removeprefix(each)}" for each in wild if end.startswith(each)), end)
        for end in ends
    }


def _unkept(who: str, ends: Sequence[str]) -> str:
    now = [end for end in ends if _answers(end)]
    answers = (
        "something does now"
        if len(now) == len(ends)
        else "nobody does now"
        if not now
        else f"at {now[0]} something does now"
    )
    ports = " ".join(f"-L {port}:127.0.0.1:{port}" for port in (end.rpartition(":")[2] for end in ends))
    return (
        f"{who} dials {' and '.join(ends)}, where no broker and no [[tunnel]] of this home listens: somebody has to ({answers}), "
        f"as ssh -N {ports} HOST; or describe a tunnel, see docs/how-to/tunnels.md"
    )


def _answers(end: str) -> bool:
    host, _, port = end.removeprefix(_TCP).rpartition(":")
    try:
        with closing(socket.create_connection((host.strip("[]"), int(port)), timeout=1.0)):
            return True
    except OSError:
        return False


def _server(tunnel: Tunnel, home: Home) -> str:
    """The name that a tunnel's ssh will look up; "" where another host does that, or nobody can tell."""
    if tunnel.backend == "external" or not tunnel.host:
        return ""
    if tunnel.backend != "openssh":
        return tunnel.host
    config = ["-F", tunnel.config] if tunnel.config else []
    asked = _asked("ssh", "-G", *config, "--", tunnel.host, folder=str(home.path))
    said = dict(line.lower().partition(" ")[::2] for line in asked[1].splitlines()) if asked else {}
    if any(said.get(key, "none") != "none" for key in ("proxyjump", "proxycommand")):
        return ""
    return said.get("hostname") or tunnel.host


def _has_address(name: str) -> bool:
    """Whether the system finds one within `PATIENCE`, or cannot be asked."""
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in name else socket.AF_INET, name)
    except OSError:
        asked = _asked("getent", "ahosts", name)
        return asked is None or asked[0] == 0
    return True


def _asked(*words: str, folder: str | None = None) -> tuple[int, str] | None:
    """Exit code and output of a program; None where it is not there. One that takes too long did not find it."""
    try:
        done = subprocess.run(
            words, capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE, check=False, cwd=folder
        )
    except subprocess.TimeoutExpired:
        return 1, ""
    except OSError:
        return None
    return done.returncode, done.stdout.decode("utf-8", "replace")
