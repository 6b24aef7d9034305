"""What is done with one file, as a state machine."""

from __future__ import annotations

import csv
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import tabard
from tabard.fsm import Machine, State
from tabard.shell import shell
from tabard.templates import Templates

log: Final = logging.getLogger(__name__)


@dataclass
class Work:
    """One file, and what is needed to import it: the context of a run."""

    file: Path
    config: tabard.Config
    templates: Templates
    booked: int = 0

    @property
    def unpacked(self) -> Path:
        """Where its content lies in between."""
        return self.file.with_suffix("")

    def put(self, folder: str) -> None:
        """Move it out of the way of the next run."""
        target = Path(self.config.str("import.folder"), folder)
        target.mkdir(exist_ok=True)
        os.replace(self.file, target / self.file.name)
        self.unpacked.unlink(missing_ok=True)


def unpack(_: State, work: Work) -> str:
    """Unpacks the file beside itself."""
    command = work.templates.command("unpack", file=work.file)
    shell(command, name="unpack", timeout=work.config.seconds("import.timeout"), check=True)
    return "unpacked"


def book(_: State, work: Work) -> str:
    """Books its orders."""
    with work.unpacked.open(encoding="utf-8", newline="") as lines:
        orders = list(csv.DictReader(lines, strict=True))
    if len(orders) > work.config.int("import.most"):
        return f"{len(orders)} orders are too many"
    for order in orders:
        # Here a real application would write to its database. The fields user 1 and 2 are its own to use.
        log.debug("order %s", order["number"], extra={"user1": order["customer"]})
    work.booked = len(orders)
    work.put("done")
    log.info(
        work.templates.log("booked", file=work.file.name, orders=work.booked), extra={"orders": work.booked}
    )
    return "booked"


def put_aside(_: State, work: Work) -> str:
    """Puts the file aside for a person to look at."""
    work.put("failed")
    return "put aside"


def end(_: State, __: Work) -> str:
    """Ends."""
    return "ended"


_finished: Final = State("FINISHED", end, final=True)
_failed: Final = State("FAILED", put_aside, error=True, mail=True)
_book: Final = State("BOOK", book, default=_failed, on_error=_failed)
_unpack: Final = State("UNPACK", unpack, initial=True, on_error=_failed)
_unpack["unpacked"] = _book
_book["booked"] = _finished
_failed["put aside"] = _finished

machine: Final = Machine("Import", [_unpack, _book, _failed, _finished])
