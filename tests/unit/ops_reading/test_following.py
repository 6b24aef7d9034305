"""Following a store that goes back: real stores, put back to what they were, with other records behind that."""

from __future__ import annotations

import contextlib
import copy
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tabard.brokers.delivery.ports import EpochWork, NodeKey
from tabard.consumers.store.layout import FILES, RECORDS
from tabard.consumers.store.read import Reader
from tabard.consumers.store.results import GapRow, LogQuery, LogRow
from tabard.consumers.store.sqlite import SqliteStore
from tabard.ops import following, listing
from tabard.ops.following import Follower
from tabard.ops.trail import ANCHORS, Shown
from tests.contract.chain import MAIL, NOON, SECOND, WEB, Chain, log

KEYS = (WEB, MAIL)


class Sent(NamedTuple):
    """What a node said in one batch."""

    key: NodeKey
    epoch: bytes
    said: list[str]


class World:
    """A store that is written, and put back to what it was."""

    def __init__(self, path: Path) -> None:
        self.path = path / "store"
        self.path.mkdir(parents=True)
        self._store = SqliteStore.open(self.path)
        self._chains = {key: Chain(key) for key in KEYS}
        self._now = NOON
        self._said = 0
        self._sent: list[Sent] = []
        self._backups: list[tuple[Path, dict[NodeKey, Chain], list[Sent]]] = []
        self.reader = Reader(self.path)
        self.told: list[str] = []
        self.again: set[str] = set()
        """What was stored once more, after a backup had taken its place."""
        self._open()
        self.back_up()

    def close(self) -> None:
        """Close all."""
        self.reader.close()
        self._store.close()

    @property
    def holds(self) -> list[str]:
        """What the store has."""
        return [said for sent in self._sent for said in sent.said]

    def say(self, count: int, key: NodeKey = WEB) -> list[str]:
        """So many records more, of one of the two nodes."""
        said = [f"m{self._said + number}" for number in range(count)]
        self._said += count
        self._send(Sent(key, self._chains[key].epoch, said))
        return said

    def back_up(self) -> None:
        """Keep it as it is."""
        place = self.path.with_name(f"backup{len(self._backups)}")
        place.mkdir()
        for kind in FILES:
            _copy(kind.path(self.path), kind.path(place))
        self._backups.append((place, copy.deepcopy(self._chains), list(self._sent)))

    def put_back(self, number: int = -1, *, resent: int = 0, same_file: bool = False) -> None:
        """A backup in place of the store. The nodes send some of what it lacks again, and begin new epochs then."""
        place, chains, sent = self._backups[number]
        lost = self._sent[len(sent) :] if self._sent[: len(sent)] == sent else []
        self._store.close()
        for kind in FILES:
            path = kind.path(self.path)
            if same_file:
                _copy(kind.path(place), path)
                continue
            for end in ("", "-wal", "-shm"):
                old = path.with_name(path.name + end)
                if old.exists():
                    old.rename(old.with_name(f"{old.name}.{self._now}"))
            shutil.copy(kind.path(place), path)
        self._store = SqliteStore.open(self.path)
        self._chains, self._sent = copy.deepcopy(chains), list(sent)
        self._now += 60 * SECOND
        for again in lost[:resent]:
            if again.epoch == self._chains[again.key].epoch:
                self._send(again)
                self.again.update(again.said)
        self._chains = {key: Chain(key, name=str(self._now)) for key in KEYS}
        self._open()

    def forget_newest(self, count: int) -> None:
        """Take the newest records out of it, as somebody who has them forgotten does."""
        with contextlib.closing(sqlite3.connect(RECORDS.path(self.path))) as connection:
            connection.execute("DELETE FROM log WHERE id > (SELECT max(id) FROM log) - ?", (count,))
            connection.commit()

    def forget_oldest(self, count: int) -> None:
        """Take the oldest out of it, as retention does."""
        with contextlib.closing(sqlite3.connect(RECORDS.path(self.path))) as connection:
            connection.execute(
                "DELETE FROM log WHERE id IN (SELECT id FROM log ORDER BY id LIMIT ?)", (count,)
            )
            connection.commit()

    def follow(self) -> Follower:
        """Somebody who follows it from now on."""
        return Follower(self.reader, LogQuery(), listing.mark(self.reader), self.told.append)

    def lose(self, count: int, key: NodeKey, late: int = 0) -> None:
        """A gap, by a recorder that took the time of it so many seconds before its commit was through."""
        self._now += SECOND
        self._store.commit([self._chains[key].lose(count)], self._now - late * SECOND)

    def _open(self) -> None:
        for chain in self._chains.values():
            self._commit(chain.open())

    def _send(self, sent: Sent) -> None:
        self._commit(self._chains[sent.key].work([log(said) for said in sent.said]))
        self._sent.append(sent)

    def _commit(self, work: EpochWork) -> None:
        self._now += SECOND
        self._store.commit([work], self._now)


