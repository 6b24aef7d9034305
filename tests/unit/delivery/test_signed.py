"""Both ends with real keys: who is believed, and that whatever is not changes nothing but a count.

Each negative test names the threat of docs/security.md that it stands for.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from tabard.brokers.delivery import seal as why
from tabard.brokers.delivery.ports import Attested, NodeKey
from tabard.brokers.delivery.publisher import Publisher
from tabard.brokers.delivery.seal import OpenSeal, Pen, Seal
from tabard.brokers.delivery.sink import Sink
from tabard.brokers.trust.certificates import issue
from tabard.brokers.trust.seal import KeySeal
from tabard.brokers.wire import topics
from tabard.brokers.wire.attested import AttestedBody
from tabard.brokers.wire.batch import DATA, GAP, NO_DIGEST, Batch, Header, body_digest, seal_batch
from tabard.brokers.wire.credentials import MAX_CHAINS, encode_credentials
from tabard.brokers.wire.messages import (
    Hello,
    Message,
    decode_cursor,
    decode_envelope,
    encode_envelope,
    encode_hello,
)
from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store.layout import RECORDS
from tabard.consumers.store.sqlite import SqliteStore
from tests.trustees import YEAR, Trustees
from tests.unit.delivery.rig import NODE, Ends, MemoryJournal, records

SECOND = 1_000_000_000


class SignedJournal(MemoryJournal):
    """A journal whose epochs are opened by the pen that its seal has then."""

    def __init__(self, seal: Seal) -> None:
        self.seal = seal
        self.pen = seal.pen
        self.random = Random(1)
        super().__init__(LOGS, self.pen.epoch(self.random.randbytes))

    def rotate(self) -> bytes:
        """Begin an epoch of the key that the seal has now."""
        self.pen = self.seal.pen
        epoch = self.pen.epoch(self.random.randbytes)
        self.begin(epoch)
        return epoch

    def _add(self, epoch: bytes, kind: int, count: int, body: bytes) -> Batch:
        batch = super()._add(epoch, kind, count, body)
        signed = seal_batch(batch.header._replace(key_id=self.pen.key_id), body, self.pen.sign)
        self.batches[epoch][-1] = signed
        return signed


class Signed(Ends):
    """Both ends with keys."""

    def __init__(
        self, node: Seal | None = None, sink: Seal | None = None, trustees: Trustees | None = None
    ) -> None:
        self.trustees = trustees or Trustees()
        self.node_seal: Seal = node or self.trustees.node()
        self.sink_seal: Seal = sink or self.trustees.recorder()
        self.journal = SignedJournal(self.node_seal)
        super().__init__(self.journal)

    def restart_node(self) -> None:
        """A new process on the same journals."""
        streams = {journal.stream: journal for journal in self.journals}
        self.node = Publisher(NODE, ["main"], streams, self.node_seal, self.rng.randbytes)

    def restart_sink(self) -> None:
        """A new process on the same store."""
        self.sink = Sink("main", self.store, self.sink_seal, self.rng.randbytes, budget=self.budget)

    def revoke(self, key_id: bytes) -> None:
        """The sink hears of a roster that takes a key back."""
        seal = self.sink_seal
        assert isinstance(seal, KeySeal)
        seal._directory.take_roster(self.trustees.revoke(key_id), self.trustees.now)
        seal.forget()

    def stored(self) -> list[tuple[int, int]]:
        """What the store has of the journal's first epoch."""
        return self.ranges(next(iter(self.journal.batches)))

    def hear(self, message: Message) -> None:
        """The sink hears a message that is not of this node's publisher."""
        self.sink.receive(self.now, self.wall, message)
        self.sink.flush(self.now, self.wall)

    def last_batch(self) -> Message:
        """A batch that the node sends and the sink does not hear."""
        self.journal.add(3)
        return next(each for each in self.node.outgoing(self.now, self.wall) if b"/logs/" in each.topic)


def quarantined(ends: Signed) -> list[tuple[Any, ...]]:
    """First, count and reason of what is in quarantine because of its key."""
    found = ends.store.connection(RECORDS).execute(
        "SELECT first, count, reason FROM quarantine WHERE reason = 'revoked key' ORDER BY id"
    )
    return list(found)


