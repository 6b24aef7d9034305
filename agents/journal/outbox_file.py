"""The outbox's database file: opened, checked, and set aside when it is none any more."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from tabard.agents.journal.limits import Limits
from tabard.agents.journal.outbox import Outbox
from tabard.agents.journal.shelf import QUARANTINE
from tabard.brokers.delivery.seal import Seal
from tabard.clock import Clock

FILE: Final = "outbox.db"
_PARTS: Final = ("", "-wal", "-shm")


def open_outbox(
    directory: str,
    stream: int,
    *,
    limits: Limits,
    clock: Clock,
    seal: Seal,
    entropy: Callable[[int], bytes],
    boot: str,
    node: str,
    zone: str,
    version: str,
) -> Outbox:
    """Open the outbox in `directory`, made if missing; the arguments are those of `Outbox.open`.

    A file that is no database, or a malformed one, is moved to the quarantine; the new epoch then says that
    records were lost.

    Raises:
        JournalError: it cannot be opened now.
    """
    with suppress(OSError):  # what is wrong shows when the database is opened
        os.makedirs(directory, mode=0o700, exist_ok=True)
    path = f"{directory}/{FILE}"
    damage = _damage(path)
    if damage:
        _set_aside(directory)
    outbox = Outbox.open(
        lambda: _connect(path),
        stream,
        limits=limits,
        clock=clock,
        seal=seal,
        entropy=entropy,
        boot=boot,
        node=node,
        zone=zone,
        version=version,
        where=path,
        lost=0 if damage else None,
    )
    if damage:
        outbox.note_fault("quarantined", f"{directory}/{QUARANTINE}", damage)
    return outbox


def _connect(path: str) -> sqlite3.Connection:
    descriptor = os.open(
        path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
    )  # private before it holds anything
    os.close(descriptor)
    return sqlite3.connect(path, isolation_level=None)


def _damage(path: str) -> str:
    """What is wrong with the database, empty when nothing that its content is to blame for."""
    if not os.path.exists(path):
        return ""
    try:
        db = sqlite3.connect(path, isolation_level=None)
        try:
            found: str = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        finally:
            db.close()
    except sqlite3.OperationalError:
        return ""  # locked, full, read-only: opening it says so
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if found == "ok" else found


def _set_aside(directory: str) -> None:
    """Move the database's files away; what cannot be moved shows when it is opened."""
    quarantine = f"{directory}/{QUARANTINE}"
    with suppress(OSError):
        os.makedirs(quarantine, mode=0o700, exist_ok=True)
        number = len(os.listdir(quarantine))
        for part in _PARTS:
            with suppress(FileNotFoundError):
                os.rename(f"{directory}/{FILE}{part}", f"{quarantine}/{FILE}.{number}{part}")
