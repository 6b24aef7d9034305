"""Adding and releasing holds, by whoever is allowed to write the store: beside a recorder that runs, or without one.

Both parts of the store keep every hold. They are two databases on SQLite, and one after the other is changed: first
the control stream's, then that of the logs. What a kill leaves half done is listed, and done again by the same command.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from tabard import failpoints
from tabard.consumers.store import holds, marks, opening
from tabard.consumers.store.holds import Hold
from tabard.consumers.store.layout import FILES, FileKind, check_version
from tabard.consumers.store.place import Place
from tabard.consumers.store.reading import POSTGRESQL, Reading
from tabard.errors import UsageError

IDLE_SECONDS: Final = 5.0
"""How long a server lets a transaction stand still."""
BETWEEN: Final = failpoints.declare(
    "store.hold_between", "a hold is in one part of the store, not yet in the other"
)

_T = TypeVar("_T")
_COLUMNS: Final = ", ".join(holds.COLUMNS)
_VALUES: Final = ", ".join("?" * len(holds.COLUMNS))


def add(place: Place, hold: Hold) -> Hold:
    """Put a hold in force; once this returns nothing that falls under it is deleted any more.

    Raises:
        UsageError: a hold of that name is in force, and covers something else.
        StoreError: the store cannot be written.
    """
    return _in_both(place, lambda part: put(part, hold))[-1]


def release(place: Place, name: str, now: int, by: str, reason: str) -> Hold:
    """End a hold; what it covered goes with the next pass of retention if it is too old or too much.

    Raises:
        UsageError: no hold of that name is in force.
        StoreError: the store cannot be written.
    """
    found = [hold for hold in _in_both(place, lambda part: end(part, name, now, by, reason)) if hold]
    if not found:
        raise UsageError(
            "no hold of that name is in force",
            expected="one of those that `tabard store hold list` shows",
            found=name,
        )
    return found[-1]


def put(part: Reading, hold: Hold) -> Hold:
    """Put a hold in force in one part, in whose transaction `part` is. Raises UsageError as `add` does."""
    _lock(part)
    known = next((each for each in holds.listed(part, "") if each.name == hold.name), None)
    if known is None:
        part.execute(f"INSERT INTO hold ({_COLUMNS}) VALUES ({_VALUES})", hold)  # noqa: S608
        return hold
    if known[1:7] != hold[1:7]:
        raise UsageError(
            "a hold of that name is in force, and covers something else",
            expected="a name that no hold in force has",
            found=hold.name,
            hint="Take another name; `tabard store hold list` shows those in force",
        )
    return known


def end(part: Reading, name: str, now: int, by: str, reason: str) -> Hold | None:
    """End a hold in one part, in whose transaction `part` is; None: it is not in force there."""
    _lock(part)
    found = next((hold for hold in holds.listed(part, "") if hold.name == name), None)
    if found is None:
        return None
    part.execute(
        "UPDATE hold SET released = ?, released_by = ?, release_reason = ? WHERE name = ? AND released IS NULL",
        (now, by, reason, name),
    )
    # What it covered was passed over: retention has to look there again.
    part.execute("DELETE FROM retention_mark WHERE name LIKE ?", (marks.LEVELS,))
    return found._replace(released=now, released_by=by, release_reason=reason)


def _lock(part: Reading) -> None:
    """Wait until every deletion has ended that does not know of what follows."""
    if part.sql is POSTGRESQL:
        part.execute("SELECT pg_advisory_xact_lock(?)", (holds.LOCK,)).fetchall()


def _in_both(place: Place, change: Callable[[Reading], _T]) -> list[_T]:
    """Run `change` in a transaction on each part; its answers."""
    done: list[_T] = []
    for kind in reversed(FILES):
        if done:
            failpoints.hit(BETWEEN)
        with _changing(place, kind) as part:
            done.append(change(part))
    return done


@contextlib.contextmanager
def _changing(place: Place, kind: FileKind) -> Iterator[Reading]:
    """A transaction on one part. Raises StoreError."""
    if place.url:
        with opening.served(place, kind, "tabard store hold", idle=IDLE_SECONDS) as served:
            served.execute("BEGIN")
            yield served
            served.execute("COMMIT")
        return
    with opening.file(place, kind) as file:
        file.execute("BEGIN IMMEDIATE")
        # Within the transaction: a store that is moved away is not changed.
        check_version(file, str(opening.path_of(place, kind)))
        yield file
        file.execute("COMMIT")
