"""The seal of a role that has a key: signs its words, and believes others by the certificates that lead to the pinned root.

* A node's key signs for its own name and zone only, a recorder's only for the sink that its certificate names, and only to nodes
  in its zone and below it whose own certificate names that sink: the authority of a zone beside cannot make a sink for them.
* Whatever is no batch brings the chain of its key along. A chain proves itself, so it is taken in before the signature is
  looked at; the same bytes again cost a digest.
* A batch names its key. Its epoch's name says which key opened it, and no other signs there. A gap, and what was cut before its
  node had a key, names none: it is signed when it is sent, by the key that the node has then.
* A key that was replaced still proves what it signed, also when its certificate has run out meanwhile: a record may wait longer
  than a certificate lasts. One that was revoked, or whose name was taken out, proves nothing any more: what it signed is
  told from what anybody else did, since it goes to quarantine.
* What a key signed that is not the one of now goes out with the word of the one of now beside: that the node keeps this very batch.
* A key that no certificate here names may be of a root that was lost: then that word is all there is, and the sink takes it.
* Where another key opens an epoch than the one before it, the old key says so too, if it is still here and was not revoked.
* A certificate that is not valid yet, by this clock, is believed: its authority wrote it, so it is the clock that is wrong.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tabard.brokers.delivery import seal as why
from tabard.brokers.delivery.ports import Attested, NodeKey
from tabard.brokers.trust import reasons
from tabard.brokers.trust.certificates import NODE, RECORDER, Certificate, read
from tabard.brokers.trust.directory import Directory
from tabard.brokers.trust.keys import ROTATION, WIRE, PrivateKey
from tabard.brokers.wire.batch import GAP, Batch, epoch_of, is_epoch_of
from tabard.brokers.wire.credentials import Chain, decode_credentials, encode_credentials
from tabard.brokers.wire.messages import Message
from tabard.brokers.wire.rotation import Proof, Rotation, rotation_words
from tabard.digests import digest
from tabard.errors import TrustError, WireError
from tabard.names import zone_within

if TYPE_CHECKING:
    from tabard.brokers.policy.proving import Proving
    from tabard.brokers.wire.attested import AttestedBody

MOST_KNOWN: Final = 20_000
"""Credentials remembered by their digest."""
LOOK_AGAIN: Final = 1_000_000_000
"""Nanoseconds for which a key that was looked up is not looked up again, unless something was taken in meanwhile."""
_WORDS: Final = {
    reasons.EXPIRED: why.EXPIRED,
    reasons.EARLY: why.EXPIRED,
    reasons.REVOKED: why.REVOKED,
    reasons.REMOVED: why.REVOKED,
}
"""What a refusal of the directory is called here; all others: `UNPROVEN`."""


class KeyPen:
    """A key that signs what travels."""

    def __init__(self, key: PrivateKey) -> None:
        self.key_id = key.public.key_id
        self._key = key

    def sign(self, head: bytes) -> bytes:
        """The signature of `head`, 64 bytes."""
        return self._key.sign(WIRE, head)

    def epoch(self, entropy: Callable[[int], bytes]) -> bytes:
        """A new name of an epoch that shows this key."""
        return epoch_of(self.key_id, entropy)

    def __deepcopy__(self, memo: dict[int, Any]) -> KeyPen:
        return self  # it never changes, and a private key is not copied


class _Looked(NamedTuple):
    """A key that was looked up for a node."""

    until: int
    certificate: Certificate | None
    """None when there is nothing to verify with."""
    why: str
    """Why its signatures are not believed, also where they are right."""


class KeySeal:
    """Signs with the newest of a role's keys; `wall` is nanoseconds since 1970 by this host's clock."""

    def __init__(
        self,
        directory: Directory,
        key: PrivateKey,
        chains: Sequence[Chain],
        wall: Callable[[], int],
        former: PrivateKey | None = None,
    ) -> None:
        """`chains` are those of the key, then those of keys before it whose epochs may still be kept. Raises TrustError.

        `former` is the last of those keys, if it is here.
        """
        self._wall = wall
        self._proven: OrderedDict[bytes, Certificate] = OrderedDict()
        """Whose credentials were taken in, by their digest."""
        self._looked: dict[tuple[bytes, NodeKey], _Looked] = {}
        self.renew(directory, key, chains, former)

    def renew(
        self,
        directory: Directory,
        key: PrivateKey,
        chains: Sequence[Chain],
        former: PrivateKey | None = None,
    ) -> None:
        """Go on with other keys, certificates or rosters: what was verified is looked at anew. Raises TrustError."""
        own = read(chains[0][-1]).certificate if chains and chains[0] else None
        if own is None or own.key != key.public:
            raise TrustError(
                "a key without its certificate",
                reason=reasons.MALFORMED,
                expected=f"a chain down to {key!r}",
                found="none" if own is None else str(own),
            )
        self._directory = directory
        self._proving: Proving | None = None
        self._own = own
        self._pen = KeyPen(key)
        self._former = former
        self._credentials = encode_credentials(chains)
        self.forget()

    def forget(self) -> None:
        """Something was taken into the directory, or out of it."""
        self._proven.clear()
        self._looked.clear()
        if self._proving is not None:
            self._proving.forget()

    # --- signing ---------------------------------------------------------------------------

    @property
    def own(self) -> Certificate:
        """The certificate of the key that signs."""
        return self._own

    @property
    def pen(self) -> KeyPen:
        """The key that signs from now on."""
        return self._pen

    @property
    def credentials(self) -> bytes:
        """The chains of this role."""
        return self._credentials

    def rotation(
        self, epoch: bytes, previous: bytes, previous_last: int, previous_digest: bytes
    ) -> Rotation | None:
        """The word of the key before, if it opened `previous` and may still speak."""
        former = self._former
        if former is None or is_epoch_of(previous, self._own.key_id):
            return None
        old, new = former.public.key_id, self._own.key_id
        if not is_epoch_of(previous, old) or self._directory.revoked(old) is not None:
            return None
        words = rotation_words(new, epoch, previous, previous_last, previous_digest)
        return Rotation(old, new, former.sign(ROTATION, words))

    # --- believing -------------------------------------------------------------------------

    def refuses_beacon(self, message: Message, node: NodeKey) -> str:
        """Why a message is not one of `node`."""
        found = self._signer(message)
        if isinstance(found, str):
            return found
        if (found.role, found.zone, found.name) != (NODE, node.zone, node.node):
            return why.FOREIGN
        return self._verified(found, message.head, message.signature)

    def refuses_sink(self, message: Message, sink: str) -> str:
        """Why a message is not the word of `sink` to this node."""
        found = self._signer(message)
        if isinstance(found, str):
            return found
        if found.role != RECORDER or sink not in found.sinks or not zone_within(self._own.zone, found.zone):
            return why.FOREIGN
        if sink not in self._own.sinks:
            return why.UNWANTED
        return self._verified(found, message.head, message.signature)

    def refuses_batch(self, batch: Batch, node: NodeKey) -> str:
        """Why a batch is not one of `node`."""
        if not batch.signature:
            return why.UNSIGNED
        header = batch.header
        if not header.key_id:
            return self._of_now(batch, node)
        found = self._look_up(header.key_id, node)
        if found.certificate is None:
            return found.why
        if header.kind != GAP and not is_epoch_of(header.epoch, header.key_id):
            return why.EPOCH
        return self._verified(found.certificate, batch.head, batch.signature) or found.why

    def refuses_word(self, credentials: bytes, head: bytes, word: bytes) -> str:
        """Why `word` does not say that whoever is believed by `credentials` keeps the batch of that `head`."""
        found = self._believed(credentials) if credentials else why.UNPROVEN
        if isinstance(found, str):
            return found
        return why.UNVOUCHED if not word else self._verified(found, head, word)

    def refuses_rotation(self, batch: Batch, proof: Proof, node: NodeKey) -> str:
        """Why the old key cannot have said what stands in the opening `batch`."""
        rotation, header = proof.rotation, batch.header
        if rotation is None:
            return ""
        if rotation.key_id != header.key_id or not is_epoch_of(proof.previous, rotation.former):
            return why.EPOCH
        found = self._look_up(rotation.former, node)
        if found.certificate is None:
            return why.FOREIGN if found.why == why.FOREIGN else ""
        words = rotation_words(rotation.key_id, header.epoch, *proof[1:])
        return "" if found.certificate.key.verifies(ROTATION, words, rotation.signature) else why.FORGED

    def refuses_credentials(self, credentials: bytes) -> str:
        """Why these credentials do not hold any more."""
        if not credentials:
            return why.UNSIGNED
        found = self._believed(credentials)
        return found if isinstance(found, str) else ""

    def chain_of(self, key_id: bytes) -> bytes:
        """The chain of a key, as near to now as it held."""
        certificate = self._directory.by_key(key_id)
        if certificate is None:
            return b""
        try:
            chain = self._directory.chain(certificate, when_it_held(certificate, self._wall()))
        except TrustError:
            return b""
        return encode_credentials([chain])

    def attested(self, batch: Batch, body: AttestedBody, node: NodeKey) -> str | tuple[Attested, ...]:
        """By whom the body of a batch was changed on its way, or why nobody may have."""
        if self._proving is None:
            from tabard.brokers.policy.proving import Proving  # only a sink hears of policies

            self._proving = Proving(self._directory, self._own.zone, self._wall)
        return self._proving.attested(batch, body, node)

    def _of_now(self, batch: Batch, node: NodeKey) -> str:
        """A batch that names no key is signed by one that its node has now."""
        known = self._directory.certificates(NODE, node.zone, node.node, self._wall())
        if not known:
            return why.UNKNOWN
        if batch.header.kind != GAP and any(is_epoch_of(batch.header.epoch, each.key_id) for each in known):
            return why.EPOCH
        verified = any(not self._verified(each, batch.head, batch.signature) for each in known)
        return "" if verified else why.FORGED

    @staticmethod
    def _verified(certificate: Certificate, head: bytes, signature: bytes) -> str:
        return "" if certificate.key.verifies(WIRE, head, signature) else why.FORGED

    def _look_up(self, key_id: bytes, node: NodeKey) -> _Looked:
        now = self._wall()
        looked = self._looked.get((key_id, node))
        if looked is None or not 0 <= looked.until - now <= LOOK_AGAIN:
            if len(self._looked) >= MOST_KNOWN:
                self._looked.clear()
            looked = self._looked[key_id, node] = self._look(key_id, node, now)
        return looked

    def _look(self, key_id: bytes, node: NodeKey, now: int) -> _Looked:
        until = now + LOOK_AGAIN
        certificate = self._directory.by_key(key_id)
        if certificate is None:  # the root may have taken back what nobody has a certificate of
            return _Looked(until, None, why.REVOKED if self._directory.revoked(key_id) else why.UNKNOWN)
        if (certificate.role, certificate.zone, certificate.name) != (NODE, node.zone, node.node):
            return _Looked(until, None, why.FOREIGN)
        try:
            self._directory.check(certificate, when_it_held(certificate, now))
        except TrustError as error:
            found = _WORDS.get(error.reason, why.UNPROVEN)
            return _Looked(until, certificate if found == why.REVOKED else None, found)
        return _Looked(until, certificate, "")

    def _signer(self, message: Message) -> Certificate | str:
        """Whose key signed, by its own account; or why nobody knows."""
        if not message.signature:
            return why.UNSIGNED
        return self._believed(message.body) if message.body else why.UNPROVEN

    def _believed(self, credentials: bytes) -> Certificate | str:
        """Whose credentials these are; or why that is nobody's business any more."""
        name, now = digest(credentials), self._wall()
        certificate = self._proven.get(name)
        try:
            if certificate is None:
                certificate = self._take(credentials, now)
                self._proven[name] = certificate
                if len(self._proven) > MOST_KNOWN:
                    self._proven.popitem(last=False)
            else:
                self._directory.check(certificate, max(now, certificate.since))
        except TrustError as error:
            return _WORDS.get(error.reason, why.UNPROVEN)
        except WireError:
            return why.UNPROVEN
        return certificate

    def _take(self, body: bytes, now: int) -> Certificate:
        """Take credentials into the directory. Raises WireError, TrustError among it."""
        first, *former = decode_credentials(body)
        newest = self._directory.take(first, max(now, read(first[-1]).certificate.since))
        for chain in former:
            with suppress(
                TrustError
            ):  # one that was revoked proves nothing, and takes nothing from the key of now
                before = read(chain[-1]).certificate
                if before[:3] == newest[:3]:  # of the same role, name and zone
                    self._directory.take(chain, when_it_held(before, now))
        self._looked.clear()
        return newest


def when_it_held(certificate: Certificate, now: int) -> int:
    """A time as near to now as may be at which a certificate was valid."""
    return min(max(now, certificate.since), certificate.until - 1)
