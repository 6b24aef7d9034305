"""The process that plays the reader: sees each record as soon as it can be queried, and how old it is then.

It watches until so many records were seen, or until old ones are gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from tabard.ops.bench.helper import answer, requests
from tabard.ops.bench.records import PRODUCT
from tabard.ops.bench.sampling import percentile
from tabard.ops.bench.stored import Stored, connect

POLL: Final = 0.001
"""Seconds between two looks; what they add to a delay is part of it."""
LOOK: Final = 0.1
"""Seconds between two looks whether the old ones are gone."""


def watch(stored: Stored, row: int, limit: float, over: Callable[[int], bool]) -> dict[str, Any]:
    """Look at records beyond row `row` until it is `over`, by how many were seen, and say how old each was when it was seen.

    Ends after `limit` seconds at the latest: then it is not over. Delays are in milliseconds.
    """
    delays: list[float] = []
    polls = 0
    cpu = time.process_time()
    began = time.monotonic()
    while not (done := over(len(delays))) and time.monotonic() < began + limit:
        polls += 1
        if stored.changed() and (rows := stored.after(row)):
            now = time.time_ns()
            row = rows[-1][0]
            delays += [(now - stamp) / 1e6 for _, stamp, product in rows if product == PRODUCT]
        time.sleep(POLL)
    took = time.monotonic() - began
    found = {f"p{percent:g}": percentile(delays, percent) for percent in (50, 90, 99, 100)} if delays else {}
    return {
        "over": done,
        "seconds": took,
        "seen": len(delays),
        "delays": found,
        "polls_per_second": polls / took,
        "cpu_percent": (time.process_time() - cpu) / took * 100,
    }


class Gone:
    """Whether no row has an id up to `oldest` any more, looked for now and then."""

    def __init__(self, stored: Stored, oldest: int) -> None:
        self._stored = stored
        self._oldest = oldest
        self._due = time.monotonic() + LOOK

    def __call__(self, _seen: int) -> bool:
        """Looks, if it is time to."""
        if time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + LOOK
        return self._stored.first() > self._oldest


def _end(stored: Stored, request: Mapping[str, Any]) -> Callable[[int], bool]:
    """When it is over: by the number of `records`, or by the `oldest` that are to go."""
    if "oldest" in request:
        return Gone(stored, request["oldest"])
    count = int(request["records"])
    return lambda seen: seen >= count


def main() -> None:
    """Serve requests until there are no more: say that it watches, then what was seen."""
    for request in requests():
        stored = connect(request["store"])
        row = stored.last()
        answer(watching=row)
        answer(**watch(stored, row, request["limit"], _end(stored, request)))
        stored.close()


if __name__ == "__main__":
    main()
