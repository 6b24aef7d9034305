"""A key that was taken back: what it signed and nobody stored goes to quarantine, is said to be missing, and is passed."""

from __future__ import annotations

from typing import Any

import pytest

from tabard.brokers.delivery import seal as why
from tabard.brokers.delivery import withdrawn
from tabard.brokers.delivery.book import forked_id
from tabard.brokers.delivery.seal import parted, signed
from tabard.brokers.trust.keys import PrivateKey
from tabard.brokers.trust.seal import KeyPen, KeySeal
from tabard.brokers.wire import topics
from tabard.brokers.wire.batch import DATA, Header, body_digest, seal_batch
from tabard.brokers.wire.messages import NO_SESSION, Envelope, Message, encode_envelope
from tabard.brokers.wire.streams import LOGS
from tabard.consumers.store.layout import RECORDS
from tests.unit.delivery.rig import NODE, records
from tests.unit.delivery.test_signed import Signed, quarantined


class Rekeyed(Signed):
    """A node whose key was revoked while it had a backlog, and which has another one by now."""

    def __init__(self, backlog: int = 3) -> None:
        super().__init__()
        assert isinstance(self.node_seal, KeySeal)
        self.old: PrivateKey = self.node_seal.pen._key
        self.journal.add(5)
        self.settle(5)
        assert self.stored() == [(1, 6)]
        for _ in range(backlog):
            self.journal.add(4)
        self.first = next(iter(self.journal.batches))
        self.new = self.trustees.key()

    def rekey(self) -> bytes:
        """The node gets another key, and goes on in an epoch of that."""
        chain = self.trustees.chain("node", "web1", "hq", self.new, ("main",))
        assert isinstance(self.node_seal, KeySeal)
        self.node_seal.renew(self.trustees.directory(), self.new, [chain], self.old)
        epoch = self.journal.rotate()
        self.node.speak(self.now)
        return epoch

    def meet(self) -> None:
        """The node gets its key, and both are in a session; no batch of it was heard."""
        self.rekey()
        self.hear_beacons()

    def hear_beacons(self) -> None:
        """Both are in a session by beacons alone."""
        for _ in range(3):
            self.node.speak(self.now)
            for message in self.node.outgoing(self.now, self.wall):
                if b"/beacon/" in message.topic:
                    self.sink.receive(self.now, self.wall, message)
            self.down()
        assert self.sink._nodes[NODE].confirmed

    def gaps(self) -> list[tuple[Any, ...]]:
        """First, last, count, whether at least, kind and reason."""
        rows = self.store.connection(RECORDS).execute(
            "SELECT first, last, count, at_least, kind, reason FROM gap ORDER BY first"
        )
        return list(rows)

    def stolen(self, first: int, count: int, previous: bytes, key: PrivateKey | None = None) -> Message:
        """A batch that somebody with the old key makes, or with another one, in the node's session."""
        key = key or self.old
        session = self.sink._nodes[NODE].session if NODE in self.sink._nodes else NO_SESSION
        body = records(count, 1000)
        header = Header(LOGS, DATA, self.first, key.public.key_id, first, count, body_digest(body), previous)
        batch = seal_batch(header, body, KeyPen(key).sign)
        sent = self.sink._nodes[NODE].streams[LOGS].account.used + 1
        envelope = encode_envelope(Envelope(session, sent, batch.size, 0, 0))
        return Message(
            topics.up_topic("main", "hq", "web1", "logs"), envelope, batch.head, batch.signature, body, b""
        )


@pytest.mark.threat("revoked-key")
def test_what_a_revoked_key_signed_goes_to_quarantine_and_the_node_goes_on() -> None:
    """Exactly what is missing, its bytes, nothing that is held or asked for for ever."""
    ends = Rekeyed()
    ends.revoke(ends.old.public.key_id)
    ends.settle(3)
    assert ends.gaps() == []  # its beacons are not believed, so nothing happens
    epoch = ends.rekey()
    ends.journal.add(2)
    ends.settle(20)
    assert ends.ranges(epoch) == [(1, 3)]
    assert ends.stored() == [(1, 18)]
    assert ends.gaps() == [(7, 18, 12, 0, "gap", "revoked key")]
    assert quarantined(ends) == [(7, 4, "revoked key"), (11, 4, "revoked key"), (15, 4, "revoked key")]
    assert ends.node.delivered()
    asked = ends.sink.counters["batches of a revoked key quarantined"]
    ends.settle(40)
    assert ends.sink.counters["batches of a revoked key quarantined"] == asked == 3
    assert ends.sink.counters["duplicate batches"] == 0


