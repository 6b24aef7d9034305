"""Putting commands on their way: each in a box for its node's key, in a message that the dispatcher's key signs."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence

from tabard import failpoints
from tabard.brokers import sockets
from tabard.brokers.numbering import Numbering
from tabard.brokers.topology import Ends
from tabard.brokers.trust.certificates import DISPATCHER, NODE
from tabard.brokers.trust.commanding import Issuer, command_message
from tabard.brokers.trust.files import Trust
from tabard.brokers.trust.keys import PublicKey
from tabard.brokers.wire.command import Order
from tabard.brokers.wire.hop import BOOT_BYTES
from tabard.brokers.wire.topics import down_topic
from tabard.consumers.commands.ports import Item, Place
from tabard.errors import RefusedError, TabardError, TrustError, WireError

SENT = failpoints.declare("dispatcher.sent", "a dispatcher sent a command")

_log = logging.getLogger(__name__)


class Carrier:
    """Sends to the brokers below."""

    def __init__(self, trust: Trust, made: sockets.Sockets, ends: Sequence[Ends]) -> None:
        self.fault: str | None = None
        """Why nothing can be sent."""
        self.counters: Counter[str] = Counter()
        self._trust = trust
        self._made = made
        self._down = made.publisher()
        self._missing = list(ends)
        self._numbering = Numbering(os.urandom(BOOT_BYTES))
        self._changes = 0

    def look(self) -> None:
        """Connect where that was not possible yet: a key may have come."""
        try:
            while self._missing:
                self._made.connect(self._down, self._missing[0].down)
                self._missing.pop(0)
        except TabardError as error:
            self._tell(str(error))
            return
        self._tell(
            None
            if self.issuer() is not None
            else "this home has no key of a dispatcher: tabard up makes it where the authority of its zone is here, else tabard node add --sink there, and tabard join"
        )

    def _tell(self, fault: str | None) -> None:
        if fault is not None and fault != self.fault:
            _log.error("no command is sent: %s", fault)
        self.fault = fault

    def issuer(self) -> Issuer | None:
        """The dispatcher's own key, the newest of this home."""
        files = [file for file in self._trust.owned() if file.role == DISPATCHER and file.certificate]
        if not files:
            return None
        file = max(files, key=lambda each: each.made)
        chain = self._trust.chain(file.role, file.path)
        return Issuer(file.key, chain) if chain else None

    def knows(self, place: Place, now: int) -> bool:
        """Whether a node has a key, so that it can be commanded."""
        zone, node = place
        return bool(self._trust.directory.certificates(NODE, zone, node, now))

    def key_of(self, place: Place, now: int) -> PublicKey:
        """The key for whose owner alone a command is. Raises RefusedError when none is known."""
        zone, node = place
        found = self._trust.directory.certificates(NODE, zone, node, now)
        if not found:
            raise RefusedError(
                "the key of a node is not known here",
                expected="a certificate in the rosters of this home",
                found=f"none of node {node} of {zone}",
                hint="See tabard keys list",
            )
        return found[0].key

    def send(self, item: Item, order: Order, now: int) -> None:
        """Once; what cannot be sent is counted, and tried again with the next nonce."""
        issuer = self.issuer()
        if issuer is None or self._missing:
            self.counters["not sent: no key, or no connection"] += 1
            return
        changes = self._made.changes(self._down)
        if changes != self._changes:
            self._changes = changes
            self._numbering.joined()
        try:
            key = self.key_of(item.place, now)
            envelope = self._numbering.envelope(down_topic(item.zone, item.node))
            nonce = item.course.nonce
            message = command_message(order, item.node, item.zone, key, issuer, nonce, now, envelope)
        except (RefusedError, TrustError, WireError) as error:
            self.counters["not sent: no key of the node"] += 1
            _log.warning("a command was not sent: %s", error)
            return
        sockets.send(self._down, message)
        self.counters["sent"] += 1
        failpoints.hit(SENT)
