"""The thread that takes a role's log records to the agent, or to a file while there is none."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import deque
from logging.handlers import RotatingFileHandler
from typing import Final

from tabard.applog.record import Row, row_of
from tabard.client import IntakeClient
from tabard.errors import IntakeError
from tabard.home import Home

KEPT: Final = 1000
"""Records that wait in memory; beyond it the oldest go first, and are counted."""
FRAME: Final = 16
"""Records handed to the agent at a time."""
FIRST_RETRY: Final = 0.5
LONGEST_RETRY: Final = 15.0
"""Seconds between two attempts to reach an agent, doubling from the first to the longest."""
ANSWER: Final = 5.0
"""Seconds an agent may take to answer before it counts as absent."""
_FILE_BYTES: Final = 1_048_576
_OLD_FILES: Final = 3
_FORM: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Entry:
    """A record in both its forms, and whether the file has it."""

    __slots__ = ("filed", "record", "row")

    def __init__(self, row: Row, record: logging.LogRecord) -> None:
        self.row = row
        self.record = record
        self.filed = False


class _File(RotatingFileHandler):
    """The local file; a disk that refuses it is no reason to disturb the role."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 -- the name is logging's
        """Leave it: there is nowhere else to say it."""


class Sender:
    """A bounded queue and the one thread that empties it; started by the first record, ended by ``close``."""

    def __init__(self, role: str, home: Home, closing: float) -> None:
        self._role = role
        self._closing = closing
        self._wake = threading.Condition()
        self._queue: deque[_Entry] = deque()
        self._lost = 0
        self._ended = False
        self._thread: threading.Thread | None = None
        # The rest belongs to the thread.
        source = f"tabard-{role}-{os.getpid()}"
        self._client = IntakeClient(
            home.socket("intake.sock"), source, service=f"tabard-{role}", timeout=ANSWER
        )
        self._file = _File(
            home.log / f"{role}.log",
            maxBytes=_FILE_BYTES,
            backupCount=_OLD_FILES,
            delay=True,
            encoding="utf-8",
        )
        self._file.setFormatter(logging.Formatter(_FORM))
        self._connected = False
        self._pause = FIRST_RETRY
        self._next_try = 0.0
        self._unsent: deque[_Entry] = deque()
        self._held = False
        """Whether the client has frames that it will send again by itself."""

    def put(self, row: Row, record: logging.LogRecord) -> None:
        """Queue one record; waits for nothing but the lock of the queue."""
        with self._wake:
            if self._ended:
                return
            self._queue.append(_Entry(row, record))
            self._shorten(self._queue)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"{self._role}-log", daemon=True)
                self._thread.start()
            self._wake.notify()

    def lose(self) -> None:
        """Count a record that cannot be put; the next agent is told how many there were."""
        with self._wake:
            self._lost += 1

    def close(self) -> None:
        """Hand over what is left, waiting for the agent as long as agreed, write the rest to the file, end."""
        with self._wake:
            self._ended = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(self._closing + 2 * ANSWER)

    # --- the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        ended = False
        while not ended:
            ended = self._take()
            if self._closing or not ended:
                self._reach(at_once=ended)
            if self._connected and (self._closing or not ended):
                self._send_all(self._closing if ended else ANSWER)
            for entry in self._unsent:
                self._to_file(entry)
        self._client.close()
        self._file.close()

    def _take(self) -> bool:
        """Fetch what is queued, waiting for it or for the next attempt's time; whether this is the end."""
        with self._wake:
            if not self._queue and not self._ended:
                pending = bool(self._unsent) or self._held
                self._wake.wait(max(self._next_try - time.monotonic(), 0.0) if pending else None)
            self._unsent.extend(self._queue)
            self._queue.clear()
            self._shorten(self._unsent)
            return self._ended

    def _reach(self, *, at_once: bool) -> None:
        if self._connected or (time.monotonic() < self._next_try and not at_once):
            return
        try:
            self._client.connect()
        except (IntakeError, OSError):
            self._gone()
        else:
            self._connected = True
            self._pause = FIRST_RETRY

    def _gone(self) -> None:
        self._connected = False
        self._next_try = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_RETRY)

    def _send_all(self, patience: float) -> None:
        """Hand everything to the agent and hear that it is kept; otherwise the file has it too."""
        self._confess()
        handed = []
        with contextlib.suppress(IntakeError, OSError):
            while self._unsent:
                entries = [self._unsent.popleft() for _ in range(min(FRAME, len(self._unsent)))]
                handed += entries
                self._client.send([entry.row for entry in entries])
            if self._client.flush(patience):
                self._held = False
                return
        # The client keeps the frames it was given, and sends them first on its next connection.
        self._held = True
        self._gone()
        for entry in handed:
            self._to_file(entry)

    def _confess(self) -> None:
        """Put one record in the place of those that were lost."""
        with self._wake:
            lost, self._lost = self._lost, 0
        if lost:
            said = ("%d records of this role were lost", (lost,))
            record = logging.LogRecord(__name__, logging.WARNING, __file__, 0, *said, None)
            self._unsent.append(_Entry(row_of(record, self._role), record))

    def _to_file(self, entry: _Entry) -> None:
        if not entry.filed:
            entry.filed = True
            self._file.handle(entry.record)

    def _shorten(self, entries: deque[_Entry]) -> None:
        """Hold to the bound; called with the lock of the queue."""
        while len(entries) > KEPT:
            entries.popleft()
            self._lost += 1
