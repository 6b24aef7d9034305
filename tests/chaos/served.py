"""A fleet whose store is on a PostgreSQL server that is tormented as well."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any, Final

import psycopg2

from tabard.consumers.store import schema
from tabard.consumers.store.layout import FILES, ROW_TABLES
from tabard.consumers.store.postgresql.server import schema_of
from tabard.ops.bench.postgres import Postgres
from tests.chaos.fleet import PRESENCE, Fleet

_SHARED: Final = ("node", "epoch", "batch", "gap", "quarantine")
"""Tables that both parts of a store have, beside those of their records."""


class ServedFleet(Fleet):
    """Its recorder, and others that join it, write one database."""

    def __init__(
        self, directory: Path, log: Path, nodes: Mapping[str, Mapping[str, str]], server: Postgres
    ) -> None:
        self.url = server.database()
        super().__init__(directory, log, nodes, self.store_lines)

    @property
    def store_lines(self) -> str:
        """The settings that name the store."""
        return f'\n[store]\nurl = "{self.url}"\n'

    def presence(self) -> dict[str, tuple[int, dict[str, Any]]]:
        """Nothing while the server is away."""
        try:
            connection = psycopg2.connect(self.url, options=f"-c search_path={schema_of(FILES[0])}")
        except psycopg2.OperationalError:
            return {}
        try:
            with connection.cursor() as cursor:
                cursor.execute(PRESENCE)
                return {name: (beacon, json.loads(state)) for name, beacon, state in cursor.fetchall()}
        except psycopg2.Error:  # it has just gone, or has no tables yet
            return {}
        finally:
            connection.close()

    def copied(self, directory: Path) -> Path:
        """What is in the database, as the files that the judge reads."""
        schema.create(directory)
        for kind in FILES:
            tables = [*_SHARED, *(ROW_TABLES[stream] for stream in sorted(kind.streams))]
            _copy(self.url, schema_of(kind), kind.path(directory), tables)
        return directory


def _copy(url: str, name: str, file: Path, tables: list[str]) -> None:
    import sqlite3

    source = psycopg2.connect(url, options=f"-c search_path={name}")
    target = sqlite3.connect(file)
    try:
        for table in tables:
            columns = [row[1] for row in target.execute(f"PRAGMA table_info({table})")]
            with source.cursor() as cursor:
                cursor.execute(f"SELECT {', '.join(columns)} FROM {table}")
                rows = [
                    tuple(bytes(value) if isinstance(value, memoryview) else value for value in row)
                    for row in cursor.fetchall()
                ]
            target.executemany(
                f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", rows
            )
        target.commit()
    finally:
        target.close()
        source.close()


class ServerTorment:
    """Kills the server, or ends it at once, and starts it again, time after time, in a thread."""

    def __init__(self, server: Postgres, seed: int) -> None:
        self._server = server
        self._random = Random(seed)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.diary: list[str] = []
        self.error: BaseException | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self) -> None:
        """End, with the server well."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._over.wait(self._random.uniform(1.0, 4.0)):
                deed = self._random.choice(("kill", "immediate", "fast"))
                self.diary.append(f"server: {deed}")
                if deed == "kill":
                    self._server.kill()
                else:
                    self._server.stop(deed)
                self._over.wait(self._random.uniform(0.1, 1.5))
                self._server.start()
        except (OSError, subprocess.SubprocessError) as error:
            self.error = error
