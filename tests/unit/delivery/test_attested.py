"""A body that was changed at a boundary: who may have, what the sink makes of it, and that all else is refused.

Each negative test names the threat of docs/security.md that it stands for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tabard.brokers.delivery import seal as why
from tabard.brokers.delivery.ports import Entry, Withheld
from tabard.brokers.delivery.seal import OpenSeal
from tabard.brokers.policy.attesting import Attester
from tabard.brokers.trust.certificates import NODE
from tabard.brokers.wire.attested import MAX_PROOFS, check_attested, decode_attested, encode_attested, stub
from tabard.brokers.wire.batch import DATA, Batch, body_digest
from tabard.brokers.wire.codec import pack, unpack
from tabard.brokers.wire.messages import Message
from tabard.brokers.wire.streams import CONTROL, LOGS, SAMPLES
from tabard.consumers.store.layout import RECORDS
from tabard.errors import WireError
from tabard.records import LOG_INDEX, LOG_WIDTH
from tests.trustees import YEAR, Trustees
from tests.unit.delivery.rig import NOON
from tests.unit.delivery.test_signed import Signed

NAME = "edge@1"


def log(text: str) -> list[Any]:
    """A log record."""
    record: list[Any] = [None] * LOG_WIDTH
    record[0], record[1], record[LOG_INDEX["message"]] = NOON, 9, text
    return record


def body(*texts: str, origin: str = "test") -> bytes:
    """A plain body."""
    return pack([("s", 1, origin, [log(text) for text in texts])])


class Bounded(Signed):
    """Both ends in `hq`, and a boundary between them that can change what the node sends."""

    def __init__(self, trustees: Trustees | None = None) -> None:
        super().__init__(trustees=trustees)
        self.boundary = self.trustees.broker()
        self.policy = self.trustees.policy()
        self.entries: list[Entry] = []
        self.sink._intake._prepare = lambda _stream, entry: self.entries.append(entry)
        self.settle(5)
        self.entries.clear()

    def sent(self, *texts: str) -> Message:
        """A batch with these records, which the sink does not hear."""
        self.journal.add(len(texts), body(*texts))
        return next(each for each in self.node.outgoing(self.now, self.wall) if b"/logs/" in each.topic)

    def changed(
        self, message: Message, inner: bytes, by: Attester | None = None, policy: bytes = b""
    ) -> Message:
        """The batch as a boundary hands it on."""
        before = body_digest(message.body)
        attested = (by or self.boundary).attest(message.head, policy or self.policy, before, inner)
        return message._replace(body=attested)

    def stub_at(self, message: Message, *places: int, name: str = NAME) -> bytes:
        """The body of a batch with stubs in some places."""
        [[source, mark, origin, records]] = unpack(message.body)
        first = self.first(message)
        left = [stub(first + at, name) if at in places else record for at, record in enumerate(records)]
        return pack([(source, mark, origin, left)])

    @staticmethod
    def first(message: Message) -> int:
        """The first sequence number of a batch."""
        return int(unpack(message.head)[5])

    def rows(self) -> list[tuple[int, str]]:
        """What the store has of log records."""
        found = self.store.connection(RECORDS).execute("SELECT seq, message FROM log ORDER BY seq")
        return [(int(seq), str(message)) for seq, message in found]

    def refused(self, reason: str) -> None:
        """It was refused for that, had no other effect, and the whole is asked for and comes."""
        assert self.sink.counters[f"refused batch: {reason}"] == 1, dict(self.sink.counters)
        assert not self.entries
        upto = self.journal.spans()[-1].last
        self.journal.add(1, body("more"))
        self.settle(20)
        assert self.stored() == [(1, upto + 1)]
        assert not any(entry.attested for entry in self.entries)


def test_a_stub_advances_the_cursor_and_is_no_loss() -> None:
    """The records that are there have their own numbers; of the others is known how many, where and by which policy."""
    ends = Bounded()
    message = ends.sent("a", "b", "c", "d", "e")
    ends.hear(ends.changed(message, ends.stub_at(message, 1, 2, 4)))
    ends.settle(5)
    assert ends.stored() == [(1, 6)]
    assert ends.rows() == [(2, "a"), (5, "d")]
    [entry] = ends.entries
    assert entry.seqs == (2, 5)
    assert entry.withheld == (Withheld(3, 2, NAME), Withheld(6, 1, NAME))
    [word] = entry.attested
    assert word[:3] == ("hq", NAME, "b1")
    assert word.document == ends.policy
    assert ends.node.delivered()
    assert ends.store.connection(RECORDS).execute("SELECT count(*) FROM gap").fetchone() == (0,)
    assert not [name for name in ends.sink.counters if "refused" in name or "forged" in name]


def test_a_batch_of_which_nothing_is_left_advances_the_cursor() -> None:
    """And writes no rows."""
    ends = Bounded()
    message = ends.sent("a", "b")
    ends.hear(ends.changed(message, ends.stub_at(message, 0, 1)))
    ends.settle(5)
    assert ends.stored() == [(1, 3)]
    assert ends.rows() == []
    assert ends.entries[0].withheld == (Withheld(2, 2, NAME),)
    assert ends.entries[0].seqs == ()


def test_the_same_batch_whole_and_changed_is_one() -> None:
    """Whichever came first: its header is its identity."""
    for first in (0, 1):
        ends = Bounded()
        message = ends.sent("a", "b")
        both = [message, ends.changed(message, ends.stub_at(message, 1))]
        ends.hear(both[first])
        ends.hear(both[1 - first])
        ends.settle(5)
        assert ends.stored() == [(1, 3)]
        assert len(ends.rows()) == 2 - first


def test_two_boundaries_on_one_way() -> None:
    """Each says what it made of what came to it; the sink follows them from the header on."""
    trustees = Trustees()
    ends = Bounded(trustees)
    message = ends.sent("a", "b", "c")
    once = ends.changed(message, ends.stub_at(message, 0))
    came = decode_attested(once.body)
    other = trustees.policy("second", 4)
    [[source, mark, origin, records]] = unpack(came.inner)
    twice = pack([(source, mark, origin, [records[0], stub(3, "second@4"), records[2]])])
    proofs = [*came.encoded, ends.boundary.proof(message.head, other, came.proofs[-1].after, twice)]
    ends.hear(message._replace(body=encode_attested(proofs, twice)))
    assert [word.policy for word in ends.entries[0].attested] == [NAME, "second@4"]
    assert ends.entries[0].withheld == (Withheld(2, 1, NAME), Withheld(3, 1, "second@4"))
    # the second word alone, or in front of the first, proves nothing
    for wrong in ([proofs[1]], [proofs[0], proofs[0], proofs[1]]):
        again = Bounded(trustees)
        again.hear(message._replace(body=encode_attested(wrong, twice)))
        assert not again.entries


Forgery = Callable[[Bounded, Message], Message]


def _by_other(ends: Bounded, message: Message, zone: str, policy: bytes) -> Message:
    return ends.changed(message, ends.stub_at(message, 0), ends.trustees.broker("x", zone), policy)


FORGERIES: dict[str, tuple[str, Forgery]] = {
    "attestation-without-a-policy": (
        why.LAWLESS,
        lambda ends, message: ends.changed(message, ends.stub_at(message, 0), policy=b"\x91\x01"),
    ),
    "a policy that the broker signed itself": (
        why.LAWLESS,
        lambda ends, message: ends.changed(message, ends.stub_at(message, 0), policy=_signed_by_broker(ends)),
    ),
    "policy-of-another-zone": (
        why.LAWLESS,
        lambda ends, message: ends.changed(
            message, ends.stub_at(message, 0), policy=ends.trustees.policy(zone="hq/beside")
        ),
    ),
    "a broker and a policy of the zone beside": (
        why.BESIDE,
        lambda ends, message: _by_other(ends, message, "hq/beside", ends.trustees.policy(zone="hq/beside")),
    ),
    "a policy for another link of the zone": (
        why.BESIDE,
        lambda ends, message: ends.changed(
            message, ends.stub_at(message, 0), policy=ends.trustees.policy(below="hq/dmz")
        ),
    ),
    "a policy that has ended": (
        why.LAWLESS,
        lambda ends, message: ends.changed(
            message, ends.stub_at(message, 0), policy=ends.trustees.policy(ended=True)
        ),
    ),
    "a key that is no broker's": (
        why.FOREIGN,
        lambda ends, message: ends.changed(message, ends.stub_at(message, 0), _as_node(ends)),
    ),
    "forged-attestation": (
        why.ALTERED,
        lambda ends, message: ends.changed(
            message,
            ends.stub_at(message, 0),
            Attester(ends.trustees.key(), ends.boundary.chain),
        ),
    ),
    "another-root": (
        why.UNPROVEN,
        lambda ends, message: ends.changed(
            message, ends.stub_at(message, 0), Trustees(7).broker(), Trustees(7).policy()
        ),
    ),
}


def _signed_by_broker(ends: Bounded) -> bytes:
    from tabard.brokers.policy import document

    return document.sign(document.Policy("edge", 1, "hq", "hq"), ends.boundary.key)


def _as_node(ends: Bounded) -> Attester:
    key = ends.trustees.key()
    return Attester(key, ends.trustees.chain(NODE, "web2", "hq", key, ("main",)))


@pytest.mark.parametrize("threat", FORGERIES)
@pytest.mark.threat("forged-attestation", "policy-of-another-zone", "attestation-without-a-policy")
def test_who_may_not_attest_is_refused(threat: str) -> None:
    """Refused, and asked for again."""
    reason, forge = FORGERIES[threat]
    ends = Bounded()
    message = ends.sent("a", "b")
    ends.hear(forge(ends, message))
    ends.refused(reason)


@pytest.mark.threat("moved-attestation")
def test_an_attestation_of_another_batch() -> None:
    """A boundary's word is for one batch, one policy and one body."""
    ends = Bounded()
    one = ends.sent("a", "b")
    other = ends.sent("c", "d")
    word = decode_attested(ends.changed(one, ends.stub_at(one, 0)).body)
    ends.hear(other._replace(body=encode_attested(word.encoded, word.inner)))
    assert ends.sink.counters[f"refused batch: {why.ALTERED}"] == 1
    assert not ends.entries


