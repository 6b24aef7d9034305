"""Tunnels beside bare ssh: bytes a second through each back end, and how soon a frozen peer is noticed.

One server of the bench's own, one source of bytes behind it, bytes that no compression makes fewer. Bare ssh has the same forward as the
back ends, and neither it nor ``openssh`` reads this user's configuration, so both agree with the server on the same cipher; to the back
end ``external`` it is somebody else's tunnel. What is frozen is the server's side of ssh, and then what is behind it.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any, Final

from tabard.errors import TabardError
from tabard.home import Home
from tabard.ops.bench import sshd
from tabard.ops.bench.helper import Helper
from tabard.ops.bench.result import Aim, Measured
from tabard.ops.bench.scene import Scene
from tabard.ops.bench.sshd import Sshd
from tabard.ops.bench.surroundings import free_port, workplace
from tabard.ops.bench.table import Options, Say
from tabard.status import running

ROUNDS: Final = 3
TURNS: Final = 4
"""In a round, of all ways: short ones that follow each other closely, since what slows a machine comes and goes."""
BYTES: Final[Mapping[str, int]] = {"bare": 160_000_000, "openssh": 160_000_000, "sshtunnel": 30_000_000}
"""How much is carried in each way in a turn: some tenths of a second of it, so that a moment of something else does not decide."""
WAYS: Final = tuple(BYTES)
NOTICED: Final = ("openssh", "sshtunnel", "external")
PATIENCE: Final = 60.0
"""Seconds after which a tunnel that is to come up, or to be missed, will not."""
_LOOK: Final = 0.02
RATIO: Final = 0.9
LONGEST: Final = 15.0


def run(options: Options, say: Say) -> Measured:
    """Measure. Raises TabardError when there is no sshd, or a tunnel does not come up."""
    program = sshd.programs()
    if program is None:
        raise TabardError(
            "no ssh server to measure with",
            expected="the programs sshd, ssh and ssh-keygen",
            hint="Install them: openssh-server and openssh-client on Debian",
        )
    rounds = options.rounds or ROUNDS
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    noticed: dict[str, list[float]] = {name: [] for name in NOTICED}
    behind_noticed: dict[str, list[float]] = {name: [] for name in NOTICED}
    with workplace() as directory, Helper("tabard.ops.bench.tunnel_source") as source:
        behind = int(source.ask(PATIENCE)["port"])
        with Sshd(program) as server, _bare(server, directory, behind) as bare:
            ports = {"bare": bare, "openssh": free_port(), "sshtunnel": free_port()}
            home = Home(directory / "home").ensure()
            home.settings_file.write_text(_settings(server, ports, behind))
            given = {"log.status_every": "100ms", "intake.tail_defaults": "false"}
            with Scene(home.path, given, {"tunnel"}) as scene:
                for name in scene.names:
                    scene.start(name)
                _wait(scene, lambda: _all(home, lambda said: said.get("state") == "up"), "all tunnels are up")
                for number in range(rounds):
                    say(f"round {number + 1} of {rounds}: bytes through each way")
                    for turn in range(TURNS):
                        for way in WAYS if turn % 2 == 0 else tuple(reversed(WAYS)):
                            _carry(ports[way], BYTES[way] // 10)  # a connection finds its pace first
                            rates[way].append(BYTES[way] / _carry(ports[way], BYTES[way]) / 1e6)
                for number in range(rounds):
                    say(
                        f"round {number + 1} of {rounds}: the server's sessions stand still, then what is behind"
                    )
                    for found, frozen in ((noticed, server.signal_sessions), (behind_noticed, source.signal)):
                        for name, took in _freeze(scene, home, frozen).items():
                            found[name].append(took)
    return _measured(rates, noticed, behind_noticed)


def _measured(
    rates: Mapping[str, list[float]],
    noticed: Mapping[str, list[float]],
    behind_noticed: Mapping[str, list[float]],
) -> Measured:
    ratios = {
        way: [one / other for one, other in zip(rates[way], rates["bare"], strict=True)]
        for way in WAYS
        if way != "bare"
    }
    worst = max(took for found in (noticed, behind_noticed) for each in found.values() for took in each)
    return Measured(
        {
            "mb_per_second": {way: median(each) for way, each in rates.items()},
            "mb_per_second_by_turn": rates,
            "ratio_to_bare_ssh": {way: median(each) for way, each in ratios.items()},
            "ratio_to_bare_ssh_by_turn": ratios,
            "frozen_noticed_after_s": {name: max(each) for name, each in noticed.items()},
            "frozen_noticed_after_s_by_round": noticed,
            "frozen_behind_noticed_after_s": {name: max(each) for name, each in behind_noticed.items()},
            "frozen_behind_noticed_after_s_by_round": behind_noticed,
        },
        [
            Aim("openssh to bare ssh", median(ratios["openssh"]), ">=", RATIO, "ratio"),
            Aim("a frozen peer is noticed", worst, "<=", LONGEST, "s"),
        ],
    )


def _settings(server: Sshd, ports: Mapping[str, int], behind: int) -> str:
    """One tunnel of each back end; to the external one bare ssh belongs to somebody else."""
    lines: list[str] = []
    there = {
        "host": "127.0.0.1",
        "port": server.port,
        "user": server.user,
        "key_file": str(server.key_file),
        "host_key": server.host_key,
    }
    for name in NOTICED:
        external = name == "external"
        keys: dict[str, Any] = {"name": name, "backend": name, **({} if external else there)}
        if name == "openssh":
            keys["config"] = "/dev/null"
        port = ports["bare" if external else name]
        forward = {"listen": f"127.0.0.1:{port}", "to": f"127.0.0.1:{behind}", "answer": "broker"}
        lines += ["[[tunnel]]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
        lines += ["[[tunnel.forward]]", *(f"{key} = {json.dumps(value)}" for key, value in forward.items())]
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def _bare(server: Sshd, directory: Path, behind: int) -> Iterator[int]:
    """Ssh as one would start it by hand; its local port."""
    known, port = directory / "known_hosts", free_port()
    known.write_text(server.known_hosts)
    process = subprocess.Popen(
        [  # noqa: S607 -- sshd.programs() has looked for it
            "ssh", "-F", "none", "-N", "-T", "-i", str(server.key_file), "-p", str(server.port), "-o", "BatchMode=yes",
            "-o", f"UserKnownHostsFile={known}", "-o", "IdentitiesOnly=yes",
            "-L", f"127.0.0.1:{port}:127.0.0.1:{behind}", f"{server.user}@127.0.0.1",
        ],
        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def _carry(port: int, count: int) -> float:
    """Seconds until that many bytes have come through a port. Raises TabardError when fewer do."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        buffer, left = memoryview(bytearray(262_144)), count + 10  # the greeting comes first
        began = time.monotonic()
        sock.sendall(count.to_bytes(8, "big"))
        while left > 0:
            got = sock.recv_into(buffer)
            if not got:
                raise TabardError(
                    "a tunnel broke in the middle of the bench", found=f"{left} bytes that are missing"
                )
            left -= got
        return time.monotonic() - began


