"""Orders to an agent: small files in its journal's directory that a command leaves, and the agent carries out.

They are files so that they hold while no agent runs: the next one finds them before it sends anything. Each is removed
once it is done, and doing it twice changes nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tabard import files
from tabard.errors import JournalError, TabardError
from tabard.home import Home
from tabard.names import check_sink

RETIRE: Final = "retire"
RESTORE: Final = "restore"
_FOLDER: Final = "orders"
_MOST: Final = 4_096
"""Bytes of an order."""

_log = logging.getLogger(__name__)


class Order(NamedTuple):
    """What an agent is to do about a sink."""

    what: str
    """`RETIRE` or `RESTORE`."""
    sink: str
    who: str
    since: int
    """When it was given, nanoseconds since 1970 UTC."""


def give(home: Home, order: Order) -> Path:
    """Leave an order, durably; it is carried out once the file is gone. Raises OSError."""
    folder = home.journal / _FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{order.since:020d}-{os.urandom(4).hex()}.json"
    files.write_json(path, order._asdict())
    files.sync(folder)
    return path


def waiting(home: Home) -> Iterator[tuple[Path, Order | None]]:
    """The orders that are left, in the order they were given; None for a file that is none."""
    folder = home.journal / _FOLDER
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith(".json"))
    except OSError:
        return
    for name in names:
        yield folder / name, _read(folder / name)


def _read(path: Path) -> Order | None:
    content = files.read_json(path) if path.stat().st_size <= _MOST else None
    try:
        order = Order(**(content or {}))
        check_sink(order.sink)
    except (TypeError, TabardError):
        return None
    known = order.what in (RETIRE, RESTORE) and isinstance(order.who, str) and type(order.since) is int
    return order if known else None


def carry_out(home: Home, do: Callable[[Order], None]) -> None:
    """Do what is ordered, and remove each order that is done; one that cannot be done now stays."""
    for path, order in waiting(home):
        if order is None:
            _log.error("%s is no order of Tabard, it is removed", path)
        else:
            try:
                do(order)
            except JournalError as error:
                _log.error("%s of sink %s is put off: %s", order.what, order.sink, error)
                return
        files.remove(path)
