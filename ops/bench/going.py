"""The process that plays the reader while old records go: how old each new record is when it can be queried, until they are gone."""

from __future__ import annotations

import time
from typing import Any, Final

from tabard.ops.bench.helper import answer, requests
from tabard.ops.bench.records import PRODUCT
from tabard.ops.bench.sampling import percentile
from tabard.ops.bench.stored import Stored, connect
from tabard.ops.bench.watcher import POLL

LOOK: Final = 0.1
"""Seconds between two looks whether they are gone."""


def watch(stored: Stored, row: int, oldest: int, limit: float) -> dict[str, Any]:
    """Look at records beyond row `row` until no row has an id up to `oldest`, for at most `limit` seconds.

    Delays are in milliseconds.
    """
    delays: list[float] = []
    began = look = time.monotonic()
    left = True
    while left and time.monotonic() < began + limit:
        if stored.changed() and (rows := stored.after(row)):
            now = time.time_ns()
            row = rows[-1][0]
            delays += [(now - stamp) / 1e6 for _, stamp, product in rows if product == PRODUCT]
        if time.monotonic() >= look + LOOK:
            look = time.monotonic()
            left = stored.first() <= oldest
        time.sleep(POLL)
    found = {f"p{percent:g}": percentile(delays, percent) for percent in (50, 90, 99, 100)} if delays else {}
    return {"gone": not left, "seconds": time.monotonic() - began, "seen": len(delays), "delays": found}


def main() -> None:
    """Serve requests until there are no more: say that it watches, then what was seen."""
    for request in requests():
        stored = connect(request["store"])
        row = stored.last()
        answer(watching=row)
        answer(**watch(stored, row, request["oldest"], request["limit"]))
        stored.close()


if __name__ == "__main__":
    main()
