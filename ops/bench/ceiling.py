"""The process that measures the ceiling: rows in memory, inserted with nothing around them.

The files are made by the product's own schema code, opened with its settings (write-ahead log, synchronous,
cache, checkpoints) and written with its driver. What is left out is everything that makes an insert a delivery.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

from tabard.consumers.store import schema
from tabard.consumers.store.database import Database
from tabard.consumers.store.layout import RECORDS
from tabard.consumers.store.models import LOG_COLUMNS
from tabard.ops.bench.helper import answer, requests
from tabard.ops.bench.records import STEP, record
from tabard.ops.bench.usage import core_wait

Row = tuple[Any, ...]
Part = Callable[[sqlite3.Connection], object]
"""Writes the rows of one transaction."""

MANY: Final = 64
"""Rows in a statement of many; more of them gain nothing."""


def rows(count: int) -> list[Row]:
    """What the recorder would make of the generator's records."""
    began = time.time_ns()
    head = (1, 1)
    return [
        (*head, number + 1, began, "uid 1000", *record(number, began + number * STEP))
        for number in range(1, count + 1)
    ]


def one_row(prepared: Sequence[Row]) -> Part:
    """A statement for one row with all columns, run once for each: what a bulk insert usually is."""
    statement = _statement(LOG_COLUMNS, 1)
    return lambda connection: connection.executemany(statement, prepared)


def many_rows(prepared: Sequence[Row]) -> Part:
    """Statements of `MANY` rows that leave out the columns nobody says: fewer steps, and fewer values to bind."""
    said = [
        place
        for place, values in enumerate(zip(*prepared, strict=True))
        if any(v is not None for v in values)
    ]
    columns = [LOG_COLUMNS[place] for place in said]
    runs = []
    for start in range(0, len(prepared), MANY):
        part = prepared[start : start + MANY]
        values = tuple(chain.from_iterable([row[place] for place in said] for row in part))
        runs.append((_statement(columns, len(part)), values))

    def write(connection: sqlite3.Connection) -> None:
        execute = connection.cursor().execute
        for statement, parameters in runs:
            execute(statement, parameters)

    return write


PLAIN: Final = "one_row"
"""The form of statement that the driver is made for; the store itself uses a faster one."""
FORMS: Final[Mapping[str, Callable[[Sequence[Row]], Part]]] = {"one_row": one_row, "many_rows": many_rows}
"""How the insert is put to the database; the fastest that is known for this driver is among them."""


def _statement(columns: Sequence[str], count: int) -> str:
    row = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO log ({', '.join(columns)}) VALUES {', '.join([row] * count)}"  # noqa: S608


def insert(directory: Path, parts: Sequence[Part], synchronous: str) -> dict[str, float]:
    """Insert all rows into the file in `directory`, one part a transaction; the time and CPU that took, and the wait for a core."""
    database = Database(RECORDS, RECORDS.path(directory), synchronous)
    connection = database.connection
    cpu, waited = time.process_time(), core_wait(os.getpid())
    began = time.monotonic()
    for part in parts:
        connection.execute("BEGIN IMMEDIATE")
        part(connection)
        connection.execute("COMMIT")
    # The store moves its write-ahead log into the file beside the commits: that is part of an insert.
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    took = time.monotonic() - began
    cpu, waited = time.process_time() - cpu, core_wait(os.getpid()) - waited
    database.close()
    return {"seconds": took, "cpu": cpu, "waited": waited}


def main() -> None:
    """Serve requests until there are no more."""
    prepared: list[Row] = []
    for request in requests():
        place = Path(request["where"])
        blank = place / "blank"
        if request["do"] == "prepare":
            schema.create(blank)
            prepared = rows(request["records"])
            answer(rows=len(prepared))
            continue
        size, form = request["size"], FORMS[request["form"]]
        parts = [form(prepared[start : start + size]) for start in range(0, len(prepared), size)]
        fresh = place / "fresh"
        shutil.copytree(blank, fresh)
        answer(**insert(fresh, parts, request["synchronous"]))
        shutil.rmtree(fresh)


if __name__ == "__main__":
    main()
