"""The door of the delivery core: what comes in is taken apart, and believed only if it is of whom it says.

Nothing passes that a seal refuses; it is counted and remembered (`Refusals`), and has no other effect: a forged batch advances
nothing, so the sink asks for the one in whose place it came as for any that was lost on the way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from tabard.brokers.delivery.book import NodeBook
from tabard.brokers.delivery.ports import Admitted, Attested, Entry, NodeKey
from tabard.brokers.delivery.refusals import Refusals
from tabard.brokers.delivery.seal import REVOKED, UNKNOWN, UNVOUCHED, Seal, parted
from tabard.brokers.wire.batch import ATTESTED, GAP, Batch, Header, check_batch, is_epoch_of
from tabard.brokers.wire.messages import Beacon, Message, decode_beacon
from tabard.brokers.wire.streams import STREAM_IDS
from tabard.brokers.wire.topics import UpTopic
from tabard.errors import WireError


class Admission:
    """Of one sink or node; `counters` are the role's."""

    def __init__(self, seal: Seal, counters: Counter[str]) -> None:
        self.refusals = Refusals(counters)
        self._seal = seal
        self._counters = counters

    def batch(self, now: float, topic: UpTopic, message: Message, *, met: bool) -> Admitted | None:
        """The batch, None when it is not of its node. `met`: its node has a session, so a beacon brought its key.

        Raises WireError.
        """
        if message.body[:2] == ATTESTED:
            return self._attested(now, topic, message, met=met)
        signature, word = parted(message.signature)
        batch = check_batch(message.head, signature, message.body)
        said = self._is_of(now, topic, batch, met=met)
        return None if said is None else _admitted(said, batch, batch.body, (), word)

    def _attested(self, now: float, topic: UpTopic, message: Message, *, met: bool) -> Admitted | None:
        """A batch whose body was changed at a boundary: the node signed the header, and others the way from there."""
        from tabard.brokers.wire.attested import check_attested  # a node needs none of it

        signature, word = parted(message.signature)
        batch, body = check_attested(message.head, signature, message.body)
        said = self._is_of(now, topic, batch, met=met)
        if said is None:
            return None
        found = self._seal.attested(batch, body, NodeKey(topic.node, topic.zone))
        if not isinstance(found, str):
            self._counters["attested batches"] += 1
            return _admitted(said, batch, body.inner, found, word)
        self.refusals.note(now, f"node {topic.zone}/{topic.node}", "batch", found)
        return None

    def _is_of(self, now: float, topic: UpTopic, batch: Batch, *, met: bool) -> str | None:
        """Empty when it is its node's by its header and signature, else None, or why the word of its node's key of now has to decide.

        That is `REVOKED`, of a key that was taken back, or `UNKNOWN`, of one that nobody here knows though its node has a session.
        Raises WireError.
        """
        if STREAM_IDS[topic.what] != batch.header.stream:
            raise WireError(
                "a batch on another stream's topic", expected=topic.what, found=str(batch.header.stream)
            )
        why = self._seal.refuses_batch(batch, NodeKey(topic.node, topic.zone))
        if not why or (why in (REVOKED, UNKNOWN) and met and _names_its_key(batch.header)):
            return why
        if why == UNKNOWN and not met:
            self._counters["batch before the beacon of its node"] += 1
        else:
            self.refusals.note(now, f"node {topic.zone}/{topic.node}", "batch", why)
        return None

    def beacon(self, now: float, topic: UpTopic, message: Message) -> Beacon | None:
        """The beacon, None when it is not believed. Raises WireError."""
        beacon = decode_beacon(message.head)
        if (beacon.node, beacon.zone) != (topic.node, topic.zone):
            raise WireError("a beacon under another node's topic", expected=topic.node, found=beacon.node)
        why = self._seal.refuses_beacon(message, NodeKey(beacon.node, beacon.zone))
        if not why:
            return beacon
        self.refusals.note(now, f"node {topic.zone}/{topic.node}", "beacon", why)
        return None

    def vouched(
        self, now: float, node: NodeBook, admitted: Admitted, cut: Callable[[float, NodeBook], bool]
    ) -> Admitted | None:
        """The batch; where the word of its node's key of now decides, only if that is right: that the node keeps it. Else None.

        Of a node whose key of now was taken back `cut` ends the session, which it says.
        """
        if not (admitted.withdrawn or admitted.vouched):
            return admitted
        if cut(now, node):
            return None
        why = self._seal.refuses_word(node.credentials, admitted.batch.head, admitted.word)
        if why:
            said = UNKNOWN if admitted.vouched and why == UNVOUCHED else why
            self.refusals.note(now, f"node {node.key.zone}/{node.key.node}", "batch", said)
            return None
        if not admitted.vouched:
            return admitted
        self._counters["batches of an unknown key, vouched for"] += 1
        # The word is what whoever verifies the store will have: it is kept with the signature.
        batch = admitted.batch._replace(signature=admitted.batch.signature + admitted.word)
        return admitted._replace(batch=batch, voucher=node.credentials)

    def cut(self, now: float, who: NodeKey, credentials: bytes) -> bool:
        """Whether a node that was believed by these credentials is not to be believed any more."""
        why = self._seal.refuses_credentials(credentials)
        if why:
            self.refusals.note(now, f"node {who.zone}/{who.node}", "session", why)
            self._counters["sessions cut"] += 1
        return bool(why)

    def takes_back(self, node: NodeBook) -> bool:
        """Whether something that is pending of a node would not be believed any more."""
        pending = (entry for of in node.streams.values() for book in of.books() for entry in book.entries)
        return any(not entry.lost and self._doubts(entry, node.key) for entry in pending)

    def _doubts(self, entry: Entry, key: NodeKey) -> bool:
        signature, word = parted(entry.batch.signature)
        why = self._seal.refuses_batch(entry.batch._replace(signature=signature), key)
        if why == UNKNOWN and entry.voucher:
            return bool(self._seal.refuses_word(entry.voucher, entry.batch.head, word))
        return bool(why)

    def word(self, now: float, sink: str, message: Message, what: str) -> bool:
        """Whether a message is to be taken for the word of `sink`; `what` it is names the counter."""
        why = self._seal.refuses_sink(message, sink)
        if why:
            self.refusals.note(now, f"sink {sink}", what, why)
        return not why


def _names_its_key(header: Header) -> bool:
    """Whether it can be somebody's word at all: no other key than the one that opened an epoch writes there."""
    return header.kind != GAP and is_epoch_of(header.epoch, header.key_id)


def _admitted(said: str, batch: Batch, body: bytes, attested: tuple[Attested, ...], word: bytes) -> Admitted:
    return Admitted(batch, body, attested, withdrawn=said == REVOKED, word=word, vouched=said == UNKNOWN)
