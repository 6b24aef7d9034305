"""Taking Tabard off a host, and looking that nothing of it is left; its name becomes a tombstone of its zone first.

Cut off anywhere, the host stays in the register as ``uninstalling``, and the same command again goes on.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Final, NamedTuple

from tabard.brokers.trust import members
from tabard.clock import wall
from tabard.errors import TabardError, UsageError
from tabard.home import Home
from tabard.ops.auditing import record, who
from tabard.ops.hosts.fleet.ports import HostUnreachable
from tabard.ops.hosts.reaching import Reaching
from tabard.ops.hosts.register import UNINSTALLING, Listed, Register
from tabard.ops.keys import changing

ROWS: Final = ("host", "zone", "did", "reason")


class Gone(NamedTuple):
    """What became of one host."""

    host: str
    zone: str
    did: str
    """``uninstalled``, ``forgotten`` (only here), ``failed`` or ``unreachable``."""
    reason: str | None = None


def uninstall(home: Home, host: Listed, *, keep_data: bool, forget: bool) -> Gone:
    """Take it off one host; a failure is what is returned. ``forget``: also if it cannot be reached, then only here."""
    register = Register(home)
    try:
        register.put(host._replace(state=UNINSTALLING, changed=wall()))
        with changing(home) as trust:
            names = [(role, host.name) for role in members.HOST]
            with suppress(UsageError):  # it is no member any more: that was done before this was cut off
                members.remove(trust, host.zone, names, time.time_ns())
        left = Reaching(home).remove(host, keep_data=keep_data)
        if left:
            return Gone(host.name, host.zone, "failed", "left there: " + ", ".join(left))
    except HostUnreachable as error:
        if not forget:
            return Gone(host.name, host.zone, "unreachable", str(error))
        register.drop(host.name)
        record(home, f"host {host.name} of {host.zone} forgotten by {who()}")
        return Gone(host.name, host.zone, "forgotten", str(error))
    except TabardError as error:
        return Gone(host.name, host.zone, "failed", str(error))
    register.drop(host.name)
    record(home, f"host {host.name} of {host.zone} uninstalled by {who()}")
    return Gone(host.name, host.zone, "uninstalled")
