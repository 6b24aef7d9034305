"""What the agent writes into records that do not name it: the product, the system and the other ids of this node."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, Final

from tabard.records import LOG_INDEX


class Defaults:
    """Values for fields that a record leaves empty. False when there are none, so that nobody has to look."""

    def __init__(
        self,
        *,
        product: str = "",
        system: str = "",
        subsystem: str = "",
        subsubsystem: str = "",
        user1: str = "",
        user2: str = "",
    ) -> None:
        given = {"product": product, "system": system, "subsystem": subsystem, "subsubsystem": subsubsystem}
        given |= {"user1": user1, "user2": user2}
        self._fields = [(LOG_INDEX[name], value) for name, value in given.items() if value]
        self._readers = [itemgetter(position) for position, _value in self._fields]

    def __bool__(self) -> bool:
        return bool(self._fields)

    def named(self, records: Sequence[Any]) -> bool:
        """Whether all records, each of full width, name everything there is a default for."""
        return all(all(map(reader, records)) for reader in self._readers)

    def fill(self, record: tuple[Any, ...]) -> tuple[Any, ...]:
        """``record``, of full width, with its empty fields filled."""
        if not self._fields or self.named((record,)):
            return record
        values = list(record)
        for position, value in self._fields:
            values[position] = values[position] or value
        return tuple(values)


NO_DEFAULTS: Final = Defaults()
