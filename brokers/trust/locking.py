"""The lock of a home's trust: one changes it at a time, be it a command or a role that takes a roster in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from tabard import locks
from tabard.errors import AlreadyRunning
from tabard.home import Home

_LOCK: Final = "trust.changing"
"""In `run/`, and not called after a role: nobody runs under it."""
PATIENCE: Final = 5.0
"""Seconds for which a command waits until nobody else changes the trust; a role does so for as long as a write takes."""
_PAUSE: Final = 0.05


@contextmanager
def lock(home: Home, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lock of a home's trust, after at most ``patience`` seconds. Raises AlreadyRunning."""
    home.ensure()
    end = time.monotonic() + patience
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(
                    locks.hold(home.run / _LOCK, "a command that changes keys", "Wait until it is done")
                )
                break
            except AlreadyRunning:
                if time.monotonic() >= end:
                    raise
                time.sleep(_PAUSE)
        yield
