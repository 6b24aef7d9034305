"""Leases: plans that fit each other, and members that die, freeze, lose answers and disagree about the time."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tabard.brokers.delivery.leases import NOBODY, RECORDER, Lease, Role, plan
from tests.unit.delivery.leasing import LENGTH, Table, Worker

owners = st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=7, unique=True)


@st.composite
def situations(draw: st.DrawFn) -> tuple[Role, list[str], dict[int, Lease]]:
    """Members that are alive, and parts held by them, by the dead, by nobody, or never held."""
    alive = draw(owners)
    role = Role("test", draw(st.integers(1, 70)))
    holders = st.sampled_from([*alive, "dead", NOBODY, None])
    leases = {}
    for part in range(role.parts):
        holder = draw(holders)
        if holder is not None:
            leases[part] = Lease(part, holder, draw(st.integers(1, 9)))
    return role, alive, leases


def counts(role: Role, alive: list[str], leases: dict[int, Lease]) -> list[int]:
    """How many parts each living member has."""
    found = Counter(lease.owner for lease in leases.values())
    return [found[owner] for owner in alive]


# --- plans -----------------------------------------------------------------------------------


@settings(max_examples=200)
@given(situations())
def test_all_plans_together_balance_the_work(
    situation: tuple[Role, list[str], dict[int, Lease]],
) -> None:
    """Whoever has too much gives just what is too much, once; what is free then is taken in two rounds at most."""
    role, alive, leases = situation
    before = counts(role, alive, leases)
    given_up = [part for owner in alive for part in plan(owner, role, alive, leases).give]
    assert len(given_up) == len(set(given_up))
    assert all(leases[part].owner in alive for part in given_up)
    after = {part: Lease(part, NOBODY, 1) if part in given_up else lease for part, lease in leases.items()}
    for owner in alive * 2:
        decided = plan(owner, role, alive, after)
        assert not decided.give
        for part in decided.take:
            assert after.get(part, Lease(part, NOBODY, 0)).owner not in alive
            after[part] = Lease(part, owner, 9)
    found = counts(role, alive, after)
    assert sum(found) == role.parts
    assert max(found) - min(found) <= 1
    assert len(given_up) == sum(max(0, was - now) for was, now in zip(before, found, strict=True))


@given(situations())
def test_a_balanced_plan_is_left_alone(situation: tuple[Role, list[str], dict[int, Lease]]) -> None:
    """Nobody gives or takes anything then: nothing flaps."""
    role, alive, leases = situation
    for _ in range(3):
        for owner in alive:
            decided = plan(owner, role, alive, leases)
            leases |= {part: Lease(part, NOBODY, 1) for part in decided.give}
            leases |= {part: Lease(part, owner, 1) for part in decided.take}
    assert all(plan(owner, role, alive, leases) == ((), ()) for owner in alive)


def test_two_who_reach_for_the_same_seldom_meet() -> None:
    """Each prefers other parts: half of all at once, and less than half of that twice."""
    first, second = (plan(me, RECORDER, ["a", "b"], {}).take for me in "ab")
    assert len(first) == len(second) == 32
    assert len(set(first) & set(second)) < 24


# --- members ---------------------------------------------------------------------------------


def run(workers: list[Worker], start: float, seconds: float) -> float:
    """Let time pass in small steps."""
    at = start
    while at < start + seconds:
        at += 0.05
        workers[0].table.now += 50_000_000
        for worker in workers:
            worker.work(at)
    return at


def disputed(workers: list[Worker]) -> set[int]:
    """Parts that more than one believes to hold."""
    seen: set[int] = set()
    twice: set[int] = set()
    for worker in workers:
        parts = worker.keeper.held.keys()
        twice |= seen & parts
        seen |= parts
    return twice


def held(workers: list[Worker]) -> list[int]:
    """How many parts each holds."""
    return [len(worker.held) for worker in workers]


def test_one_alone_has_everything_with_its_first_step() -> None:
    """The start of a single recorder is no slower for its leases."""
    worker = Worker(Table(), "a")
    worker.work(0.0)
    assert held([worker]) == [64]


def test_others_that_join_get_their_share_and_nothing_moves_after() -> None:
    """64, then 32 each, then 22 + 21 + 21."""
    table = Table()
    workers = [Worker(table, name, offset) for name, offset in (("a", 0.0), ("b", 1e6), ("c", -50.0))]
    at = run(workers[:1], 0.0, 1.0)
    at = run(workers[:2], at, LENGTH)
    assert held(workers) == [32, 32, 0]
    at = run(workers, at, LENGTH)
    assert sorted(held(workers)) == [21, 21, 22]
    fences = dict(table.leases)
    run(workers, at, 10 * LENGTH)
    assert table.leases == fences


def test_a_clean_end_leaves_nothing_to_wait_for() -> None:
    """The other one takes everything with its next look."""
    table = Table()
    workers = [Worker(table, name) for name in "ab"]
    at = run(workers, 0.0, LENGTH)
    workers[0].keeper.leave()
    run(workers[1:], at, LENGTH / 3 + 0.1)
    assert held(workers[1:]) == [64]


def test_what_the_dead_held_is_taken_after_one_lease() -> None:
    """Not before, by the clock of whoever takes it: what the store's clock says of it may be a jump of that clock."""
    table = Table()
    workers = [Worker(table, name) for name in "ab"]
    at = run(workers, 0.0, LENGTH)
    at = run(workers[1:], at, LENGTH / 2)
    assert held(workers[1:]) == [32]
    at = run(workers[1:], at, LENGTH)
    assert held(workers[1:]) == [64]
    table.now += round(LENGTH * 2e9)
    late = Worker(table, "c")
    at = run([late], at, LENGTH - 0.2)
    assert held([late]) == [0]
    run([late], at, 1.0)
    assert held([late]) == [64]


