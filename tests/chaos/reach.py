"""Which fail-points there are, and which of them a process passed or died at in this test run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import tabard.agents.role
import tabard.brokers.role
import tabard.consumers.recorder.role  # noqa: F401 -- imported for the fail-points that they declare
from tabard import failpoints


def points() -> Mapping[str, str]:
    """Every fail-point that any role declares, and its meaning. None is left out."""
    return {name: what for name, what in failpoints.declared().items() if not name.startswith("test.")}


class Passed:
    """What this test run did at fail-points."""

    def __init__(self) -> None:
        self.deaths: Counter[str] = Counter()

    def died(self, at: Mapping[str, int]) -> None:
        """So many processes were killed or stopped there."""
        self.deaths.update(at)

    def table(self, log: Path) -> str:
        """A line for each fail-point: processes that passed it, and that died at it."""
        passed = processes_at(log)
        rows = [f"  {'fail-point':<24}{'passed by':>10}{'died at':>9}"]
        rows += [f"  {name:<24}{passed[name]:>10}{self.deaths[name]:>9}" for name in sorted(points())]
        return "\n".join(rows)


PASSED: Final = Passed()


def processes_at(log: Path) -> Counter[str]:
    """How many processes passed each fail-point, from the file that TABARD_FAILPOINT_LOG named."""
    lines = log.read_text().splitlines() if log.exists() else []
    return Counter(line.split()[0] for line in lines)
