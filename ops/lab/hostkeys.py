"""Another host key of an ssh server: what a renewed one looks like from outside, and somebody else in its place as well.

The new key lies beside the old one for as long as nobody accepted it. Accepting does what an administrator does who has compared
the fingerprints: the new key is written where the old one was pinned, and the tunnel is told to look.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable
from pathlib import Path

from tabard import files
from tabard.errors import TabardError
from tabard.ops.lab import hands, marks, ssh
from tabard.ops.lab.plan import Lab, Tunnel
from tabard.ops.lab.state import Place


def is_changed(place: Place, host: str) -> bool:
    """Whether its server has another key, which nobody accepted."""
    return _other(place, host).exists()


def change(place: Place, lab: Lab, host: str) -> None:
    """Restart the ssh server of a host with another key; every session with it ends. Raises TabardError."""
    other = _other(place, host)
    for path in (other, _public(other)):
        path.unlink(missing_ok=True)
    private, _ = hands.pair(other)
    _serve(place, lab, host, private)


def undo(place: Place, lab: Lab, host: str) -> bool:
    """Restart it with the key that who dials knows; False when it has that one."""
    other = _other(place, host)
    if not other.exists():
        return False
    _serve(place, lab, host, _known(place, host).read_text(encoding="ascii"))
    for path in (other, _public(other)):
        path.unlink(missing_ok=True)
    _look(place, lab, _into(lab, host))
    return True


def accept(place: Place, lab: Lab, host: str) -> list[str]:
    """Have who dials the host know its new key; returns who that is. Raises TabardError when it has no new one."""
    other, known = _other(place, host), _known(place, host)
    if not other.exists():
        raise TabardError(
            f"{host} has no new host key",
            expected="one that nobody has accepted",
            found="the one that is known",
            hint=f"Give it another one with 'tabard lab hostkey {host}'",
        )
    old, new = (ssh.bare(_public(path).read_text(encoding="ascii")) for path in (known, other))
    for tunnel in _into(lab, host):
        _replace(place, lab, tunnel.host, old, new)
    os.rename(_public(other), _public(known))
    os.rename(other, known)
    _look(place, lab, _into(lab, host))
    return [tunnel.host for tunnel in _into(lab, host)]


def _known(place: Place, host: str) -> Path:
    return place.path / "keys" / f"{host}.host"


def _other(place: Place, host: str) -> Path:
    return place.path / "keys" / f"{host}.other"


def _public(path: Path) -> Path:
    return path.with_name(f"{path.name}.pub")


def _into(lab: Lab, host: str) -> list[Tunnel]:
    return [tunnel for tunnel in lab.tunnels if tunnel.peer == host]


def _serve(place: Place, lab: Lab, host: str, private: str) -> None:
    """Write the key, for later starts of the host too, and end its ssh server with all sessions: the host starts it again."""
    path = place.specification(host)
    spec = json.loads(path.read_text(encoding="utf-8"))
    name = f"{lab.where(host).ssh}/host_key"
    spec["files"][name] = private
    files.write_json(path, spec)
    first = marks.first_of(place.mark, host)
    if first is None:
        return
    files.write(Path(lab.file(first.pid, name)), private.encode())
    marks.send(_servers(first.pid), signal.SIGKILL)


def _servers(pid: int) -> list[marks.Marked]:
    """The ssh server of a host and the processes of its sessions, each of which is in a group of its own."""
    return [each for each in marks.within(pid) if marks.name(each.pid).startswith("sshd")]


def _replace(place: Place, lab: Lab, host: str, old: str, new: str) -> None:
    """Write the new key where a host has the old one pinned, now and for its later starts."""
    path = place.specification(host)
    spec = json.loads(path.read_text(encoding="utf-8"))
    first = marks.first_of(place.mark, host)
    pinned = (f"{lab.where(host).home}/tabard.toml", f"{lab.where(host).ssh}/{ssh.KNOWN}")
    for name in (each for each in pinned if each in spec["files"]):
        spec["files"][name] = spec["files"][name].replace(old, new)
        if first is not None:
            seen = Path(lab.file(first.pid, name))
            files.write(seen, seen.read_text(encoding="utf-8").replace(old, new).encode())
    files.write_json(path, spec)


def _look(place: Place, lab: Lab, tunnels: Iterable[Tunnel]) -> None:
    """Tell the tunnels that there is something new, as their pages say: SIGHUP."""
    from tabard.ops.lab.faults import services

    for tunnel in tunnels:
        first = marks.first_of(place.mark, tunnel.host)
        if first is None:
            continue
        number = int(services(lab, tunnel.host, first.pid).get(f"tunnel-{tunnel.peer}", {}).get("pid", 0))
        marks.send(
            [each for each in marks.within(first.pid) if number and each.numbers[-1] == number], signal.SIGHUP
        )
