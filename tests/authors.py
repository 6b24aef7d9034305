"""Who writes the journals of the tests."""

from __future__ import annotations

import os
from collections.abc import Callable

from tabard.agents.journal.author import Author, Owner
from tabard.brokers.delivery.seal import OpenSeal, Seal
from tabard.clock import Clock, SystemClock

OWNER = Owner("b", "web1", "hq", "1.0")


def author(
    stream: int,
    entropy: Callable[[int], bytes] = os.urandom,
    *,
    owner: Owner = OWNER,
    clock: Clock | None = None,
    seal: Seal | None = None,
) -> Author:
    """One of a stream, by the machine's clock and without a key of its own where nothing else is said."""
    return Author(stream, owner, clock=clock or SystemClock(), seal=seal or OpenSeal(), entropy=entropy)
