"""Where the store of a bench is: two files in its home, or a database on a server that was started for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tabard.errors import TabardError
from tabard.home import Home
from tabard.ops.bench import ceiling, copying
from tabard.ops.bench.postgres import Postgres, programs
from tabard.ops.bench.result import Aim


class Database(ABC):
    """An engine of the store, as a bench deals with it."""

    helper: str
    """The module of the process that measures the bare insert."""
    forms: Sequence[str]
    """How that puts its rows to the database."""
    sizes: Sequence[int]
    """Rows in one transaction of the bare insert: the best of them is the ceiling."""
    rounds: int
    """How often run and ceiling take turns, so that all of it ends within three minutes."""

    @abstractmethod
    def settings(self) -> Mapping[str, str]:
        """For a home with an empty store."""

    @abstractmethod
    def where(self, home: Home, settings: Mapping[str, str]) -> str:
        """What `stored.connect` takes."""

    @abstractmethod
    def bare(self, place: Path) -> str:
        """Where the bare inserts go."""

    def server_cpu(self) -> Mapping[str, float]:
        """CPU seconds of the server so far: of all its processes, and of each kind."""
        return {}

    def settle(self) -> None:  # noqa: B027 -- files of one run are no burden to the next
        """Have done with what was written before, so that whoever is measured next begins as all others do."""

    def log_size(self, home: Home) -> int:  # noqa: ARG002 -- a server keeps it elsewhere
        """Bytes of the write-ahead log in the home."""
        return 0

    @abstractmethod
    def aims(self, ratio: Callable[..., float]) -> list[Aim]:
        """The aims; `ratio` of some forms is that of the chain's speed to their fastest bare insert, of none to any."""

    def close(self) -> None:  # noqa: B027 -- most have nothing to be closed
        """End what was started."""


class Files(Database):
    """SQLite."""

    helper = "tabard.ops.bench.ceiling"
    forms = tuple(ceiling.FORMS)
    sizes = (256, 1_024, 4_096, 16_384, 65_536)
    rounds = 4

    def settings(self) -> Mapping[str, str]:
        """Nothing: it is the default."""
        return {}

    def where(self, home: Home, settings: Mapping[str, str]) -> str:  # noqa: ARG002 -- the home says it
        """Its directory."""
        return str(home.store)

    def log_size(self, home: Home) -> int:
        """That of the records."""
        try:
            return home.store.joinpath("records.db-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def bare(self, place: Path) -> str:
        """A directory beside the homes."""
        return str(place / "ceiling")

    def aims(self, ratio: Callable[..., float]) -> list[Aim]:
        """What the issue of the chain asks, beside the plain form and beside the fastest one that is known."""
        return [
            Aim("ratio to a plain bulk insert", ratio(ceiling.PLAIN), ">=", 0.85, ""),
            Aim("ratio to the fastest bulk insert", ratio(), ">=", 0.85, ""),
        ]


class Served(Database):
    """PostgreSQL, with a server that waits for its disk as it is installed."""

    helper = "tabard.ops.bench.copying"
    forms = tuple(copying.FORMS)
    sizes = (4_096, 16_384, 65_536)
    rounds = 3

    def __init__(self) -> None:
        found = programs()
        if found is None:
            raise TabardError(
                "no server can be started",
                expected="the programs of PostgreSQL, on the PATH or below /usr/lib/postgresql",
                found="none",
                hint="Install the package postgresql",
            )
        self._server: Final = Postgres(found, ("shared_buffers=512MB", "max_wal_size=4GB"))

    def settings(self) -> Mapping[str, str]:
        """An empty database."""
        return {"store.url": self._server.database()}

    def where(self, home: Home, settings: Mapping[str, str]) -> str:  # noqa: ARG002 -- the settings say it
        """Its URL."""
        return settings["store.url"]

    def bare(self, place: Path) -> str:  # noqa: ARG002 -- not on this machine's own files
        """A database beside the others."""
        return self._server.database()

    def settle(self) -> None:
        """By a checkpoint, as before each bare COPY."""
        self._server.execute("CHECKPOINT")

    def server_cpu(self) -> Mapping[str, float]:
        """Of each kind of process that is there, by what it is connected for or does."""
        kinds = self._server.cpu_by_kind()
        return {"server": self._server.cpu_seconds(), **{f"server: {kind}": kinds[kind] for kind in kinds}}

    def aims(self, ratio: Callable[..., float]) -> list[Aim]:
        """Beside the fastest COPY of the sweep, over any number of connections and over one as the store has."""
        return [
            Aim("ratio to the best straight COPY", ratio(), ">=", 0.75, ""),
            Aim(
                "ratio to the best straight COPY over one connection",
                ratio(*copying.ONE_CONNECTION),
                ">=",
                0.75,
                "",
            ),
        ]

    def close(self) -> None:
        """End the server and remove its files."""
        self._server.close()


DATABASES: Final[Mapping[str, type[Database]]] = {"sqlite": Files, "postgresql": Served}
