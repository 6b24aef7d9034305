"""Not knocking again and again at a server that refuses: an account whose password is wrong each second may be locked.

A process has several connections to its store, and each is opened anew whenever it is needed. What one of them was told
holds for the others: after a second refusal in a row nobody tries for a second, then for two, and so on to a minute.
Another password is tried at once. A server that is away is no refusal; see `away`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tabard.errors import StoreAway, StoreError

FIRST: Final = 1.0
"""Seconds without a try after the second refusal in a row."""
LONGEST: Final = 60.0


@dataclass
class _Refused:
    said: StoreError
    pause: float
    until: float


class Refusals:
    """What servers refused, by how they were asked. Safe for several threads."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._guard = threading.Lock()
        self._refused: dict[tuple[str, str], _Refused] = {}

    def check(self, url: str, password: str) -> None:
        """Raises StoreError, as the server said it, while it is not to be asked again."""
        with self._guard:
            known = self._refused.get((url, password))
            if known is None:
                return
            left = known.until - self._now()
        if left > 0:
            said = known.said
            raise StoreError(
                said.what,
                expected=said.expected,
                found=f"{said.found} (asked again in {max(round(left), 1)} s, at once for another password)",
                where=said.where,
                hint=said.hint,
            )

    def note(self, url: str, password: str, error: StoreError | None) -> None:
        """What came of a try: None when the server let somebody in."""
        key = (url, password)
        with self._guard:
            if error is None or isinstance(error, StoreAway):
                self._refused.pop(key, None)
                return
            known = self._refused.get(key)
            pause = 0.0 if known is None else min(max(2 * known.pause, FIRST), LONGEST)
            for other in [other for other in self._refused if other[0] == url and other != key]:
                del self._refused[other]  # a password that nobody uses any more
            self._refused[key] = _Refused(error, pause, self._now() + pause)


REFUSALS: Final = Refusals()
"""Those of this process."""