def live() -> Signed:
    """Both ends in a session, with something stored."""
    ends = Signed()
    ends.journal.add(5)
    ends.settle(5)
    assert ends.stored() == [(1, 6)]
    assert not [
        name for name in (*ends.sink.counters, *ends.node.counters) if "refused" in name or "forged" in name
    ]
    return ends


def test_with_keys_records_are_stored_and_released() -> None:
    """Signed at every step: nothing is refused."""
    ends = live()
    ends.journal.add(2)
    ends.settle(5)
    assert ends.stored() == [(1, 8)]
    assert ends.node.delivered()


def test_what_was_cut_before_there_were_keys_is_signed_when_it_is_sent() -> None:
    """A home that gets keys loses nothing of what waited."""
    trustees = Trustees()
    ends = Signed(trustees=trustees)
    old = MemoryJournal()
    old.add(4)
    ends.journals = (old,)
    ends.restart_node()
    ends.settle(10)
    assert ends.ranges() == [(1, 5)]
    stored = ends.store.load(NODE, LOGS, [b"a" * 16])[b"a" * 16]
    assert stored.ranges.high == 5


def test_a_gap_is_signed_when_it_is_sent() -> None:
    """It has no key of its own, and may stand in an epoch of any."""
    ends = Signed()
    for _ in range(4):
        ends.journal.add(2)
    epoch = next(iter(ends.journal.batches))
    ends.journal.gap(epoch, 1, 2)
    ends.settle(10)
    assert ends.stored() == [(1, 9)]


@pytest.mark.threat("altered-batch")
@pytest.mark.parametrize(
    ("alter", "counter"),
    [
        (lambda m: m._replace(signature=b""), f"refused batch: {why.UNSIGNED}"),
        (lambda m: m._replace(signature=bytes(64)), "forged batch"),
        (lambda m: m._replace(signature=m.signature[:-1]), "forged batch"),
        (lambda m: m._replace(body=records(3, start=100)), "malformed message"),
        (lambda m: m._replace(head=m.head[:-1] + bytes([m.head[-1] ^ 1])), "forged batch"),
    ],
    ids=["unsigned", "signed with nothing", "signature cut", "another body", "another header"],
)
def test_batch_altered_by_a_broker(alter: Callable[[Message], Message], counter: str) -> None:
    """The sink counts it, does not advance, asks for the true one and stores that."""
    ends = live()
    true = ends.last_batch()
    ends.hear(alter(true))
    assert ends.stored() == [(1, 6)]
    assert ends.sink.counters[counter] == 1
    ends.settle(30)
    assert ends.stored() == [(1, 9)]


@pytest.mark.threat("altered-batch")
def test_batch_with_another_body_and_its_digest() -> None:
    """A broker that alters a body and the digest in the header cannot sign the header."""
    ends = live()
    true = ends.last_batch()
    body = records(3, start=100)
    epoch = next(iter(ends.journal.batches))
    tip = ends.journal.batches[epoch][-2]
    header = Header(LOGS, DATA, epoch, ends.journal.pen.key_id, 7, 3, body_digest(body), tip.digest)
    forged = seal_batch(header, body, lambda head: true.signature)
    ends.hear(true._replace(head=forged.head, body=body))
    assert ends.sink.counters["forged batch"] == 1
    ends.settle(30)
    assert ends.stored() == [(1, 9)]


@pytest.mark.threat("replayed-batch")
def test_batch_replayed() -> None:
    """What was stored once is not stored again, in this session or a later one."""
    ends = live()
    true = ends.last_batch()
    ends.hear(true)
    assert ends.stored() == [(1, 9)]
    rows = ends.sink.counters["batches stored"]
    said = decode_envelope(true.envelope)  # which nobody signs: a broker can number it as a new one
    ends.hear(true._replace(envelope=encode_envelope(said._replace(sent=said.sent + 1))))
    assert ends.sink.counters["duplicate batches"] == 1
    ends.hear(true)
    ends.settle(10)
    ends.restart_sink()
    ends.hear(true)
    ends.settle(10)
    sessions = ends.sink.counters["sessions"]
    ends.hear(true)
    assert ends.sink.counters["batch of another session"] == 2
    ends.settle(10)
    assert ends.stored() == [(1, 9)]
    assert ends.sink.counters["sessions"] == sessions
    assert ends.sink.counters["batches stored"] == 0 < rows


