"""The settings of every host of a lab: the text of its ``tabard.toml``. Nothing here touches the machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from tabard.ops.lab import ssh
from tabard.ops.lab.plan import ABOVE_DOWN, ABOVE_UP, DOWN, LARGE, UP, Host, Lab, Tunnel

_SMALL_JOURNAL: Final = """
[journal]
segment = "1MiB"
logs_bytes = "32MiB"
samples_bytes = "8MiB"
control_bytes = "8MiB"
keep_acked = "4MiB"
"""
_RETENTION: Final = """
[retention]
logs_bytes = "128MiB"
samples_bytes = "64MiB"
control_bytes = "32MiB"
quarantine_bytes = "16MiB"
"""


def settings(lab: Lab, host: Host, keys: Mapping[str, ssh.Keys]) -> str:
    """The text of its ``tabard.toml``."""
    tables = [*_node(lab, host), *_broker(lab, host), *_tunnels(lab, host, keys)]
    return "\n".join(tables) + _SMALL_JOURNAL + _store(host) + _page(lab, host)


def _node(lab: Lab, host: Host) -> Iterator[str]:
    yield "[node]"
    yield f'name = "{host.name}"'
    yield f'zone = "{host.zone}"'
    yield ""
    yield "[agent]"
    yield 'beacon = "2s"'
    first, *others = host.brokers
    if first != host.name:
        yield from _ends("", *_both(lab.seen(host.name, first), UP, DOWN))
        yield f'broker = "{first}"'
    for other in others:
        yield from _ends("standby_", *_both(lab.seen(host.name, other), UP, DOWN))
        yield f'standby_broker = "{other}"'
    yield ""
    if lab.loop is not None:  # each would read all that this machine logs
        yield "[intake]"
        yield "tail_defaults = false"
        yield ""
    yield "[[intake.tail]]"
    yield f'path = "{lab.where(host.name).logs}/*.log"'
    yield 'format = "plain"'
    yield ""


def _ends(prefix: str, up: str, down: str) -> Iterator[str]:
    yield f'{prefix}up = "tcp://{up}"'
    yield f'{prefix}down = "tcp://{down}"'


def _broker(lab: Lab, host: Host) -> Iterator[str]:
    if "broker" not in host.roles:
        return
    dials = [tunnel for tunnel in lab.tunnels if tunnel.ends[0] == host.name]
    below = [tunnel for tunnel in dials if _is_below(lab, tunnel)]
    above = [tunnel for tunnel in dials if tunnel not in below]
    yield "[[broker]]"
    yield f'name = "{host.name}"'
    yield f'zone = "{host.zone}"'
    yield f'up_in = "tcp://{lab.address(host.name)}:{UP}"'
    yield f'down_out = "tcp://{lab.address(host.name)}:{DOWN}"'
    if any(tunnel.ends[1] == host.name and _is_below(lab, tunnel) for tunnel in lab.tunnels):
        yield f'up_out = "tcp://{lab.here(host.name)}:{ABOVE_UP}"'
        yield f'down_in = "tcp://{lab.here(host.name)}:{ABOVE_DOWN}"'
    for which, tunnel in zip(("parent", "standby"), above, strict=False):
        yield f'{which} = "{tunnel.ends[1]}"'
        yield from _ends(f"{which}_", *_local(lab, tunnel))
    for tunnel in below:
        yield ""
        yield "[[broker.link]]"
        yield f'peer = "{tunnel.ends[1]}"'
        yield 'dials = "this"'
        yield from _ends("", *_local(lab, tunnel))


def _tunnels(lab: Lab, host: Host, keys: Mapping[str, ssh.Keys]) -> Iterator[str]:
    for tunnel in lab.tunnels:
        if tunnel.host == host.name:
            yield ""
            yield "[[tunnel]]"
            yield f'name = "{tunnel.peer}"'
            yield f'backend = "{tunnel.backend}"'
            if not ssh.is_external(tunnel):  # whose ssh knows all this, and is asked nothing
                yield f'host = "{tunnel.address}"'
                yield f"port = {lab.ssh_port}"
                yield f'user = "{ssh.user(lab)}"'
                yield f'key_file = "{lab.where(host.name).ssh}/tunnel_key"'
                yield f'host_key = "{ssh.bare(keys[tunnel.peer].host_public)}"'
            for port, address, there in tunnel.forwards:
                yield ""
                yield "[[tunnel.forward]]"
                yield f'listen = "{lab.here(tunnel.ends[0])}:{port}"'
                if not ssh.is_external(tunnel):
                    yield f'to = "{address}:{there}"'
                if tunnel.remote:
                    yield 'direction = "remote"'
    yield ""


def _local(lab: Lab, tunnel: Tunnel) -> tuple[str, str]:
    (up, _, _), (down, _, _) = tunnel.forwards
    return _both(lab.here(tunnel.ends[0]), up, down)


def _both(address: str, up: int, down: int) -> tuple[str, str]:
    return f"{address}:{up}", f"{address}:{down}"


def _is_below(lab: Lab, tunnel: Tunnel) -> bool:
    """Whether it leads to a broker of the outer zone."""
    from_, to = (lab.host(name).zone for name in tunnel.ends)
    return to.startswith(from_ + "/")


def _page(lab: Lab, host: Host) -> str:
    """Herald listens on the machine itself where there are no networks to hide in."""
    return f"\n[herald]\nport = {lab.loop.page}\n" if lab.loop and "herald" in host.roles else ""


def _store(host: Host) -> str:
    return _RETENTION if "recorder" in host.roles and host.disk >= LARGE else ""
