"""The cron guard: ``tabard agent --cron`` every minute on every host must cost next to nothing.

It answers one question, whether the role of that command line runs already, before click is imported. The command
asks again in its own time.
"""

from __future__ import annotations

from tabard.locks import held
from tabard.ops.rolelines import RoleLine


def running(line: RoleLine | None) -> int | None:
    """The process id (0 if unknown) that already does what ``line`` asks for, None if none does.

    Only lines with ``--cron`` are looked at. Raises HomeError when the lock cannot be read.
    """
    return held(line.home.lock(line.lock)) if line is not None and line.cron else None
