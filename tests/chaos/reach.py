"""Which fail-points there are, and which of them a process passed or died at in this test run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import tabard.agents.role
import tabard.brokers.role
import tabard.consumers.recorder.role  # noqa: F401 -- imported for the fail-points that they declare
from tabard import failpoints

_OF_COMMANDS = (
    "test.",
    "commands.",
    "audit.",
    "dispatcher.",
    "move.",
    "erase.",
    "backup.",
    "restore.",
    "upgrade.",
    "store.hold_between",
)
"""Whose tests reach them by themselves."""


def points() -> Mapping[str, str]:
    """Every fail-point that any role declares, and its meaning. None is left out."""
    return {name: what for name, what in failpoints.declared().items() if not name.startswith(_OF_COMMANDS)}


class Coverage:
    """What processes did at fail-points in one test."""

    def __init__(self, log: Path) -> None:
        """`log` is the file that TABARD_FAILPOINT_LOG names."""
        self.log = log
        self.deaths: Counter[str] = Counter()
        """Processes that were killed or stopped there."""

    def passed(self) -> Counter[str]:
        """How many processes passed each fail-point."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return Counter(line.split()[0] for line in lines)

    def table(self) -> str:
        """A line for each fail-point."""
        passed = self.passed()
        rows = [f"  {'fail-point':<24}{'passed by':>10}{'died at':>9}"]
        rows += [f"  {name:<24}{passed[name]:>10}{self.deaths[name]:>9}" for name in sorted(points())]
        return "\n".join(rows)
