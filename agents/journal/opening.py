"""What an epoch's first record says: the epoch before it, and in which state that was found."""

from __future__ import annotations

from typing import Any, NamedTuple

from tabard.agents.journal.segment import Prior
from tabard.brokers.wire.batch import NO_DIGEST
from tabard.brokers.wire.codec import pack


class Owner(NamedTuple):
    """Whose journal it is."""

    boot: str
    node: str
    zone: str
    version: str


class Opening(NamedTuple):
    """Why a new epoch begins."""

    reason: str
    """``start``, ``fork``, ``doubt`` or ``error``."""
    clean: bool = True
    """The epoch before it was closed in order."""
    power: bool = False
    """It was not, and the host was booted since: power may have been cut."""
    lost: int | None = None
    """Records lost at its end, at least; None when none are missed."""
    doubt: str | None = None
    """What cannot be decided."""
    forked: Prior | None = None
    """The epoch that is continued, where that is not the one written before."""


def open_body(opening: Opening, tip: Prior | None, owner: Owner, wall: int) -> bytes:
    """The body of an OPEN batch.

    ``previous``, ``previous_last`` and ``previous_digest`` name the epoch that this one follows. A fork of
    an older epoch names that one, and says by ``closes`` where the epoch ended that was written until now.
    """
    before = opening.forked or tip
    facts: dict[str, Any] = {
        "previous": before.epoch if before else None,
        "previous_last": before.last if before else 0,
        "previous_digest": before.digest if before else NO_DIGEST,
        "reason": opening.reason,
        "clean": opening.clean,
        "boot": owner.boot,
        "node": owner.node,
        "zone": owner.zone,
        "version": owner.version,
        "time": wall,
        "doubt": opening.doubt,
    }
    if opening.power:
        facts["power"] = True
    if opening.lost is not None:
        facts["lost"] = {"at_least": opening.lost, "reason": "torn"}
    if opening.forked and tip and tip.epoch != opening.forked.epoch:
        facts["closes"] = list(tip)
    return pack(facts)
