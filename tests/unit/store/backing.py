"""A home whose store was backed up and has gone on since, for tests of backups."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from tabard.brokers.wire.streams import CONTROL
from tabard.consumers.store import backup_sqlite
from tabard.consumers.store.layout import RECORDS, STATE
from tabard.consumers.store.sqlite import SqliteStore
from tests.contract.chain import NOON, Chain, logs
from tests.integration.upping import tabard

BACKED, LATER = 300, 200


class Site:
    """A home with a store of which there is a backup, and more since."""

    def __init__(self, path: Path) -> None:
        self.home = path / "home"
        self.home.mkdir(mode=0o700)
        self.store = self.home / "store"
        self.backup = path / "backup"
        self.chain, self.control = Chain(), Chain(stream=CONTROL)
        with SqliteStore.open(self.store) as store:
            self.add(store, BACKED)
            self.manifest = backup_sqlite.backup(self.store, self.backup, "main")
            self.add(store, LATER)

    def add(self, store: SqliteStore, count: int) -> None:
        """So many records in each file."""
        start = self.chain.next - 1
        store.commit([self.chain.work(logs(count, start=start))], NOON)
        store.commit([self.control.work([(NOON, "answer", {"n": n}) for n in range(count)])], NOON)

    def counts(self, where: Path | None = None) -> tuple[int, int]:
        """Records in each file."""
        found = []
        for kind, table in ((RECORDS, "log"), (STATE, "control")):
            with closing(sqlite3.connect(kind.path(where or self.store))) as connection:
                found.append(int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]))
        return found[0], found[1]

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """``tabard store ...`` on that home."""
        return tabard(self.home, "store", *words, **env)


def flip(path: Path) -> None:
    """Another byte somewhere in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