def _freeze(scene: Scene, home: Home, tell: Callable[[signal.Signals], None]) -> dict[str, float]:
    """Seconds from the moment at which what is told to stands still until each tunnel says so."""
    found: dict[str, float] = {}
    began = time.monotonic()
    tell(signal.SIGSTOP)

    def look() -> bool:
        for name in NOTICED:
            if name not in found and _said(home, name).get("fault"):
                found[name] = time.monotonic() - began
        return len(found) == len(NOTICED)

    try:
        _wait(scene, look, "every tunnel says that its peer is frozen")
    finally:
        tell(signal.SIGCONT)
    _wait(scene, lambda: _all(home, lambda said: said.get("state") == "up"), "all tunnels are up again")
    return found


def _said(home: Home, name: str) -> Mapping[str, Any]:
    return running(home, f"tunnel.{name}") or {}


def _all(home: Home, holds: Callable[[Mapping[str, Any]], bool]) -> bool:
    return all(holds(_said(home, name)) for name in NOTICED)


def _wait(scene: Scene, holds: Callable[[], bool], what: str) -> None:
    """Return once it holds. Raises TabardError when it never does."""
    end = time.monotonic() + PATIENCE
    while not holds():
        scene.rest(_LOOK)
        if time.monotonic() > end:
            raise TabardError("nothing can be measured", expected=f"that {what} within {PATIENCE:.0f} s")