def _copy(source: Path, target: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(source)) as one,
        contextlib.closing(sqlite3.connect(target)) as other,
    ):
        one.backup(other)


def shown(follower: Follower) -> list[str]:
    """What it shows until nothing more comes."""
    found: list[str] = []
    while True:
        rows, pause = follower.look()
        found += [row.message for row in rows if isinstance(row, LogRow)]
        if pause:
            return found


def look(follower: Follower) -> list[listing.Row]:
    """All that it shows until nothing more comes."""
    found: list[listing.Row] = []
    while True:
        rows, pause = follower.look()
        found += rows
        if pause:
            return found


def lost(follower: Follower) -> list[int]:
    """How many records each gap stands for that one look shows."""
    return [row.count for row in follower.look()[0] if isinstance(row, GapRow)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An empty one."""
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _look_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower that looks at all it looks at each time: one that waits a second for it shows the same a second later."""
    monkeypatch.setattr(following, "GAPS_EVERY", 1)


@given(
    gaps=st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 300), st.booleans()), max_size=12),
    before=st.integers(0, 3),
)
@example(gaps=[(WEB, 0, True), (MAIL, 5, True)], before=0)
@settings(max_examples=20, deadline=None)
def test_no_gap_is_missed_and_none_comes_twice_whatever_the_order_of_commits(
    tmp_path_factory: pytest.TempPathFactory, gaps: list[tuple[NodeKey, int, bool]], before: int
) -> None:
    """Two recorders commit beside each other: what arrives earlier by its stamp may be in the store later."""
    world = World(tmp_path_factory.mktemp("world"))
    try:
        for number in range(before):
            world.lose(1 + number, KEYS[0])
        follower = world.follow()
        found: list[int] = []
        for number, (key, late, look) in enumerate(gaps):
            world.lose(100 + number, key, late)
            if look:
                found += lost(follower)
        found += lost(follower) + lost(follower)
        assert sorted(found) == list(range(100, 100 + len(gaps)))
    finally:
        world.close()


@pytest.mark.parametrize("same_file", [False, True], ids=["another file", "the same file"])
@pytest.mark.parametrize("behind", [0, 2, 20], ids=["no more", "fewer", "more"])
def test_an_older_state_with_new_records_behind_it_hides_none_of_them(
    world: World, behind: int, same_file: bool
) -> None:
    """However many there are by the next look: going on from the last id would pass over those that took lower ones."""
    world.say(5)
    world.back_up()
    follower = world.follow()
    assert shown(follower) == []
    passed = world.say(5)
    assert shown(follower) == passed
    world.put_back(same_file=same_file)
    new = world.say(behind) if behind else []
    assert shown(follower) == new
    assert len(world.told) == 1
    assert ("was replaced" if not same_file else "were taken away") in world.told[0]
    assert "some of what was shown may be missing" in world.told[0]