def test_an_epoch_whose_opening_is_not_stored_ends_there_too() -> None:
    """Also when nothing of it is stored: its opening is no record, and is not believed."""
    ends = Signed()
    assert isinstance(ends.node_seal, KeySeal)
    old = ends.node_seal.pen._key
    ends.journal.add(3)
    ends.revoke(old.public.key_id)
    new = ends.trustees.key()
    before = ends.trustees.chain("node", "web1", "hq", old, ("main",))
    seal = ends.sink_seal
    assert isinstance(seal, KeySeal)
    # what a roster lists of keys that were taken back: the sink never heard a beacon of it
    seal._directory._keep(seal._directory._verified(before[-1], seal._directory.root) and _known(before[-1]))
    ends.node_seal.renew(
        ends.trustees.directory(), new, [ends.trustees.chain("node", "web1", "hq", new, ("main",))], old
    )
    epoch = ends.journal.rotate()
    ends.settle(20)
    assert ends.ranges(epoch) == [(1, 1)]
    assert ends.stored() == [(1, 4)]
    assert quarantined(ends) == [(1, 1, "revoked key"), (2, 3, "revoked key")]
    assert ends.node.delivered()
    assert not ends.store.unfinished(NODE, LOGS)[:-1]


def _known(encoded: bytes) -> Any:
    from tabard.brokers.trust.certificates import read
    from tabard.brokers.trust.roots import Known

    return Known(read(encoded).certificate, encoded)


@pytest.mark.threat("revoked-key")
def test_nothing_is_set_aside_for_the_key_that_was_revoked() -> None:
    """Who stole it cannot have the node's journal let go of."""
    ends = Rekeyed()
    ends.revoke(ends.old.public.key_id)
    ends.settle(20)
    assert ends.stored() == [(1, 6)]
    assert not quarantined(ends)
    assert not ends.node.delivered()


@pytest.mark.threat("revoked-key")
def test_a_stolen_key_writes_on_nowhere() -> None:
    """Neither beyond what the node keeps nor in the place of it: its key of now says nothing to that."""
    ends = Rekeyed()
    ends.revoke(ends.old.public.key_id)
    ends.meet()
    before, *_, last = ends.journal.batches[ends.first][1:]
    beyond = ends.stolen(last.header.last + 1, 5, last.digest)
    within = ends.stolen(7, 4, before.digest)
    for message in (beyond, within):
        ends.hear(message)
        ends.hear(message._replace(signature=message.signature * 2))
    assert ends.sink.counters[f"refused batch: {why.UNVOUCHED}"] == 2
    assert ends.sink.counters["forged batch"] == 2
    assert ends.gaps() == []
    ends.settle(20)
    assert ends.stored() == [(1, 18)]
    assert ends.gaps() == [(7, 18, 12, 0, "gap", "revoked key")]
    assert quarantined(ends) == [(7, 4, "revoked key"), (11, 4, "revoked key"), (15, 4, "revoked key")]


@pytest.mark.threat("revoked-key")
def test_the_word_of_one_batch_is_none_for_another() -> None:
    """It is over the header, and with it over the body, the place, the epoch and the batch before."""
    ends = Rekeyed()
    ends.revoke(ends.old.public.key_id)
    ends.meet()
    theirs = ends.journal.batches[ends.first][-3]
    _signature, word = parted(signed(ends.node_seal, theirs))
    made = ends.stolen(7, 4, theirs.header.previous)
    ends.hear(made._replace(signature=made.signature + word))
    assert ends.sink.counters["forged batch"] == 1
    assert ends.gaps() == []
    assert not quarantined(ends)


@pytest.mark.threat("revoked-key")
def test_the_word_of_a_key_that_the_session_does_not_know_is_none() -> None:
    """Of one that was revoked, too: whoever has two old keys has nothing."""
    ends = Rekeyed()
    ends.revoke(ends.old.public.key_id)
    ends.meet()
    theirs = ends.journal.batches[ends.first][-3]
    word = signed(ends.node_seal, theirs)
    first = ends.new
    ends.new = ends.trustees.key()
    ends.rekey()
    ends.revoke(first.public.key_id)
    ends.meet()
    message = ends.stolen(7, 4, theirs.header.previous)
    ends.hear(message._replace(head=theirs.head, body=theirs.body, signature=word))
    assert ends.sink.counters["forged batch"] == 1
    assert not quarantined(ends)
    ends.settle(20)
    assert ends.stored() == [(1, 18)]
    assert (7, 18, 12, 0, "gap", "revoked key") in ends.gaps()


def parting(stored: int, written: int) -> Rekeyed:
    """A node whose machine went back behind what is stored or set aside, and wrote those numbers again; then its key was revoked."""
    ends = Rekeyed(backlog=3)
    for _ in range(stored):
        ends.settle(5)
    del ends.journal.batches[ends.first][2:]
    for number in range(written):
        ends.journal.add(4, records(4, 500 + number))
    return ends


