"""How a job is planned, from text: a cron expression, or an interval."""

from __future__ import annotations

from typing import Final

from tabard.errors import UsageError
from tabard.ops.cronexec.expression import parse
from tabard.ops.cronexec.missed import Every, Plan
from tabard.units import parse_duration

_SHORTEST: Final = 1.0


def schedule(text: str) -> Plan | None:
    """That of ``--schedule``; None for ``@reboot``, which names no time. Raises UsageError."""
    return parse(text)


def every(text: str) -> Plan:
    """That of ``--every``. Raises TabardError."""
    seconds = parse_duration(text)
    if seconds < _SHORTEST:
        raise UsageError("not an interval", expected="1s or more", found=text)
    return Every(seconds, f"every {text.strip()}")
