"""A hostile broker: it alters, forges, strips, replays and misdirects what passes, with keys of its own that name somebody else.

It holds a node's and a recorder's key of the zone beside, each properly certified there; of those whose messages
it carries it has the keys that were revoked (see `thief`), and no other. What it does to a message is drawn each time. Sequence, credit and sessions may suffer from it as from any bad link;
no record may be lost, doubled, altered or made up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Final

from tabard.brokers.delivery.ranges import Range, Ranges
from tabard.brokers.trust.keys import WIRE
from tabard.brokers.wire.batch import NO_DIGEST, body_digest, decode_header, encode_header
from tabard.brokers.wire.messages import (
    CURSOR_KIND,
    Message,
    decode_beacon,
    decode_cursor,
    decode_envelope,
    encode_cursor,
    encode_envelope,
    kind_of,
)
from tabard.errors import WireError
from tests.sim.boundary import FalseBorder
from tests.sim.thief import Thief
from tests.trustees import Trustees

SHARE: Final = 0.08
"""Of the messages of a link that it lays hands on."""
_UP: Final = b"u/"


class Forger:
    """One of them, for all links of a world."""

    def __init__(self, trustees: Trustees, seed: int) -> None:
        self._rng = Random(seed)
        self._seen: dict[tuple[bool, bool], deque[Message]] = {
            (below, up): deque(maxlen=100) for below in (True, False) for up in (True, False)
        }
        """What passed on either side of a boundary, in either direction."""
        self._below = False
        self._node = trustees.node("n0", "lab/beside")
        self._recorder = trustees.recorder("main", "lab/beside")
        self._spans: dict[tuple[str, int], dict[bytes, Ranges]] = {}
        """By node and stream all that its last beacon named, as if it were stored: its digests are there to be read."""
        self._border = FalseBorder(trustees, self._rng)
        self.thief: Thief | None = None
        """Who has the keys that were revoked."""
        self.active = True
        self.struck = 0

    def touch(self, frames: list[bytes], *, below: bool = False) -> list[list[bytes]]:
        """What arrives in the place of a message; `below`: of one that is inside of a boundary."""
        message = Message(*frames)
        self._below = below
        self._other(message).append(message)
        if b"/beacon/" in message.topic:
            self._overhear(message)
        if self.thief is not None and message.topic.startswith(_UP):
            self.thief.overhear(message)
        if not self.active or self._rng.random() >= SHARE:
            return [frames]
        self.struck += 1
        tricks: tuple[Callable[[Message], list[Message]], ...] = (
            self._flip, self._strip, self._replay, self._forge, self._resign, self._misdirect, self._steer
        )  # fmt: skip
        try:
            if self._border.suits(message) and self._rng.random() < 0.5:
                tricks = self._border.tricks()
            if self.thief is not None and self.thief.suits(message) and self._rng.random() < 0.5:
                tricks = self.thief.tricks()
            return [list(each) for each in self._rng.choice(tricks)(message)]
        except WireError:
            return [frames]

    def _other(self, message: Message) -> deque[Message]:
        """What passed on the same side and in the same direction."""
        return self._seen[self._below, message.topic.startswith(_UP)]

    def _overhear(self, message: Message) -> None:
        try:
            beacon = decode_beacon(message.head)
        except WireError:
            return  # one of its own
        for part in beacon.streams:
            self._spans[beacon.node, part.stream] = {
                epoch: Ranges([Range(1, last, NO_DIGEST, digest)])
                for epoch, _, last, digest in part.spans
                if last
            }

    def _flip(self, message: Message) -> list[Message]:
        """One byte of what is signed, of the signature or of the body is another one."""
        place = self._rng.choice([at for at in (2, 3, 4) if message[at]])
        frame = bytearray(message[place])
        frame[self._rng.randrange(len(frame))] ^= self._rng.randint(1, 255)
        return [Message(*(bytes(frame) if at == place else part for at, part in enumerate(message)))]

    def _strip(self, message: Message) -> list[Message]:
        """It is unsigned, or without credentials."""
        return [message._replace(signature=b""), message._replace(body=b"")]

    def _replay(self, message: Message) -> list[Message]:
        """Something that passed before comes again, in front of it."""
        return [self._rng.choice(self._other(message)), message]

    def _forge(self, message: Message) -> list[Message]:
        """Other records in a batch, or a cursor that says that everything is stored, under the old signature and a foreign one."""
        if not message.topic.startswith(_UP):
            return self._forge_cursor(message)
        header = decode_header(message.head)
        body = message.body.replace(b"/2/", b"/9/")
        head = encode_header(header._replace(body_digest=body_digest(body)))
        return [
            message._replace(head=head, body=body),
            message._replace(head=head, body=body, signature=self._node.pen.sign(head)),
        ]

    def _forge_cursor(self, message: Message) -> list[Message]:
        if kind_of(message.head) != CURSOR_KIND:
            return [message]
        cursor = decode_cursor(message.head)
        streams = tuple(
            part._replace(cursors=tuple(self._spans.get((cursor.node, part.stream), {}).items()))
            for part in cursor.streams
        )
        head = encode_cursor(cursor._replace(number=cursor.number + 1, streams=streams))
        signed = message._replace(head=head, signature=self._recorder.pen.sign(head))
        return [message._replace(head=head), signed, signed._replace(body=self._recorder.credentials)]

    def _resign(self, message: Message) -> list[Message]:
        """The same words under a key that is known and not the sender's."""
        seal = self._node if message.topic.startswith(_UP) else self._recorder
        signature = seal.pen._key.sign(WIRE, message.head)
        body = (
            message.body
            if b"/beacon/" not in message.topic and message.topic.startswith(_UP)
            else seal.credentials
        )
        return [message._replace(signature=signature, body=body)]

    def _misdirect(self, message: Message) -> list[Message]:
        """It comes under the topic of another message, and that one's comes under its."""
        other = self._rng.choice(self._other(message))
        return [message._replace(topic=other.topic), other._replace(topic=message.topic)]

    def _steer(self, message: Message) -> list[Message]:
        """The envelope of a batch says something else: it is not signed."""
        if not message.envelope:
            return [message]
        envelope = decode_envelope(message.envelope)
        sent = max(0, envelope.sent + self._rng.randint(-3, 3))
        altered = envelope._replace(sent=sent, heard=max(0, envelope.heard + self._rng.randint(-1, 1)))
        return [message._replace(envelope=encode_envelope(altered))]
