"""A boundary in a simulated world: nodes in a zone below it, and a policy that withholds some records and redacts others.

What it says is told from a record's number alone, so whoever looks at a store knows of each record what must stand there:

* logs whose number ends in 7 are withheld; with `kinds` all samples are too;
* of logs whose number ends in 3 the exception is redacted;
* all else is whole. In the database of the zone itself everything is.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from tabard.brokers.forwarder import Forwarder
from tabard.brokers.policy import document
from tabard.brokers.policy.attesting import Attester
from tabard.brokers.policy.boundary import Boundary
from tabard.brokers.policy.document import Policy, Redaction
from tabard.brokers.policy.laws import Law, Laws
from tabard.brokers.policy.matching import Rules
from tabard.brokers.trust import keys
from tabard.brokers.wire.attested import decode_attested, encode_attested, is_attested, stub
from tabard.brokers.wire.batch import DATA, body_digest, decode_header
from tabard.brokers.wire.codec import pack
from tabard.brokers.wire.messages import Message
from tabard.brokers.wire.streams import CONTROL, LOGS, SAMPLES
from tests.trustees import Trustees

ROOT: Final = "lab"
BELOW: Final = "lab/low"
OWN: Final = "other"
"""The sink whose database is in the zone itself; all others are above the boundary."""
SECRET: Final = "ValueError: secret-4711"
GONE: Final = "ValueError: [gone]"
WHOLE, WITHHELD, REDACTED = "whole", "withheld", "redacted"


class Border:
    """The policy of a world, and the broker's boundary that keeps it."""

    def __init__(self, trustees: Trustees, rng: Random) -> None:
        self.kinds = rng.random() < 0.3
        """Whether samples are withheld."""
        said = Policy(
            "edge",
            rng.randint(1, 9),
            BELOW,
            BELOW,
            up_kinds=("logs",) if self.kinds else document.KINDS,
            withhold=((("message", "*7"), ("user2", "x*")),),
            redact=(Redaction("pattern", "exception", r"secret-\d{1,9}", "[gone]"),),
        )
        self.name = said.name
        self.document = document.sign(said, trustees.zone(BELOW))
        self.attester = trustees.broker("b0", BELOW)
        self.laws = Laws(BELOW, ROOT, (Law(self.document, Rules(document.read(self.document).policy)),))
        self._boundary: Boundary | None = None

    def keep(self, forwarder: Forwarder) -> None:
        """Have a broker keep it."""
        self._boundary = Boundary(self.laws, self.attester, self._is_own, forwarder.counters)
        forwarder.boundary = self._boundary

    @staticmethod
    def _is_own(sink: str) -> bool:
        return sink == OWN

    def blind(self) -> None:
        """The broker cannot tell its policies any more: its files are damaged, or its clock is."""
        if self._boundary is not None:
            self._boundary.renew(Laws(BELOW, ROOT, blind="its roster is away"), self.attester, self._is_own)

    def see(self) -> None:
        """It can again."""
        if self._boundary is not None:
            self._boundary.renew(self.laws, self.attester, self._is_own)

    def due(self, sink: str, stream: int, payload: str) -> str:
        """What must stand in the store of a sink for a record, if it is not lost."""
        if sink == OWN or stream == CONTROL:
            return WHOLE
        if stream == SAMPLES:
            return WITHHELD if self.kinds else WHOLE
        return WITHHELD if payload.endswith("7") else REDACTED if payload.endswith("3") else WHOLE


def exception_of(zone: str, stream: int, payload: str) -> str | None:
    """What a node's record has as its exception: something to be redacted, where there is a boundary."""
    return SECRET if zone == BELOW and stream == LOGS and payload.endswith("3") else None


class FalseBorder:
    """What a broker makes of batches on its own account: with a policy of the zone beside, or with none."""

    def __init__(self, trustees: Trustees, rng: Random) -> None:
        self._rng = rng
        self._beside = trustees.broker("b9", "lab/beside")
        self._policy = trustees.policy("edge", 1, zone="lab/beside")
        self._inside = trustees.broker("b8", BELOW)
        """A broker of the zone, whose authority made no such policy as it goes by."""
        self._own = self._made_up(trustees.zone(BELOW).public.key_id)

    def _made_up(self, issuer: bytes) -> bytes:
        """A policy of the zone's authority, as it says itself."""
        signed = pack(Policy("edge", 99, BELOW, BELOW, issuer).plain)
        encoded = pack((signed, self._inside.key.sign(keys.POLICY, signed)))
        document.read(encoded)  # in its form there is nothing wrong with it
        return encoded

    def tricks(self) -> tuple[Callable[[Message], list[Message]], ...]:
        """What it may do to a batch of records."""
        return (self._withhold, self._withhold, self._strip, self._alter, self._alter, self._stub)

    def suits(self, message: Message) -> bool:
        """Whether a message is a batch of records."""
        if b"/logs/" not in message.topic and b"/samples/" not in message.topic:
            return False
        return decode_header(message.head).kind == DATA

    def _stubs(self, message: Message, policy: str) -> bytes:
        header = decode_header(message.head)
        stubs = [stub(seq, policy) for seq in range(header.first, header.last + 1)]
        return pack([("", None, None, stubs)])

    def _withhold(self, message: Message) -> list[Message]:
        """All of it, attested without a policy of the zone: with that of another, with one made up, or with the true one and no right."""
        earlier, before, name, document_ = self._came(message)
        by: Attester
        by, policy = self._rng.choice(
            ((self._beside, self._policy), (self._inside, self._own), (self._beside, document_))
        )
        named = name if policy is document_ else "edge@1" if policy is self._policy else "edge@99"
        inner = self._stubs(message, named)
        return [message._replace(body=by.attest(message.head, policy, before, inner, earlier))]

    def _came(self, message: Message) -> tuple[tuple[bytes, ...], bytes, str, bytes]:
        """Proofs so far, the digest of what is left, and a true policy, as far as one was seen."""
        if not is_attested(message.body):
            return (), body_digest(message.body), "edge@1", self._policy
        came = decode_attested(message.body)
        true = came.proofs[-1].document
        return came.encoded, came.proofs[-1].after, document.read(true).policy.name, true

    def _strip(self, message: Message) -> list[Message]:
        """What is left of it comes as if it were all."""
        if not is_attested(message.body):
            return [message]
        return [message._replace(body=decode_attested(message.body).inner)]

    def _alter(self, message: Message) -> list[Message]:
        """More is withheld than was attested, under the old word, also with the digest in it put right."""
        if not is_attested(message.body):
            return [message]
        came = decode_attested(message.body)
        policy = document.read(came.proofs[-1].document).policy.name
        inner = self._stubs(message, policy)
        last = came.proofs[-1]
        signed = Attester(self._beside.key, last.chain).proof(message.head, last.document, last.after, inner)
        mended = pack((last.document, last.chain, body_digest(inner), last.signature))
        return [
            message._replace(body=encode_attested(proofs, inner))
            for proofs in (came.encoded, [*came.encoded[:-1], mended], [*came.encoded[:-1], signed])
        ]

    def _stub(self, message: Message) -> list[Message]:
        """A record is a stub, and nobody says a word about it."""
        return [message._replace(body=self._stubs(message, "edge@1"))]
