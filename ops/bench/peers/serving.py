"""Database servers for those who need one: one for all who come one after the other, or one for each."""

from __future__ import annotations

from typing import Final

from tabard.errors import TabardError
from tabard.ops.bench.peers.processes import Server
from tabard.ops.bench.postgres import Postgres, programs
from tabard.ops.bench.surroundings import unbroken

_OPTIONS: Final = ("shared_buffers=512MB", "max_wal_size=4GB")
"""As an administrator sets them who has a gigabyte for it; it waits for its disk as it is installed."""


class Serving:
    """Starts servers, and ends all of them with `close`."""

    def __init__(self) -> None:
        self._servers: list[Postgres] = []
        self._first: Postgres | None = None

    def shared(self) -> Postgres:
        """The same for everybody who asks, with nothing left to be written of those before."""
        if self._first is None:
            self._first = self.own()
        self._first.execute("CHECKPOINT")
        return self._first

    def own(self) -> Postgres:
        """One for whoever asks. Raises TabardError where there is none."""
        found = programs()
        if found is None:
            raise TabardError(
                "no server can be started",
                found="no programs of PostgreSQL",
                hint="Install the package postgresql",
            )
        with unbroken():
            self._servers.append(Postgres(found, _OPTIONS))
        return self._servers[-1]

    def close(self) -> None:
        """End all."""
        while self._servers:
            server = self._servers.pop()
            Server(server).resume()  # a frozen one does not hear that it is to end
            server.close()
        self._first = None
