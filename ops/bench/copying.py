"""The process that measures the ceiling on PostgreSQL: rows encoded beforehand, copied with nothing around them.

The tables are made by the product's own schema code, with its partition and indexes, and written with its driver.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any, Final, NamedTuple

from psycopg2 import extensions

from tabard.consumers.store.layout import RECORDS
from tabard.consumers.store.models import LOG_COLUMNS
from tabard.consumers.store.postgresql import packing, partitions, schema
from tabard.consumers.store.postgresql.server import connect, schema_of
from tabard.ops.bench.ceiling import Row, rows
from tabard.ops.bench.helper import answer, requests
from tabard.ops.bench.usage import core_wait
from tabard.records import INT_FIELDS

_NUMBERS: Final = frozenset({"node_id", "epoch_id", "seq", "arrived", *INT_FIELDS})
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class Part(NamedTuple):
    """What one transaction copies."""

    text: str
    data: bytes


def binary(columns: Sequence[str], prepared: Sequence[Row]) -> Part:
    """The format that the store uses for samples and batch headers."""
    fields = [(name, packing.number if name in _NUMBERS else packing.text) for name in columns]
    data = b"".join((packing.SIGNATURE, packing.pack_rows(fields, prepared).data, packing.TRAILER))
    return Part(f"COPY log ({', '.join(columns)}) FROM STDIN (FORMAT binary)", data)


def text(columns: Sequence[str], prepared: Sequence[Row]) -> Part:
    """The format that most programs use, and the store for logs."""
    lines = (
        "\t".join("\\N" if value is None else str(value).translate(_ESCAPES) for value in row)
        for row in prepared
    )
    return Part(
        f"COPY log ({', '.join(columns)}) FROM STDIN", "".join(f"{line}\n" for line in lines).encode()
    )


class Form(NamedTuple):
    """How the rows are written."""

    make: Callable[[Sequence[str], Sequence[Row]], Part]
    connections: int = 1
    """Over which they are copied at once."""


SEVERAL: Final = 2
"""Connections where one is not enough to keep two cores busy."""
FORMS: Final[Mapping[str, Form]] = {
    "binary": Form(binary),
    "text": Form(text),
    "binary_two_connections": Form(binary, SEVERAL),
    "text_two_connections": Form(text, SEVERAL),
}
ONE_CONNECTION: Final = tuple(name for name, form in FORMS.items() if form.connections == 1)


def said(prepared: Sequence[Row]) -> tuple[list[str], list[Row]]:
    """The columns that some row fills, and the rows without the others."""
    places = [
        place
        for place, values in enumerate(zip(*prepared, strict=True))
        if any(value is not None for value in values)
    ]
    return [LOG_COLUMNS[place] for place in places], [
        tuple(row[place] for place in places) for row in prepared
    ]


def insert(url: str, parts: Sequence[Part], arrived: int, connections: int = 1) -> dict[str, float]:
    """Copy all parts into an empty log, one a transaction; the time and CPU that took, and the wait for a core."""
    with ExitStack() as stack:
        opened = [
            stack.enter_context(closing(connect(url, "", schema_of(RECORDS), "tabard bench")))
            for _ in range(connections)
        ]
        pool = stack.enter_context(ThreadPoolExecutor(connections))
        partitions.ensure(opened[0], "log", partitions.day_of(arrived))
        with opened[0].cursor() as cursor:
            cursor.execute("TRUNCATE log")
            cursor.execute("CHECKPOINT")
        cpu, waited = time.process_time(), core_wait(os.getpid())
        began = time.monotonic()
        lanes = [
            pool.submit(_copy, connection, parts[number::connections])
            for number, connection in enumerate(opened)
        ]
        for lane in lanes:
            lane.result()
        took = time.monotonic() - began
    return {
        "seconds": took,
        "cpu": time.process_time() - cpu,
        "waited": core_wait(os.getpid()) - waited,
    }


def _copy(connection: extensions.connection, parts: Sequence[Part]) -> None:
    with connection.cursor() as cursor:
        for part in parts:
            cursor.execute("BEGIN")
            cursor.copy_expert(part.text, io.BytesIO(part.data), size=1 << 20)
            cursor.execute("COMMIT")


def main() -> None:
    """Serve requests until there are no more."""
    prepared: list[Row] = []
    columns: list[str] = []
    arrived = 0
    made: dict[tuple[Any, Any], list[Part]] = {}
    for request in requests():
        url = request["where"]
        if request["do"] == "prepare":
            schema.upgrade(url)
            whole = rows(request["records"])
            arrived = whole[0][LOG_COLUMNS.index("arrived")]
            columns, prepared = said(whole)
            answer(rows=len(prepared))
            continue
        size, form = request["size"], FORMS[request["form"]]
        if (size, form.make) not in made:
            starts = range(0, len(prepared), size)
            made[size, form.make] = [form.make(columns, prepared[start : start + size]) for start in starts]
        answer(**insert(url, made[size, form.make], arrived, form.connections))


if __name__ == "__main__":
    main()
