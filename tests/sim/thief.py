"""Somebody with the keys that were revoked: whoever stole one sits at a link, and uses it towards every sink that knows better.

Before a sink knows, what the key signs is as good as the node's: that is what revoking is for, and nothing can be told of it here.
From then on nothing that comes of the key may have any effect: no batch in the place of another, beyond an end, in an epoch of its
own, as another history, as a gap; no beacon. What the node's key of now said of other batches is there to be tried with it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, Final

from tabard.brokers.delivery.seal import parted
from tabard.brokers.trust.keys import PrivateKey
from tabard.brokers.trust.seal import KeyPen
from tabard.brokers.wire import topics
from tabard.brokers.wire.attested import is_attested
from tabard.brokers.wire.batch import (
    DATA,
    GAP,
    NO_DIGEST,
    OPEN,
    Header,
    body_digest,
    decode_header,
    encode_header,
    is_epoch_of,
)
from tabard.brokers.wire.codec import pack
from tabard.brokers.wire.messages import Beacon, Message, decode_beacon, encode_beacon
from tabard.brokers.wire.streams import LOGS, STREAM_IDS
from tabard.errors import WireError
from tabard.records import LOG_INDEX, LOG_WIDTH

if TYPE_CHECKING:
    from tests.sim.keys import Keys

Span = tuple[bytes, int, int, bytes]
_NOON: Final = 1_700_000_000_000_000_000
_WORDS: Final = 50
"""Words of keys that hold, of batches that passed, which are remembered."""
MADE_UP: Final = b"/9/"
"""What every record of a thief has in its name."""


class Thief:
    """Of one world; what it does is drawn each time."""

    def __init__(self, keys: Keys, rng: Random) -> None:
        self._keys = keys
        self._rng = rng
        self._spans: dict[tuple[str, int], dict[bytes, Span]] = {}
        """By node and stream all epochs that a beacon ever named, as it did last."""
        self._words: list[bytes] = []
        self.struck = 0

    def overhear(self, message: Message) -> None:
        """Learn from what passes."""
        if b"/beacon/" not in message.topic:
            _signature, word = parted(message.signature)
            if word:
                self._words = [*self._words[-_WORDS:], word]
            return
        try:
            beacon = decode_beacon(message.head)
        except WireError:
            return
        for part in beacon.streams:
            known = self._spans.setdefault((beacon.node, part.stream), {})
            known.update({span[0]: span for span in part.spans})

    def suits(self, message: Message) -> bool:
        """Whether a message goes to a sink that knows of a key of its node that was stolen."""
        return message.topic.startswith(b"u/") and bool(self._usable(message))

    def _usable(self, message: Message) -> list[PrivateKey]:
        try:
            topic = topics.parse_up(message.topic)
        except WireError:
            return []
        return [
            key
            for key_id, (node, key, _credentials) in self._keys.stolen.items()
            if node == topic.node and self._keys.known(topic.sink, key_id) is not None
        ]

    def tricks(self) -> tuple[Callable[[Message], list[Message]], ...]:
        """What it may do to such a message."""
        return (self._write, self._write, self._write, self._take_over)

    # --- what it does ------------------------------------------------------------------------

    def _write(self, message: Message) -> list[Message]:
        """A batch of its own, before or in the place of one that passes."""
        if b"/beacon/" in message.topic:
            return self._speak(message)
        key = self._rng.choice(self._usable(message))
        topic = topics.parse_up(message.topic)
        stream = STREAM_IDS[topic.what]
        spans = [
            span
            for epoch, span in self._spans.get((topic.node, stream), {}).items()
            if is_epoch_of(epoch, key.public.key_id)
        ]
        own: Span = (KeyPen(key).epoch(self._rng.randbytes), 1, 0, NO_DIGEST)
        header, body = self._made(stream, self._rng.choice([*spans, own]), key, message)
        head = encode_header(header)
        self.struck += 1
        made = message._replace(head=head, body=body, signature=self._signed(key, head, message))
        return [made, message] if self._rng.random() < 0.5 else [made]

    def _take_over(self, message: Message) -> list[Message]:
        """The batch that passes with another body, in its very place."""
        if b"/beacon/" in message.topic:
            return self._speak(message)
        key = self._rng.choice(self._usable(message))
        header = decode_header(message.head)
        body = self._body(header.stream, header.count)
        head = encode_header(
            header._replace(key_id=key.public.key_id, kind=DATA, body_digest=body_digest(body))
        )
        self.struck += 1
        return [message._replace(head=head, body=body, signature=self._signed(key, head, message))]

    def _speak(self, message: Message) -> list[Message]:
        """A beacon that knows of less, or of more, than the node has."""
        key = self._rng.choice(self._usable(message))
        beacon = decode_beacon(message.head)
        more = self._rng.randint(-5, 5)
        streams = tuple(
            part._replace(
                spans=tuple(
                    (epoch, oldest, max(oldest, last + more), self._rng.randbytes(32))
                    for epoch, oldest, last, _digest in part.spans
                )
            )
            for part in beacon.streams
        )
        head = encode_beacon(Beacon(*beacon[:5], streams, beacon.facts))
        credentials = self._keys.stolen[key.public.key_id][2]
        self.struck += 1
        signature = KeyPen(key).sign(head)
        forged = message._replace(head=head, signature=signature, body=credentials)
        return [forged, message._replace(signature=signature), message]

    # --- pieces ------------------------------------------------------------------------------

    def _made(self, stream: int, span: Span, key: PrivateKey, message: Message) -> tuple[Header, bytes]:
        """A batch that begins where the epoch ended, or anywhere in it, or with it; records, an opening or a gap."""
        epoch, oldest, last, digest = span
        count = self._rng.randint(1, 4)
        passing = decode_header(message.head)
        first, previous = self._rng.choice(
            (
                (last + 1, digest),
                (last + 1, NO_DIGEST),
                (max(1, oldest), self._rng.randbytes(32)),
                (1, NO_DIGEST),
                (passing.first, passing.previous),
            )
        )
        key_id = key.public.key_id
        kind = self._rng.choice((DATA, DATA, OPEN, GAP))
        if kind == DATA:
            body = self._body(stream, count)
        elif kind == OPEN:
            first, count = 1, 1
            body = pack(
                {"previous": None, "previous_last": 0, "previous_digest": NO_DIGEST, "reason": "start",
                 "clean": True, "doubt": None}
            )  # fmt: skip
        else:
            count = max(1, last - first + 1)
            key_id = self._rng.choice((key_id, b""))
            body = pack(
                {"reason": "quota", "count": count, "at_least": False, "last_digest": digest, "open": b""}
            )
        return Header(stream, kind, epoch, key_id, first, count, body_digest(body), previous), body

    def _body(self, stream: int, count: int) -> bytes:
        number = self._rng.randrange(10**6)
        name = f"thief{MADE_UP.decode()}{stream}"
        rows = [_record(stream, f"{name}/{number + n}") for n in range(count)]
        return pack([("sim", number, "sim", rows)])

    def _signed(self, key: PrivateKey, head: bytes, message: Message) -> bytes:
        """Its own signature, with whatever may pass for a word: nothing, itself, that of this batch or of another."""
        own = KeyPen(key).sign(head)
        _signature, word = parted(message.signature)
        passing = b"" if is_attested(message.body) else message.signature[:64]
        return own + self._rng.choice((b"", own, word, passing, self._rng.choice([b"", *self._words])))


def _record(stream: int, text: str) -> list[Any]:
    if stream != LOGS:
        return [_NOON, "sim", {"payload": text}]
    record: list[Any] = [None] * LOG_WIDTH
    record[0], record[1], record[LOG_INDEX["message"]] = _NOON, 9, text
    return record