def test_one_that_starts_when_the_stores_clock_jumps_takes_nothing_that_is_held() -> None:
    """By that clock the other one ended long ago, and is removed; it works all the same, and they share as ever."""
    table = Table()
    workers = [Worker(table, name) for name in "ab"]
    at = run(workers[:1], 0.0, LENGTH / 2)
    before = dict(table.leases)
    workers[0].keeper.due = at + 1.0
    table.now += 2 * 3_600_000_000_000
    workers[1].work(at)
    assert table.leases == before
    assert set(table.members) == {"a", "b"}
    for _ in range(round(2 * LENGTH / 0.05)):
        at = run(workers, at, 0.05)
        assert not disputed(workers)
    assert held(workers) == [32, 32]


def test_with_the_long_dead_nothing_is_shared() -> None:
    """A recorder that is started again has all its own at once, however many there once were beside it."""
    table = Table()
    workers = [Worker(table, name) for name in "ab"]
    at = run(workers, 0.0, LENGTH)
    at = run(workers[:1], at, 3 * LENGTH)
    workers[0].restart()
    workers[0].work(at)
    assert held(workers[:1]) == [64]
    table.now += 2 * 3_600_000_000_000
    run(workers[:1], at, 2 * LENGTH)
    assert set(table.members) == {"a"}


def test_a_restarted_one_takes_its_own_at_once() -> None:
    """With a higher fence: what its earlier life has on its way is refused."""
    worker = Worker(Table(), "a")
    worker.work(0.0)
    before = dict(worker.held)
    worker.restart()
    worker.work(0.1)
    assert worker.held.keys() == before.keys()
    assert all(worker.held[part].fence == claim.fence + 1 for part, claim in before.items())
    assert not any(worker.table.covers(claim) for claim in before.values())


def test_a_copied_home_holds_nothing_and_says_so() -> None:
    """The later one works; the other one gives up, and takes over when that has ended."""
    table = Table()
    first, copy = Worker(table, "a"), Worker(table, "a", life=2)
    at = run([first], 0.0, 1.0)
    at = run([copy, first], at, LENGTH)
    assert held([first, copy]) == [0, 64]
    assert "copy" in str(first.keeper.fault)
    copy.keeper.leave()
    run([first], at, LENGTH)
    assert held([first]) == [64]
    assert first.keeper.fault is None