def test_more_losses_than_are_read_at_once_all_come(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One page after another, without a pause between them, whatever is looked at how often."""
    monkeypatch.setattr(following, "PAGE", 2)
    monkeypatch.setattr(following, "GAPS_EVERY", 20)
    follower = world.follow()
    assert lost(follower) == []
    for number in range(5):
        world.lose(1 + number, WEB)
    found: list[int] = []
    looks = 0
    while len(found) < 5:
        found += lost(follower)
        looks += 1
        assert looks <= 20 + 3
    assert found == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("same_file", [False, True], ids=["another file", "the same file"])
def test_an_older_state_hides_no_loss(world: World, same_file: bool) -> None:
    """Their numbers are lower than those that were passed; what was there before is not shown after all."""
    world.say(3)
    world.lose(7, WEB)
    world.back_up()
    world.say(2)
    follower = world.follow()
    for number in range(3):
        world.say(1)
        world.lose(1 + number, MAIL)
    assert sorted(row.count for row in look(follower) if isinstance(row, GapRow)) == [1, 2, 3]
    world.put_back(same_file=same_file)
    world.say(1)
    world.lose(9, MAIL)
    assert [row.count for row in look(follower) if isinstance(row, GapRow)] == [9]


def test_what_was_there_before_is_not_shown_after_all(world: World) -> None:
    """Of a state that is older than the beginning of the look, only what was stored since then comes."""
    world.say(300)
    world.back_up()
    world.say(700)
    follower = world.follow()
    assert shown(follower) == []
    world.put_back()
    new = world.say(40)
    assert shown(follower) == new


def test_what_is_sent_again_is_not_shown_again(world: World) -> None:
    """It has another id, and is the same record; what was never shown is."""
    follower = world.follow()
    world.back_up()
    first = world.say(4)
    assert shown(follower) == first
    unseen = world.say(3)
    world.put_back(resent=2)
    new = world.say(1)
    assert shown(follower) == [*unseen, *new]


def test_a_newer_backup_loses_nothing(world: World) -> None:
    """All that was passed is there: it is said that the store was replaced, not that anything is missing."""
    follower = world.follow()
    passed = world.say(6)
    assert shown(follower) == passed
    world.back_up()
    world.put_back()
    new = world.say(2)
    assert shown(follower) == new
    assert ["missing" in said for said in world.told] == [False]


def test_an_emptied_store_is_read_from_its_beginning(world: World) -> None:
    """Nothing of what was passed is left."""
    world.say(9)
    follower = world.follow()
    world.put_back(0)
    new = world.say(12)
    assert shown(follower) == new
    assert "going on after its beginning" in world.told[0]


def test_records_that_were_forgotten_give_their_ids_to_new_ones(world: World) -> None:
    """These are not passed over."""
    follower = world.follow()
    passed = world.say(6)
    assert shown(follower) == passed
    world.forget_newest(4)
    new = world.say(4)
    assert shown(follower) == new
    assert "were taken away" in world.told[0]


def test_retention_is_no_change_for_who_reads_at_the_end(world: World) -> None:
    """Nothing is said, nothing is read again, though all but the newest go."""
    world.say(50)
    follower = world.follow()
    passed = world.say(30)
    assert shown(follower) == passed
    world.forget_oldest(79)
    new = world.say(5)
    assert shown(follower) == new
    assert world.told == []


def test_a_file_that_is_away_for_a_moment_is_waited_for(world: World) -> None:
    """It is said once, and once that it is there again."""
    follower = world.follow()
    path = RECORDS.path(world.path)
    path.rename(path.with_name("elsewhere"))
    assert [shown(follower) for _ in range(3)] == [[], [], []]
    path.with_name("elsewhere").rename(path)
    new = world.say(2)
    assert shown(follower) == new
    assert len(world.told) == 2
    assert "store not found" in world.told[0]
    assert "waiting for it" in world.told[0]
    assert world.told[1] == "the store is there again; going on"


def test_a_file_that_somebody_has_to_himself_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a tool that looks at it in exclusive mode has it."""
    monkeypatch.setattr("tabard.consumers.store.readonly.BUSY_SECONDS", 0.0)
    follower = world.follow()
    world.reader.close()
    world._store.close()  # nobody else has it open: only then it can be had alone
    with contextlib.closing(sqlite3.connect(RECORDS.path(world.path), isolation_level=None)) as alone:
        alone.execute("PRAGMA locking_mode = EXCLUSIVE")
        alone.execute("BEGIN EXCLUSIVE")
        assert shown(follower) == []
    assert shown(follower) == []
    assert ["waiting for it" in said for said in world.told] == [True, False]


def test_more_than_is_remembered_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What may come again is not promised to stay away."""
    monkeypatch.setattr(following, "Shown", lambda: Shown(3))
    world.back_up()
    follower = world.follow()
    passed = world.say(8)
    assert shown(follower) == passed
    world.put_back(resent=1)
    assert set(shown(follower)) <= set(passed)
    assert "may come again" in world.told[0]


def test_a_long_look_keeps_few_records_in_mind(world: World) -> None:
    """And goes back to one that is not much older than what was restored."""
    follower = world.follow()
    for number in range(3 * ANCHORS):
        world.say(1)
        shown(follower)
        if number == 2 * ANCHORS:
            world.back_up()
    assert len(follower._trail._anchors) <= ANCHORS
    world.put_back()
    new = world.say(ANCHORS * 2)
    assert shown(follower) == new


acts = st.one_of(
    st.tuples(st.just("say"), st.integers(1, 6), st.sampled_from(KEYS)),
    st.tuples(st.just("back up")),
    st.tuples(st.just("put back"), st.integers(0, 20), st.integers(0, 3), st.booleans()),
    st.tuples(st.just("look")),
)


@settings(max_examples=20)
@given(steps=st.lists(acts, min_size=4, max_size=14))
def test_whatever_becomes_of_a_store_each_record_is_shown_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[object, ...]]
) -> None:
    """All that the store has in the end and had not in the beginning was shown, and nothing was shown twice.

    What it had in the beginning comes only if it was lost and stored again.
    """
    world = World(tmp_path_factory.mktemp("world"))
    world.say(3)
    before = set(world.holds)
    follower, found = world.follow(), []
    for act, *given_ in steps:
        match act, given_:
            case "say", [int(count), NodeKey() as key]:
                world.say(count, key)
            case "back up", _:
                world.back_up()
            case "put back", [int(number), int(resent), bool(same)]:
                world.put_back(number % len(world._backups), resent=resent, same_file=same)
            case _:
                found += shown(follower)
    found += shown(follower)
    world.close()
    assert len(found) == len(set(found))
    assert set(world.holds) - before <= set(found)
    assert before & set(found) <= world.again
