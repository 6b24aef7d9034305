"""What every engine of the store must do with leases: taken by one, counted by fences, looked at in each commit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import pytest

from tabard.brokers.delivery.leases import NOBODY, RECORDER, Identity, Lease, LeaseStore
from tabard.brokers.delivery.ports import (
    Claim,
    CursorConflict,
    EpochWork,
    LeaseLost,
    SinkStore,
    StoreUnavailable,
)
from tabard.brokers.wire.streams import CONTROL, LOGS
from tests.contract.chain import MAIL, NOON, SECOND, WEB, Chain, logs
from tests.contract.engine import Contract, Engine, ReadingEngine

ARRIVED = NOON + 3600 * SECOND
ONE = Identity("one", "life 1", "host1:/srv")
TWO = Identity("two", "life 2", "host2:/srv")
PARTS = (3, 9, 63)
S = TypeVar("S", bound=SinkStore)


class LeasingEngine(ReadingEngine[S], Protocol[S]):
    """What leases are tested with."""

    def another(self, store: S) -> S:
        """The same store as another recorder has it, with a connection of its own."""

    def execute(self, store: S, stream: int, text: str) -> None:
        """Run a statement in the file or schema of that stream."""


def free(*parts: int) -> list[Lease]:
    """Parts that nobody has ever held."""
    return [Lease(part, NOBODY, 0) for part in parts]


def under(work: EpochWork, claim: Claim) -> EpochWork:
    """Work that is written under a lease."""
    work.claim = claim
    return work


class LeasingContract(Contract):
    """Inherit, and give an `engine`."""

    @pytest.fixture
    def leases(self, store: Any) -> LeaseStore:
        """Those of recorders."""
        found: LeaseStore = store.leases(RECORDER)
        return found

    @pytest.fixture
    def others(self, engine: LeasingEngine[Any], store: Any) -> LeaseStore:
        """The same, as another recorder sees them."""
        found: LeaseStore = engine.another(store).leases(RECORDER)
        return found

    # --- membership -------------------------------------------------------------------------------

    def test_a_member_is_seen_by_others(self, leases: LeaseStore, others: LeaseStore) -> None:
        """With its name, its life, and until when its leases last by the store's clock."""
        leases.look(ONE, 6.0, joining=True)
        view = others.look(TWO, 2.0, joining=True)
        one, two = view.members
        assert (one.owner, one.life, one.name, one.length) == (*ONE, 6 * SECOND)
        assert 0 < one.expires - view.now <= 6 * SECOND
        assert two.expires - view.now == 2 * SECOND
        assert view.leases == {}

    def test_a_renewal_is_one_beat_more(self, leases: LeaseStore) -> None:
        """By which others see that it lives, whatever their clocks say."""
        beats = [leases.look(ONE, 6.0, joining=number == 0).members[0].beat for number in range(3)]
        assert beats == [1, 2, 3]

    def test_a_new_life_takes_the_place_of_the_one_before(
        self, leases: LeaseStore, others: LeaseStore
    ) -> None:
        """The earlier one, if it still runs, sees that, and changes nothing."""
        leases.look(ONE, 6.0, joining=True)
        later = ONE._replace(life="life 9")
        others.look(later, 6.0, joining=True)
        view = leases.look(ONE, 6.0, joining=False)
        assert [(member.life, member.beat) for member in view.members] == [("life 9", 2)]
        leases.leave(ONE)
        assert len(leases.look(ONE, 6.0, joining=False).members) == 1
        leases.leave(later)
        assert leases.look(ONE, 6.0, joining=False).members == []

    # --- leases -----------------------------------------------------------------------------------

    def test_only_the_long_dead_are_removed_and_only_as_they_were_seen(
        self, leases: LeaseStore, others: LeaseStore
    ) -> None:
        """Not one that has ended just now, nor one that was heard of since."""
        (seen,) = others.look(TWO, -7200.0, joining=True).members
        leases.look(ONE, 6.0, joining=True)
        (again,) = (
            member for member in others.look(TWO, -7200.0, joining=False).members if member.owner == "two"
        )
        assert len(leases.look(ONE, 6.0, joining=False, ended=[seen]).members) == 2
        assert [member.owner for member in leases.look(ONE, 6.0, joining=False, ended=[again]).members] == [
            "one"
        ]
        (late,) = (
            member for member in others.look(TWO, -60.0, joining=True).members if member.owner == "two"
        )
        assert len(leases.look(ONE, 6.0, joining=False, ended=[late]).members) == 2

    def test_what_is_free_is_taken_once(self, leases: LeaseStore, others: LeaseStore) -> None:
        """Of two who saw it free the second one is too late."""
        claims = leases.take(ONE, free(*PARTS))
        assert claims == [Claim(part, "one", 1) for part in PARTS]
        assert others.take(TWO, free(3, 4)) == [Claim(4, "two", 1)]
        view = others.look(TWO, 6.0, joining=True)
        assert view.leases == {
            3: Lease(3, "one", 1),
            4: Lease(4, "two", 1),
            9: Lease(9, "one", 1),
            63: Lease(63, "one", 1),
        }

    def test_the_fence_rises_whenever_a_lease_changes_hands(
        self, leases: LeaseStore, others: LeaseStore
    ) -> None:
        """Also when it was given back between, and when its owner takes it in another life."""
        (claim,) = leases.take(ONE, free(5))
        leases.give([claim])
        assert others.look(TWO, 6.0, joining=True).leases[5] == Lease(5, NOBODY, 1)
        (second,) = others.take(TWO, [Lease(5, NOBODY, 1)])
        assert second == Claim(5, "two", 2)
        (third,) = leases.take(ONE, [Lease(5, "two", 2)])
        assert third == Claim(5, "one", 3)
        assert leases.take(ONE, [Lease(5, "one", 3)]) == [Claim(5, "one", 4)]

    def test_what_another_has_by_now_is_not_given_back_for_it(
        self, leases: LeaseStore, others: LeaseStore
    ) -> None:
        """A recorder that wakes late lets go of nothing that is not its own any more."""
        (claim,) = leases.take(ONE, free(5))
        (taken,) = others.take(TWO, [Lease(*claim)])
        leases.give([claim])
        assert leases.look(ONE, 6.0, joining=True).leases[5] == Lease(*taken)

    def test_roles_do_not_mix(self, store: Any, leases: LeaseStore) -> None:
        """A dispatcher's part 5 is another one."""
        leases.take(ONE, free(5))
        dispatch = store.leases(RECORDER._replace(name="dispatcher"))
        view = dispatch.look(ONE, 6.0, joining=True)
        assert (view.leases, len(view.members)) == ({}, 1)
        assert dispatch.take(TWO, free(5)) == [Claim(5, "two", 1)]

    # --- commits ----------------------------------------------------------------------------------

    @pytest.mark.parametrize("stream", [LOGS, CONTROL])
    def test_a_commit_under_a_lease_that_counts_is_stored(
        self, store: SinkStore, leases: LeaseStore, stream: int
    ) -> None:
        """In whatever part of the store its stream lies."""
        (claim,) = leases.take(ONE, free(5))
        chain = Chain(WEB, stream)
        store.commit([under(chain.work([_record(stream)]), claim)], ARRIVED)
        assert chain.cursor.version == 1

    @pytest.mark.parametrize("stream", [LOGS, CONTROL])
    def test_a_commit_under_a_lease_that_another_took_is_refused(
        self, engine: Engine[Any], store: SinkStore, leases: LeaseStore, others: LeaseStore, stream: int
    ) -> None:
        """Nothing of the shard is written, though no cursor has changed; what is of other shards is."""
        lost, kept = leases.take(ONE, free(5, 6))
        others.take(TWO, [Lease(*lost)])
        web, mail = Chain(WEB, stream), Chain(MAIL, stream)
        works = [under(web.work([_record(stream)]), lost), under(mail.work([_record(stream)]), kept)]
        with pytest.raises(LeaseLost) as refused:
            store.commit(works, ARRIVED)
        assert refused.value.parts == {5}
        assert (web.cursor.version, mail.cursor.version) == (0, 1)
        assert len(engine.rows(store, stream, "seq")) == 1
        assert store.load(MAIL, stream, [mail.epoch]) == {mail.epoch: mail.cursor}

    def test_an_earlier_life_of_the_same_owner_is_refused_too(
        self, store: SinkStore, leases: LeaseStore, others: LeaseStore
    ) -> None:
        """By the fence: the owner is the same."""
        (earlier,) = leases.take(ONE, free(5))
        others.take(ONE._replace(life="life 9"), [Lease(*earlier)])
        with pytest.raises(LeaseLost):
            store.commit([under(Chain().work(logs(1)), earlier)], ARRIVED)

    def test_a_lower_fence_than_the_claims_is_an_older_state_of_the_store(
        self, store: SinkStore, leases: LeaseStore
    ) -> None:
        """Nobody has taken the shard: the store went back, and everything has to be read again."""
        (claim,) = leases.take(ONE, free(5))
        for part, fence in ((5, claim.fence + 1), (7, 1)):
            with pytest.raises(CursorConflict, match="older state") as refused:
                store.commit([under(Chain().work(logs(1)), Claim(part, "one", fence))], ARRIVED)
            assert not isinstance(refused.value, LeaseLost)

    def test_a_fence_is_above_every_guard(
        self, engine: LeasingEngine[Any], store: Any, leases: LeaseStore
    ) -> None:
        """When the part that says who holds what was restored to an older state, and the others were not."""
        claim = Claim(5, "one", 0)
        for _ in range(3):
            (claim,) = leases.take(ONE, [Lease(*claim) if claim.fence else free(5)[0]])
        engine.execute(store, CONTROL, "UPDATE lease SET fence = 1")
        (again,) = leases.take(TWO, [Lease(5, "one", 1)])
        assert again.fence > claim.fence
        store.commit([under(Chain().work(logs(1)), again)], ARRIVED)

    def test_a_take_that_was_cut_in_half_is_done_again(
        self, store: Any, leases: LeaseStore, others: LeaseStore, armed: Callable[[str], None]
    ) -> None:
        """Until every guard is raised the one before may commit what it has; then not."""
        (first,) = leases.take(ONE, free(5))
        armed("store.lease_taken=error")
        with pytest.raises(StoreUnavailable):
            others.take(TWO, [Lease(*first)])
        chain = Chain()
        store.commit([under(chain.work(logs(1)), first)], ARRIVED)
        row = others.look(TWO, 6.0, joining=True).leases[5]
        assert row == Lease(5, "two", 2)
        (second,) = others.take(TWO, [row])
        with pytest.raises(LeaseLost):
            store.commit([under(chain.work(logs(1, start=1)), first)], ARRIVED)
        store.commit([under(chain.work(logs(1, start=2)), second)], ARRIVED)

    def test_work_without_a_claim_needs_no_lease(self, store: SinkStore, leases: LeaseStore) -> None:
        """A migration, or a test, has the store for itself."""
        leases.take(ONE, free(*range(64)))
        chain = Chain()
        store.commit([chain.work(logs(1))], ARRIVED)
        assert chain.cursor.version == 1


class SharingContract(LeasingContract):
    """The same for an engine that has readers."""

    def test_who_holds_what_is_shown(
        self, engine: LeasingEngine[Any], store: Any, leases: LeaseStore, others: LeaseStore
    ) -> None:
        """With those whose leases are over by the store's clock, and how much nobody holds."""
        leases.look(ONE, 600.0, joining=True)
        others.look(TWO, 0.0, joining=True)
        leases.take(ONE, free(*range(10)))
        others.take(TWO, free(*range(10, 64)))
        with engine.reader(store) as reader:
            found, view = reader.sharing(RECORDER), reader.sink()
        assert [(holder.owner, holder.name, holder.parts, holder.over) for holder in found.holders] == [
            ("one", ONE.name, 10, False),
            ("two", TWO.name, 54, True),
        ]
        assert (found.parts, found.unheld) == (64, 54)
        assert view.recorders == (ONE.name,)


def _record(stream: int) -> Any:
    return logs(1)[0] if stream == LOGS else (NOON, "answer", {"id": 1})