def foreign_batch(ends: Signed, seal: Seal, kind: int = DATA, epoch: bytes | None = None) -> Message:
    """A batch that follows what this node sent, signed by somebody else, in the envelope of the true one."""
    true = ends.last_batch()
    own = next(iter(ends.journal.batches))
    tip = ends.journal.batches[own][-2]
    body = records(3, start=50)
    header = Header(LOGS, kind, epoch or own, seal.pen.key_id, 7, 3, body_digest(body), tip.digest)
    batch = seal_batch(header, body, seal.pen.sign)
    return true._replace(head=batch.head, signature=batch.signature, body=body)


def known_to(ends: Signed, seal: KeySeal, name: str, zone: str) -> None:
    """The sink hears a beacon of another node, and with it learns its key."""
    other = Publisher(NodeKey(name, zone), ["main"], {}, seal, ends.rng.randbytes)
    for message in other.outgoing(ends.now, ends.wall):
        ends.hear(message)


@pytest.mark.threat("naming-another")
@pytest.mark.parametrize(("name", "zone"), [("web2", "hq"), ("web1", "hq/dmz")])
def test_valid_node_naming_another(name: str, zone: str) -> None:
    """A key that a zone certified signs for its own name in its own zone, and for nobody else."""
    ends = live()
    other = ends.trustees.node(name, zone)
    known_to(ends, other, name, zone)
    ends.hear(foreign_batch(ends, other))
    assert ends.sink.counters[f"refused batch: {why.FOREIGN}"] == 1
    thief = Publisher(NODE, ["main"], {}, other, ends.rng.randbytes)
    for message in thief.outgoing(ends.now, ends.wall):
        ends.hear(message)
    assert ends.sink.counters[f"refused beacon: {why.FOREIGN}"] == 1
    ends.settle(30)
    assert ends.stored() == [(1, 9)]


@pytest.mark.threat("stranger-signs")
def test_key_of_nobody() -> None:
    """A key without a certificate, and one whose chain ends at another root."""
    ends = live()
    stranger = Trustees(seed=7)
    ends.hear(foreign_batch(ends, stranger.node()))
    assert ends.sink.counters[f"refused batch: {why.UNKNOWN}"] == 1
    known_to(ends, stranger.node(), *NODE)
    assert ends.sink.counters[f"refused beacon: {why.UNPROVEN}"] == 1


@pytest.mark.threat("zone-beside")
def test_authority_of_a_zone_beside() -> None:
    """What the authority of one zone certifies is nothing in another."""
    ends = live()
    trustees = ends.trustees
    lost = trustees.zone("hq/plant")
    key = trustees.key()
    certificate = trustees.certificate("node", "web1", "hq", key, lost, ("main",))
    chain = (*trustees.chains["hq/plant"], issue(certificate, lost, key))
    seal = KeySeal(trustees.directory(), key, [chain], lambda: trustees.now)
    known_to(ends, seal, *NODE)
    assert ends.sink.counters[f"refused beacon: {why.UNPROVEN}"] == 1


@pytest.mark.threat("malformed")
@pytest.mark.parametrize(
    "body", [b"", b"x", encode_credentials([(b"x",)]), encode_credentials([(b"x",)] * MAX_CHAINS)]
)
def test_credentials_that_are_none(body: bytes) -> None:
    """Bounded, counted, and no more."""
    ends = live()
    ends.node.speak(ends.now)
    message = next(each for each in ends.node.outgoing(ends.now, ends.wall) if b"/beacon/" in each.topic)
    ends.hear(message._replace(body=body))
    assert ends.sink.counters[f"refused beacon: {why.UNPROVEN}"] == 1


@pytest.mark.threat("rotated-key")
def test_epoch_of_another_key_of_the_same_node() -> None:
    """An epoch has one key: neither an old key nor a new one writes on in the other's."""
    ends = live()
    trustees = ends.trustees
    newer = trustees.node()
    known_to(ends, newer, *NODE)
    ends.settle(5)
    ends.hear(foreign_batch(ends, newer))
    assert ends.sink.counters[f"refused batch: {why.EPOCH}"] == 1
    ends.settle(30)
    assert ends.stored() == [(1, 9)]


