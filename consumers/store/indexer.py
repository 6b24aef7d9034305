"""Making a store on SQLite have the search index that its settings name, in steps between two commits.

Each step is a transaction of a few milliseconds that moves the note along with the entries: a kill between two of them
costs nothing, and the next recorder goes on from the note. What is stored meanwhile goes into the index with its own
commit, as soon as there is one.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tabard import failpoints
from tabard.brokers.delivery.ports import StoreUnavailable
from tabard.consumers.store import indexing
from tabard.consumers.store.indexing import NONE, Note
from tabard.consumers.store.layout import RECORDS
from tabard.consumers.store.sqlite import SqliteStore
from tabard.errors import StoreError

STEP_SECONDS: Final = 0.01
"""What a step should take at most; the number of rows adapts to it."""
FEWEST: Final = 100
MOST: Final = 20_000
"""Rows of one step."""
ROWS_PER_BLOCK: Final = 40
"""About how many rows are as much work to index as a block is to remove."""
LOOK_EVERY: Final = 10.0
"""Seconds between two looks when all is as it should be."""
CHECK_EVERY: Final = 3600.0
"""Seconds between two comparisons of a sample of rows with the index."""

STEP: Final = "store.index_step"
"""A fail-point that is not declared: only a store with an index passes it. About to commit a step."""

_log = logging.getLogger(__name__)


class Indexer:
    """Builds and removes the search indexes of one store. See `together.Work`."""

    def __init__(self, store: SqliteStore, wanted: str, told: Callable[[str], None] = _log.info) -> None:
        self._say = told
        self._store = store
        self._wanted = wanted
        self._rows = FEWEST * 5
        self._due = float("-inf")
        self._check = float("-inf")
        self._told = ""

    @property
    def fault(self) -> str | None:
        """None: an index that is not there yet is no fault, searches only take longer."""
        return None

    def close(self) -> None:
        """Nothing: no step is left half done."""

    def step(self, now: float) -> bool:
        """Do a few milliseconds of work; `now` is monotonic seconds. True: call again soon, there is more."""
        if now < self._due:
            return False
        started = time.perf_counter()
        try:
            with self._store.upkeep(RECORDS) as connection:
                more = self._work(connection, now)
                if more:
                    failpoints.hit(STEP)
        except StoreUnavailable as error:
            _log.warning("the search index waits: %s", error)
            more = False
        if not more:
            self._due = now + LOOK_EVERY
        elif (took := time.perf_counter() - started) > STEP_SECONDS:
            self._rows = max(FEWEST, self._rows // 2)
        elif took < STEP_SECONDS / 2:
            self._rows = min(self._rows * 2, MOST)
        return more

    def _work(self, connection: sqlite3.Connection, now: float) -> bool:
        found = indexing.notes(connection)
        for note in found:
            if note.kind != self._wanted or not note.usable:
                self._tell(f"the search index {note.kind} is removed")
                return indexing.drop(connection, note, max(self._rows // ROWS_PER_BLOCK, 5)) or True
        if self._wanted == NONE or self._store.rescuing:
            return False
        if not found:
            indexing.begin(connection, self._wanted)
            self._tell(f"the search index {self._wanted} is being built")
            return True
        return self._keep(connection, found[0], now)

    def _keep(self, connection: sqlite3.Connection, note: Note, now: float) -> bool:
        """See that an index that is there knows all it should."""
        if now >= self._check or note.high > indexing.last_id(connection):
            self._check = now + CHECK_EVERY
            if not indexing.agrees(connection, note):
                _log.warning("the search index %s does not agree with the log: it is made anew", note.kind)
                return indexing.drop(connection, note, 1) or True
        if indexing.build(connection, note, self._rows):
            return True
        self._tell(f"the search index {note.kind} has every record")
        return False

    def _tell(self, words: str) -> None:
        if words != self._told:
            self._told = words
            self._say(words)


def make_whole(directory: str, wanted: str, told: Callable[[str], None]) -> None:
    """Build and remove at once what a recorder would in the background, in the same steps. Raises StoreError."""
    if not RECORDS.path(Path(directory)).exists():
        raise StoreError(
            "store not found", expected="the file records.db", where=directory, hint="Start a recorder"
        )
    with SqliteStore.open(directory) as store:
        store.index_by(wanted)
        work = Indexer(store, wanted, told)
        now = 0.0
        while work.step(now):
            now += LOOK_EVERY
            store.idle()
        if store.fault:
            raise StoreError("the search index cannot be built", found=store.fault, where=directory)
