"""The process that plays the reader: sees each record as soon as it can be queried, and how old it is then."""

from __future__ import annotations

import time
from typing import Any, Final

from tabard.ops.bench.helper import answer, requests
from tabard.ops.bench.records import PRODUCT
from tabard.ops.bench.sampling import percentile
from tabard.ops.bench.stored import Stored, connect

POLL: Final = 0.001
"""Seconds between two looks; what they add to a delay is part of it."""


def watch(stored: Stored, row: int, count: int, limit: float) -> dict[str, Any]:
    """Wait for `count` records beyond row `row` and say how old each was when it was seen.

    Ends after `limit` seconds at the latest; then fewer were seen. Delays are in milliseconds.
    """
    delays: list[float] = []
    polls = 0
    cpu = time.process_time()
    began = time.monotonic()
    while len(delays) < count and time.monotonic() < began + limit:
        polls += 1
        if stored.changed() and (rows := stored.after(row)):
            now = time.time_ns()
            row = rows[-1][0]
            delays += [(now - stamp) / 1e6 for _, stamp, product in rows if product == PRODUCT]
        time.sleep(POLL)
    took = time.monotonic() - began
    found = {f"p{percent:g}": percentile(delays, percent) for percent in (50, 90, 99, 100)} if delays else {}
    return {
        "seen": len(delays),
        "delays": found,
        "polls_per_second": polls / took,
        "cpu_percent": (time.process_time() - cpu) / took * 100,
    }


def main() -> None:
    """Serve requests until there are no more: say that it watches, then what was seen."""
    for request in requests():
        stored = connect(request["store"])
        row = stored.last()
        answer(watching=row)
        answer(**watch(stored, row, request["records"], request["limit"]))
        stored.close()


if __name__ == "__main__":
    main()