@pytest.mark.threat("revoked-key")
def test_revoked_key_on_a_live_session() -> None:
    """From the moment that the sink knows, nothing that the key signed is taken; what is stored stays."""
    ends = live()
    ends.revoke(ends.journal.pen.key_id)
    ends.hear(ends.last_batch())
    ends.hear(ends.last_batch())
    ends.node.speak(ends.now)
    ends.up()
    assert ends.sink.counters[f"refused session: {why.REVOKED}"] == 1
    assert ends.sink.counters[f"refused batch: {why.REVOKED}"] == 1
    assert ends.sink.counters[f"refused beacon: {why.REVOKED}"] == 1
    assert ends.stored() == [(1, 6)]
    assert not quarantined(ends)


@pytest.mark.threat("revoked-key")
def test_a_session_is_cut_when_the_rosters_change() -> None:
    """Without waiting for a batch; others keep theirs."""
    ends = live()
    ends.sink.recheck(ends.now)
    assert ends.sink.attached(NODE)
    ends.revoke(ends.journal.pen.key_id)
    ends.sink.recheck(ends.now)
    assert not ends.sink.attached(NODE)


@pytest.mark.threat("expired")
def test_expired_certificate() -> None:
    """A beacon needs a certificate that holds; records wait, and come once it is renewed."""
    trustees = Trustees()
    key = trustees.key()
    ends = Signed(node=trustees.seal("node", "web1", "hq", key=key, until=10 * SECOND), trustees=trustees)
    trustees.now += 11 * SECOND
    ends.journal.add(2)
    ends.settle(5)
    assert ends.stored() == []
    assert ends.sink.counters[f"refused beacon: {why.EXPIRED}"] > 0
    renewed = trustees.chain("node", "web1", "hq", key, ("main",))
    assert isinstance(ends.node_seal, KeySeal)
    ends.node_seal.renew(trustees.directory(), key, [renewed])
    ends.settle(20)
    assert ends.stored() == [(1, 3)]


@pytest.mark.threat("rotated-key")
def test_journal_of_a_key_that_was_replaced() -> None:
    """What the old key signed is taken by its own certificate, also once that has run out, by a sink that never saw it."""
    trustees = Trustees()
    old, new = trustees.key(), trustees.key()
    before = trustees.chain("node", "web1", "hq", old, ("main",), until=10 * SECOND)
    seal = KeySeal(trustees.directory(), old, [before], lambda: trustees.now)
    ends = Signed(node=seal, trustees=trustees)
    ends.journal.add(4)
    trustees.now += 11 * SECOND
    after = trustees.chain("node", "web1", "hq", new, ("main",))
    seal.renew(trustees.directory(), new, [after, before])
    epoch = ends.journal.rotate()
    ends.journal.add(2)
    ends.settle(20)
    assert ends.stored() == [(1, 5)]
    assert ends.ranges(epoch) == [(1, 3)]


@pytest.mark.threat("naming-another")
def test_a_chain_of_somebody_else_among_those_of_old_keys_is_left_out() -> None:
    """Only keys of the same name are taken for earlier ones."""
    trustees = Trustees()
    key, other = trustees.key(), trustees.key()
    own = trustees.chain("node", "web1", "hq", key, ("main",))
    foreign = trustees.chain("node", "web2", "hq", other, ("main",))
    ends = Signed(
        node=KeySeal(trustees.directory(), key, [own, foreign], lambda: trustees.now), trustees=trustees
    )
    ends.settle(2)
    assert isinstance(ends.sink_seal, KeySeal)
    assert ends.sink_seal._directory.by_key(key.public.key_id) is not None
    assert ends.sink_seal._directory.by_key(other.public.key_id) is None


# --- what the node believes ----------------------------------------------------------------------