@pytest.mark.threat("revoked-key")
@pytest.mark.parametrize("written", [2, 3, 5])
def test_a_second_history_under_a_revoked_key_is_told(written: int) -> None:
    """It is shorter than the one that is stored, as long, or longer: all of it is set aside, and said to be missing, under a name of its own."""
    ends = parting(1, written)
    assert ends.stored() == [(1, 18)]
    second = [(batch.header.first, batch.header.count) for batch in ends.journal.batches[ends.first][2:]]
    ends.revoke(ends.old.public.key_id)
    ends.rekey()
    ends.settle(40)
    fork = forked_id(ends.first)
    assert ends.stored() == [(1, 18)]
    assert ends.ranges(fork) == [(1, 6 + 4 * written)]
    assert quarantined(ends) == [(first, count, "revoked key") for first, count in second]
    missing = [gap for gap in ends.gaps() if gap[4] == "gap"]
    assert missing == [(7, 6 + 4 * written, 4 * written, 0, "gap", "revoked key")]
    assert [gap[5] for gap in ends.gaps() if gap[4] == "doubt"] == ["rolled back"]
    assert ends.node.delivered()
    forked = ends.sink.counters["forked epoch"]
    ends.settle(40)
    assert ends.sink.counters["forked epoch"] == forked == 1


@pytest.mark.threat("revoked-key")
@pytest.mark.parametrize("written", [2, 3, 5])
def test_a_machine_that_goes_back_behind_what_was_set_aside_is_told(written: int) -> None:
    """What was set aside is told apart by its digests, as what is stored is."""
    ends = Rekeyed(backlog=3)
    ends.revoke(ends.old.public.key_id)
    ends.rekey()
    ends.settle(20)
    assert len(quarantined(ends)) == 3
    newest = list(ends.journal.batches)[-1]
    kept = ends.journal.batches.pop(newest)
    del ends.journal.batches[ends.first][2:]
    ends.journal.pen = KeyPen(ends.old)
    for number in range(written):
        ends.journal.add(4, records(4, 500 + number))
    ends.journal.batches[newest] = kept
    ends.restart_node()
    ends.settle(40)
    assert ends.stored() == [(1, 18)]
    assert ends.ranges(forked_id(ends.first)) == [(1, 6 + 4 * written)]
    assert len(quarantined(ends)) == 3 + written
    assert sum(gap[2] for gap in ends.gaps()) == 12 + 4 * written
    assert ends.node.delivered()


@pytest.mark.threat("revoked-key")
def test_a_forged_batch_under_a_revoked_key_is_not_set_aside() -> None:
    """Its id alone is nothing; the signature is verified as any other."""
    ends = Rekeyed()
    ends.revoke(ends.old.public.key_id)
    ends.meet()
    before = ends.journal.batches[ends.first][-4]
    stolen = ends.stolen(7, 4, before.digest)
    ends.hear(stolen._replace(signature=bytes(64)))
    assert ends.sink.counters["forged batch"] == 1
    assert ends.gaps() == []
    assert not quarantined(ends)


@pytest.mark.threat("revoked-key")
def test_another_history_under_a_stolen_key_holds_nobody_up() -> None:
    """What it makes in place of the node's batches, or to follow them, leads to no fork, and to nothing that is asked for for ever."""
    ends = Rekeyed()
    ends.revoke(ends.old.public.key_id)
    ends.meet()
    before = ends.journal.batches[ends.first][-4]
    for first, previous in ((9, before.digest), (7, bytes(32)), (1, bytes(32)), (19, bytes(32))):
        ends.hear(ends.stolen(first, 4, previous))
        ends.settle(5)
    ends.settle(30)
    assert ends.stored() == [(1, 18)]
    assert sum(count for _first, _last, count, *_ in ends.gaps()) == 12
    assert ends.sink.counters["forked epoch"] == 0
    assert ends.node.delivered()


def test_beyond_a_bound_only_the_gap_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes that are kept are bounded; what is missing is said exactly all the same."""
    monkeypatch.setattr(withdrawn, "MAX_KEPT", 700)
    ends = Rekeyed(backlog=6)
    ends.revoke(ends.old.public.key_id)
    ends.rekey()
    ends.settle(20)
    assert ends.stored() == [(1, 30)]
    assert sum(count for _first, _last, count, *_ in ends.gaps()) == 24
    assert 0 < len(quarantined(ends)) < 6
    assert ends.sink.counters["batches of a revoked key not kept"] == 6 - len(quarantined(ends))
    assert ends.node.delivered()


def test_what_the_node_drops_of_it_is_its_own_gap() -> None:
    """A gap names no key: the key of now vouches that the records are gone."""
    ends = Rekeyed()
    ends.journal.gap(ends.first, 2, 1)
    ends.revoke(ends.old.public.key_id)
    ends.rekey()
    ends.settle(20)
    assert ends.gaps() == [(7, 10, 4, 0, "gap", "quota"), (11, 18, 8, 0, "gap", "revoked key")]
    assert why.REVOKED == withdrawn.REASON