@pytest.mark.threat("altered-withheld")
def test_altered_behind_the_boundary() -> None:
    """A stub or a record that somebody puts in later is not what was attested."""
    ends = Bounded()
    message = ends.sent("a", "b", "c")
    word = decode_attested(ends.changed(message, ends.stub_at(message, 0)).body)
    for inner in (ends.stub_at(message, 0, 1), ends.stub_at(message), b""):
        ends.hear(message._replace(body=encode_attested(word.encoded, inner)))
    assert ends.sink.counters["malformed: an attested body that its attestation does not name"] == 3
    assert not ends.entries


@pytest.mark.threat("stripped-attestation")
def test_stripped_attestation() -> None:
    """What is left of a body is nothing without the word of who changed it."""
    ends = Bounded()
    message = ends.sent("a", "b")
    ends.hear(message._replace(body=ends.stub_at(message, 0)))
    ends.hear(message._replace(body=encode_attested([], ends.stub_at(message, 0))))
    assert ends.sink.counters["malformed message"] == 2
    assert not ends.entries


@pytest.mark.threat("altered-batch")
def test_the_header_of_an_attested_batch_is_the_nodes() -> None:
    """Nobody attests a batch that its node did not sign."""
    ends = Bounded()
    message = ends.sent("a", "b")
    forged = message._replace(signature=bytes(64))
    ends.hear(ends.changed(forged, ends.stub_at(message, 0)))
    assert ends.sink.counters["forged batch"] == 1
    assert not ends.entries


