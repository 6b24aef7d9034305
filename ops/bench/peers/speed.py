"""Full speed: from the first byte that is sent to the last row that can be queried, each peer alone on the machine."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import mkdtemp
from typing import Any, Final, NamedTuple

from tabard.errors import TabardError
from tabard.ops.bench import usage
from tabard.ops.bench.helper import Helper
from tabard.ops.bench.peers.peer import Ground, Peer
from tabard.ops.bench.peers.processes import pss, rss
from tabard.ops.bench.peers.serving import Serving
from tabard.ops.bench.peers.tally import Tally, tally

SENDER: Final = "tabard.ops.bench.peers.sender"
PREPARING: Final = 120.0
_LOOK: Final = 0.005
QUIET: Final = 10.0
"""Seconds without a new row after which what is not there is lost."""


class Run(NamedTuple):
    """One peer, once."""

    rate: float
    """Records a second that became rows."""
    cpu: float
    """CPU seconds a million of all its processes, the server's among them."""
    memory: Mapping[str, float]
    """10^6 bytes at the end."""
    found: Tally


def measure(
    made: type[Peer], place: Path, serving: Serving, sender: Helper, count: int, quiet: float = QUIET
) -> Run:
    """Start the peer in a directory of its own, send everything, and look. Raises TabardError when nothing arrives."""
    with ExitStack() as stack:
        peer = made(Ground(Path(mkdtemp(dir=place)), serving.shared, relayed=False))
        stack.callback(peer.stop)
        peer.start()
        peer.expected = count
        os.sync()  # what others left to be written is not to be written now
        pids = [*peer.pids(), *peer.server_pids()]
        before = _cpu(pids)
        target = peer.target()
        # One that gets fewer takes them one by one.
        messages = count if made.divided_by > 1 else None
        sender.tell(do="send", form=target.form, where=target.where, messages=messages)
        ended, stored = _wait(peer, count, quiet)
        said = sender.hear(PREPARING)
        if "failed" in said:
            raise TabardError("a peer does not take what is sent", found=said["failed"], where=made.title)
        used = _cpu([*peer.pids(), *peer.server_pids()]) - before
        memory = memory_of(peer)
        found = tally(count, peer.numbers())
    if not stored:
        raise TabardError("a peer stored nothing", where=made.title)
    return Run(found.stored / (ended - float(said["began"])), used / count * 1e6, memory, found)


def memory_of(peer: Peer) -> dict[str, float]:
    """10^6 bytes of its own processes, and of the server's."""
    own, server = peer.pids(), peer.server_pids()
    found = {"pss_mb": pss(own) / 1e6, "rss_mb": rss(own) / 1e6}
    return found | ({"server_pss_mb": pss(server) / 1e6} if server else {})


def summary(runs: list[Run]) -> dict[str, Any]:
    """What all rounds of one peer came to."""
    names = runs[0].memory
    return {
        "records_per_second": median(run.rate for run in runs),
        "records_per_second_by_round": [run.rate for run in runs],
        "cpu_seconds_per_million": median(run.cpu for run in runs),
        **{name: median(run.memory[name] for run in runs) for name in names},
        "lost_at_full_speed": sum(run.found.lost for run in runs),
        "doubled_at_full_speed": sum(run.found.doubled for run in runs),
    }


def _wait(peer: Peer, count: int, quiet: float) -> tuple[float, int]:
    """When the last of its rows appeared, and how many there are."""
    stored, changed = 0, time.monotonic()
    while stored < count:
        peer.tend()
        now = peer.stored()
        if now > stored:
            stored, changed = now, time.monotonic()
        elif time.monotonic() > changed + quiet:
            break
        time.sleep(_LOOK)
    return changed, stored


def _cpu(pids: list[int]) -> float:
    total = 0.0
    for place, pid in enumerate(pids):
        try:
            total += usage.cpu_seconds(pid, ended=place > 0)
        except OSError:
            continue
    return total