@pytest.mark.threat("foreign-cursor")
@pytest.mark.parametrize(
    ("sink", "words"),
    [
        (lambda t: OpenSeal(), why.UNSIGNED),
        (lambda t: t.recorder(zone="hq/plant"), why.FOREIGN),
        (lambda t: t.recorder(sink="other"), why.FOREIGN),
        (lambda t: t.node("main"), why.FOREIGN),
        (lambda t: Trustees(seed=9).recorder(), why.UNPROVEN),
        (lambda t: t.seal("recorder", "store1", "hq", until=-YEAR // 2), why.EXPIRED),
    ],
    ids=["unsigned", "of a zone beside", "of another sink", "a node", "of another root", "expired"],
)
def test_forged_or_foreign_cursor(sink: Callable[[Trustees], Seal], words: str) -> None:
    """A node releases nothing, attaches to nobody, and says why; the records wait."""
    trustees = Trustees()
    ends = Signed(trustees=trustees)
    ends.journal.add(3)
    ends.settle(1)
    assert ends.stored() == [(1, 4)]
    ends.restart_node()
    ends.journal.released.clear()
    beacon = next(each for each in ends.node.outgoing(ends.now, ends.wall) if b"/beacon/" in each.topic)
    for message in said_by(sink(trustees), beacon, ends):
        ends.node.receive(ends.now, message)
    assert not ends.node.sinks(ends.now)["main"]["attached"]
    assert ends.node.sinks(ends.now)["main"]["refused"] == words
    assert ends.journal.released == []


class Credulous(OpenSeal):
    """A seal that signs as another one does, and believes everything."""

    def __init__(self, seal: Seal) -> None:
        self._pen = seal.pen
        self.credentials = seal.credentials

    @property
    def pen(self) -> Pen:
        """That of the seal it was given."""
        return self._pen

    def refuses_beacon(self, message: Message, node: NodeKey) -> str:
        """Never."""
        return ""

    def refuses_batch(self, batch: Batch, node: NodeKey) -> str:
        """Never."""
        return ""

    def refuses_sink(self, message: Message, sink: str) -> str:
        """Never."""
        return ""

    def attested(self, batch: Batch, body: AttestedBody, node: NodeKey) -> str | tuple[Attested, ...]:
        """By nobody."""
        return ()


def said_by(seal: Seal, beacon: Message, ends: Signed) -> list[Message]:
    """What a sink says to a beacon when it signs by `seal`."""
    liar = Sink("main", SqliteStore.memory(), Credulous(seal), ends.rng.randbytes)
    liar.receive(ends.now, ends.wall, beacon)
    liar.flush(ends.now, ends.wall)
    said = [*liar.hellos(), *liar.outgoing(ends.now)]
    assert any(decode_cursor(each.head).sink == "main" for each in said if each.topic.startswith(b"d/"))
    return said


@pytest.mark.threat("foreign-cursor")
def test_sink_that_the_node_was_not_given() -> None:
    """A node honours only sinks of its certificate, whatever its settings name."""
    trustees = Trustees()
    ends = Signed(node=trustees.node(sinks=("other",)), trustees=trustees)
    ends.journal.add(1)
    ends.settle(5)
    assert ends.node.sinks(ends.now)["main"]["refused"] == why.UNWANTED
    assert not ends.node.sinks(ends.now)["main"]["attached"]


@pytest.mark.threat("foreign-cursor")
def test_altered_and_replayed_words_of_a_sink() -> None:
    """An altered cursor is forged, an old one old, a hello is bound to its sink."""
    ends = live()
    ends.journal.add(1)
    cursor = None
    while cursor is None:
        ends.up()
        cursor = next(iter(ends.down()), None)
        ends.now += 0.25
    altered = cursor.head[:-1] + bytes([cursor.head[-1] ^ 1])
    ends.node.receive(ends.now, cursor._replace(head=altered))
    ends.node.receive(ends.now, cursor)
    assert ends.node.counters["old cursor"] == 1
    assert ends.node.counters["forged cursor"] + ends.node.counters["malformed message"] == 1
    hello = Message(
        topics.all_topic("main"),
        b"",
        encode_hello(Hello("main", b"s" * 8)),
        cursor.signature,
        cursor.body,
        b"",
    )
    ends.node.receive(ends.now, hello)
    assert ends.node.counters["forged hello"] == 1


# --- with and without keys -----------------------------------------------------------------------


def test_node_without_keys_at_a_sink_with_keys() -> None:
    """Both say so, and nothing is lost: with keys the records come."""
    trustees = Trustees()
    ends = Signed(node=OpenSeal(), trustees=trustees)
    ends.journal.add(3)
    for message in ends.sink.hellos():
        ends.node.receive(ends.now, message)
    ends.settle(5)
    assert ends.stored() == []
    assert ends.node.sinks(ends.now)["main"]["refused"] == why.KEYLESS
    (row, *_) = ends.sink.admission.refusals.report(ends.now)
    assert (row["who"], row["what"], row["why"]) == ("node hq/web1", "beacon", why.UNSIGNED)
    ends.node_seal = trustees.node()
    ends.restart_node()
    ends.settle(10)
    assert ends.ranges(next(iter(ends.journal.batches))) == [(1, 4)]


def test_node_with_keys_at_a_sink_without() -> None:
    """The same, the other way round."""
    trustees = Trustees()
    ends = Signed(sink=OpenSeal(), trustees=trustees)
    ends.journal.add(3)
    for message in ends.sink.hellos():
        ends.node.receive(ends.now, message)
    ends.settle(5)
    assert ends.stored() == []
    assert ends.node.sinks(ends.now)["main"]["refused"] == why.UNSIGNED
    assert ends.sink.counters[f"refused beacon: {why.KEYLESS}"] > 0
    ends.sink_seal = trustees.recorder()
    ends.restart_sink()
    ends.settle(10)
    assert ends.stored() == [(1, 4)]


def test_the_same_credentials_are_verified_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A beacon costs one signature, not those of its whole chain again."""
    ends = live()
    seal = ends.sink_seal
    assert isinstance(seal, KeySeal)
    taken = []
    monkeypatch.setattr(seal, "_take", lambda *arguments: taken.append(arguments))
    ends.settle(30)
    assert taken == []


@pytest.mark.threat("rotated-key")
def test_an_unsigned_gap_and_data_of_no_key_in_a_signed_epoch() -> None:
    """What names no key cannot go on in an epoch that a key opened."""
    ends = live()
    epoch = next(iter(ends.journal.batches))
    true = ends.last_batch()
    body = records(3, start=70)
    header = Header(LOGS, DATA, epoch, b"", 7, 3, body_digest(body), ends.journal.batches[epoch][-2].digest)
    batch = seal_batch(header, body, ends.journal.pen.sign)
    ends.hear(true._replace(head=batch.head, signature=batch.signature, body=body))
    assert ends.sink.counters[f"refused batch: {why.EPOCH}"] == 1
    gap = seal_batch(header._replace(kind=GAP, previous=NO_DIGEST), body, lambda head: b"")
    ends.hear(true._replace(head=gap.head, signature=b"", body=body))
    assert ends.sink.counters[f"refused batch: {why.UNSIGNED}"] == 1


@pytest.mark.threat("revoked-key")
def test_a_revoked_key_among_the_earlier_ones_takes_nothing_from_the_key_of_now() -> None:
    """A node whose own home has not heard of it goes on under its new key."""
    trustees = Trustees()
    old, new = trustees.key(), trustees.key()
    before, after = (trustees.chain("node", "web1", "hq", key, ("main",)) for key in (old, new))
    node = KeySeal(trustees.directory(), new, [after, before], lambda: trustees.now)
    ends = Signed(node=node, trustees=trustees)
    assert isinstance(ends.sink_seal, KeySeal)
    directory = ends.sink_seal._directory
    directory.take(before, trustees.now)
    directory.take_roster(trustees.revoke(old.public.key_id), trustees.now)
    ends.journal.add(2)
    ends.settle(5)
    assert ends.stored() == [(1, 3)]
    assert directory.revoked(old.public.key_id) is not None


def test_the_key_of_what_was_dropped_before_it_was_stored_is_stored_with_what_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A session that ends takes the first batch of a key with it; the key is not to be missing for good."""
    ends = Signed()
    with monkeypatch.context() as held:
        held.setattr(ends.sink, "flush", lambda _now, _wall: True)
        ends.journal.add(3)
        ends.settle(3)
        assert ends.sink.pending_records
        ends.sink.anew(ends.now, NODE)
    ends.settle(20)
    assert ends.node.delivered()
    kept = ends.store.connection(RECORDS).execute("SELECT count(*) FROM signer").fetchone()
    assert kept[0] == 1
