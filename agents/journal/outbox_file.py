"""The outbox's database file: made whole, checked, set aside when it is none any more, put back when it is gone."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Final

from tabard.agents.journal.author import Author
from tabard.agents.journal.disk import RealDisk
from tabard.agents.journal.limits import Limits
from tabard.agents.journal.outbox import Outbox
from tabard.agents.journal.outbox_db import SCHEMA
from tabard.agents.journal.shelf import QUARANTINE
from tabard.agents.journal.tidemark import FILE as TIDEMARK
from tabard.agents.journal.tidemark import Tidemark

FILE: Final = "outbox.db"
BESIDE: Final = ("-journal", "-wal", "-shm")
_NEW: Final = ".new"


def open_outbox(directory: str, author: Author, limits: Limits) -> Outbox:
    """Open the outbox in `directory`, made if missing; the arguments are those of `Outbox.open`.

    A file that is no database, or a malformed one, is moved to the quarantine; the new epoch then says that
    records were lost.

    Raises:
        JournalError: it cannot be opened now.
    """
    with suppress(OSError):  # what is wrong shows when the database is opened
        os.makedirs(directory, mode=0o700, exist_ok=True)
    file = OutboxFile(directory)
    damage = file.damage()
    if damage:
        file.set_aside()
    outbox = Outbox.open(
        file.connect,
        author,
        limits,
        where=file.path,
        lost=0 if damage else None,
        tidemark=Tidemark(RealDisk(), f"{directory}/{TIDEMARK}", durable=True),
        file=file,
    )
    if damage:
        outbox.note_fault("quarantined", file.quarantine, damage)
    return outbox


class OutboxFile:
    """Where the database lies, and which file it was when it was opened."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self.path = f"{directory}/{FILE}"
        self.quarantine = f"{directory}/{QUARANTINE}"
        self._identity: tuple[int, int] | None = None

    def connect(self) -> sqlite3.Connection:
        """Open the database; a new one gets its name when it is whole. Raises OSError or sqlite3.DatabaseError."""
        if not os.path.exists(self.path):
            self._remove_beside()
            self._make(lambda db: db.executescript(SCHEMA))
        os.close(os.open(self.path, os.O_RDWR | os.O_CLOEXEC))  # says more than the database would
        db = sqlite3.connect(self.path, isolation_level=None)
        self._identity = self._now()
        return db

    def _make(self, fill: Callable[[sqlite3.Connection], object]) -> None:
        new = self._fresh()
        with closing(sqlite3.connect(new, isolation_level=None)) as db:
            fill(db)
        self._publish(new)

    def _fresh(self) -> str:
        """An empty file beside it, private before it is filled."""
        new = self.path + _NEW
        with suppress(FileNotFoundError):
            os.unlink(new)
        os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        return new

    def _publish(self, new: str) -> None:
        descriptor = os.open(new, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(new, self.path)
        RealDisk().sync_directory(self._directory)

    def _now(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def moved(self) -> bool:
        """Whether the name stands for another file than the one that is open, or for none. Raises OSError."""
        return self._now() != self._identity

    def put_back(self, db: sqlite3.Connection) -> None:
        """Give the name to a copy of what `db` holds; what lies there now is set aside.

        Raises OSError or sqlite3.DatabaseError.
        """
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        new = self._fresh()
        db.execute("VACUUM INTO ?", (new,))
        self.set_aside()
        self._publish(new)

    def damage(self) -> str:
        """What is wrong with the database, empty when nothing that its content is to blame for."""
        if not os.path.exists(self.path):
            return ""
        try:
            if not os.path.getsize(self.path):
                return "an empty file"
            with closing(sqlite3.connect(self.path, isolation_level=None)) as db:
                found: str = db.execute("PRAGMA quick_check(1)").fetchone()[0]
                known = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'outbox_state'").fetchone()
        except (OSError, sqlite3.OperationalError):
            return ""  # locked, full, read-only: opening it says so
        except sqlite3.DatabaseError as error:
            return str(error)
        if found != "ok":
            return found
        return "" if known else "its tables are gone"

    def set_aside(self) -> None:
        """Move the database's files away; what cannot be moved shows when it is opened."""
        with suppress(OSError):
            os.makedirs(self.quarantine, mode=0o700, exist_ok=True)
            number = len(os.listdir(self.quarantine))
            for part in ("", *BESIDE):
                with suppress(FileNotFoundError):
                    os.rename(self.path + part, f"{self.quarantine}/{FILE}.{number}{part}")

    def _remove_beside(self) -> None:
        """What lies beside a database that is gone must not be played back into the next one."""
        if any(os.path.exists(self.path + part) for part in BESIDE):
            self.set_aside()
