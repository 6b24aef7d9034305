"""The process that measures the ceiling: rows in memory, inserted with nothing around them.

The files are made by the product's own schema code, opened with its settings (write-ahead log, synchronous,
cache, checkpoints) and written with its statement and its driver. What is left out is everything that makes
an insert a delivery.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store import schema
from tabard.consumers.store.database import Database
from tabard.consumers.store.layout import RECORDS
from tabard.consumers.store.statements import sqlite_statements
from tabard.ops.bench.helper import answer, requests
from tabard.ops.bench.records import STEP, record

Row = tuple[Any, ...]


def rows(count: int) -> list[Row]:
    """What the recorder would make of the generator's records."""
    began = time.time_ns()
    head = (1, 1)
    return [
        (*head, number + 1, began, "uid 1000", *record(number, began + number * STEP))
        for number in range(1, count + 1)
    ]


def insert(directory: Path, prepared: Sequence[Row], size: int, synchronous: str) -> dict[str, float]:
    """Insert all rows into the file in `directory`, `size` a transaction; the time and CPU that took."""
    database = Database(RECORDS, RECORDS.path(directory), synchronous)
    connection = database.connection
    statement = sqlite_statements(RECORDS).add_rows[LOGS]
    parts = [prepared[start : start + size] for start in range(0, len(prepared), size)]
    cpu = time.process_time()
    began = time.monotonic()
    for part in parts:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(statement, part)
        connection.execute("COMMIT")
    took = time.monotonic() - began
    cpu = time.process_time() - cpu
    database.close()
    return {"seconds": took, "cpu": cpu}


def main() -> None:
    """Serve requests until there are no more."""
    prepared: list[Row] = []
    for request in requests():
        place = Path(request["directory"])
        blank = place / "blank"
        if request["do"] == "prepare":
            schema.create(blank)
            prepared = rows(request["records"])
            answer(rows=len(prepared))
            continue
        fresh = place / "fresh"
        shutil.copytree(blank, fresh)
        answer(**insert(fresh, prepared, request["size"], request["synchronous"]))
        shutil.rmtree(fresh)


if __name__ == "__main__":
    main()
