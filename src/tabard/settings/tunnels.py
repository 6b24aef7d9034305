"""What has to hold of the ``[[tunnel]]`` tables beyond each value by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tabard.settings.findings import Finding, error_at
from tabard.settings.schema import Forward, Tunnel
from tabard.settings.values import Origin, Settings

_OF_SSH: Final = ("host", "port", "user", "key_file", "host_key", "config")
"""Keys that say how ssh gets there."""


def lint_tunnels(settings: Settings) -> Iterator[Finding]:
    """Every contradiction within tunnels, and between them."""
    seen: set[str] = set()
    for tunnel, origin in settings.tables["tunnel"]:
        if tunnel.name in seen:
            yield _at(origin, "tunnel", f"two tunnels are named {tunnel.name!r}", "Give each its own name")
        seen.add(tunnel.name)
        key = f"tunnel {tunnel.name}"
        if not tunnel.forward:
            yield _at(origin, key, "it forwards nothing", "Describe what it carries as [[tunnel.forward]]")
        if tunnel.backend == "external":
            yield from _external(tunnel, origin, key)
        else:
            yield from _spawned(tunnel, origin, key)
        if tunnel.backend == "sshtunnel":
            yield from _sshtunnel(tunnel, origin, key)


def _external(tunnel: Tunnel, origin: Origin, key: str) -> Iterator[Finding]:
    for name in _OF_SSH:
        if tunnel._asdict()[name]:
            yield _at(
                origin,
                f"{key}.{name}",
                "an external tunnel is somebody else's: nothing is started that would go by this",
                "Leave it out, or choose another backend",
            )
    for name, forward in _forwards(tunnel, key):
        if forward.direction == "remote":
            yield _at(
                origin,
                f"{name}.direction",
                "an external tunnel is judged where it can be reached from here",
                'Describe only what listens for this host: direction = "local"',
            )


def _spawned(tunnel: Tunnel, origin: Origin, key: str) -> Iterator[Finding]:
    if not tunnel.host:
        yield _at(origin, f"{key}.host", "missing", "Name the server that ssh is to connect to")
    for name, forward in _forwards(tunnel, key):
        if not forward.to:
            yield _at(origin, f"{name}.to", "missing", "Say where the other side hands connections to")
        if not is_loopback(forward.listen):
            yield _at(
                origin,
                f"{name}.listen",
                f"{forward.listen} can be reached from other hosts",
                "Tunnels listen on loopback only: 127.0.0.1, localhost or [::1]",
            )


def _sshtunnel(tunnel: Tunnel, origin: Origin, key: str) -> Iterator[Finding]:
    for name in ("host_key", "key_file"):
        if not tunnel._asdict()[name]:
            yield _at(
                origin,
                f"{key}.{name}",
                "the back end sshtunnel needs it: it reads neither known_hosts nor an agent",
                f'Give {name}, or choose backend = "openssh"',
            )
    if tunnel.config:
        yield _at(
            origin, f"{key}.config", "the back end sshtunnel reads no configuration of ssh", "Leave it out"
        )
    for name, forward in _forwards(tunnel, key):
        if forward.direction == "remote":
            yield _at(
                origin,
                f"{name}.direction",
                "the back end sshtunnel cannot let the other side listen (ssh -R)",
                'Choose backend = "openssh", or let the other side dial',
            )


def _forwards(tunnel: Tunnel, key: str) -> Iterator[tuple[str, Forward]]:
    for number, forward in enumerate(tunnel.forward, 1):
        yield f"{key}.forward[{number}]", forward


def is_loopback(address: str) -> bool:
    """Whether only this host reaches a ``HOST:PORT``."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    import ipaddress  # few settings files describe a tunnel, and every role reads this module

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _at(origin: Origin, key: str, what: str, hint: str) -> Finding:
    return Finding(error_at(origin.place or "default", what, key=key, line=origin.line, hint=hint))
