"""The process that measures the ceiling on PostgreSQL: rows encoded beforehand, copied with nothing around them.

The tables are made by the product's own schema code, with its partition and indexes, and written with its driver.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

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


FORMS: Final[Mapping[str, Callable[[Sequence[str], Sequence[Row]], Part]]] = {"binary": binary, "text": text}
"""How the rows are written."""


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


def insert(url: str, parts: Sequence[Part], arrived: int) -> dict[str, float]:
    """Copy all parts into an empty log, one a transaction; the time and CPU that took, and the wait for a core."""
    connection = connect(url, "", schema_of(RECORDS), "tabard bench")
    try:
        partitions.ensure(connection, "log", partitions.day_of(arrived))
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE log")
            cursor.execute("CHECKPOINT")
            cpu, waited = time.process_time(), core_wait(os.getpid())
            began = time.monotonic()
            for part in parts:
                cursor.execute("BEGIN")
                cursor.copy_expert(part.text, io.BytesIO(part.data), size=1 << 20)
                cursor.execute("COMMIT")
            took = time.monotonic() - began
    finally:
        connection.close()
    return {
        "seconds": took,
        "cpu": time.process_time() - cpu,
        "waited": core_wait(os.getpid()) - waited,
    }


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
        size, form = request["size"], request["form"]
        if (size, form) not in made:
            starts = range(0, len(prepared), size)
            made[size, form] = [FORMS[form](columns, prepared[start : start + size]) for start in starts]
        answer(**insert(url, made[size, form], arrived))


if __name__ == "__main__":
    main()