@pytest.mark.threat("revoked-broker")
def test_revoked_broker() -> None:
    """A boundary whose key was taken back attests nothing any more."""
    ends = Bounded()
    message = ends.sent("a", "b")
    directory = ends.sink_seal._directory  # type: ignore[attr-defined]
    directory.take_roster(ends.trustees.revoke(ends.boundary.key.public.key_id), ends.trustees.now)
    ends.sink_seal.forget()  # type: ignore[attr-defined]
    ends.hear(ends.changed(message, ends.stub_at(message, 0)))
    ends.refused(why.REVOKED)


@pytest.mark.threat("expired-broker")
def test_expired_broker() -> None:
    """Nor one whose certificate has ended."""
    ends = Bounded()
    message = ends.sent("a", "b")
    key = ends.trustees.key()
    chain = ends.trustees.chain("broker", "b1", "hq", key, (), until=-YEAR // 2)
    ends.hear(ends.changed(message, ends.stub_at(message, 0), Attester(key, chain)))
    ends.refused(why.EXPIRED)


@pytest.mark.threat("boundary-above")
def test_a_sink_below_the_boundary_takes_no_word_of_it() -> None:
    """A zone above the sink is not on the way to it."""
    trustees = Trustees()
    low = trustees.recorder(zone="hq/dmz")
    above, inside = trustees.broker(), trustees.broker("b2", "hq/dmz")
    message = Bounded(trustees).sent("a", "b")
    from tabard.brokers.delivery.ports import NodeKey

    def asked(by: Attester, policy: bytes) -> object:
        attested = by.attest(message.head, policy, body_digest(message.body), b"\x90")
        batch, found = check_attested(message.head, message.signature, attested)
        return low.attested(batch, found, NodeKey("web1", "hq/dmz"))

    assert asked(above, trustees.policy(zone="hq")) == why.BESIDE
    assert asked(above, trustees.policy(zone="hq", below="hq/dmz")) == why.BESIDE
    assert isinstance(asked(inside, trustees.policy(zone="hq/dmz")), tuple)


@pytest.mark.threat("attested-without-keys")
def test_without_keys_nothing_is_attested() -> None:
    """Where nobody signs there are no policies."""
    from tests.unit.delivery.rig import Ends, MemoryJournal

    trustees = Trustees()
    ends = Ends(MemoryJournal())
    ends.settle(5)
    ends.journals[0].add(1, body("a"))
    message = next(each for each in ends.node.outgoing(ends.now, ends.wall) if b"/logs/" in each.topic)
    attested = trustees.broker().attest(
        message.head, trustees.policy(), body_digest(message.body), pack([("", None, None, [stub(2, NAME)])])
    )
    ends.sink.receive(ends.now, ends.wall, message._replace(body=attested))
    assert ends.sink.counters[f"refused batch: {why.KEYLESS}"] == 1
    assert isinstance(OpenSeal().attested(None, None, None), str)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "seqs"), [("other@1", (2,)), (NAME, (3,)), (NAME, (1,)), ("edge@2", (2,))], ids=str
)
def test_a_stub_in_anothers_place(name: str, seqs: tuple[int, ...]) -> None:
    """Of a boundary that may: the batch is quarantined as any that cannot be read, and the stream goes on."""
    ends = Bounded()
    message = ends.sent("a", "b")
    [[source, mark, origin, records]] = unpack(message.body)
    wrong = pack([(source, mark, origin, [stub(seqs[0], name), records[1]])])
    ends.hear(ends.changed(message, wrong))
    ends.settle(5)
    assert ends.stored() == [(1, 3)]
    assert ends.rows() == []
    held = ends.store.connection(RECORDS).execute("SELECT first, count, reason FROM quarantine").fetchall()
    assert [(first, count) for first, count, _reason in held] == [(2, 2)]


