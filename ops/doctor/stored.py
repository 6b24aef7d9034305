"""What a store shows of clocks, versions, losses and itself: pure, of what its reader answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from tabard.ops.doctor.finding import FAULT, WARNING, Finding
from tabard.ops.faults import CLOCK_OFF, wrong_clocks

if TYPE_CHECKING:
    from tabard.consumers.store.results import GapRow, NodeRow, Stats

SECOND: Final = 1_000_000_000
DAY: Final = 86_400 * SECOND
_HEARD: Final = frozenset({"up", "late"})


def node_clocks(nodes: Iterable[NodeRow]) -> Iterator[Finding]:
    """Nodes whose clocks are far from that of who heard them."""
    for fault in wrong_clocks(nodes):
        yield Finding(
            "clock-nodes", FAULT, fault.where, fault.what, "On that host: timedatectl, chronyc tracking"
        )


def own_clock(stats: Stats, now: int) -> Iterator[Finding]:
    """Records that arrived later than it is now: the clock of this host was ahead, or is behind now."""
    newest = max((stream.newest or 0 for stream in stats.streams.values()), default=0)
    if newest - now > CLOCK_OFF * SECOND:
        ahead = (newest - now) / SECOND
        what = f"the newest record arrived {ahead:.0f} s later than it is now: the clock of this host was put back, or is wrong"
        yield Finding("clock-store", FAULT, "store", what, "Set the clock: timedatectl. Retention goes by it")


def versions(nodes: Iterable[NodeRow], own: str) -> Iterator[Finding]:
    """Nodes that run another version than the host of the store."""
    others = Counter(
        node.version for node in nodes if node.state in _HEARD and node.version not in {None, own}
    )
    for version, count in sorted(others.items(), key=str):
        newer = _numbers(str(version)) > _numbers(own)
        what = f"{count} {'node runs' if count == 1 else 'nodes run'} version {version}, and this is {own}"
        do = (
            "Upgrade this host first: a sink is to be as new as its nodes"
            if newer
            else "Upgrade those nodes: tabard nodes"
        )
        yield Finding("versions", FAULT if newer else WARNING, "store", what, do)


def gaps(found: Iterable[GapRow]) -> Iterator[Finding]:
    """What was lost lately, by node and reason."""
    lost: Counter[tuple[str, str, str]] = Counter()
    for row in found:
        if row.is_gap:
            lost[row.node, row.zone, row.reason] += row.count
    for (node, zone, reason), count in sorted(lost.items()):
        what = f"{count} records were lost within the last day: {reason}"
        do = f"See where: tabard logs --node {node}; and docs/how-to/when-something-is-missing.md"
        yield Finding("gaps", WARNING, f"node {node} ({zone})", what, do)


def quarantine(stats: Stats) -> Iterator[Finding]:
    """Batches that could not be stored."""
    if stats.quarantined:
        what = f"{stats.quarantined} batches are in quarantine: they could not be read, and are not stored"
        yield Finding(
            "quarantine", FAULT, "store", what, "Look at them: tabard store quarantine list; and report it"
        )


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version as they are compared; what is behind them counts for nothing."""
    found: list[int] = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        found.append(int(digits))
    return tuple(found)
