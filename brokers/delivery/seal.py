"""Signing and verifying what the node and the sink say, as a port.

`tabard.brokers.trust.seal.KeySeal` signs with keys; `OpenSeal` marks everything as unsigned, and then the digests alone
protect against damage, not against forgery. Neither believes what the other says: a side with keys refuses what is not
signed, and a side without cannot know whose a signature is.

Whoever verifies says why something is not believed, in a few words: they name the counter, and stand in `tabard status`
and in the log. An empty text is the only one that means yes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from tabard.brokers.delivery.ports import Attested, NodeKey
from tabard.brokers.wire.batch import Batch, random_epoch
from tabard.brokers.wire.messages import Message
from tabard.brokers.wire.rotation import Proof, Rotation

if TYPE_CHECKING:  # a node never sees one, and is small
    from tabard.brokers.wire.attested import AttestedBody

UNSIGNED: Final = "no signature"
KEYLESS: Final = "signed, and there are no keys here"
UNKNOWN: Final = "unknown key"
UNPROVEN: Final = "no certificate that leads to the root"
EXPIRED: Final = "expired certificate"
REVOKED: Final = "revoked key"
FOREIGN: Final = "the key of somebody else"
FORGED: Final = "wrong signature"
EPOCH: Final = "another key than its epoch's"
UNWANTED: Final = "a sink that the certificate of the node does not name"
LAWLESS: Final = "attested without a policy of that zone"
BESIDE: Final = "attested by a zone that is not on its way"
ALTERED: Final = "a wrong attestation"
UNVOUCHED: Final = "revoked key, without the word of the one that its node has now"
UNREADY: Final = "the keys of this home cannot be used"
REASONS: Final = (
    UNREADY,
    UNSIGNED, KEYLESS, UNKNOWN, UNPROVEN, EXPIRED, REVOKED, UNVOUCHED, FOREIGN, FORGED, EPOCH,
    UNWANTED, LAWLESS, BESIDE, ALTERED,
)  # fmt: skip
"""All there are."""
SIGNATURE_BYTES: Final = 64


class Pen(Protocol):
    """One key that writes: an epoch is signed by the one that opened it, whatever became of the seal meanwhile."""

    key_id: bytes
    """Which key; empty when it signs nothing."""

    def sign(self, head: bytes) -> bytes:
        """The signature of `head`; empty without a key."""
        ...

    def epoch(self, entropy: Callable[[int], bytes]) -> bytes:
        """A new name of an epoch that this key signs."""
        ...


class Seal(Protocol):
    """Signs with the key of one role, and verifies what others signed."""

    @property
    def pen(self) -> Pen:
        """The key that signs from now on."""
        ...

    @property
    def credentials(self) -> bytes:
        """What proves whose the key is: the body of whatever is no batch."""
        ...

    def rotation(
        self, epoch: bytes, previous: bytes, previous_last: int, previous_digest: bytes
    ) -> Rotation | None:
        """The word of the key that opened `previous` for the one that opens `epoch`; None when it is the same, or not here."""
        ...

    def refuses_beacon(self, message: Message, node: NodeKey) -> str:
        """Why `message` is not to be taken for a beacon of `node`; empty when it is its."""
        ...

    def refuses_batch(self, batch: Batch, node: NodeKey) -> str:
        """Why `batch` is not to be taken for one of `node`; empty when it is its.

        `REVOKED` is said only of what `node` did sign with a key of its own that was taken back since, or of what names a key
        that the root has taken back and nobody has a certificate of.
        """
        ...

    def refuses_word(self, credentials: bytes, head: bytes, word: bytes) -> str:
        """Why `word` does not say that whoever is believed by `credentials` keeps the batch of that `head`."""
        ...

    def refuses_rotation(self, batch: Batch, proof: Proof, node: NodeKey) -> str:
        """Why the old key cannot have said that `batch` goes on for it; empty also where that key is not known here."""
        ...

    def refuses_credentials(self, credentials: bytes) -> str:
        """Why nobody is to be believed any more by these credentials, which were believed before; empty while they hold."""
        ...

    def chain_of(self, key_id: bytes) -> bytes:
        """Credentials of a key that was verified with, to be kept beside what it signed; empty for one that is not known."""
        ...

    def refuses_sink(self, message: Message, sink: str) -> str:
        """Why `message` is not to be taken for the word of `sink`; empty when it is its."""
        ...

    def attested(self, batch: Batch, body: AttestedBody, node: NodeKey) -> str | tuple[Attested, ...]:
        """By whom the body of a batch that is believed was changed on its way, or why nobody may have."""
        ...


class OpenSeal:
    """No keys: signs with nothing, and believes only what is signed with nothing."""

    key_id = b""
    credentials: bytes = b""

    @property
    def pen(self) -> Pen:
        """Itself."""
        return self

    def sign(self, head: bytes) -> bytes:
        """Always empty."""
        del head
        return b""

    def epoch(self, entropy: Callable[[int], bytes]) -> bytes:
        """Random bytes."""
        return random_epoch(entropy)

    def rotation(self, epoch: bytes, previous: bytes, previous_last: int, previous_digest: bytes) -> None:
        """There is no key that could say anything."""
        del epoch, previous, previous_last, previous_digest

    def refuses_word(self, credentials: bytes, head: bytes, word: bytes) -> str:
        """`UNVOUCHED`: there is no key that could say anything."""
        del credentials, head, word
        return UNVOUCHED

    def refuses_rotation(self, batch: Batch, proof: Proof, node: NodeKey) -> str:
        """No key is known."""
        del batch, proof, node
        return ""

    def refuses_credentials(self, credentials: bytes) -> str:
        """`KEYLESS` where there are any."""
        return KEYLESS if credentials else ""

    def chain_of(self, key_id: bytes) -> bytes:
        """No key is known."""
        del key_id
        return b""

    def refuses_beacon(self, message: Message, node: NodeKey) -> str:
        """`KEYLESS` where there is a signature."""
        del node
        return KEYLESS if message.signature else ""

    def refuses_batch(self, batch: Batch, node: NodeKey) -> str:
        """`KEYLESS` where there is a signature."""
        del node
        return KEYLESS if batch.signature else ""

    def refuses_sink(self, message: Message, sink: str) -> str:
        """`KEYLESS` where there is a signature."""
        del sink
        return KEYLESS if message.signature else ""

    def attested(self, batch: Batch, body: AttestedBody, node: NodeKey) -> str | tuple[Attested, ...]:
        """`KEYLESS`: where there are no keys, there are no policies."""
        del batch, body, node
        return KEYLESS


class ClosedSeal(OpenSeal):
    """Of a role whose home has keys and none that it can use: signs nothing, and believes nobody until that is mended.

    To go on without would be what somebody wants who can damage a file and cannot forge a signature.
    """

    def refuses_beacon(self, message: Message, node: NodeKey) -> str:
        """Always."""
        del message, node
        return UNREADY

    def refuses_credentials(self, credentials: bytes) -> str:
        """Always."""
        del credentials
        return UNREADY

    def refuses_batch(self, batch: Batch, node: NodeKey) -> str:
        """Always."""
        del batch, node
        return UNREADY

    def refuses_sink(self, message: Message, sink: str) -> str:
        """Always."""
        del message, sink
        return UNREADY

    def attested(self, batch: Batch, body: AttestedBody, node: NodeKey) -> str | tuple[Attested, ...]:
        """Always."""
        del batch, body, node
        return UNREADY


def signed(seal: Seal, batch: Batch) -> bytes:
    """The frame of the signature of a batch that is sent now: its own, and where the key of now is another one, the word of that.

    The word says that this very batch is what the node keeps. It counts where the key of the epoch was taken back.
    """
    pen = seal.pen
    if not batch.signature:
        return pen.sign(batch.head)
    if batch.header.key_id == pen.key_id:
        return batch.signature
    return batch.signature + pen.sign(batch.head)


def parted(frame: bytes) -> tuple[bytes, bytes]:
    """The signature and the word in such a frame; each may be empty."""
    return frame[:SIGNATURE_BYTES], frame[SIGNATURE_BYTES:]


def sealed(seal: Seal, topic: bytes, head: bytes) -> Message:
    """A message that is no batch: signed, with what proves whose the signature is."""
    return Message(topic, b"", head, seal.pen.sign(head), seal.credentials, b"")
