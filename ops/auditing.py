"""A record in the log of what has to be answered for, beside its entry in the audit."""

from __future__ import annotations

import contextlib
import time
from typing import Final

from tabard.audit import somebody as who
from tabard.errors import IntakeError
from tabard.home import Home
from tabard.records import LOG_FIELDS, SEVERITIES

__all__ = ["record", "who"]

LOGGER: Final = "tabard.audit"
_PATIENCE: Final = 5.0


def record(home: Home, message: str, *, service: str = "tabard", attributes: str | None = None) -> None:
    """Say so in the log, too; the store itself has it for good, so an agent that is not there is no failure."""
    from tabard.client import IntakeClient

    values = {"time": time.time_ns(), "severity": SEVERITIES["NOTICE"], "level": "NOTICE", "service": service,
              "logger": LOGGER, "message": message, "attributes": attributes}  # fmt: skip
    client = IntakeClient(home.socket("intake.sock"), f"audit-{time.time_ns()}", timeout=_PATIENCE)
    with contextlib.closing(client), contextlib.suppress(IntakeError, OSError):
        client.connect()
        client.send([tuple(values.get(name) for name in LOG_FIELDS)])
        client.flush(_PATIENCE)
