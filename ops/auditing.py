"""Who does something that has to be answered for, and a record of it in the log."""

from __future__ import annotations

import contextlib
import os
import pwd
import time
from typing import Final

from tabard.errors import IntakeError
from tabard.home import Home
from tabard.records import LOG_FIELDS, SEVERITIES

LOGGER: Final = "tabard.audit"
_PATIENCE: Final = 5.0


def who() -> str:
    """The user of this process, and who became it by sudo, on which host."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = f"uid {os.getuid()}"
    behind = os.environ.get("SUDO_USER", "")
    by = f" (sudo by {behind})" if behind and behind.isprintable() and behind != user else ""
    return f"{user}@{os.uname().nodename}{by}"


def record(home: Home, message: str) -> None:
    """Say so in the log, too; the store itself has it for good, so an agent that is not there is no failure."""
    from tabard.client import IntakeClient

    values = {"time": time.time_ns(), "severity": SEVERITIES["NOTICE"], "level": "NOTICE", "service": "tabard",
              "logger": LOGGER, "message": message}  # fmt: skip
    client = IntakeClient(home.socket("intake.sock"), f"audit-{time.time_ns()}", timeout=_PATIENCE)
    with contextlib.closing(client), contextlib.suppress(IntakeError, OSError):
        client.connect()
        client.send([tuple(values.get(name) for name in LOG_FIELDS)])
        client.flush(_PATIENCE)
