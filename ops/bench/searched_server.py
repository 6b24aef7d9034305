"""The search bench on PostgreSQL: a server of its own, which goes with its store when the bench ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2

from tabard.consumers.store.engines import Kept, open_store
from tabard.consumers.store.place import Place
from tabard.consumers.store.postgresql import indexing
from tabard.consumers.store.postgresql.server import connect
from tabard.ops.bench import library
from tabard.ops.bench.databases import Served
from tabard.ops.bench.library import Book, Library
from tabard.ops.bench.table import Say


@contextmanager
def served(rows: int, index: str, say: Say) -> Iterator[tuple[Place, Book, Callable[[str, Any], Any]]]:
    """A store with so many rows, and how bare SQL is put to it. Raises TabardError."""
    server = Served()
    try:
        url = server.settings()["store.url"]
        say(f"builds a store of {rows:,} records with the index {index!r} on a server of its own")
        book = _filled(url, rows, index)
        connection = connect(url, "", indexing.SCHEMA, "tabard bench")
        try:
            with connection.cursor() as cursor:
                # As autovacuum does when there is time for it.
                cursor.execute("VACUUM (ANALYZE) log")

            def bare(text: str, values: Any) -> Any:
                with connection.cursor() as cursor:
                    cursor.execute(text.replace("%", "%%").replace("?", "%s"), tuple(values))
                    return cursor.fetchall()

            yield Place(url=url), book, bare
        finally:
            connection.close()
    finally:
        server.close()


def _filled(url: str, rows: int, index: str) -> Book:
    kept = open_store(Place(url=url), "full", library.FOREVER, "none")
    try:
        _build(url, index)
        return Library(kept, rows, time.time_ns()).fill()
    finally:
        kept.close()


def _build(url: str, index: str) -> None:
    connection = connect(url, "", indexing.SCHEMA, "tabard bench")
    try:
        indexing.make(connection, index)
    finally:
        connection.close()


def cost(kind: str, rows: int) -> dict[str, float]:
    """Rows a second, CPU of client and server, and room of the commit with that index. Raises TabardError."""
    server = Served()
    try:
        url = server.settings()["store.url"]
        kept: Kept = open_store(Place(url=url), "full", library.FOREVER, "none")
        try:
            _build(url, kind)
            before = server.server_cpu()["server"]
            book = Library(kept, rows, time.time_ns()).fill()
            used = book.cpu + server.server_cpu()["server"] - before
        finally:
            kept.close()
        connection = psycopg2.connect(url)
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits"
                    " WHERE inhparent = 'tabard_records.log'::regclass"
                )
                row = cursor.fetchone()
        finally:
            connection.close()
        return {
            "rows_per_second": rows / book.seconds,
            "cpu_us_per_row": used / rows * 1e6,
            "mb_per_million_rows": int(row[0]) / rows if row else 0.0,
        }
    finally:
        server.close()