@pytest.mark.parametrize("jump", [-86_400, 86_400])
def test_a_jump_of_the_stores_clock_moves_nothing(jump: int) -> None:
    """Nobody compares clocks but for those it sees for the first time."""
    table = Table()
    workers = [Worker(table, name) for name in "ab"]
    at = run(workers, 0.0, LENGTH)
    fences = dict(table.leases)
    table.now += jump * 1_000_000_000
    at = run(workers, at, 3 * LENGTH)
    assert table.leases == fences
    run(workers[1:], at, 2 * LENGTH)
    assert held(workers[1:]) == [64]


def test_whoever_cannot_renew_lets_go_by_its_own_clock() -> None:
    """Counted from before the last renewal was asked for; and has its own back as soon as the store is there."""
    worker = Worker(Table(), "a")
    worker.work(0.0)
    worker.access.away = True
    worker.work(LENGTH - 0.1)
    assert held([worker]) == [64]
    worker.work(LENGTH)
    assert held([worker]) == [0]
    assert worker.keeper.held == {}
    worker.access.away = False
    worker.work(LENGTH + 1.0)
    assert held([worker]) == [64]


def test_what_the_store_did_not_hear_is_given_up_again() -> None:
    """Otherwise it would be nobody's: not used by the one, not free for the other."""
    table = Table()
    workers = [Worker(table, name) for name in "ab"]
    workers[0].work(0.0)
    workers[1].work(0.1)
    workers[0].time = LENGTH
    change = workers[0].keeper.step()
    workers[0].access.away = True
    workers[0].keeper.give(change.give)
    assert {lease.owner for lease in table.leases.values()} == {"a"}
    workers[0].access.away = False
    run(workers, LENGTH, LENGTH)
    assert held(workers) == [32, 32]


def test_a_store_that_went_back_is_taken_anew() -> None:
    """Its fences are lower, or its rows are gone; what was believed before is dropped."""
    table = Table()
    worker = Worker(table, "a")
    worker.work(0.0)
    table.leases.clear()
    table.members.clear()
    at = run([worker], 0.0, LENGTH)
    assert all(table.covers(claim) for claim in worker.held.values())
    assert held([worker]) == [64]
    worker.keeper.drop()
    run([worker], at, 0.1)
    assert held([worker]) == [64]


def test_an_earlier_life_in_a_restored_store_is_not_taken_for_a_copied_home() -> None:
    """It ended long ago by the store's own clock: nobody is to be told to end it, and nothing waits for its lease."""
    table = Table()
    worker = Worker(table, "a")
    at = run([worker], 0.0, LENGTH)
    members, leases = dict(table.members), dict(table.leases)
    worker.restart()
    at = run([worker], at, 10 * LENGTH)
    table.members, table.leases = members, leases
    faults = []
    for _ in range(round(LENGTH / 0.05)):
        at = run([worker], at, 0.05)
        faults.append(worker.keeper.fault)
    assert set(faults) == {None}
    assert held([worker]) == [64]
    assert all(table.covers(claim) for claim in worker.held.values())


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**9), count=st.integers(1, 4))
def test_whatever_befalls_them_two_never_commit_under_one_part(seed: int, count: int) -> None:
    """Deaths, restarts, freezes, cuts, lost answers, clock jumps.

    Of all who believe to hold a part the store takes the commits of one at most, and once all is well every part is
    held within three leases, in equal shares.
    """
    random = Random(seed)
    table = Table()
    workers = [Worker(table, "abcd"[number], random.uniform(-1e5, 1e5)) for number in range(count)]
    asleep: dict[int, float] = {}
    at = 0.0
    while at < 120.0:
        at += 0.1
        table.now += 100_000_000
        for number, worker in enumerate(workers):
            if random.random() < 0.004:
                worker.restart()
            if random.random() < 0.004:
                asleep[number] = at + random.uniform(0.1, 3 * LENGTH)
            if random.random() < 0.01:
                worker.access.away = random.random() < 0.3
                worker.access.loses = random.choice((0.0, 0.0, 0.3))
            if random.random() < 0.002:
                table.now += random.choice((-1, 1)) * 3_600_000_000_000
            worker.time = at
            if asleep.get(number, 0.0) <= at:
                worker.work(at)
        for part in disputed(workers):
            believers = [worker.keeper.held[part] for worker in workers if part in worker.keeper.held]
            assert sum(table.covers(claim) for claim in believers) <= 1
    for worker in workers:
        worker.access.away, worker.access.loses = False, 0.0
    run(workers, at, 3 * LENGTH)
    assert sum(held(workers)) == RECORDER.parts
    assert max(held(workers)) - min(held(workers)) <= 1


