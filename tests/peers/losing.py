"""A peer that loses, doubles and swaps on purpose: a harness that does not see it sees nothing."""

from __future__ import annotations

import sys
from typing import Final, NoReturn

from tabard.ops.bench.peers import receiver, work
from tabard.ops.bench.peers.peer import Ground
from tabard.ops.bench.peers.processes import Process
from tabard.ops.bench.peers.scripts import Handler

DROPS: Final = 7
"""Every 7th record is not stored."""
DOUBLES: Final = 11
"""Every 11th of the others is stored twice."""
HOLDS: Final = 13
"""Every 13th of the others is stored after the one that follows it."""


class Careless:
    """What comes out for what goes in."""

    def __init__(self) -> None:
        self._held: list[int] = []

    def take(self, number: int) -> list[int]:
        """The numbers to be stored now."""
        if number % DROPS == 0:
            return []
        if number % HOLDS == 0 and number % DOUBLES:
            self._held.append(number)
            return []
        out = [number] * (2 if number % DOUBLES == 0 else 1) + self._held
        self._held = []
        return out


class Table(receiver.Table):
    """Rows in, by that rule."""

    def __init__(self, path: str, rows: int) -> None:
        super().__init__(path, rows)
        self._careless = Careless()
        self._rows_of: dict[int, receiver.Row] = {}

    def add(self, row: receiver.Row) -> None:
        """One in, any number out."""
        number = work.number_in(row[-1])
        self._rows_of[number] = row
        for out in self._careless.take(number):
            super().add(self._rows_of[out])


class Loser(Handler):
    """SocketHandler into a receiver with such a table."""

    title = "one that loses"

    def __init__(self, ground: Ground) -> None:
        super().__init__(ground)
        words = [str(self._port), str(ground.place / "log.db")]
        command = [sys.executable, "-m", "tests.peers.losing", *words]
        self.processes = [
            Process(command, ground.place, "receiver", self._port, {"PYTHONPATH": ":".join(sys.path)})
        ]


def main() -> NoReturn:
    """The receiver."""
    port, path = sys.argv[1:]
    receiver.from_sockets(int(port), Table(path, 100))


if __name__ == "__main__":
    main()
