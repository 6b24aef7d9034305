"""Making a store on PostgreSQL have the search index that its settings name: by a thread with a connection of its own.

The server builds an index for minutes; the recorder stores meanwhile. The thread is the recorder's: it is cancelled and
joined when that ends, and what was not finished is done by the next one.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Final

import psycopg2
from psycopg2 import extensions

from tabard.consumers.store.postgresql import indexing
from tabard.consumers.store.postgresql.server import Password, connect
from tabard.errors import StoreError

LOOK_EVERY: Final = 60.0
"""Seconds between two looks whether all is as it should be."""
_ENDING: Final = 10.0

_log = logging.getLogger(__name__)


class PostgresIndexer:
    """See `together.Work`."""

    def __init__(self, url: str, password: Password, wanted: str) -> None:
        self.fault: str | None = None
        self._url = url
        self._password = password
        self._wanted = wanted
        self._due = float("-inf")
        self._thread: threading.Thread | None = None
        self._connection: extensions.connection | None = None
        self._ending = threading.Event()

    def step(self, now: float) -> bool:
        """See that the thread runs when it should. False: there is nothing to be called again for soon."""
        if now >= self._due and (self._thread is None or not self._thread.is_alive()):
            self._due = now + LOOK_EVERY
            self._thread = threading.Thread(target=self._run, name="search index")
            self._thread.start()
        return False

    def close(self) -> None:
        """Cancel what the server is at for it, and wait for the thread."""
        self._ending.set()
        while self._thread is not None and self._thread.is_alive():
            connection = self._connection
            if connection is not None:
                with contextlib.suppress(psycopg2.Error):
                    connection.cancel()
            self._thread.join(0.2)

    def settle(self) -> None:
        """Wait until the thread has done what there is to do now."""
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            connection = connect(self._url, self._password, indexing.SCHEMA, "tabard index")
            self._connection = connection
            try:
                if not self._ending.is_set():
                    indexing.make(connection, self._wanted, _log.info)
                self.fault = None
            finally:
                self._connection = None
                connection.close()
        except (StoreError, psycopg2.Error, OSError) as error:
            if not self._ending.is_set():
                self.fault = (
                    f"the search index {self._wanted} cannot be built: {' '.join(str(error).split())}"
                )
                _log.warning(self.fault)


def make(url: str, password: str, wanted: str, told: Callable[[str], None]) -> None:
    """Build and remove at once what a recorder would in the background. Raises StoreError."""
    connection = connect(url, password, indexing.SCHEMA, "tabard index")
    try:
        if not indexing.make(connection, wanted, told):
            raise StoreError("another process builds the search index", where="store.url", hint="Wait for it")
    except psycopg2.Error as error:
        raise StoreError(
            "the search index cannot be built", found=" ".join(str(error).split()), where="store.url"
        ) from error
    finally:
        connection.close()