# --- who cannot do its work ------------------------------------------------------------------


def test_one_that_is_unfit_leaves_everything_to_the_others() -> None:
    """A recorder without keys among nodes that sign: it gives up what it has, says why, and counts for nobody."""
    table = Table()
    workers = [Worker(table, "a"), Worker(table, "b", 17.0)]
    at = run(workers, 0.0, LENGTH)
    assert sorted(held(workers)) == [32, 32]
    workers[0].keeper.judge("no keys")
    at = run(workers, at, LENGTH)
    assert held(workers) == [0, 64]
    assert workers[0].keeper.fault == "no keys"
    assert set(table.members) == {"b"}
    at = run(workers, at, 3 * LENGTH)
    assert held(workers) == [0, 64]
    workers[0].keeper.judge(None)
    run(workers, at, 2 * LENGTH)
    assert sorted(held(workers)) == [32, 32]
    assert workers[0].keeper.fault is None


def test_one_that_is_unfit_from_the_start_takes_nothing() -> None:
    """It looks, and does not join."""
    table = Table()
    fit, unfit = Worker(table, "a"), Worker(table, "b", 17.0)
    at = run([fit], 0.0, LENGTH)
    unfit.keeper.judge("no keys")
    run([fit, unfit], at, 2 * LENGTH)
    assert held([fit, unfit]) == [64, 0]
    assert set(table.members) == {"a"}


def test_one_that_is_unfit_goes_on_where_nobody_else_is() -> None:
    """Some nodes may not sign yet; and when the other one dies, its place is taken after a lease, and given back."""
    table = Table()
    alone = Worker(table, "a")
    alone.keeper.judge("no keys")
    at = run([alone], 0.0, LENGTH)
    assert held([alone]) == [64]
    assert alone.keeper.fault is None
    other = Worker(table, "b", 17.0)
    at = run([alone, other], at, 2 * LENGTH)
    assert held([alone, other]) == [0, 64]
    at = run([alone], at, 3 * LENGTH)  # the other one is dead
    assert held([alone]) == [64]
    other.restart()
    run([alone, other], at, 2 * LENGTH)
    assert held([alone, other]) == [0, 64]


def test_of_two_that_are_unfit_one_goes_on() -> None:
    """Nobody stays away for another one that does the same."""
    table = Table()
    workers = [Worker(table, "a"), Worker(table, "b", 17.0)]
    at = run(workers, 0.0, LENGTH)
    for worker in workers:
        worker.keeper.judge("no keys")
    at = run(workers, at, 6 * LENGTH)
    assert sorted(held(workers)) == [0, 64]


def test_an_unfit_one_whose_store_is_away_holds_nothing_for_longer_than_its_lease() -> None:
    """Its own clock ends what it has, as for any other."""
    table = Table()
    workers = [Worker(table, "a"), Worker(table, "b", 17.0)]
    at = run(workers, 0.0, LENGTH)
    workers[0].keeper.judge("no keys")
    workers[0].access.away = True
    at = run(workers, at, 2 * LENGTH)
    assert held(workers)[0] == 0
    workers[0].access.away = False
    run(workers, at, 2 * LENGTH)
    assert held(workers) == [0, 64]
