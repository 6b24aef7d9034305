"""What has to hold before ``tabard up`` starts anything, so that a mistake is one sentence and not a storm."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import Final

from tabard.errors import AlreadyRunning, TabardError
from tabard.home import Home
from tabard.locks import held
from tabard.ops.up.plan import Address, Planned

_PACKAGES: Final = {"recorder": ("sqlalchemy", "alembic"), "herald": ("flask", "gunicorn")}
"""What a role needs beyond what a plain host has."""


def refuse_running(home: Home, children: Sequence[Planned], *, hint: str) -> None:
    """Raises AlreadyRunning, with that ``hint``, when one of the roles runs in this home, started by whomever."""
    for child in children:
        pid = held(home.lock(child.name))
        if pid is not None:
            raise AlreadyRunning(
                f"{child.name} is already running as process {pid}",
                pid=pid,
                where=str(home.path),
                hint=hint,
            )


def refuse_missing(roles: Iterable[str]) -> None:
    """Raises TabardError when Python packages that one of the roles needs are not installed."""
    for role in roles:
        missing = [name for name in _PACKAGES.get(role, ()) if find_spec(name) is None]
        if missing:
            raise TabardError(
                f"{role} cannot run on this host",
                expected="the Python packages " + ", ".join(_PACKAGES[role]),
                found="no " + ", no ".join(missing),
                hint="Install tabard with its extra: pip install 'tabard[server]'",
            )


def refuse_busy(addresses: Iterable[Address]) -> None:
    """Raises TabardError when somebody else listens on one of the addresses, or it cannot be listened on."""
    for address in addresses:
        try:
            _try(address)
        except OSError as error:
            raise TabardError(
                "cannot listen there",
                expected="a free port of this host",
                found=_found(error),
                where=f"{address.host}:{address.port} ({address.setting})",
                hint=_hint(address, error),
            ) from error


def _try(address: Address) -> None:
    host = None if address.host == "*" else address.host
    found = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, place = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(place)
        probe.listen(1)


def _found(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another process that listens there"
    return error.strerror or os.strerror(error.errno or 0)


def _hint(address: Address, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE and address.setting == "herald.port":
        return f"Choose other ports, such as --port {_next(address.port)}, or end that process"
    return f"Set {address.setting} to an address that is free"


def _next(port: int) -> int:
    return port + 10 if port + 10 <= 65000 else 8024
