"""The only way by which herald and the command line write to the store: a transaction on the tables of people, and on no others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

from tabard.consumers.store import opening
from tabard.consumers.store.layout import STATE, check_version
from tabard.consumers.store.place import Place
from tabard.consumers.store.reading import Reading

TABLES: Final = ("person", "person_session", "person_token", "person_link")
IDLE_SECONDS: Final = 5.0
"""How long a server lets a transaction stand still."""


class Change:
    """An open transaction. What it does names one of `TABLES`, and columns that this program spells, never a user."""

    def __init__(self, part: Reading) -> None:
        self.part = part

    def insert(self, table: str, values: dict[str, Any]) -> None:
        """Add a row."""
        names = ", ".join(values)
        marks = ", ".join("?" * len(values))
        self.part.execute(f"INSERT INTO {_known(table)} ({names}) VALUES ({marks})", tuple(values.values()))  # noqa: S608

    def update(self, table: str, values: dict[str, Any], where: str, given: tuple[Any, ...]) -> None:
        """Change the rows that meet a condition."""
        sets = ", ".join(f"{name} = ?" for name in values)
        self.part.execute(f"UPDATE {_known(table)} SET {sets} WHERE {where}", (*values.values(), *given))  # noqa: S608

    def delete(self, table: str, where: str, given: tuple[Any, ...]) -> None:
        """Remove the rows that meet a condition."""
        self.part.execute(f"DELETE FROM {_known(table)} WHERE {where}", given)  # noqa: S608


@contextlib.contextmanager
def changing(place: Place) -> Iterator[Change]:
    """A transaction that sees no other one's half; it is taken back when an error leaves it. Raises StoreError."""
    if place.url:
        with opening.served(place, STATE, "tabard people", idle=IDLE_SECONDS) as served:
            served.execute("BEGIN")
            # Two who change at once would each see what the other has not said yet, such as that there is an admin.
            served.execute("LOCK TABLE person IN SHARE ROW EXCLUSIVE MODE")
            yield Change(served)
            served.execute("COMMIT")
        return
    with opening.file(place, STATE) as file:
        file.execute("BEGIN IMMEDIATE")
        check_version(file, str(opening.path_of(place, STATE)))
        yield Change(file)
        file.execute("COMMIT")


def _known(table: str) -> str:
    if table not in TABLES:
        raise ValueError(f"not a table of people: {table!r}")
    return table