@pytest.mark.parametrize("kind_stream", [(DATA, CONTROL), (1, LOGS), (3, SAMPLES)], ids=str)
@pytest.mark.threat("withheld-control")
def test_only_logs_and_samples_can_be_attested(kind_stream: tuple[int, int]) -> None:
    """Answers, openings and gaps pass every boundary as they are."""
    from tabard.brokers.wire.batch import decode_header, encode_header

    ends = Bounded()
    message = ends.sent("a")
    header = decode_header(message.head)._replace(kind=kind_stream[0], stream=kind_stream[1])
    head = encode_header(header)
    attested = ends.boundary.attest(head, ends.policy, header.body_digest, b"\x90")
    with pytest.raises(WireError, match="no policy reaches"):
        check_attested(head, bytes(64), attested)


@pytest.mark.threat("many-attestations")
def test_too_many_attestations() -> None:
    """They are bounded before any signature is looked at."""
    ends = Bounded()
    message = ends.sent("a")
    proof = decode_attested(ends.changed(message, ends.stub_at(message, 0)).body).encoded[0]
    with pytest.raises(WireError):
        encode_attested([proof] * (MAX_PROOFS + 1), b"")
    with pytest.raises(WireError):
        decode_attested(pack((1, [proof] * (MAX_PROOFS + 1), b"")))


def test_runs_part_groups_where_records_are_withheld() -> None:
    """Whoever writes rows counts up within a run."""
    batch = Batch(None, b"", b"", b"")  # type: ignore[arg-type]
    entry = Entry(batch, groups=[("s", 1, "o", ("a", "b", "c")), ("s", 1, "p", ("d",))], seqs=(4, 5, 9, 10))
    assert list(entry.runs()) == [(4, "o", ("a", "b")), (9, "o", ("c",)), (10, "p", ("d",))]
    assert entry.count == 4
