"""The seal of one role of a home, whatever keys the home has just now: taken up when they come, change, or are gone.

A home without ``trust/`` goes unsigned, as one machine may. One that has it, and no key in it that the role can use, signs nothing
and believes nobody until that is mended: the records wait.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tabard.brokers.delivery.ports import Attested, NodeKey
from tabard.brokers.delivery.seal import ClosedSeal, OpenSeal, Pen, Seal
from tabard.brokers.trust.certificates import NODE, RECORDER, Certificate, read, when
from tabard.brokers.trust.files import Trust
from tabard.brokers.trust.keyfiles import KeyFile
from tabard.brokers.trust.keys import PrivateKey
from tabard.brokers.trust.seal import KeySeal, when_it_held
from tabard.brokers.wire.batch import Batch
from tabard.brokers.wire.credentials import Chain
from tabard.brokers.wire.messages import Message
from tabard.brokers.wire.rotation import Proof, Rotation
from tabard.clock import Clock
from tabard.errors import TrustError
from tabard.home import Home

if TYPE_CHECKING:
    from tabard.brokers.wire.attested import AttestedBody

SOON: Final = 30 * 86_400 * 1_000_000_000
"""Nanoseconds before its end from which on a certificate is said to run out."""

_log = logging.getLogger(__name__)


def lasting(own: Certificate, trust: Trust | None, now: int) -> dict[str, Any]:
    """For a status file: the ``key`` of a role, when the first certificate that it hangs on ends (``until``), and as a ``fault`` that this is soon."""
    chain = [read(each).certificate for each in trust.chain(own.role, own.path)] if trust is not None else []
    roots = [trust.directory.root] if trust is not None else []
    ends = min((own, *chain, *roots), key=lambda each: each.until)
    left = ends.until - now
    did = "ended" if left <= 0 else "ends"
    words = f"the certificate of {ends} {did} on {when(ends.until)}: renew it where its authority is, tabard keys renew, and join the new roster"
    return {"key": own.key_id.hex(), "until": ends.until, "fault": words if left < SOON else None}


class RoleSeal:
    """Delegates to the seal that the home's keys make; `look` takes up what changed."""

    def __init__(
        self,
        home: Home,
        clock: Clock,
        who: str,
        mine: Callable[[KeyFile], bool],
        trust: Trust | None = None,
    ) -> None:
        """`mine` says which key of the home is this role's, and `who` says it in words; `trust`, where it was read already."""
        self.fault: str | None = None
        """Why the keys of the home cannot be used."""
        self._home = home
        self._clock = clock
        self._who = who
        self._mine = mine
        self.trust: Trust | None = trust
        """The keys and rosters of the home; None while it has none."""
        self._edition = -1
        self._boxed: tuple[PrivateKey, ...] = ()
        """The keys that boxes for this role are made for: the one of now, and the one before it."""
        self._inner: Seal = OpenSeal()
        self._take()

    @classmethod
    def of_node(cls, home: Home, clock: Clock, node: NodeKey, trust: Trust | None = None) -> RoleSeal:
        """The seal of the home's agent."""

        def mine(file: KeyFile) -> bool:
            own = file.certificate
            return own is not None and own[:3] == (NODE, node.node, node.zone)

        return cls(home, clock, f"node {node.node} of {node.zone}", mine, trust)

    @classmethod
    def of_recorder(cls, home: Home, clock: Clock, sink: str, trust: Trust | None = None) -> RoleSeal:
        """The seal of the home's recorder."""

        def mine(file: KeyFile) -> bool:
            own = file.certificate
            return own is not None and own.role == RECORDER and sink in own.sinks

        return cls(home, clock, f"a recorder of sink {sink}", mine, trust)

    def look(self) -> bool:
        """See whether the files changed, and take up what they say; whether anything is different now."""
        trust = self.trust
        if trust is None:
            if not self._home.trust.exists():
                return False
            before = self.fault
            self._take()
            return self.trust is not None or self.fault != before
        try:
            trust.reload()
        except TrustError as error:
            self._close(str(error))
            self._edition = -1  # whatever mends it is taken up, also where no file is another one then
            return True
        if trust.edition == self._edition:
            return False
        self._take_up(trust)
        return True

    def _take(self) -> None:
        try:
            if self.trust is None:
                self.trust = Trust.load(self._home, self._clock)
        except TrustError as error:
            self._close(str(error))
        else:
            if self.trust is not None:
                self._take_up(self.trust)

    def _take_up(self, trust: Trust) -> None:
        self._edition = trust.edition
        files = [file for file in trust.owned() if self._mine(file)]
        if not files:
            self._close(f"this home has keys, and none of {self._who}: see tabard keys list")
            return
        file = max(files, key=lambda each: each.made)
        chains = [trust.chain(file.role, file.path), *self._former(trust, file)]
        try:
            if isinstance(self._inner, KeySeal):
                self._inner.renew(trust.directory, file.key, chains, file.former)
            else:
                self._inner = KeySeal(trust.directory, file.key, chains, self._clock.wall, file.former)
        except TrustError as error:
            self._close(str(error))
            return
        self._boxed = tuple(key for key in (file.key, file.former) if key is not None)
        self.fault = None

    def unbox(self, box: bytes) -> bytes | None:
        """What is in a box for this role's key, or for the one before it; None where it is for nobody here, or altered."""
        return next((found for key in self._boxed if (found := key.unbox(box)) is not None), None)

    def _former(self, trust: Trust, file: KeyFile) -> list[Chain]:
        """The chain of the key before, as long as its certificate is known: epochs of it may still be kept."""
        known = trust.directory.by_key(file.former.public.key_id) if file.former else None
        if known is None:
            return []
        try:
            return [trust.directory.chain(known, when_it_held(known, self._clock.wall()))]
        except TrustError:
            return []  # revoked, or the key above it: what it signed is believed by nobody

    def _close(self, fault: str) -> None:
        if fault != self.fault:
            _log.error("no keys can be used, so nothing is signed and nobody believed: %s", fault)
        self.fault = fault
        self._inner = ClosedSeal()
        self._boxed = ()

    def __str__(self) -> str:
        inner = self._inner
        if isinstance(inner, KeySeal):
            return f"{inner.own} signs with key {inner.own.key_id.hex()}"
        return self.fault or "nothing is signed"

    def status(self) -> dict[str, Any]:
        """For the status file: the id of the key that signs, and what is wrong with it."""
        inner = self._inner
        if not isinstance(inner, KeySeal):
            return {"key": None, "until": None, "fault": self.fault}
        return lasting(inner.own, self.trust, self._clock.wall())

    def unfit(self) -> str | None:
        """Why nobody believes this role, whatever it says; None when its key holds, and when the home has no keys."""
        inner = self._inner
        if isinstance(inner, KeySeal):
            why = inner.refuses_credentials(inner.credentials)
            return f"the key of {inner.own} is not believed any more: {why}" if why else None
        return self.fault

    @property
    def own(self) -> Certificate | None:
        """The certificate of the key that signs; None where none does."""
        return self._inner.own if isinstance(self._inner, KeySeal) else None

    # --- the seal --------------------------------------------------------------------------

    @property
    def pen(self) -> Pen:
        """The key that signs from now on."""
        return self._inner.pen

    @property
    def credentials(self) -> bytes:
        """What proves whose it is."""
        return self._inner.credentials

    def rotation(
        self, epoch: bytes, previous: bytes, previous_last: int, previous_digest: bytes
    ) -> Rotation | None:
        """The word of the key before this one."""
        return self._inner.rotation(epoch, previous, previous_last, previous_digest)

    def refuses_word(self, credentials: bytes, head: bytes, word: bytes) -> str:
        """Why the key of now did not say so."""
        return self._inner.refuses_word(credentials, head, word)

    def refuses_rotation(self, batch: Batch, proof: Proof, node: NodeKey) -> str:
        """Why the key before cannot have said so."""
        return self._inner.refuses_rotation(batch, proof, node)

    def refuses_credentials(self, credentials: bytes) -> str:
        """Why these do not hold any more."""
        return self._inner.refuses_credentials(credentials)

    def chain_of(self, key_id: bytes) -> bytes:
        """The chain of a key."""
        return self._inner.chain_of(key_id)

    def refuses_beacon(self, message: Message, node: NodeKey) -> str:
        """Why a message is not a beacon of `node`."""
        return self._inner.refuses_beacon(message, node)

    def refuses_batch(self, batch: Batch, node: NodeKey) -> str:
        """Why a batch is not one of `node`."""
        return self._inner.refuses_batch(batch, node)

    def refuses_sink(self, message: Message, sink: str) -> str:
        """Why a message is not the word of `sink`."""
        return self._inner.refuses_sink(message, sink)

    def attested(self, batch: Batch, body: AttestedBody, node: NodeKey) -> str | tuple[Attested, ...]:
        """By whom the body of a batch was changed on its way, or why nobody may have."""
        return self._inner.attested(batch, body, node)
