"""The write-ahead log of one file: moved into the file beside the commits, never within one.

A short one is moved by the writer between two commits, in a few milliseconds. A long one is moved by a thread with a
connection of its own, while commits go on; what they add meanwhile is shorter, and when it is short the writer moves
that. Then the log begins anew. Only a reader that stays within one view of the data for long keeps it growing. The
file of a log that was long is cut in small steps, one each time it begins anew: a file system needs a tenth of a
second to free some hundred megabytes, and the commit that begins anew would wait for it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

SHORT: Final = 4 * 2**20
"""Bytes that the writer moves by itself."""
DUE: Final = 8 * 2**20
"""Bytes since the last time from which on there is no waiting for an idle moment."""
MOST: Final = 256 * 2**20
"""Length at which the writer moves all of it, when the thread cannot keep up and no reader is in the way."""
LONG: Final = 64 * 2**20
"""Length from which on it is a fault that a reader keeps it."""
KEPT: Final = 64 * 2**20
"""Bytes that the file may keep when its log begins anew."""
CUT: Final = 16 * 2**20
"""Most bytes that are cut off it at one time."""
CHANGE_BYTES: Final = 1024
"""What a changed row adds, index pages included; an estimate."""
_PAGE: Final = 4096
_FRAME_HEAD: Final = 24
_HEAD: Final = 32
_SALT: Final = 8
_SALT_OF_LOG: Final = 16
_SALT_OF_FRAME: Final = 8
"""Where the log and each of its frames have a number that changes when it begins anew (https://sqlite.org/walformat.html)."""


class WriteAheadLog:
    """Decides when, by whom and how much; used by the writer's thread."""

    def __init__(self, path: Path | None, second: Callable[[], sqlite3.Connection | None]) -> None:
        """`path` is the log's own, None in memory; `second` opens another connection to the same file, None when it is another one."""
        self._path = path
        self._second = second
        self._helper: sqlite3.Connection | None = None
        self._thread: threading.Thread | None = None
        self._changes = 0
        self._bodies = 0
        self._length = 0
        self._left = 0
        self._follows = False
        """The thread has moved all it saw: the rest is what came meanwhile."""
        self._behind = 0
        """What was to be moved when it was last begun to."""
        self._kept = 0
        """To how many bytes SQLite cuts the file when the log begins anew."""

    @property
    def fault(self) -> str | None:
        """That a reader keeps it long."""
        if self._left and self._length >= LONG:
            return (
                f"the write-ahead log has grown to {self._length >> 20} MiB: a reader keeps it; "
                "end queries and transactions that have been open for long"
            )
        return None

    @property
    def length(self) -> int:
        """Bytes that are in it now: the file may be longer, from before it began anew. 0 when nobody can say."""
        if self._path is None:
            return 0
        # Not by the index beside it (-shm): whoever closes that file gives up all locks that this process has on it, and
        # the next one who opens the database cuts it short under everybody's feet.
        try:
            with self._path.open("rb") as log:
                head = log.read(_HEAD)
                step = int.from_bytes(head[8:12], "big") + _FRAME_HEAD
                low, high = 0, max(log.seek(0, os.SEEK_END) - _HEAD, 0) // step
                while low < high:  # frames of this beginning of the log lie in front of those from before it
                    middle = (low + high + 1) // 2
                    log.seek(_HEAD + (middle - 1) * step + _SALT_OF_FRAME)
                    if log.read(_SALT) == head[_SALT_OF_LOG : _SALT_OF_LOG + _SALT]:
                        low = middle
                    else:
                        high = middle - 1
        except OSError:
            return 0
        return low * step

    def begin(self, connection: sqlite3.Connection) -> None:
        """The file was opened: what is in its log, as after a kill, has yet to be moved."""
        self._left = self._size()
        self._bound(connection)

    def wrote(self, size: int) -> None:
        """Texts and blobs of `size` bytes were written."""
        self._bodies += size

    def after_commit(self, connection: sqlite3.Connection) -> None:
        """Move the log if it cannot wait for an idle moment."""
        if self._thread is not None and not self._thread.is_alive():
            self._end()
        if self._thread is None and (self._follows or self._grown(connection) >= DUE):
            self._move(connection)

    def idle(self, connection: sqlite3.Connection, rows: int) -> None:
        """Move the log if more than `rows` rows were changed since, or something was left."""
        if self._thread is not None and not self._thread.is_alive():
            self._end()
        if self._thread is None and (
            self._follows or self._left or self._grown(connection) >= rows * CHANGE_BYTES
        ):
            self._move(connection)

    def settle(self) -> None:
        """Wait for the thread."""
        if self._thread is not None:
            self._thread.join()
            self._end()

    def close(self) -> None:
        """Before the writer's connection is closed."""
        self.settle()
        if self._helper is not None:
            with contextlib.suppress(sqlite3.Error):
                self._helper.close()
            self._helper = None
        self._changes = self._bodies = self._length = self._left = self._behind = 0
        self._follows = False
        self._kept = 0

    def _grown(self, connection: sqlite3.Connection) -> int:
        return (connection.total_changes - self._changes) * CHANGE_BYTES + self._bodies

    def _move(self, connection: sqlite3.Connection) -> None:
        grown = self._grown(connection)
        self._changes, self._bodies = connection.total_changes, 0
        behind = grown + self._left
        if self._left:
            short = behind <= SHORT
        else:
            # What is left halves from turn to turn while the thread keeps up: only otherwise is there a need to stop.
            loses = self._follows and self._length + grown > MOST and behind > self._behind // 2
            short = behind <= (DUE if self._follows else SHORT) or loses
        self._follows = False
        self._behind = behind
        self._bound(connection)
        if not short and self._helper is None:
            self._helper = self._second()
        if short or self._helper is None:
            self._checkpoint(connection)
        else:
            self._thread = threading.Thread(
                target=self._checkpoint, args=(self._helper,), name="checkpoint", daemon=True
            )
            self._thread.start()

    def _end(self) -> None:
        self._thread = None
        self._follows = not self._left

    def _bound(self, connection: sqlite3.Connection) -> None:
        """Say how far the file may be cut when the log begins anew."""
        kept = max(KEPT, self._size() - CUT)
        if kept != self._kept:
            connection.execute(f"PRAGMA journal_size_limit = {kept}").fetchall()
            self._kept = kept

    def _size(self) -> int:
        if self._path is not None:
            with contextlib.suppress(OSError):
                return os.stat(self._path).st_size
        return 0

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        try:
            found = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error:  # whatever it is, the next commit meets it too and says so
            return
        if found is not None and found[1] >= 0:
            self._length, self._left = found[1] * _PAGE, (found[1] - found[2]) * _PAGE
