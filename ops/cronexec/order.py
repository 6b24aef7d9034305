"""What ``tabard cron exec`` is asked for. Imports next to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from tabard.home import Home

if TYPE_CHECKING:
    from tabard.ops.cronexec.missed import Plan


class Order(NamedTuple):
    """One run of a job."""

    name: str
    argv: Sequence[str]
    home: Home
    plan: Plan | None = None
    timeout: float | None = None
    grace: float = 10.0
    lock: bool | None = None
    """None: as well as it can be had."""
    lines: int = 1_000
    printed: str = "failure"
    """``failure``, ``always`` or ``never``: when what the command wrote is printed."""
