"""Who writes a stream: makes and signs its batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from tabard.agents.journal.segment import Prior
from tabard.brokers.delivery.seal import Pen, Seal
from tabard.brokers.wire.batch import (
    DATA,
    NO_DIGEST,
    OPEN,
    Batch,
    Header,
    body_digest,
    seal_batch,
)
from tabard.brokers.wire.codec import pack
from tabard.clock import Clock
from tabard.errors import JournalError
from tabard.records import MAX_BODY

FORK: Final = "fork"
"""Why an epoch begins when a sink holds more of the one before it than the node."""
_PENS_KEPT: Final = 4


class Owner(NamedTuple):
    """Whose journal it is, as the first record of each epoch says."""

    boot: str
    """Changes with every boot of the host."""
    node: str
    zone: str
    """The path of the node's zone."""
    version: str
    """The agent's."""


class Opening(NamedTuple):
    """Why a new epoch begins."""

    reason: str
    """``start``, `FORK`, ``doubt``, ``error`` or ``rotation``."""
    clean: bool = True
    """The epoch before it was closed in order."""
    power: bool = False
    """It was not, and the host was booted since: power may have been cut."""
    lost: int | None = None
    """Records lost at its end, at least; None when none are missed."""
    doubt: str | None = None
    """What cannot be decided."""


class Author:
    """Makes the batches of one stream of one node."""

    def __init__(
        self, stream: int, owner: Owner, *, clock: Clock, seal: Seal, entropy: Callable[[int], bytes]
    ) -> None:
        """Of the stream with that id; `seal` signs, and `entropy` gives as many random bytes as asked for: names of epochs."""
        self.stream = stream
        self.owner = owner
        self.clock = clock
        self._seal = seal
        self._pens: dict[bytes, Pen] = {}
        """Of the newest epochs, each to its end: an epoch has exactly one key, also if the next one could not be begun."""
        self._entropy = entropy

    def data(self, tip: Prior, body: bytes, count: int) -> Batch:
        """A batch of `count` records that follows `tip`. Raises JournalError when nobody could take it."""
        if len(body) > MAX_BODY:
            raise JournalError(
                "a batch is too large to be journaled",
                expected=f"a body of at most {MAX_BODY} bytes",
                found=f"{len(body)} bytes",
                hint="Divide what it holds; every broker and sink would drop it.",
            )
        pen = self._pens.get(tip.epoch, self._seal.pen)
        header = Header(
            self.stream,
            DATA,
            tip.epoch,
            pen.key_id,
            tip.last + 1,
            count,
            body_digest(body),
            tip.digest,
        )
        return seal_batch(header, body, pen.sign)

    def opening(self, opening: Opening, tip: Prior | None) -> Batch:
        """The first batch of a new epoch, after one that ended at `tip`.

        Its body names that one by ``previous``, ``previous_last`` and ``previous_digest``.
        """
        facts: dict[str, Any] = {
            "previous": tip.epoch if tip else None,
            "previous_last": tip.last if tip else 0,
            "previous_digest": tip.digest if tip else NO_DIGEST,
            "reason": opening.reason,
            "clean": opening.clean,
            **self.owner._asdict(),
            "time": self.clock.wall(),
            "doubt": opening.doubt,
        }
        if opening.power:
            facts["power"] = True
        if opening.lost is not None:
            facts["lost"] = {"at_least": opening.lost, "reason": "torn"}
        pen = self._seal.pen
        epoch = pen.epoch(self._entropy)
        rotation = self._seal.rotation(epoch, tip.epoch, tip.last, tip.digest) if tip else None
        if rotation is not None:
            facts["rotation"] = tuple(rotation)
        body = pack(facts)
        self._pens[epoch] = pen
        if len(self._pens) > _PENS_KEPT:
            del self._pens[next(iter(self._pens))]
        header = Header(self.stream, OPEN, epoch, pen.key_id, 1, 1, body_digest(body), NO_DIGEST)
        return seal_batch(header, body, pen.sign)
